//! Sightline's signaling: the web page, the WebSocket, and the sessions between browsers and launchers.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | arguments, environment, and what they come to |
//! | [`auth`] | who may do what |
//! | `guard`, `origin`, `limits`, `client` | what every request passes first |
//! | `listen`, `tls` | connections |
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

pub mod auth;
mod book;
pub mod client;
pub mod config;
#[doc(hidden)]
pub mod fuzz;
mod guard;
mod hub;
#[cfg(test)]
mod isolation;
mod journey;
mod keeper;
mod launchers;
pub mod limits;
mod listen;
mod metrics;
pub mod origin;
mod outbox;
mod predictions;
mod ready;
mod rest;
mod rpc;
mod sdp;
mod server;
pub mod session;
mod tenants;
pub mod tls;
mod traces;
mod ui;
mod websocket;
mod whip;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use sightline_inventa::{Inventa, connection};
use sightline_protocol::Failure;
use sightline_protocol::inventa::{ServiceName, kind};
use sightline_service::bridge;
use sightline_service::redis::Server;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::book::Book;
use crate::client::Proxies;
use crate::config::Config;
use crate::hub::Hub;
use crate::launchers::Launchers;
use crate::limits::Limits;
use crate::origin::Origins;
use crate::predictions::Predictions;
use crate::session::Bucket;
use crate::tenants::Tenants;
use crate::tls::Tls;
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
    pub(crate) limits: Limits,
    pub(crate) origins: Origins,
    pub(crate) proxies: Proxies,
    /// Cancelled when the server stops.
    pub(crate) shutdown: CancellationToken,
    /// Connections, and calls that must not be cut off by the end of a connection.
    pub(crate) tasks: TaskTracker,
}

impl Services {
    /// There is such a tenant, and it may have one more session.
    pub(crate) async fn may_start(&self, tenant: &Arc<str>) -> Result<(), Failure> {
        self.tenants.check(tenant).await?;
        let live = self.hub.count_of(tenant);
        self.limits.start(tenant, live, Instant::now())
    }
}

/// Where the server is reached.
#[derive(Debug)]
pub struct Listeners {
    pub clients: TcpListener,
    /// For metrics and health alone, which nobody is asked for a token there.
    pub operators: Option<TcpListener>,
}

/// Serves on `listeners` until `shutdown` is cancelled and everybody has been told.
pub async fn run(config: Config, listeners: Listeners, shutdown: CancellationToken) -> anyhow::Result<()> {
    metrics::begin();
    traces::start()?;
    // Sessions are stopped by calls, so Inventa outlives them.
    let inventa_shutdown = CancellationToken::new();
    let _stop_all = inventa_shutdown.clone().drop_guard();
    let services = connect(&config, &shutdown, &inventa_shutdown)
        .await
        .with_context(|| redis_advice(&config.redis))?;
    let inventa = services.launchers.inventa().clone();
    let address = local(&listeners.clients)?;
    tracing::info!(%address, service = %inventa.name(), "ready for connections");
    if let Some(operators) = &listeners.operators {
        let address = local(operators)?;
        tracing::info!(%address, "metrics and health for whoever reaches this address");
    }
    say_what_is_open(&config);
    let acceptor = config.tls.as_ref().map(Tls::acceptor).transpose()?;
    if let Some(tls) = &config.tls {
        tracing::info!(fingerprint = tls.fingerprint, "TLS");
        let fresh = tls.clone().keep_fresh();
        let stop = shutdown.clone();
        services
            .tasks
            .spawn(async move { stop.run_until_cancelled(fresh).await });
    }
    let scheme = if acceptor.is_some() { "https" } else { "http" };
    let announcement = ready::announce(Arc::clone(&services), config.workers_expected, scheme, address);
    services.tasks.spawn(announcement);

    server::serve(&services, &config, listeners, acceptor).await;

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

fn local(listener: &TcpListener) -> anyhow::Result<SocketAddr> {
    listener
        .local_addr()
        .context("the listening socket has no address")
}

fn say_what_is_open(config: &Config) {
    let open = config.access.is_open();
    if config.address.ip().is_loopback() {
        if open {
            tracing::info!("no authentication: whoever uses this machine may use this server");
        }
        return;
    }
    if open {
        tracing::warn!(
            "NO AUTHENTICATION: whoever reaches this address may use all cameras and workers here"
        );
    }
    if config.tls.is_none() && config.proxies.is_empty() {
        tracing::warn!("NO TLS: whoever is on the way may read and change all, and browsers give no camera");
    }
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
        access: config.access.clone(),
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
        limits: Limits::new(config.limits),
        origins: config.origins.clone(),
        proxies: config.proxies.clone(),
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
