//! Why a text from outside is refused.

use sightline_protocol::{ErrorId, Failure};

/// Why an SDP or a fragment is refused, in words for the person who sent it; they contain no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be read, or contradicts itself: `bad-sdp`, 400 over HTTP.
    #[error("{0}")]
    Malformed(String),
    /// It is well formed and asks for what is not done here: `unsupported-media`, 422 over HTTP.
    #[error("{0}")]
    Unprocessable(String),
}

impl Refusal {
    pub(crate) fn malformed(words: impl Into<String>) -> Self {
        Self::Malformed(words.into())
    }

    pub(crate) fn unprocessable(words: impl Into<String>) -> Self {
        Self::Unprocessable(words.into())
    }

    pub fn id(&self) -> ErrorId {
        match self {
            Self::Malformed(_) => ErrorId::BadSdp,
            Self::Unprocessable(_) => ErrorId::UnsupportedMedia,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.id(), refusal.to_string())
    }
}

/// A word from outside as it may stand in an error: short, and without control characters.
pub(crate) fn shown(text: &str) -> String {
    const CHARS: usize = 40;
    let mut shown: String = text.chars().take(CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARS).is_some() {
        shown.push('…');
    }
    shown
}
