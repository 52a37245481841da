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
    pub const ALL: [(Self, &'static str); 15] = [
        (Self::BadMessage, "bad-message"),
        (Self::BadSdp, "bad-sdp"),
        (Self::InvalidParam, "invalid-param"),
        (Self::NoLauncher, "no-launcher"),
        (Self::NoWorker, "no-worker"),
        (Self::RateLimited, "rate-limited"),
        (Self::ServerStopping, "server-stopping"),
        (Self::SessionEnded, "session-ended"),
        (Self::SessionFailed, "session-failed"),
        (Self::TooManySessions, "too-many-sessions"),
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

/// An [`ErrorId`] with the words for a person. In RPC its text form is `<id>: <message>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[error("{id}: {message}")]
pub struct Failure {
    pub id: ErrorId,
    pub message: String,
}

impl Failure {
    pub fn new(id: ErrorId, message: impl Into<String>) -> Self {
        Self {
            id,
            message: message.into(),
        }
    }

    /// Reads the text form; a text without a known id (a v1 part's) becomes [`ErrorId::Internal`].
    pub fn parse(text: &str) -> Self {
        text.split_once(": ")
            .and_then(|(id, message)| Some(Self::new(ErrorId::parse(id)?, message)))
            .unwrap_or_else(|| Self::new(ErrorId::Internal, text))
    }
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
        assert_eq!(Failure::parse("boom").id, ErrorId::Internal);
    }

    #[test]
    fn long_values_are_shortened_in_errors() {
        let error = FieldError::invalid("seq", "a number", "x".repeat(1000));
        assert!(error.to_string().len() < 120, "{error}");
    }
}
