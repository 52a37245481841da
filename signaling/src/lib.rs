//! Sightline's signaling: the web page, the WebSocket, and the sessions between browsers and launchers.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | arguments, environment, and what they come to |
//! | [`session`] | the protocol of one connection, without IO |
//! | `websocket`, `outbox` | one connection's IO |
//! | `keeper` | sessions that no connection looks after: of REST, WHIP and WHEP |
//! | `hub` | which session is which connection's |
//! | `launchers` | who runs a session, and the calls to it |
//! | `predictions`, `journey` | results on their way to the session they belong to, and how long that took |
//! | `traces` | the way of sampled frames, as OpenTelemetry spans |
//! | `tenants` | who may join |
//! | `book` | what is known of each session |
//! | `rest` | the API under `/api/v1` |
//! | `whip` | publishing by WHIP, watching by WHEP |
//! | `sdp` | what a client's SDP must be like |
//! | `server`, `ready`, `metrics`, `ui` | HTTP |

mod book;
pub mod config;
mod hub;
mod journey;
mod keeper;
mod launchers;
mod metrics;
mod outbox;
mod predictions;
mod ready;
mod rest;
mod rpc;
mod sdp;
mod server;
pub mod session;
mod tenants;
mod traces;
mod ui;
mod websocket;
mod whip;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use sightline_inventa::{Inventa, connection};
use sightline_protocol::inventa::{ServiceName, kind};
use sightline_service::bridge;
use sightline_service::redis::Server;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::book::Book;
use crate::config::Config;
use crate::hub::Hub;
use crate::launchers::Launchers;
use crate::predictions::Predictions;
use crate::session::Bucket;
use crate::tenants::Tenants;
use crate::whip::Resources;

/// Connections at the same time.
pub(crate) const MAX_CONNECTIONS: usize = 1024;
/// How long the farewell to the clients and launchers may take.
const GOODBYE: Duration = Duration::from_secs(3);

/// What the parts of the server share.
pub(crate) struct Services {
    pub(crate) settings: Arc<session::Settings>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) book: Arc<Book>,
    /// How many sessions may be started by request.
    pub(crate) starts: Mutex<Bucket>,
    /// Sessions that WHIP and WHEP gave an address.
    pub(crate) resources: Resources,
    pub(crate) launchers: Launchers,
    pub(crate) tenants: Tenants,
    pub(crate) predictions: Predictions,
    pub(crate) connections: Arc<Semaphore>,
    /// Processor time of this process that is counted already.
    pub(crate) cpu: Mutex<Duration>,
    /// Cancelled when the server stops.
    pub(crate) shutdown: CancellationToken,
    /// Connections, and calls that must not be cut off by the end of a connection.
    pub(crate) tasks: TaskTracker,
}

/// Serves on `listener` until `shutdown` is cancelled and everybody has been told.
pub async fn run(config: Config, listener: TcpListener, shutdown: CancellationToken) -> anyhow::Result<()> {
    metrics::begin();
    traces::start()?;
    // Sessions are stopped by calls, so Inventa outlives them.
    let inventa_shutdown = CancellationToken::new();
    let _stop_all = inventa_shutdown.clone().drop_guard();
    let services = connect(&config, &shutdown, &inventa_shutdown)
        .await
        .with_context(|| redis_advice(&config.redis))?;
    let inventa = services.launchers.inventa().clone();
    let address = listener
        .local_addr()
        .context("the listening socket has no address")?;
    tracing::info!(%address, service = %inventa.name(), "ready for connections");
    let announcement = ready::announce(Arc::clone(&services), config.workers_expected, address);
    services.tasks.spawn(announcement);

    server::serve(&services, &config.ui_dir, config.workers_expected, listener).await;

    services.tasks.close();
    if tokio::time::timeout(GOODBYE, services.tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!("some clients or launchers did not hear the goodbye in time");
    }
    traces::stop().await;
    inventa_shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(1), inventa.stopped())
        .await
        .ok();
    Ok(())
}

async fn connect(
    config: &Config,
    shutdown: &CancellationToken,
    inventa_shutdown: &CancellationToken,
) -> anyhow::Result<Arc<Services>> {
    let redis = &config.redis;
    let tenants = Tenants::new(redis.commands(connection::COMMAND_TIMEOUT).await?);
    tenants.ensure().await?;

    let book = Arc::new(Book::default());
    let hub = Arc::new(Hub::new(Arc::clone(&book)));
    let mut inventa_config = sightline_inventa::Config::new(
        redis.clone(),
        ServiceName::new(kind::SIGNALING, config.id.as_str()),
    );
    // v1's parts know one signaling service only, and it has no id.
    inventa_config.aliases = vec![ServiceName::new(kind::SIGNALING, "")];
    let inventa = Inventa::start(
        inventa_config,
        rpc::handler(Arc::clone(&hub)),
        inventa_shutdown.clone(),
    )
    .await?;
    let orchestrator = inventa.orchestrate().await?;

    let tasks = TaskTracker::new();
    tasks.spawn(bridge::run(redis.clone(), config.id.clone(), shutdown.clone()));
    let predictions = Predictions::start(redis.clone(), Arc::clone(&hub), shutdown.clone(), &tasks).await?;
    let settings = session::Settings {
        reply_to: inventa.name().to_string(),
        ice_servers: config.ice_servers.clone(),
        wall_clock: std::time::SystemTime::now,
    };
    let services = Arc::new(Services {
        settings: Arc::new(settings),
        launchers: Launchers::new(inventa, orchestrator, Arc::clone(&hub)),
        hub,
        book,
        starts: Mutex::new(rest::starts()),
        resources: Resources::default(),
        tenants,
        predictions,
        connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        cpu: Mutex::default(),
        shutdown: shutdown.clone(),
        tasks,
    });
    services.tasks.spawn(launchers::watch(Arc::clone(&services)));
    Ok(services)
}

fn redis_advice(redis: &Server) -> String {
    format!(
        "cannot use Redis at {redis}: is it running there? Start one \
         (`redis-server --save '' --appendonly no`), or set REDIS_URL (or REDIS_HOST, REDIS_PORT, \
         REDIS_PASSWORD) to one that runs"
    )
}
