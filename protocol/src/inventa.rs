//! The text of an Inventa RPC message, as it travels on a Redis channel.
//!
//! - request `req|<call id>|<from>|<method>|<arg>!<arg>…`
//! - response `resp|<call id>|<from>|<value>!<value>…`; an error is `error!<text>`
//!
//! In arguments and values `|` is written `%pipe%` and `!` is written `%exc%`.

use std::fmt;

/// A service's name, `svc:<type>:<id>`; the id may be empty (v1's signaling is `svc:sgn:`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName {
    pub kind: String,
    pub id: String,
}

impl ServiceName {
    pub fn new(kind: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            id: id.into(),
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        let (kind, id) = text.strip_prefix("svc:")?.split_once(':')?;
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '|' | '!');
        (!kind.is_empty() && kind.chars().all(plain) && id.chars().all(plain)).then(|| Self::new(kind, id))
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "svc:{}:{}", self.kind, self.id)
    }
}

/// The types of services: signaling, media bridge (a launcher), inference worker.
pub mod kind {
    pub const SIGNALING: &str = "sgn";
    pub const MEDIA_BRIDGE: &str = "mb";
    pub const INFERENCE: &str = "inf";
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub call_id: String,
    pub from: ServiceName,
    pub method: String,
    pub args: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub call_id: String,
    pub from: ServiceName,
    /// The values, or the error's text.
    pub result: Result<Vec<String>, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Request(Request),
    Response(Response),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("it starts with neither `req|` nor `resp|`")]
    Kind,
    #[error("it has too few parts")]
    Parts,
    #[error("its sender is not of the form `svc:<type>:<id>`")]
    From,
    #[error("its call id or method is empty")]
    Empty,
}

const ERROR: &str = "error";

impl Message {
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let (kind, rest) = text.split_once('|').ok_or(ParseError::Kind)?;
        let (call_id, rest) = match kind {
            "req" | "resp" => rest.split_once('|').ok_or(ParseError::Parts)?,
            _ => return Err(ParseError::Kind),
        };
        let (from, rest) = rest.split_once('|').ok_or(ParseError::Parts)?;
        let from = ServiceName::parse(from).ok_or(ParseError::From)?;
        if call_id.is_empty() {
            return Err(ParseError::Empty);
        }
        let call_id = call_id.to_owned();
        if kind == "resp" {
            let result = match rest.split_once('!') {
                Some((ERROR, text)) => Err(unescape(text)),
                _ => Ok(split(rest)),
            };
            return Ok(Self::Response(Response {
                call_id,
                from,
                result,
            }));
        }
        // A method without arguments may come without the last separator.
        let (method, args) = rest.split_once('|').unwrap_or((rest, ""));
        if method.is_empty() {
            return Err(ParseError::Empty);
        }
        Ok(Self::Request(Request {
            call_id,
            from,
            method: method.to_owned(),
            args: split(args),
        }))
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "req|{}|{}|{}|{}",
            self.call_id,
            self.from,
            self.method,
            join(&self.args)
        )
    }
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "resp|{}|{}|", self.call_id, self.from)?;
        match &self.result {
            Ok(values) => f.write_str(&join(values)),
            Err(text) => write!(f, "{ERROR}!{}", escape(text)),
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('|', "%pipe%").replace('!', "%exc%")
}

fn unescape(text: &str) -> String {
    text.replace("%pipe%", "|").replace("%exc%", "!")
}

fn join(values: &[String]) -> String {
    values
        .iter()
        .map(|value| escape(value))
        .collect::<Vec<_>>()
        .join("!")
}

fn split(text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    text.split('!').map(unescape).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn v1_samples() {
        let Ok(Message::Request(request)) = Message::parse("req|aBcDe-1|svc:mb:host1|register|svc:mb:host1")
        else {
            panic!("a v1 request is refused");
        };
        assert_eq!(request.method, "register");
        assert_eq!(request.args, ["svc:mb:host1"]);
        assert_eq!(request.from.to_string(), "svc:mb:host1");

        let Ok(Message::Response(response)) =
            Message::parse("resp|aBcDe-1|svc:sgn:|error!no such thing%exc%")
        else {
            panic!("a v1 response is refused");
        };
        assert_eq!(response.result, Err("no such thing!".to_owned()));
    }

    #[test]
    fn an_sdp_survives() {
        let sdp = "v=0\r\na=x|y!z\r\n".to_owned();
        let request = Request {
            call_id: "abcde-2".into(),
            from: ServiceName::new("sgn", ""),
            method: "sdp-accept-offer-answer".into(),
            args: vec!["id".into(), sdp],
        };
        assert_eq!(
            Message::parse(&request.to_string()),
            Ok(Message::Request(request))
        );
    }

    #[test]
    fn malformed_messages_are_errors() {
        for text in [
            "",
            "req",
            "req|",
            "req|a",
            "req|a|b|c|d",
            "req||svc:mb:x|m|",
            "req|a|svc:mb:x||",
            "x|a|svc:mb:x|m|",
        ] {
            assert!(Message::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn requests_survive(method in "[a-z-]{1,20}", args in proptest::collection::vec("[^%]{1,40}", 0..4)) {
            let request = Request { call_id: "abcde-1".into(), from: ServiceName::new("mb", "h"), method, args };
            prop_assert_eq!(Message::parse(&request.to_string()), Ok(Message::Request(request)));
        }

        #[test]
        fn garbage_never_panics(text: String) {
            drop(Message::parse(&text));
        }
    }
}
