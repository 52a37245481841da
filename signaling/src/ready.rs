//! Whether a session would be served now.

use serde::Serialize;

use crate::Services;
use crate::launchers::{no_launcher, no_worker};

#[derive(Debug, Serialize)]
pub(crate) struct Readiness {
    pub(crate) ready: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<Reason>,
}

#[derive(Debug, Serialize)]
struct Reason {
    id: String,
    message: String,
}

/// `workers_expected` is false where the operator runs none (`SIGHTLINE_WORKERS=0`).
pub(crate) async fn check(services: &Services, workers_expected: bool) -> Readiness {
    let mut reasons = Vec::new();
    if let Err(error) = services.tenants.ping().await {
        tracing::debug!(%error, "not ready: Redis");
        reasons.push(Reason {
            id: "no-redis".into(),
            message: "Redis does not answer; is it running, and is its address right?".into(),
        });
    }
    let mut missing = Vec::new();
    if !services.launchers.has_launcher() {
        missing.push(no_launcher());
    }
    if workers_expected && !services.launchers.has_worker() {
        missing.push(no_worker());
    }
    reasons.extend(missing.into_iter().map(|failure| Reason {
        id: failure.id.to_string(),
        message: failure.message,
    }));
    Readiness {
        ready: reasons.is_empty(),
        reasons,
    }
}
