//! Connections: accepted, counted, encrypted if so set up, and cut when they stand still.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use warp::filters::BoxedFilter;
use warp::reply::Reply;

use crate::Services;
use crate::client::Peer;

/// TCP connections at the same time.
const MAX_SOCKETS: usize = 4096;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Until a request's head is there; also how long a connection may be idle between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// A client that takes nothing for so long is cut.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(9);
const MAX_HEAD_BYTES: usize = 32 * 1024;
const MAX_HEADERS: usize = 64;
/// After a failure to accept: no descriptor may be free for a while.
const PAUSE: Duration = Duration::from_millis(200);

/// Serves until the server is told to stop, and all requests that were under way are answered.
pub(crate) async fn serve<R>(
    services: &Arc<Services>,
    routes: BoxedFilter<(R,)>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
) where
    R: Reply + 'static,
{
    let sockets = Arc::new(Semaphore::new(MAX_SOCKETS));
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = services.shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&sockets).try_acquire_owned() else {
            continue;
        };
        // A proxy's connections are those of many.
        let held = match services.proxies.trusts(address.ip()) {
            true => None,
            false => match services.limits.socket(address.ip()) {
                Some(held) => Some(held),
                None => continue,
            },
        };
        let (services, routes, tls) = (Arc::clone(services), routes.clone(), tls.clone());
        tasks.spawn(async move {
            if let Err(error) = connection(&services, routes, stream, address, tls).await {
                tracing::debug!(error, "a connection ended");
            }
            drop((held, permit));
        });
    }
    tasks.close();
    tasks.wait().await;
}

async fn connection<R>(
    services: &Services,
    routes: BoxedFilter<(R,)>,
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
) -> Result<(), String>
where
    R: Reply + 'static,
{
    // Answers and boxes are small, and wanted at once.
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let secure = tls.is_some();
    let peer = Peer { address, secure };
    let Some(tls) = tls else {
        return http(services, routes, stream, peer).await;
    };
    let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await;
    let stream = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let stream = stream.map_err(|error| format!("no TLS: {error}"))?;
    http(services, routes, stream, peer).await
}

async fn http<R>(
    services: &Services,
    routes: BoxedFilter<(R,)>,
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    peer: Peer,
) -> Result<(), String>
where
    R: Reply + 'static,
{
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let answer = TowerToHyperService::new(warp::service(routes));
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        answer.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(Box::pin(stream)), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = services.shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    ended.map_err(|error| error.to_string())
}
