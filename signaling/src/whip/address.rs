//! Addresses: an endpoint is `/whip/{pipeline}` or `/whep/{session}`, a resource an endpoint and its session's id.

use std::collections::BTreeMap;

use serde_json::Value;
use sightline_protocol::rpc::{ParamInfo, ParamType, Params};
use warp::http::header::HOST;
use warp::http::uri::Authority;
use warp::http::{HeaderMap, HeaderName};

use crate::rest::problem::Refusal;
use crate::rest::request::Query;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Address {
    Endpoint {
        /// Of a pipeline, or the id of the session that is to be watched.
        name: String,
    },
    Resource {
        /// Its endpoint's path.
        endpoint: String,
        id: String,
    },
}

impl Address {
    pub(super) fn parse(path: &str) -> Result<Self, Refusal> {
        let parts: Vec<_> = path.split('/').collect();
        match parts[..] {
            ["", _, name] if !name.is_empty() => Ok(Self::Endpoint {
                name: name.to_owned(),
            }),
            ["", protocol, name, id] if !name.is_empty() && !id.is_empty() => Ok(Self::Resource {
                endpoint: format!("/{protocol}/{name}"),
                id: id.to_owned(),
            }),
            _ => Err(Refusal::not_found(
                "there is nothing at this address; publish to /whip/PIPELINE, watch by /whep/SESSION",
            )),
        }
    }

    /// What it takes, as in `Allow`.
    pub(super) fn methods(&self) -> &'static str {
        match self {
            Self::Endpoint { .. } => "GET, HEAD, OPTIONS, POST",
            Self::Resource { .. } => "DELETE, GET, HEAD, OPTIONS, PATCH",
        }
    }
}

/// The resource's whole address, as the client itself would write it. What it says of host and scheme comes back to
/// nobody but itself; without a host (HTTP/1.0) the address is relative.
pub(super) fn location(headers: &HeaderMap, secure: bool, endpoint: &str, id: &str) -> String {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(HOST).filter(|host| {
        host.parse::<Authority>()
            .is_ok_and(|host| !host.host().is_empty())
    });
    let scheme = if secure { "https" } else { "http" };
    match host {
        Some(host) => format!("{scheme}://{host}{endpoint}/{id}"),
        None => format!("{endpoint}/{id}"),
    }
}

/// Values out of a query are texts: each becomes what its parameter wants. One that does not fit stays a text, so that
/// the check of parameters finds it.
pub(super) fn params(known: &BTreeMap<String, ParamInfo>, query: Query) -> Params {
    let typed = |name: &str, text: String| {
        let value = match known.get(name).map(|param| param.kind) {
            Some(ParamType::Integer) => text.parse::<i64>().ok().map(Value::from),
            Some(ParamType::Number) => text
                .parse::<f64>()
                .ok()
                .filter(|n| n.is_finite())
                .map(Value::from),
            Some(ParamType::Boolean) => text.parse::<bool>().ok().map(Value::from),
            Some(ParamType::Enum | ParamType::String | ParamType::Model) | None => None,
        };
        value.unwrap_or_else(|| text.into())
    };
    query
        .into_iter()
        .map(|(name, text)| {
            let value = typed(&name, text);
            (name, value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use warp::http::HeaderValue;

    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        assert_eq!(
            Address::parse("/whip/webrtc-detect").unwrap(),
            Address::Endpoint {
                name: "webrtc-detect".into()
            }
        );
        assert_eq!(
            Address::parse("/whep/abc/def").unwrap(),
            Address::Resource {
                endpoint: "/whep/abc".into(),
                id: "def".into()
            }
        );
        for wrong in ["/whip", "/whip/", "/whip//a", "/whip/a/", "/whip/a/b/c", ""] {
            assert_eq!(Address::parse(wrong).unwrap_err().status, 404, "{wrong}");
        }
    }

    #[test]
    fn a_location_is_what_the_client_would_write() {
        let said = |pairs: &[(HeaderName, &'static str)]| location_of(pairs, false);
        fn location_of(pairs: &[(HeaderName, &'static str)], secure: bool) -> String {
            let headers = pairs
                .iter()
                .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
                .collect();
            location(&headers, secure, "/whip/a", "1")
        }
        assert_eq!(
            said(&[(HOST, "a.example:9000")]),
            "http://a.example:9000/whip/a/1"
        );
        assert_eq!(said(&[(HOST, "[::1]:9000")]), "http://[::1]:9000/whip/a/1");
        assert_eq!(
            location_of(&[(HOST, "a.example")], true),
            "https://a.example/whip/a/1"
        );
        for wrong in ["", "a b", "a/b", "a\"b"] {
            assert_eq!(said(&[(HOST, wrong)]), "/whip/a/1", "{wrong}");
        }
        assert_eq!(said(&[]), "/whip/a/1");
    }

    #[test]
    fn values_take_the_type_of_their_parameter() {
        let known = serde_json::from_value(json!({
            "fps": {"type": "integer"}, "score": {"type": "number"}, "loud": {"type": "boolean"},
            "leaky": {"type": "enum", "values": ["no"]}, "model": {"type": "model"},
        }))
        .unwrap();
        let query = [
            ("fps", "10"),
            ("score", "0.5"),
            ("loud", "true"),
            ("leaky", "no"),
            ("model", "7"),
            ("new", "1"),
        ];
        let given = params(
            &known,
            query.map(|(name, text)| (name.into(), text.into())).into(),
        );
        let expected =
            json!({"fps": 10, "score": 0.5, "loud": true, "leaky": "no", "model": "7", "new": "1"});
        assert_eq!(serde_json::to_value(given).unwrap(), expected);
        for (name, text) in [("fps", "1.5"), ("score", "NaN"), ("loud", "yes"), ("fps", "")] {
            let given = params(&known, [(name.to_owned(), text.to_owned())].into());
            assert_eq!(given[name], json!(text));
        }
    }
}
