//! The role of the orchestrator: knowing which services live.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use redis::RedisResult;
use sightline_protocol::inventa::ServiceName;
use sightline_protocol::keys;
use sightline_protocol::rpc::method;
use tokio::sync::{Notify, broadcast};
use tokio::time::{Instant, MissedTickBehavior};

use crate::call::Inventa;
use crate::service;

const CHECK_EVERY: Duration = Duration::from_secs(4);
/// A v1 service registers once and for all; a scan now and then finds one that was lost with Redis.
const CHECKS_PER_SCAN: u32 = 4;
/// A service sets its key only after it has registered, or up to 3 s after Redis came back: not before this
/// time is a missing key a sign of death.
const GRACE: Duration = Duration::from_secs(6);
const ALIVE_TIMEOUT: Duration = Duration::from_secs(3);

/// A service came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Registered(ServiceName),
    /// One that was known all the time: it was restarted, or Redis was.
    RegisteredAgain(ServiceName),
    Lost(ServiceName),
}

/// Who lives. Cloning is cheap.
#[derive(Clone)]
pub struct Orchestrator {
    registry: Arc<Registry>,
}

impl Orchestrator {
    /// The living services of one type, in order of their names.
    pub fn services(&self, kind: &str) -> Vec<ServiceName> {
        let mut services: Vec<_> = self
            .registry
            .known()
            .keys()
            .filter(|name| name.kind == kind)
            .cloned()
            .collect();
        services.sort();
        services
    }

    /// Comings and goings from now on. A receiver that lags behind looks at [`Orchestrator::services`].
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.registry.events.subscribe()
    }
}

impl Inventa {
    /// The services of one type that tell of themselves, whether they are registered or not.
    pub async fn telling(&self, kind: &str) -> RedisResult<Vec<ServiceName>> {
        let prefix = keys::service_info("");
        let pattern = format!("{prefix}{}*", ServiceName::new(kind, ""));
        let found = self.inner.commands.scan(&pattern).await?;
        let names = found.iter().filter_map(|key| key.strip_prefix(&prefix));
        Ok(names.filter_map(ServiceName::parse).collect())
    }

    /// Takes the orchestrator's role, under its own name and its aliases. Returns when those services are
    /// known that were alive before.
    pub async fn orchestrate(&self) -> RedisResult<Orchestrator> {
        let mut first = false;
        let registry = Arc::clone(self.inner.registry.get_or_init(|| {
            first = true;
            Arc::new(Registry::new())
        }));
        if first {
            let keeper = Keeper {
                inventa: self.clone(),
                registry: Arc::clone(&registry),
            };
            keeper.refresh().await?;
            keeper.discover().await?;
            self.inner.tasks.spawn(keeper.run());
        }
        Ok(Orchestrator { registry })
    }
}

pub(crate) struct Registry {
    /// Each known service, and until when a missing key is forgiven.
    known: Mutex<HashMap<ServiceName, Instant>>,
    events: broadcast::Sender<Event>,
    wake: Notify,
}

impl Registry {
    fn new() -> Self {
        Self {
            known: Mutex::default(),
            events: broadcast::Sender::new(256),
            wake: Notify::new(),
        }
    }

    /// A service says that it is there.
    pub(crate) fn register(&self, name: ServiceName) {
        if !self.add(name.clone()) {
            self.tell(Event::RegisteredAgain(name));
        }
    }

    /// True if it was not known.
    fn add(&self, name: ServiceName) -> bool {
        let new = self
            .known()
            .insert(name.clone(), Instant::now() + GRACE)
            .is_none();
        if new {
            tracing::info!(service = %name, "registered");
            self.tell(Event::Registered(name));
        }
        new
    }

    /// Redis may have lost all keys: every service gets the time to set its own again.
    pub(crate) fn connected(&self) {
        self.forgive();
        self.wake.notify_one();
    }

    pub(crate) fn check_soon(&self) {
        self.wake.notify_one();
    }

    fn forgive(&self) {
        let until = Instant::now() + GRACE;
        self.known().values_mut().for_each(|grace| *grace = until);
    }

    fn remove(&self, name: &ServiceName) {
        if self.known().remove(name).is_some() {
            tracing::warn!(service = %name, "is gone");
            self.tell(Event::Lost(name.clone()));
        }
    }

    fn tell(&self, event: Event) {
        // Nobody needs to listen.
        self.events.send(event).ok();
    }

    fn known(&self) -> MutexGuard<'_, HashMap<ServiceName, Instant>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Keeper {
    inventa: Inventa,
    registry: Arc<Registry>,
}

impl Keeper {
    async fn run(self) {
        let inner = &self.inventa.inner;
        let mut refresh =
            tokio::time::interval_at(Instant::now() + service::REFRESH_EVERY, service::REFRESH_EVERY);
        let mut check = tokio::time::interval_at(Instant::now() + CHECK_EVERY, CHECK_EVERY);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut checks = 0u32;
        loop {
            let done = tokio::select! {
                () = inner.shutdown.cancelled() => break,
                _ = refresh.tick() => self.refresh().await,
                () = self.registry.wake.notified() => self.check().await,
                _ = check.tick() => {
                    checks = checks.wrapping_add(1);
                    if checks.is_multiple_of(CHECKS_PER_SCAN) {
                        self.discover().await.ok();
                    }
                    self.check().await
                }
            };
            if let Err(error) = done {
                tracing::debug!(%error, "Redis is away; the services keep what they have");
                self.registry.forgive();
            }
        }
        // An alias may be shared with another process: it expires by itself when we were the last.
        service::forget(inner, &inner.name).await.ok();
    }

    /// Keeps our own names alive: v1's services look at them.
    async fn refresh(&self) -> RedisResult<()> {
        let inner = &self.inventa.inner;
        // All of them, also where one fails.
        let refreshed = join_all(inner.names().map(|name| service::refresh(inner, name, &[]))).await;
        refreshed.into_iter().try_for_each(|known| known.map(drop))
    }

    /// Drops the services whose key has expired and who do not answer: where a node of Redis was away for a while, a
    /// living service could not renew its key.
    async fn check(&self) -> RedisResult<()> {
        let now = Instant::now();
        let names: Vec<ServiceName> = self
            .registry
            .known()
            .iter()
            .filter(|(_, grace)| **grace <= now)
            .map(|(name, _)| name.clone())
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        let mut pipe = redis::pipe();
        for name in &names {
            pipe.exists(name.to_string());
        }
        let alive: Vec<bool> = pipe.query_async(&mut self.inventa.inner.commands.clone()).await?;
        for (name, alive) in names.iter().zip(alive) {
            if !alive {
                self.registry.add(name.clone());
                let (inventa, registry, name) =
                    (self.inventa.clone(), Arc::clone(&self.registry), name.clone());
                self.inventa.inner.tasks.spawn(async move {
                    let us = inventa.inner.well_known().to_string();
                    if !inventa
                        .answers(&name, method::ORCHESTRATOR_ALIVE, &us, ALIVE_TIMEOUT)
                        .await
                    {
                        registry.remove(&name);
                    }
                });
            }
        }
        Ok(())
    }

    /// Finds services that live without having registered here, and tells each that we are there.
    async fn discover(&self) -> RedisResult<()> {
        let inner = &self.inventa.inner;
        let keys = inner.commands.scan("svc:*").await?;
        for name in keys.iter().filter_map(|key| ServiceName::parse(key)) {
            let same_role = name.kind == inner.name.kind;
            if same_role || self.registry.known().contains_key(&name) {
                continue;
            }
            self.registry.add(name.clone());
            let inventa = self.inventa.clone();
            let us = inner.well_known().to_string();
            inner.tasks.spawn(async move {
                let told = inventa
                    .call(&name, method::ORCHESTRATOR_ALIVE, &[&us], ALIVE_TIMEOUT)
                    .await;
                if let Err(error) = told {
                    tracing::debug!(service = %name, %error, "no answer to orchestrator-alive");
                }
            });
        }
        Ok(())
    }
}
