//! Errors that people and programs read: a stable id, and words that say what to do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A field of an entry or message that is missing or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    #[error("field `{0}` is missing")]
    Missing(&'static str),
    #[error("field `{field}` is not {expected}: `{value}`")]
    Invalid {
        field: &'static str,
        expected: &'static str,
        /// The offending value, shortened.
        value: String,
    },
}

impl FieldError {
    pub fn invalid(field: &'static str, expected: &'static str, value: impl AsRef<[u8]>) -> Self {
        const SHOWN: usize = 40;
        let text = String::from_utf8_lossy(value.as_ref());
        let mut value: String = text.chars().take(SHOWN).collect();
        if text.chars().count() > SHOWN {
            value.push('…');
        }
        Self::Invalid {
            field,
            expected,
            value,
        }
    }
}

/// Why something was refused or ended; the text form is stable and part of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorId {
    /// A message that cannot be parsed or does not belong here.
    BadMessage,
    /// An SDP, or a fragment of one, that cannot be read or would hurt.
    BadSdp,
    /// The caller is known, and may not do this.
    Forbidden,
    /// A parameter has no such name, type or range.
    InvalidParam,
    /// No pipeline launcher is registered.
    NoLauncher,
    /// No inference worker is registered, and the pipeline needs one.
    NoWorker,
    /// Too many messages from one client.
    RateLimited,
    /// Signaling is stopping; another, or the same after a restart, takes over.
    ServerStopping,
    /// The session ended, by wish or because its peer went away.
    SessionEnded,
    /// The session's pipeline failed.
    SessionFailed,
    /// Every launcher is full.
    TooManySessions,
    /// There is no token, or it is not good (any more).
    Unauthenticated,
    /// No pipeline has that name.
    UnknownPipeline,
    /// No session has that id.
    UnknownSession,
    /// No tenant has that id.
    UnknownTenant,
    /// An SDP that is well formed and asks for what the pipeline does not do: two cameras, no codec that it has.
    UnsupportedMedia,
    /// Something went wrong on our side; also what an id is read as that we do not know.
    #[serde(other)]
    Internal,
}

impl ErrorId {
    /// Every id with its text.
    pub const ALL: [(Self, &'static str); 17] = [
        (Self::BadMessage, "bad-message"),
        (Self::BadSdp, "bad-sdp"),
        (Self::Forbidden, "forbidden"),
        (Self::InvalidParam, "invalid-param"),
        (Self::NoLauncher, "no-launcher"),
        (Self::NoWorker, "no-worker"),
        (Self::RateLimited, "rate-limited"),
        (Self::ServerStopping, "server-stopping"),
        (Self::SessionEnded, "session-ended"),
        (Self::SessionFailed, "session-failed"),
        (Self::TooManySessions, "too-many-sessions"),
        (Self::Unauthenticated, "unauthenticated"),
        (Self::UnknownPipeline, "unknown-pipeline"),
        (Self::UnknownSession, "unknown-session"),
        (Self::UnknownTenant, "unknown-tenant"),
        (Self::UnsupportedMedia, "unsupported-media"),
        (Self::Internal, "internal"),
    ];

    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(id, _)| *id == self)
            .map_or("internal", |(_, text)| text)
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, known)| *known == text)
            .map(|(id, _)| *id)
    }
}

impl fmt::Display for ErrorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An [`ErrorId`] with the words for a person. In RPC its text form is `<id>: <message>`, and if there is a time to try
/// again, `<id>: <message> (again in <seconds> s)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[error("{id}: {message}{}", again(*.retry_after_secs))]
pub struct Failure {
    pub id: ErrorId,
    pub message: String,
    /// After so many seconds it may go better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_secs: Option<u32>,
}

const AGAIN: (&str, &str) = (" (again in ", " s)");

fn again(seconds: Option<u32>) -> String {
    seconds.map_or_else(String::new, |seconds| format!("{}{seconds}{}", AGAIN.0, AGAIN.1))
}

impl Failure {
    pub fn new(id: ErrorId, message: impl Into<String>) -> Self {
        Self {
            id,
            message: message.into(),
            retry_after_secs: None,
        }
    }

    /// It may go better after so many seconds.
    pub fn again_in(self, seconds: u32) -> Self {
        Self {
            retry_after_secs: Some(seconds),
            ..self
        }
    }

    /// Reads the text form; a text without a known id (a v1 part's) becomes [`ErrorId::Internal`].
    pub fn parse(text: &str) -> Self {
        text.split_once(": ")
            .and_then(|(id, message)| {
                let (message, retry_after_secs) = split_again(message);
                Some(Self {
                    retry_after_secs,
                    ..Self::new(ErrorId::parse(id)?, message)
                })
            })
            .unwrap_or_else(|| Self::new(ErrorId::Internal, text))
    }
}

fn split_again(text: &str) -> (&str, Option<u32>) {
    text.strip_suffix(AGAIN.1)
        .and_then(|rest| rest.rsplit_once(AGAIN.0))
        .and_then(|(message, seconds)| Some((message, Some(seconds.parse().ok()?))))
        .unwrap_or((text, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_agree_with_their_json_form() {
        for (id, text) in ErrorId::ALL {
            assert_eq!(serde_json::to_value(id).unwrap(), text);
            assert_eq!(ErrorId::parse(text), Some(id));
        }
    }

    #[test]
    fn an_unknown_id_does_not_make_a_message_unreadable() {
        let failure: Failure = serde_json::from_str(r#"{"id":"from-the-future","message":"m"}"#).unwrap();
        assert_eq!(failure, Failure::new(ErrorId::Internal, "m"));
    }

    #[test]
    fn a_failure_survives_its_text_form() {
        let failure = Failure::new(
            ErrorId::UnknownPipeline,
            "no pipeline is named `x`: try `webrtc-detect`",
        );
        assert_eq!(Failure::parse(&failure.to_string()), failure);
        let full = Failure::new(ErrorId::TooManySessions, "full (of sessions)").again_in(15);
        assert_eq!(
            full.to_string(),
            "too-many-sessions: full (of sessions) (again in 15 s)"
        );
        assert_eq!(Failure::parse(&full.to_string()), full);
        let odd = "too-many-sessions: full (again in a while s)";
        assert_eq!(Failure::parse(odd).to_string(), odd);
        assert_eq!(Failure::parse("boom").id, ErrorId::Internal);
    }

    #[test]
    fn long_values_are_shortened_in_errors() {
        let error = FieldError::invalid("seq", "a number", "x".repeat(1000));
        assert!(error.to_string().len() < 120, "{error}");
    }
}
