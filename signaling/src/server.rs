//! The routes: of the port for clients, and of the one for operators.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sightline_protocol::{ErrorId, Failure};
use tokio_rustls::TlsAcceptor;
use warp::filters::BoxedFilter;
use warp::http::header::SEC_WEBSOCKET_PROTOCOL;
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode};
use warp::path::FullPath;
use warp::reply::{Reply, Response};
use warp::ws::Ws;
use warp::{Filter, Rejection};

use crate::client::Peer;
use crate::config::Config;
use crate::rest::problem::Refusal;
use crate::rest::request::{Body, Query, Request, body as body_pieces};
use crate::rest::{self, fresh};
use crate::session::MAX_MESSAGE_BYTES;
use crate::tls::Tls;
use crate::whip::{self, Protocol};
use crate::{Listeners, Services, guard, listen, metrics, ready, traces, ui, websocket};

/// How long requests in flight may take when the server stops.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// Serves until the server is told to stop.
pub(crate) async fn serve(
    services: &Arc<Services>,
    config: &Config,
    listeners: Listeners,
    tls: Option<TlsAcceptor>,
) {
    let stop = services.shutdown.clone();
    let clients = listen::serve(services, routes(services, config), listeners.clients, tls);
    let operators = async {
        if let Some(listener) = listeners.operators {
            listen::serve(services, routes_for_operators(services, config), listener, None).await;
        }
    };
    let server = async { tokio::join!(clients, operators) };
    let cut = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_REQUESTS).await;
    };
    tokio::select! {
        _ = server => {}
        () = cut => tracing::debug!("cut off the last requests"),
    }
}

fn routes(services: &Arc<Services>, config: &Config) -> BoxedFilter<(Response,)> {
    let with_services = with(services);
    let websocket = warp::path!("signaling")
        .or(warp::path!("ws"))
        .unify()
        .and(warp::ws())
        .and(warp::ext::get::<Peer>())
        .and(warp::header::headers_cloned())
        .and(with_services.clone())
        .map(|ws, peer, headers, services| {
            upgrade(ws, peer, &headers, services).unwrap_or_else(Refusal::into_response)
        });
    let metrics = warp::path!("metrics")
        .and(warp::get())
        .and(with_services.clone())
        .and(warp::ext::get::<Peer>())
        .and(warp::header::headers_cloned())
        .then(|services: Arc<Services>, peer, headers| async move {
            match guard::may_measure(&services, peer, &headers) {
                Ok(()) => metrics::answer(&services).await,
                Err(refusal) => refusal.into_response(),
            }
        });
    let api = warp::path("api")
        .and(request())
        .and(with_services.clone())
        .then(|asked: Asked, services: Arc<Services>| asked.answer(services, rest::answer));
    let media = |path: &'static str, protocol: Protocol| {
        warp::path(path).and(request()).and(with_services.clone()).then(
            move |asked: Asked, services: Arc<Services>| {
                asked.answer(services, move |services, request| {
                    whip::answer(services, request, protocol)
                })
            },
        )
    };

    let all = websocket
        .or(health(services, config))
        .unify()
        .or(metrics)
        .unify()
        .or(api)
        .unify()
        .or(media("whip", Protocol::Whip))
        .unify()
        .or(media("whep", Protocol::Whep))
        .unify()
        .or(ui::files(&config.ui_dir))
        .unify();
    complete(all.boxed(), config.tls.as_ref())
}

/// Who gets here is the network's to say: nobody is asked who he is, only not to ask too often.
fn routes_for_operators(services: &Arc<Services>, config: &Config) -> BoxedFilter<(Response,)> {
    let metrics = warp::path!("metrics")
        .and(warp::get())
        .and(with(services))
        .and(warp::ext::get::<Peer>())
        .then(|services: Arc<Services>, peer: Peer| async move {
            match services.limits.request(peer.address.ip(), Instant::now()) {
                Ok(()) => metrics::answer(&services).await,
                Err(failure) => Refusal::from(failure).into_response(),
            }
        });
    complete(health(services, config).or(metrics).unify().boxed(), None)
}

fn with(
    services: &Arc<Services>,
) -> impl Filter<Extract = (Arc<Services>,), Error = Infallible> + Clone + use<> {
    let services = Arc::clone(services);
    warp::any().map(move || Arc::clone(&services))
}

fn health(services: &Arc<Services>, config: &Config) -> BoxedFilter<(Response,)> {
    let workers_expected = config.workers_expected;
    let healthz = warp::path!("healthz")
        .and(warp::get())
        .map(|| "ok\n".into_response());
    let readyz = warp::path!("readyz")
        .and(warp::get())
        .and(with(services))
        .then(move |services: Arc<Services>| async move { readiness(&services, workers_expected).await });
    healthz.or(readyz).unify().boxed()
}

/// With an answer for what no route takes, and the headers of every answer.
fn complete(routes: BoxedFilter<(Response,)>, tls: Option<&Tls>) -> BoxedFilter<(Response,)> {
    let answered = routes.recover(rejected).unify();
    answered
        .with(warp::reply::with::headers(ui::headers(tls)))
        .map(Reply::into_response)
        .boxed()
}

/// A request as it came.
struct Asked {
    method: Method,
    path: String,
    query: Query,
    headers: HeaderMap,
    body: Body,
    peer: Peer,
}

impl Asked {
    async fn answer<F: Future<Output = Response>>(
        self,
        services: Arc<Services>,
        answer: impl FnOnce(Arc<Services>, Request) -> F,
    ) -> Response {
        let admitted = match guard::admit(&services, self.peer, &self.headers) {
            Ok(admitted) => admitted,
            Err(refusal) => return refusal.into_response(),
        };
        let request = Request {
            secure: services.proxies.is_secure(self.peer, &self.headers),
            client: admitted.client,
            caller: admitted.caller,
            method: self.method,
            path: self.path,
            query: self.query,
            headers: self.headers,
            body: self.body,
        };
        guard::release(answer(services, request).await, admitted.origin)
    }
}

/// Every request as it is: whoever answers it says what it does not take.
fn request() -> impl Filter<Extract = (Asked,), Error = Rejection> + Clone {
    warp::method()
        .and(warp::path::full())
        .and(warp::query::<Query>())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .and(warp::ext::get::<Peer>())
        .map(|method, path: FullPath, query, headers, body, peer| Asked {
            method,
            path: path.as_str().to_owned(),
            query,
            headers,
            body: body_pieces(body),
            peer,
        })
}

fn upgrade(ws: Ws, peer: Peer, headers: &HeaderMap, services: Arc<Services>) -> Result<Response, Refusal> {
    let traceparent = traces::traceparent(headers).map(str::to_owned);
    let admitted = guard::admit(&services, peer, headers)?;
    // A token may also come with the first message; one that came already must be good.
    let caller = match admitted.caller {
        Ok(caller) => Some(caller),
        Err(failure) if guard::has_token(headers) => return Err(failure.into()),
        Err(_) => None,
    };
    let permit = Arc::clone(&services.connections).try_acquire_owned();
    let permit = permit
        .map_err(|_| Failure::new(ErrorId::TooManySessions, "too many connections; try again later"))?;
    let held = services.limits.connection(admitted.client)?;
    // Beyond the limit of a message by some: so that one that is a little too long gets words for an answer.
    let mut response = ws
        .max_message_size(4 * MAX_MESSAGE_BYTES)
        .max_frame_size(4 * MAX_MESSAGE_BYTES)
        .on_upgrade(move |socket| async move {
            let tasks = services.tasks.clone();
            let connection = tasks.track_future(websocket::run(socket, services, caller, traceparent));
            connection.await;
            drop((permit, held));
        })
        .into_response();
    if guard::names_subprotocol(headers) {
        let taken = HeaderValue::from_static(guard::SUBPROTOCOL);
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, taken);
    }
    Ok(response)
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
