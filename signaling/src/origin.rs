//! Which web pages may use this server: its own, and those of the origins that an operator lists.

use warp::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HOST, ORIGIN, VARY,
};
use warp::http::uri::Authority;
use warp::http::{HeaderMap, HeaderValue, StatusCode, Uri};

use crate::rest::problem::Refusal;

/// Origins such as `https://app.example.org`, or `*` for all.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    listed: Vec<String>,
    any: bool,
    /// Without authentication on loopback, a name that is made to point here is no way in (DNS rebinding).
    pub(crate) loopback_hosts_only: bool,
}

impl Origins {
    pub fn new(listed: &[String]) -> anyhow::Result<Self> {
        let mut origins = Self::default();
        for text in listed
            .iter()
            .map(|text| text.trim())
            .filter(|text| !text.is_empty())
        {
            if text == "*" {
                origins.any = true;
                continue;
            }
            let (host, _) = authority(text).ok_or_else(|| {
                anyhow::anyhow!(
                    "`{text}` is no origin: write it as browsers do, like https://app.example.org"
                )
            })?;
            anyhow::ensure!(!host.is_empty(), "`{text}` has no host");
            origins.listed.push(text.to_ascii_lowercase());
        }
        Ok(origins)
    }

    /// 403 unless the page may; of a page of another origin that may, what it is told of that.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        if self.loopback_hosts_only && !host.is_none_or(is_loopback) {
            return Err(refused(
                "this server is open on this machine only: call it `localhost`",
            ));
        }
        let Some(origin) = headers.get(ORIGIN) else {
            return Ok(None);
        };
        let text = origin.to_str().unwrap_or_default().to_ascii_lowercase();
        if is_same(&text, host) {
            Ok(None)
        } else if self.any || self.listed.contains(&text) {
            Ok(Some(origin.clone()))
        } else {
            Err(refused(
                "pages of this origin may not use this server; its operator lists those that may in SIGHTLINE_ORIGINS",
            ))
        }
    }
}

fn refused(words: &str) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "wrong-origin", words)
}

/// Lets the page read the answer.
pub(crate) fn allow(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("Location, ETag, Link, Accept-Patch, Retry-After"),
        );
    }
}

/// What a preflight is answered with.
pub(crate) fn preflight(methods: &HeaderValue) -> HeaderMap {
    HeaderMap::from_iter([
        (ACCESS_CONTROL_ALLOW_METHODS, methods.clone()),
        (
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("Authorization, Content-Type, If-Match, Last-Event-ID"),
        ),
        (ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600")),
    ])
}

/// Host and port of an origin.
fn authority(origin: &str) -> Option<(String, u16)> {
    let (scheme, rest) = origin.split_once("://")?;
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let plain = !rest.contains(['/', '?', '#', '@']) && origin.parse::<Uri>().is_ok();
    let authority: Authority = plain.then(|| rest.parse().ok())??;
    let port = authority.port_u16().unwrap_or(default);
    Some((authority.host().to_ascii_lowercase(), port))
}

/// The page came from where it calls. Behind a proxy that speaks TLS the scheme is not known here: it does not count.
fn is_same(origin: &str, host: Option<&str>) -> bool {
    let scheme = origin.split("://").next().unwrap_or_default();
    let called = host.and_then(|host| authority(&format!("{scheme}://{host}")));
    called.is_some() && authority(origin) == called
}

fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
    let by_name = name == "localhost" || name.ends_with(".localhost");
    by_name
        || name
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &'static str, origin: Option<&'static str>) -> HeaderMap {
        let origin = origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin)));
        let host = (HOST, HeaderValue::from_static(host));
        std::iter::once(host).chain(origin).collect()
    }

    #[test]
    fn pages_of_the_same_origin_and_of_those_listed_may() {
        let origins = Origins::new(&["https://app.example.org".into(), " http://other:81 ".into()]).unwrap();
        let check = |host, origin| origins.check(&headers(host, origin)).map(|cors| cors.is_some());
        for (host, origin, cross) in [
            ("a:9000", None, false),
            ("a:9000", Some("http://a:9000"), false),
            ("A:9000", Some("http://a:9000"), false),
            ("a", Some("https://a"), false),
            ("a:443", Some("https://a"), false),
            ("[::1]:9000", Some("http://[::1]:9000"), false),
            ("a:9000", Some("https://app.example.org"), true),
            ("a:9000", Some("http://other:81"), true),
        ] {
            assert_eq!(check(host, origin).unwrap(), cross, "{origin:?}");
        }
        for origin in [
            "http://evil.example",
            "null",
            "",
            "http://a",
            "http://a:9001",
            "http://a:9000.evil.example",
            "http://a:9000@evil.example",
            "http://app.example.org",
            "https://app.example.org.evil.example",
            "file://a:9000",
        ] {
            let refusal = check("a:9000", Some(origin)).unwrap_err();
            assert_eq!(
                (refusal.status.as_u16(), &*refusal.id),
                (403, "wrong-origin"),
                "{origin}"
            );
        }
        let any = Origins::new(&["*".into()]).unwrap();
        assert!(
            any.check(&headers("a", Some("http://evil.example")))
                .unwrap()
                .is_some()
        );
        for wrong in ["app.example.org", "https://a/b", "ws://a", "https://"] {
            assert!(Origins::new(&[wrong.into()]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_open_server_on_loopback_is_called_by_loopbacks_names() {
        let origins = Origins {
            loopback_hosts_only: true,
            ..Origins::default()
        };
        for host in [
            "localhost:9000",
            "127.0.0.1",
            "[::1]:9000",
            "Sightline.localhost:1",
        ] {
            assert!(origins.check(&headers(host, None)).is_ok(), "{host}");
        }
        for host in [
            "evil.example:9000",
            "10.0.0.1",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
        ] {
            assert!(origins.check(&headers(host, None)).is_err(), "{host}");
        }
    }
}
