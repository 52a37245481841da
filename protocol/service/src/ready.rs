//! Whether a daemon can serve, and if not, why: what `/readyz` answers.

use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Readiness {
    pub ready: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<Reason>,
}

#[derive(Debug, Serialize)]
pub struct Reason {
    /// Stable, for programs.
    id: String,
    /// For people: what is wrong, and what to do.
    message: String,
}

impl Reason {
    pub fn new(id: impl ToString, message: impl Into<String>) -> Self {
        Self {
            id: id.to_string(),
            message: message.into(),
        }
    }

    pub fn no_redis() -> Self {
        Self::new(
            "no-redis",
            "Redis does not answer; is it running, and is its address right?",
        )
    }
}

impl Readiness {
    /// Ready if there is no reason against it.
    pub fn new(reasons: Vec<Reason>) -> Self {
        Self {
            ready: reasons.is_empty(),
            reasons,
        }
    }
}
