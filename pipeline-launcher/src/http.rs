//! The launcher's own small port: whether it is well, what it counts, and its pipelines. Nothing can be asked to be done.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;
use serde_json::json;
use sightline_inventa::Inventa;
use sightline_protocol::ErrorId;
use sightline_service::metrics as service_metrics;
use sightline_service::ready::{Readiness, Reason};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use warp::reply::{Reply, Response};

use crate::cli::list::Listing;
use crate::config::HttpArgs;
use crate::metrics;
use crate::status::{QueueStatus, SessionStatus, Status};
use crate::supervisor::reload::{Reloader, Trouble};
use crate::supervisor::sessions::Sessions;
use crate::supervisor::workers::Board;
use crate::supervisor::workers::backlog::Backlog;

/// The port if nobody chooses one and it is free.
pub const USUAL_PORT: u16 = 9001;

/// How long Redis may take to answer.
const REDIS_ANSWER: Duration = Duration::from_secs(2);

/// What the port tells of.
pub struct Page {
    pub reloader: Arc<Reloader>,
    pub sessions: Arc<Sessions>,
    pub board: Arc<Board>,
    pub inventa: Inventa,
    /// Signaling knows this launcher.
    pub registered: Arc<AtomicBool>,
    pub max_sessions: usize,
    /// The streams that workers here read, or would.
    pub backlog: tokio::sync::Mutex<Backlog>,
    /// Processor time of this process that is counted already.
    pub cpu: Mutex<Duration>,
    /// The launcher is stopping.
    pub stopping: CancellationToken,
}

/// The port, bound. One that was chosen and is taken is an error; the usual one gives way to any that is free, so that
/// two launchers run on one host.
pub async fn listen(args: &HttpArgs) -> anyhow::Result<TcpListener> {
    let ip = args.launcher_bind;
    ensure!(
        ip.is_loopback() || args.insecure,
        "--launcher-bind {ip} would tell anybody on the network of the pipelines here, without authentication. Stay \
         with 127.0.0.1, or say --insecure (SIGHTLINE_INSECURE=1) if the network is trusted"
    );
    let bind = |ip: IpAddr, port| TcpListener::bind(SocketAddr::new(ip, port));
    match args.launcher_port {
        Some(port) => bind(ip, port).await.with_context(|| {
            format!(
                "cannot listen on {}: is another program using the port? Set SIGHTLINE_LAUNCHER_PORT to a free one, \
                 or to none and one is found",
                SocketAddr::new(ip, port)
            )
        }),
        None => match bind(ip, USUAL_PORT).await {
            Ok(listener) => Ok(listener),
            Err(_) => bind(ip, 0)
                .await
                .with_context(|| format!("cannot listen on any port of {ip}")),
        },
    }
}

/// Serves until `until` is cancelled.
pub async fn serve(page: Page, listener: TcpListener, until: CancellationToken) {
    let server = warp::serve(routes(Arc::new(page))).incoming(listener).run();
    until.run_until_cancelled(server).await;
}

fn routes(page: Arc<Page>) -> BoxedFilter<(impl Reply + use<>,)> {
    let with_page = warp::any().map(move || Arc::clone(&page));
    let healthz = warp::path!("healthz").map(|| "ok\n".into_response());
    let readyz = warp::path!("readyz")
        .and(with_page.clone())
        .then(|page: Arc<Page>| async move { page.readiness().await });
    let metrics = warp::path!("metrics")
        .and(with_page.clone())
        .then(|page: Arc<Page>| async move { page.metrics().await });
    let pipelines = warp::path!("api" / "v1" / "pipelines")
        .and(with_page.clone())
        .map(|page: Arc<Page>| page.pipelines());
    let status = warp::path!("api" / "v1" / "status")
        .and(with_page)
        .then(|page: Arc<Page>| async move { page.status().await });
    warp::get()
        .and(
            healthz
                .or(readyz)
                .unify()
                .or(metrics)
                .unify()
                .or(pipelines)
                .unify()
                .or(status)
                .unify(),
        )
        .with(warp::reply::with::header(CACHE_CONTROL, "no-store"))
        .with(warp::reply::with::header("x-content-type-options", "nosniff"))
        .boxed()
}

impl Page {
    async fn readiness(&self) -> Response {
        let readiness = Readiness::new(self.reasons().await);
        let status = if readiness.ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        warp::reply::with_status(warp::reply::json(&readiness), status).into_response()
    }

    /// Why signaling would get no session here.
    async fn reasons(&self) -> Vec<Reason> {
        let mut reasons = Vec::new();
        if self.stopping.is_cancelled() {
            reasons.push(Reason::new(ErrorId::ServerStopping, "this launcher is stopping"));
        }
        let answer = tokio::time::timeout(REDIS_ANSWER, self.inventa.is_alive(self.inventa.name()));
        if !matches!(answer.await, Ok(Ok(_))) {
            reasons.push(Reason::no_redis());
        } else if !self.registered.load(Ordering::Relaxed) {
            let words = "signaling does not know this launcher: is it running, with the same Redis?";
            reasons.push(Reason::new("not-registered", words));
        }
        if let (0, Some(trouble)) = (self.board.running(), self.board.trouble()) {
            let words = format!("no inference worker runs: workers keep crashing: {trouble}");
            reasons.push(Reason::new(ErrorId::NoWorker, words));
        }
        if self.reloader.catalogue().list().pipelines.is_empty() {
            let words = "no pipeline's file is usable; /api/v1/pipelines says why";
            reasons.push(Reason::new(ErrorId::UnknownPipeline, words));
        }
        reasons
    }

    async fn metrics(&self) -> Response {
        let queue = self.backlog.lock().await.look().await;
        // What is not known now is not what it was.
        let known = |value: Option<f64>| value.unwrap_or(f64::NAN);
        for (metric, value) in [
            (service_metrics::REDIS_UP, f64::from(u8::from(queue.is_some()))),
            (
                metrics::QUEUE_LENGTH,
                known(queue.map(|queue| queue.length as f64)),
            ),
            (
                metrics::QUEUE_AGE,
                known(queue.map(|queue| queue.age.as_secs_f64())),
            ),
        ] {
            ::metrics::gauge!(metric.name).set(value);
        }
        service_metrics::note_usage(&self.cpu);
        let listing = self.reloader.catalogue();
        for (metric, value) in [
            (metrics::SESSIONS, self.sessions.count()),
            (metrics::MAX_SESSIONS, self.max_sessions),
            (metrics::WORKERS, self.board.running()),
            (metrics::WORKERS_WANTED, self.board.wanted()),
            (metrics::WORKERS_RESTING, self.board.resting()),
            (metrics::PIPELINES, listing.list().pipelines.len()),
            (metrics::PIPELINES_REFUSED, listing.refused().len()),
        ] {
            ::metrics::gauge!(metric.name).set(value as f64);
        }
        let text = service_metrics::render();
        warp::reply::with_header(text, CONTENT_TYPE, service_metrics::MEDIA_TYPE).into_response()
    }

    async fn status(&self) -> Response {
        let queue = self.backlog.lock().await.look().await;
        let mut sessions: Vec<SessionStatus> = self
            .sessions
            .list()
            .sessions
            .into_iter()
            .map(Into::into)
            .collect();
        sessions.sort_by_key(|session| session.started_us);
        warp::reply::json(&Status {
            sessions,
            max_sessions: self.max_sessions,
            workers: self.board.list(),
            queue: queue.map(|queue| QueueStatus {
                length: queue.length,
                age_ms: u64::try_from(queue.age.as_millis()).unwrap_or(u64::MAX),
            }),
        })
        .into_response()
    }

    /// As `list --json` has them; `trouble` says why changes are not seen.
    fn pipelines(&self) -> Response {
        #[derive(Serialize)]
        struct Known {
            #[serde(flatten)]
            listing: Listing,
            trouble: Option<Trouble>,
        }
        let listing = Listing::of(&self.reloader.catalogue());
        let trouble = self.reloader.trouble();
        let body = serde_json::to_value(Known { listing, trouble });
        warp::reply::json(&body.unwrap_or_else(|error| json!({ "error": error.to_string() }))).into_response()
    }
}
