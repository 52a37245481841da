//! Whether a session would be served now.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sightline_protocol::Failure;
use sightline_service::ready::{Readiness, Reason};

use crate::Services;
use crate::launchers::{no_launcher, no_worker, workers_keep_crashing};

const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Says in the log when a session would first be served, and where the page is.
pub(crate) async fn announce(
    services: Arc<Services>,
    workers_expected: bool,
    scheme: &str,
    address: SocketAddr,
) {
    while !check(&services, workers_expected).await.ready {
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = services.shutdown.cancelled() => return,
        }
    }
    let host = match address.ip() {
        ip if ip.is_loopback() || ip.is_unspecified() => "localhost".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    tracing::info!("Sightline is ready: open {scheme}://{host}:{}", address.port());
}

/// `workers_expected` is false where the operator runs none (`SIGHTLINE_WORKERS=0`).
pub(crate) async fn check(services: &Services, workers_expected: bool) -> Readiness {
    let mut reasons = Vec::new();
    if let Err(error) = services.tenants.ping().await {
        tracing::debug!(%error, "not ready: Redis");
        reasons.push(Reason::no_redis());
    }
    let mut missing = Vec::new();
    if !services.launchers.has_launcher() {
        missing.push(no_launcher());
    }
    if workers_expected && !services.launchers.has_worker() {
        let trouble = services.launchers.worker_trouble().await;
        missing.push(trouble.map_or_else(no_worker, workers_keep_crashing));
    }
    let reason = |failure: Failure| Reason::new(failure.id, failure.message);
    reasons.extend(missing.into_iter().map(reason));
    Readiness::new(reasons)
}
