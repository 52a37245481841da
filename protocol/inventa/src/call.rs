//! One participant: its name, the calls it makes and what it does with requests.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use redis::{AsyncCommands, RedisError, RedisResult};
use sightline_protocol::inventa::{Request, Response, ServiceName};
use sightline_protocol::keys;
use sightline_redis::{Commands, Error, Server};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{connection, listen, orchestrator};

/// What a call comes to: values, or the words of a refusal.
pub type Answer = Result<Vec<String>, String>;

/// Answers requests. A plain `async` closure of a [`Request`] is one.
///
/// The error is the text that the caller gets. Requests are answered concurrently, each in its own task.
pub trait Handler: Send + Sync + 'static {
    fn handle(&self, request: Request) -> impl Future<Output = Answer> + Send;
}

impl<F, Fut> Handler for F
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send,
{
    fn handle(&self, request: Request) -> impl Future<Output = Answer> + Send {
        self(request)
    }
}

/// What a [`Handler`] answers to a method that it does not know.
pub fn unknown_command(method: &str) -> String {
    format!("unknown command type: {method}")
}

pub struct Config {
    pub redis: Server,
    /// Our own name: unique among all services.
    pub name: ServiceName,
    /// Names that we answer to as well, perhaps together with other processes.
    pub aliases: Vec<ServiceName>,
    /// Requests that are answered at the same time; more are dropped, so that their callers time out.
    pub max_requests: usize,
}

impl Config {
    pub fn new(redis: Server, name: ServiceName) -> Self {
        Self {
            redis,
            name,
            aliases: Vec::new(),
            max_requests: 64,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("nobody listens as `{0}`: it is not running, or it has lost its connection to Redis")]
    NotThere(ServiceName),
    #[error("`{service}` did not answer `{method}` within {after:?}")]
    Timeout {
        service: ServiceName,
        method: String,
        after: Duration,
    },
    /// The other side's words.
    #[error("{0}")]
    Refused(String),
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
}

/// A participant. Cloning is cheap; all clones are the same participant.
#[derive(Clone)]
pub struct Inventa {
    pub(crate) inner: Arc<Inner>,
}

/// Calls that wait for their answer, by call id.
type Pending = HashMap<String, oneshot::Sender<Answer>>;

pub(crate) struct Inner {
    pub(crate) name: ServiceName,
    pub(crate) aliases: Vec<ServiceName>,
    pub(crate) commands: Commands,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) requests: Arc<Semaphore>,
    /// Set when this participant takes the orchestrator's role.
    pub(crate) registry: OnceLock<Arc<orchestrator::Registry>>,
    /// Wakes the keeper of our registration, once there is one.
    pub(crate) register_again: OnceLock<Arc<Notify>>,
    pub(crate) malformed: AtomicU64,
    pub(crate) overflow: AtomicU64,
    pending: Mutex<Pending>,
    calls: AtomicU64,
}

impl Inventa {
    /// Connects and listens; when it returns, calls work in both directions. Ends when `shutdown` is
    /// cancelled: [`Inventa::stopped`] then waits for the last of it.
    pub async fn start(
        config: Config,
        handler: impl Handler,
        shutdown: CancellationToken,
    ) -> Result<Self, Error> {
        let inner = Arc::new(Inner {
            commands: config.redis.commands(connection::COMMAND_TIMEOUT).await?,
            name: config.name,
            aliases: config.aliases,
            shutdown,
            tasks: TaskTracker::new(),
            requests: Arc::new(Semaphore::new(config.max_requests)),
            registry: OnceLock::new(),
            register_again: OnceLock::new(),
            malformed: AtomicU64::new(0),
            overflow: AtomicU64::new(0),
            pending: Mutex::default(),
            calls: AtomicU64::new(0),
        });
        let subscription = listen::subscribe(&inner).await?;
        inner
            .tasks
            .spawn(listen::run(Arc::clone(&inner), Arc::new(handler), subscription));
        Ok(Self { inner })
    }

    pub fn name(&self) -> &ServiceName {
        &self.inner.name
    }

    /// Asks `service` and waits for its answer, at most `timeout`.
    ///
    /// When nobody listens it fails at once.
    pub async fn call(
        &self,
        service: &ServiceName,
        method: &str,
        args: &[&str],
        timeout: Duration,
    ) -> Result<Vec<String>, CallError> {
        self.call_where(service, method, args, timeout, false).await
    }

    /// Whether a service says anything at all, also one whose key is missing.
    pub(crate) async fn answers(
        &self,
        service: &ServiceName,
        method: &str,
        arg: &str,
        timeout: Duration,
    ) -> bool {
        let answer = self.call_where(service, method, &[arg], timeout, true).await;
        matches!(answer, Ok(_) | Err(CallError::Refused(_)))
    }

    async fn call_where(
        &self,
        service: &ServiceName,
        method: &str,
        args: &[&str],
        timeout: Duration,
        without_key: bool,
    ) -> Result<Vec<String>, CallError> {
        let inner = &self.inner;
        let request = Request {
            call_id: inner.next_call_id(),
            from: inner.name.clone(),
            method: method.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        };
        let (sender, receiver) = oneshot::channel();
        inner.pending().insert(request.call_id.clone(), sender);
        let _forget = Forget {
            inner,
            call_id: &request.call_id,
        };
        let answer = async {
            let channel = keys::service_channel(&service.to_string());
            let listeners: u64 = inner
                .commands
                .clone()
                .publish(channel, request.to_string())
                .await?;
            if listeners == 0 && !inner.listens_elsewhere(service, without_key).await? {
                if let Some(registry) = inner.registry.get() {
                    registry.check_soon();
                }
                return Err(CallError::NotThere(service.clone()));
            }
            // The sender lives in `pending` until `_forget` is dropped.
            receiver
                .await
                .map_err(|_| CallError::NotThere(service.clone()))?
                .map_err(CallError::Refused)
        };
        tokio::time::timeout(timeout, answer).await.unwrap_or_else(|_| {
            Err(CallError::Timeout {
                service: service.clone(),
                method: method.to_owned(),
                after: timeout,
            })
        })
    }

    /// What a service tells about itself (capacity, load, version); empty for a v1 service.
    pub async fn info(&self, service: &ServiceName) -> RedisResult<BTreeMap<String, String>> {
        let key = keys::service_info(&service.to_string());
        self.inner.commands.clone().hgetall(key).await
    }

    pub async fn is_alive(&self, service: &ServiceName) -> RedisResult<bool> {
        self.inner.commands.clone().exists(service.to_string()).await
    }

    /// Messages that could not be read, and were ignored.
    pub fn malformed(&self) -> u64 {
        self.inner.malformed.load(Ordering::Relaxed)
    }

    /// Requests that were dropped because too many were being answered.
    pub fn overflow(&self) -> u64 {
        self.inner.overflow.load(Ordering::Relaxed)
    }

    /// Waits until everything has ended after `shutdown` was cancelled.
    pub async fn stopped(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

impl Inner {
    pub(crate) fn names(&self) -> impl Iterator<Item = &ServiceName> {
        std::iter::once(&self.name).chain(&self.aliases)
    }

    /// The name by which v1's services know an orchestrator.
    pub(crate) fn well_known(&self) -> &ServiceName {
        self.aliases.first().unwrap_or(&self.name)
    }

    /// Whether a service may be listening although `PUBLISH` says that nobody does: in a cluster it counts those who
    /// are connected to the same node. Then its key tells.
    async fn listens_elsewhere(&self, service: &ServiceName, without_key: bool) -> RedisResult<bool> {
        let cluster = self.commands.server().is_cluster();
        if !cluster || without_key {
            return Ok(cluster);
        }
        self.commands.clone().exists(service.to_string()).await
    }

    pub(crate) fn complete(&self, response: Response) {
        // A late answer, or one to another process's call, finds nobody.
        if let Some(sender) = self.pending().remove(&response.call_id) {
            // The caller may have given up in this very moment.
            sender.send(response.result).ok();
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        // The map is whole whatever panicked while it was locked.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_call_id(&self) -> String {
        let letters: String = (0..5)
            .map(|_| char::from(b'a' + rand::random_range(0..26u8)))
            .collect();
        format!("{letters}-{}", self.calls.fetch_add(1, Ordering::Relaxed))
    }
}

/// Forgets a call when its caller stops waiting, for whatever reason.
struct Forget<'a> {
    inner: &'a Inner,
    call_id: &'a str,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.inner.pending().remove(self.call_id);
    }
}
