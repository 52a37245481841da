//! The role of a service: being known, and being seen to be alive.

use std::sync::Arc;
use std::time::Duration;

use redis::RedisResult;
use sightline_protocol::inventa::ServiceName;
use sightline_protocol::keys;
use sightline_protocol::rpc::method;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::call::{CallError, Inner, Inventa};

/// Life of a liveness key.
pub(crate) const TTL_SECS: i64 = 5;
/// How often it is renewed.
pub(crate) const REFRESH_EVERY: Duration = Duration::from_secs(3);
/// How often that is tried again while Redis is away.
const RETRY_EVERY: Duration = Duration::from_millis(500);
/// How long one attempt to register waits for its answer, and how many there are.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(3);
const REGISTER_TRIES: u32 = 10;
/// Where nobody listens the answer comes at once; asking again soon makes a common start quick.
const REGISTER_PAUSE: Duration = Duration::from_millis(300);

#[derive(Debug, thiserror::Error)]
#[error(
    "no answer from `{orchestrator}` in {waited:?}: is signaling running, and does it use the same Redis? ({last})"
)]
pub struct RegisterError {
    pub orchestrator: ServiceName,
    pub waited: Duration,
    #[source]
    pub last: CallError,
}

impl Inventa {
    /// Registers at `orchestrator`, trying for half a minute, and from then on keeps this service known and
    /// alive. `info` is asked at every renewal for what others shall know of it.
    ///
    /// A service that has been forgotten (Redis or the orchestrator was restarted) registers again by
    /// itself. On shutdown it deletes its keys.
    pub async fn register(
        &self,
        orchestrator: &ServiceName,
        info: impl Fn() -> Vec<(String, String)> + Send + Sync + 'static,
    ) -> Result<(), RegisterError> {
        let keeper = Keeper {
            inventa: self.clone(),
            orchestrator: orchestrator.clone(),
            info,
            again: Arc::new(Notify::new()),
        };
        let begun = Instant::now();
        // What others shall know of us is there before anybody hears of us.
        loop {
            keeper.refresh(true).await;
            let Err(last) = self.register_once(orchestrator).await else {
                break;
            };
            let waited = begun.elapsed();
            if waited >= REGISTER_TIMEOUT * REGISTER_TRIES || self.inner.shutdown.is_cancelled() {
                return Err(RegisterError {
                    orchestrator: orchestrator.clone(),
                    waited,
                    last,
                });
            }
            tracing::debug!(%orchestrator, error = %last, "not registered yet");
            tokio::time::sleep(REGISTER_PAUSE).await;
        }
        tracing::info!(service = %self.inner.name, %orchestrator, "registered");
        if self.inner.register_again.set(Arc::clone(&keeper.again)).is_ok() {
            self.inner.tasks.spawn(keeper.run());
        }
        Ok(())
    }

    /// Keeps what others may know of this service, without registering it: nobody is to call it.
    pub fn tell(&self, info: impl Fn() -> Vec<(String, String)> + Send + Sync + 'static) {
        let inventa = self.clone();
        self.inner.tasks.spawn(async move {
            let inner = &inventa.inner;
            loop {
                let mut pipe = redis::pipe();
                set_info(&mut pipe, &inner.name, &info());
                let told: RedisResult<()> = pipe.query_async(&mut inner.commands.clone()).await;
                if let Err(error) = told {
                    tracing::debug!(service = %inner.name, %error, "others are not told of this service");
                }
                tokio::select! {
                    () = inner.shutdown.cancelled() => break,
                    () = tokio::time::sleep(REFRESH_EVERY) => {}
                }
            }
            forget(inner, &inner.name).await.ok();
        });
    }

    async fn register_once(&self, orchestrator: &ServiceName) -> Result<(), CallError> {
        let name = self.inner.name.to_string();
        self.call(orchestrator, method::REGISTER, &[&name], REGISTER_TIMEOUT)
            .await?;
        Ok(())
    }
}

struct Keeper<F> {
    inventa: Inventa,
    orchestrator: ServiceName,
    info: F,
    again: Arc<Notify>,
}

impl<F: Fn() -> Vec<(String, String)> + Send + Sync + 'static> Keeper<F> {
    async fn run(self) {
        let inner = &self.inventa.inner;
        let mut healthy = true;
        loop {
            let wait = if healthy { REFRESH_EVERY } else { RETRY_EVERY };
            let called = tokio::select! {
                () = inner.shutdown.cancelled() => break,
                () = self.again.notified() => true,
                () = tokio::time::sleep(wait) => false,
            };
            let known = self.refresh(healthy).await;
            healthy = known.is_some();
            // The orchestrator may have missed our first registration, or lost it together with Redis.
            let again = called || known == Some(false);
            if again && let Err(error) = self.inventa.register_once(&self.orchestrator).await {
                tracing::debug!(%error, "could not register again; our key can still be found");
            }
        }
        if let Err(error) = forget(inner, &inner.name).await {
            tracing::debug!(%error, "the liveness key could not be deleted; it expires by itself");
        }
    }

    /// Renews the keys. Returns whether they were still there, or `None` when Redis is away.
    async fn refresh(&self, report: bool) -> Option<bool> {
        let name = &self.inventa.inner.name;
        match refresh(&self.inventa.inner, name, &(self.info)()).await {
            Ok(known) => Some(known),
            Err(error) => {
                if report {
                    tracing::warn!(service = %name, %error, "cannot renew the registration; trying on");
                }
                None
            }
        }
    }
}

/// Sets the liveness key and the info hash. Returns whether the key was still there.
pub(crate) async fn refresh(
    inner: &Inner,
    name: &ServiceName,
    info: &[(String, String)],
) -> RedisResult<bool> {
    let key = name.to_string();
    // No transaction: in a cluster the keys live on different nodes, and what a full Redis refuses must not stop the rest.
    let mut pipe = redis::pipe();
    pipe.expire(&key, TTL_SECS);
    pipe.cmd("SETEX").arg(&key).arg(TTL_SECS).arg(1).ignore();
    set_info(&mut pipe, name, info);
    let (known,): (bool,) = pipe.query_async(&mut inner.commands.clone()).await?;
    Ok(known)
}

/// What is there lives on first: that takes no memory, and a Redis that is full, which takes no new value, must not forget
/// who lives. The same holds for the name's own key.
fn set_info(pipe: &mut redis::Pipeline, name: &ServiceName, info: &[(String, String)]) {
    let key = keys::service_info(&name.to_string());
    if !info.is_empty() {
        pipe.expire(&key, TTL_SECS).ignore();
        pipe.hset_multiple(&key, info).ignore();
        pipe.expire(&key, TTL_SECS).ignore();
    }
}

pub(crate) async fn forget(inner: &Inner, name: &ServiceName) -> RedisResult<()> {
    let name = name.to_string();
    redis::pipe()
        .del(keys::service_info(&name))
        .ignore()
        .del(name)
        .ignore()
        .query_async(&mut inner.commands.clone())
        .await
}
