//! Being known to signaling: a service's name, kept registered for as long as the service runs.

use std::time::Duration;

use sightline_inventa::{Config, Inventa, unknown_command};
use sightline_protocol::inventa::{Request, ServiceName, kind};
use sightline_service::redis::Server;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct Registration {
    pub redis: Server,
    /// Tasks that must have ended before the program does.
    pub tasks: TaskTracker,
}

/// Signaling's name: every replica answers to it.
pub fn orchestrator() -> ServiceName {
    ServiceName::new(kind::SIGNALING, "")
}

impl Registration {
    /// Registers a service that answers no requests, until `until`.
    pub fn keep(
        &self,
        name: ServiceName,
        info: impl Fn() -> Vec<(String, String)> + Clone + Send + Sync + 'static,
        until: CancellationToken,
    ) {
        let redis = self.redis.clone();
        self.tasks.spawn(async move {
            let handler = |request: Request| async move { Err(unknown_command(&request.method)) };
            let inventa = loop {
                let config = Config::new(redis.clone(), name.clone());
                match Inventa::start(config, handler, until.clone()).await {
                    Ok(inventa) => break inventa,
                    Err(error) => tracing::warn!(service = %name, %error, "not registered: Redis is away"),
                }
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = until.cancelled() => return,
                }
            };
            keep_registered(&inventa, info, &until).await;
            until.cancelled().await;
            inventa.stopped().await;
        });
    }
}

/// Registers, however long signaling takes to appear.
pub async fn keep_registered(
    inventa: &Inventa,
    info: impl Fn() -> Vec<(String, String)> + Clone + Send + Sync + 'static,
    until: &CancellationToken,
) {
    let orchestrator = orchestrator();
    loop {
        let registered = tokio::select! {
            registered = inventa.register(&orchestrator, info.clone()) => registered,
            () = until.cancelled() => return,
        };
        match registered {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "not registered yet"),
        }
    }
}
