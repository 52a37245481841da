//! Connecting to Redis: the first time at once or not at all, later again and again.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::{MultiplexedConnection, PubSub};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, ErrorKind, IntoConnectionInfo, Pipeline, RedisError, ServerErrorKind, Value,
};
use tokio::runtime::{Builder, Runtime};

/// How long a connection attempt may take: a stopped Redis accepts and then says nothing.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
pub(crate) const DEFAULT_URL: &str = "redis://127.0.0.1:6379";
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(2);
/// A warning is told to people at most this often.
const WARNING_INTERVAL: Duration = Duration::from_secs(5);

/// Where Redis is if nobody says: the environment's `REDIS_URL`, or else on this machine.
pub(crate) fn default_url() -> String {
    let set = std::env::var("REDIS_URL").ok().filter(|url| !url.is_empty());
    set.unwrap_or_else(|| DEFAULT_URL.to_owned())
}

/// Why Redis cannot be used; the text is for people.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "`{url}` is not the URL of a Redis: {reason}. \
         Write redis://HOST:PORT, rediss://HOST:PORT or unix:///PATH/TO/SOCKET"
    )]
    Url { url: String, reason: String },
    #[error("Cannot connect to Redis at {url}: {cause}")]
    Connect { url: String, cause: String },
    #[error("Redis at {url} refuses, {cause}")]
    Refused { url: String, cause: String },
    #[error("Cannot start the threads that talk to Redis: {0}")]
    Runtime(String),
}

/// The process's runtime: all elements share its few threads, which only move bytes.
fn runtime() -> Result<&'static Runtime, Error> {
    static RUNTIME: OnceLock<Result<Runtime, std::io::Error>> = OnceLock::new();
    RUNTIME
        .get_or_init(|| {
            Builder::new_multi_thread()
                .worker_threads(2)
                .thread_name("redisstream")
                .enable_all()
                .build()
        })
        .as_ref()
        .map_err(|error| Error::Runtime(error.to_string()))
}

/// Starts a task on the shared runtime.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
    drop(runtime()?.spawn(task));
    Ok(())
}

/// Runs a future on the shared runtime and waits for it. Unlike `block_on` it may be called from a thread of
/// another runtime: whoever changes a pipeline's state may well be one.
pub(crate) fn wait<T: Send + 'static>(
    future: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    spawn(async move {
        // The receiver is below and waits.
        drop(sender.send(future.await));
    })?;
    receiver
        .recv()
        .unwrap_or_else(|_| Err(Error::Runtime("the connecting task died".into())))
}

/// A Redis to connect to.
#[derive(Clone)]
pub(crate) struct Server {
    client: redis::Client,
    /// For people: without its password.
    url: String,
}

impl Server {
    pub(crate) fn new(url: &str) -> Result<Self, Error> {
        let masked = mask(url);
        let invalid = |error: RedisError| Error::Url {
            url: masked.clone(),
            reason: describe(&error),
        };
        if url.starts_with("rediss:") || url.starts_with("valkeys:") {
            // Fails if the process has chosen a provider already: then that one is used.
            drop(rustls::crypto::ring::default_provider().install_default());
        }
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(5))
            .with_interval(Duration::from_secs(2))
            .with_retries(3);
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        let info = url.into_connection_info().map_err(invalid)?;
        let client = redis::Client::open(info.set_tcp_settings(tcp)).map_err(invalid)?;
        Ok(Self { client, url: masked })
    }

    /// Connects; a request is given up after `response_timeout`.
    pub(crate) async fn connect(&self, response_timeout: Duration) -> Result<MultiplexedConnection, Error> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(Some(response_timeout));
        self.within_timeout(async {
            let mut connection = self
                .client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            // The kernel accepts for a Redis that hangs, and a password may be asked for: only an answer is proof.
            redis::cmd("PING").query_async::<Value>(&mut connection).await?;
            Ok(connection)
        })
        .await
    }

    /// Connects for listening to a channel.
    pub(crate) async fn subscribe(&self, channel: &str) -> Result<PubSub, Error> {
        self.within_timeout(async {
            let mut pubsub = self.client.get_async_pubsub().await?;
            pubsub.subscribe(channel).await?;
            Ok(pubsub)
        })
        .await
    }

    /// The error of a Redis that answers, but not as wanted.
    pub(crate) fn refused(&self, cause: &str) -> Error {
        Error::Refused {
            url: self.url.clone(),
            cause: cause.to_owned(),
        }
    }

    async fn within_timeout<T>(
        &self,
        attempt: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, Error> {
        let cause = match tokio::time::timeout(CONNECT_TIMEOUT, attempt).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => describe(&error),
            Err(_) => format!(
                "no answer within {} s: is it stopped, or the address wrong?",
                CONNECT_TIMEOUT.as_secs()
            ),
        };
        Err(Error::Connect {
            url: self.url.clone(),
            cause,
        })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// A pipeline whose commands may fail one by one.
pub(crate) fn pipe() -> Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.ignore_errors();
    pipeline
}

/// Runs the commands of a [`pipe`], all of them; the first error is the result.
pub(crate) async fn execute(
    connection: &mut MultiplexedConnection,
    pipeline: &Pipeline,
) -> Result<(), RedisError> {
    let results: Vec<Result<Value, RedisError>> = pipeline.query_async(connection).await?;
    results.into_iter().try_for_each(|result| result.map(drop))
}

/// What an error means for the connection or command that met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The connection is of no use any more, or this Redis is not for now.
    Lost,
    /// Redis has no room; the next command may succeed.
    Full,
    /// The consumer group is gone, with its stream or without.
    NoGroup,
    /// Asking again will not help: wrong type of key, missing permission.
    Permanent,
}

impl Severity {
    pub(crate) fn of(error: &RedisError) -> Self {
        use ServerErrorKind as Kind;
        match error.kind() {
            ErrorKind::Server(
                Kind::BusyLoading | Kind::ReadOnly | Kind::MasterDown | Kind::ClusterDown | Kind::TryAgain,
            ) => Self::Lost,
            ErrorKind::Server(_) | ErrorKind::Extension => match error.code() {
                Some("OOM") => Self::Full,
                // UNBLOCKED: the stream was deleted while a read waited for it.
                Some("NOGROUP" | "UNBLOCKED") => Self::NoGroup,
                Some("MISCONF" | "NOREPLICAS") => Self::Lost,
                _ => Self::Permanent,
            },
            _ => Self::Lost,
        }
    }
}

/// Delays between attempts: doubling up to a bound, and random so that many clients do not come at once.
#[derive(Debug, Default)]
struct Backoff {
    attempts: u32,
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let longest = FIRST_DELAY
            .saturating_mul(1 << self.attempts.min(10))
            .min(LONGEST_DELAY);
        self.attempts += 1;
        longest.mul_f64(rand::random_range(0.5..=1.0))
    }
}

/// What a task has to tell people.
#[derive(Debug)]
pub(crate) enum Notice {
    Warning(String),
    Failure(String),
}

/// Passes notices on, warnings not too often.
#[derive(Clone)]
pub(crate) struct Reporter {
    send: Arc<dyn Fn(Notice) + Send + Sync>,
    last_warning: Arc<Mutex<Option<Instant>>>,
}

impl Reporter {
    pub(crate) fn new(send: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        Self {
            send: Arc::new(send),
            last_warning: Arc::default(),
        }
    }

    pub(crate) fn warn(&self, text: impl fmt::Display) {
        let mut last = self.last_warning.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|time| time.elapsed() >= WARNING_INTERVAL) {
            *last = Some(Instant::now());
            drop(last);
            (self.send)(Notice::Warning(text.to_string()));
        }
    }

    pub(crate) fn fail(&self, text: impl fmt::Display) {
        (self.send)(Notice::Failure(text.to_string()));
    }
}

/// State of a link that others may look at.
#[derive(Debug, Default)]
pub(crate) struct LinkState {
    pub(crate) down: AtomicBool,
    pub(crate) reconnects: AtomicU64,
}

/// A connection that comes back after it was lost.
pub(crate) struct Link {
    server: Server,
    response_timeout: Duration,
    connection: Option<MultiplexedConnection>,
    backoff: Backoff,
    state: Arc<LinkState>,
    reporter: Reporter,
}

impl Link {
    pub(crate) fn new(
        server: Server,
        connection: MultiplexedConnection,
        response_timeout: Duration,
        state: Arc<LinkState>,
        reporter: Reporter,
    ) -> Self {
        Self {
            server,
            response_timeout,
            connection: Some(connection),
            backoff: Backoff::default(),
            state,
            reporter,
        }
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The connection, if need be after waiting until there is one again. Safe to drop while it waits.
    pub(crate) async fn connection(&mut self) -> MultiplexedConnection {
        loop {
            if let Some(connection) = &self.connection {
                return connection.clone();
            }
            tokio::time::sleep(self.backoff.next()).await;
            match self.server.connect(self.response_timeout).await {
                Ok(connection) => {
                    self.connection = Some(connection);
                    self.state.reconnects.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => self.reporter.warn(format_args!("{error}; trying again")),
            }
        }
    }

    /// Drops a connection that has failed.
    pub(crate) fn lost(&mut self, error: &RedisError) {
        self.connection = None;
        self.state.down.store(true, Ordering::Relaxed);
        self.reporter.warn(format_args!(
            "Lost the connection to Redis at {}: {}; trying again",
            self.server,
            describe(error)
        ));
    }

    /// Redis has answered a real command: only this, not a connect alone, ends the backing off.
    pub(crate) fn healthy(&mut self) {
        self.backoff = Backoff::default();
        self.state.down.store(false, Ordering::Relaxed);
    }
}

/// An error's cause, and what to do about it where that is clear.
pub(crate) fn describe(error: &RedisError) -> String {
    if error.is_connection_refusal() {
        return "connection refused: is Redis running there?".into();
    }
    if error.is_timeout() {
        return "no answer in time".into();
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => return "it does not take this user name and password".into(),
        ErrorKind::Parse => return "what answers there is not a Redis".into(),
        _ => {}
    }
    match error.code() {
        Some("NOAUTH") => "it asks for a password: put it into the URL, redis://:PASSWORD@HOST:PORT".into(),
        Some(code) => format!("{code} {}", error.detail().unwrap_or_default())
            .trim()
            .to_owned(),
        None => error.to_string().replace(" - InvalidClientConfig", ""),
    }
}

/// A URL fit for logs: its password, if any, is starred out.
fn mask(url: &str) -> String {
    const STARS: &str = "***";
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    // A password may hold an unescaped `@` or `/`: everything up to the last `@` may be secret.
    let rest = match rest.rsplit_once('@') {
        Some((user_info, host)) => match user_info.split_once(':') {
            Some((user, _)) => format!("{user}:{STARS}@{host}"),
            None => format!("{user_info}@{host}"),
        },
        None => rest.to_owned(),
    };
    let rest = match rest.split_once('?') {
        Some((path, query)) => {
            let pairs: Vec<_> = query
                .split('&')
                .map(|pair| match pair.split_once('=') {
                    Some(("pass", _)) => format!("pass={STARS}"),
                    _ => pair.to_owned(),
                })
                .collect();
            format!("{path}?{}", pairs.join("&"))
        }
        None => rest,
    };
    scheme + &rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_starred_out() {
        assert_eq!(mask("redis://127.0.0.1:6379"), "redis://127.0.0.1:6379");
        assert_eq!(mask("redis://:secret@host:1/2"), "redis://:***@host:1/2");
        assert_eq!(mask("rediss://joe:se:cr@et@host"), "rediss://joe:***@host");
        assert_eq!(
            mask("unix:///run/redis.sock?db=1&pass=secret"),
            "unix:///run/redis.sock?db=1&pass=***"
        );
        assert_eq!(mask("secret@host"), "secret@host");
        assert_eq!(mask(""), "");
    }

    #[test]
    fn urls_that_are_none_say_what_to_write() {
        for url in [
            "",
            "127.0.0.1:6379",
            "http://host",
            "redis://",
            "redis://:secret@host/x",
        ] {
            let Err(error) = Server::new(url) else {
                panic!("`{url}` was taken");
            };
            let text = error.to_string();
            assert!(text.contains("Write redis://"), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
        for url in ["redis://[::1]:7", "rediss://host", "unix:///a", "redis+unix:///a"] {
            assert!(Server::new(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn delays_grow_up_to_a_bound() {
        let mut backoff = Backoff::default();
        assert!(backoff.next() <= FIRST_DELAY);
        for _ in 0..100 {
            assert!(backoff.next() <= LONGEST_DELAY);
        }
        assert!(backoff.next() >= LONGEST_DELAY / 2);
    }

    #[test]
    fn waiting_works_on_a_thread_of_another_runtime() {
        let outer = Builder::new_current_thread().build().unwrap();
        assert_eq!(outer.block_on(async { wait(async { Ok(7) }).unwrap() }), 7);
    }
}
