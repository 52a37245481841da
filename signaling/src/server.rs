//! The routes of the one port.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sightline_protocol::{ErrorId, Failure};
use tokio::net::TcpListener;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use warp::reply::{Reply, Response};
use warp::ws::Ws;
use warp::{Filter, Rejection};

use crate::session::MAX_MESSAGE_BYTES;
use crate::{Services, ready, ui, websocket};

/// How long requests in flight may take when the server stops.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// Serves until the server is told to stop.
pub(crate) async fn serve(
    services: &Arc<Services>,
    ui_dir: &Path,
    workers_expected: bool,
    listener: TcpListener,
) {
    let stop = services.shutdown.clone();
    let server = warp::serve(routes(services, ui_dir, workers_expected))
        .incoming(listener)
        .graceful(stop.clone().cancelled_owned())
        .run();
    let cut = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_REQUESTS).await;
    };
    tokio::select! {
        () = server => {}
        () = cut => tracing::debug!("cut off the last requests"),
    }
}

fn routes(
    services: &Arc<Services>,
    ui_dir: &Path,
    workers_expected: bool,
) -> BoxedFilter<(impl Reply + use<>,)> {
    let with_services = {
        let services = Arc::clone(services);
        warp::any().map(move || Arc::clone(&services))
    };

    let websocket = warp::path!("signaling")
        .or(warp::path!("ws"))
        .unify()
        .and(warp::ws())
        .and(with_services.clone())
        .map(upgrade);
    let healthz = warp::path!("healthz")
        .and(warp::get())
        .map(|| "ok\n".into_response());
    let readyz = warp::path!("readyz")
        .and(warp::get())
        .and(with_services.clone())
        .then(move |services: Arc<Services>| async move { readiness(&services, workers_expected).await });
    let pipelines = warp::path!("api" / "v1" / "pipelines")
        .and(warp::get())
        .and(with_services)
        .then(async |services: Arc<Services>| pipelines(&services).await);
    let api_unknown = warp::path("api").map(|| {
        let detail = "there is nothing at this address; the API begins at /api/v1/pipelines";
        problem(StatusCode::NOT_FOUND, "not-found", detail)
    });

    websocket
        .or(healthz)
        .unify()
        .or(readyz)
        .unify()
        .or(pipelines)
        .unify()
        .or(api_unknown)
        .unify()
        .or(ui::files(ui_dir))
        .unify()
        .recover(rejected)
        .unify()
        .with(warp::reply::with::header("x-content-type-options", "nosniff"))
        .boxed()
}

fn upgrade(ws: Ws, services: Arc<Services>) -> Response {
    let Ok(permit) = Arc::clone(&services.connections).try_acquire_owned() else {
        let failure = Failure::new(ErrorId::TooManySessions, "too many connections; try again later");
        return unavailable(&failure);
    };
    // Beyond the limit of a message by some: so that one that is a little too long gets words for an answer.
    ws.max_message_size(4 * MAX_MESSAGE_BYTES)
        .max_frame_size(4 * MAX_MESSAGE_BYTES)
        .on_upgrade(move |socket| async move {
            let tasks = services.tasks.clone();
            let connection = tasks.track_future(websocket::run(socket, services));
            connection.await;
            drop(permit);
        })
        .into_response()
}

async fn readiness(services: &Services, workers_expected: bool) -> Response {
    let readiness = ready::check(services, workers_expected).await;
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    fresh(warp::reply::with_status(warp::reply::json(&readiness), status))
}

async fn pipelines(services: &Services) -> Response {
    match services.launchers.pipelines().await {
        Ok(list) => fresh(warp::reply::json(&list)),
        Err(failure) => unavailable(&failure),
    }
}

/// A reply that is true only now.
fn fresh(reply: impl Reply) -> Response {
    warp::reply::with_header(reply, CACHE_CONTROL, "no-store").into_response()
}

fn unavailable(failure: &Failure) -> Response {
    let reply = problem(
        StatusCode::SERVICE_UNAVAILABLE,
        failure.id.as_str(),
        &failure.message,
    );
    warp::reply::with_header(reply, RETRY_AFTER, "5").into_response()
}

/// A problem document of RFC 9457.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

fn problem(status: StatusCode, id: &str, detail: &str) -> Response {
    let body = warp::reply::json(&Problem {
        kind: format!("urn:sightline:problem:{id}"),
        title: status.canonical_reason().unwrap_or("error"),
        status: status.as_u16(),
        detail,
    });
    let body = warp::reply::with_header(body, CONTENT_TYPE, "application/problem+json");
    fresh(warp::reply::with_status(body, status))
}

async fn rejected(rejection: Rejection) -> Result<Response, Infallible> {
    let (status, id, detail) = if rejection.is_not_found() {
        (
            StatusCode::NOT_FOUND,
            "not-found",
            "there is nothing at this address",
        )
    } else if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        (
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "this address does not take this method",
        )
    } else {
        // What is left are headers: somebody asks for /ws without a WebSocket.
        (
            StatusCode::BAD_REQUEST,
            "bad-request",
            "this address takes WebSocket connections only",
        )
    };
    Ok(problem(status, id, detail))
}
