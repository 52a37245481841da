//! The routes of the one port.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sightline_protocol::{ErrorId, Failure};
use tokio::net::TcpListener;
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, StatusCode};
use warp::path::FullPath;
use warp::reply::{Reply, Response};
use warp::ws::Ws;
use warp::{Filter, Rejection};

use crate::rest::problem::Refusal;
use crate::rest::request::{Query, Request, body as body_pieces};
use crate::rest::{self, fresh};
use crate::session::MAX_MESSAGE_BYTES;
use crate::whip::{self, Protocol};
use crate::{Services, metrics, ready, ui, websocket};

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
        .and(warp::header::headers_cloned())
        .and(with_services.clone())
        .map(upgrade);
    let healthz = warp::path!("healthz")
        .and(warp::get())
        .map(|| "ok\n".into_response());
    let readyz = warp::path!("readyz")
        .and(warp::get())
        .and(with_services.clone())
        .then(move |services: Arc<Services>| async move { readiness(&services, workers_expected).await });
    let metrics = warp::path!("metrics")
        .and(warp::get())
        .and(with_services.clone())
        .then(|services: Arc<Services>| async move { metrics::answer(&services).await });
    let api = warp::path("api")
        .and(request())
        .and(with_services.clone())
        .then(|request: Request, services: Arc<Services>| rest::answer(services, request));
    let media = |path: &'static str, protocol: Protocol| {
        warp::path(path)
            .and(request())
            .and(with_services.clone())
            .then(move |request, services| whip::answer(services, request, protocol))
    };

    websocket
        .or(healthz)
        .unify()
        .or(readyz)
        .unify()
        .or(metrics)
        .unify()
        .or(api)
        .unify()
        .or(media("whip", Protocol::Whip))
        .unify()
        .or(media("whep", Protocol::Whep))
        .unify()
        .or(ui::files(ui_dir))
        .unify()
        .recover(rejected)
        .unify()
        .with(warp::reply::with::header("x-content-type-options", "nosniff"))
        .boxed()
}

/// Every request as it is: whoever answers it says what it does not take.
fn request() -> impl Filter<Extract = (Request,), Error = Rejection> + Clone {
    warp::method()
        .and(warp::path::full())
        .and(warp::query::<Query>())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .map(|method, path: FullPath, query, headers, body| Request {
            method,
            path: path.as_str().to_owned(),
            query,
            headers,
            body: body_pieces(body),
        })
}

fn upgrade(ws: Ws, headers: HeaderMap, services: Arc<Services>) -> Response {
    let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok());
    let traceparent = traceparent.map(str::to_owned);
    let Ok(permit) = Arc::clone(&services.connections).try_acquire_owned() else {
        let failure = Failure::new(ErrorId::TooManySessions, "too many connections; try again later");
        return Refusal::from(failure).into_response();
    };
    // Beyond the limit of a message by some: so that one that is a little too long gets words for an answer.
    ws.max_message_size(4 * MAX_MESSAGE_BYTES)
        .max_frame_size(4 * MAX_MESSAGE_BYTES)
        .on_upgrade(move |socket| async move {
            let tasks = services.tasks.clone();
            let connection = tasks.track_future(websocket::run(socket, services, traceparent));
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

async fn rejected(rejection: Rejection) -> Result<Response, Infallible> {
    let refusal = if rejection.is_not_found() {
        Refusal::not_found("there is nothing at this address")
    } else if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        // The page and what watches over the server is only to be read.
        Refusal::method_not_allowed("GET, HEAD".to_owned())
    } else {
        // What is left are headers: somebody asks for /ws without a WebSocket.
        let detail = "this address takes WebSocket connections only";
        Refusal::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    };
    Ok(refusal.into_response())
}
