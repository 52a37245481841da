//! Launchers: which one takes a session, and the calls to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sightline_inventa::{CallError, Event as ServiceEvent, Inventa, Orchestrator};
use sightline_protocol::inventa::{ServiceName, kind};
use sightline_protocol::rest::{WorkerView, WorkerViews};
use sightline_protocol::rpc::{
    Done, IceCandidate, PipelineList, SdpOffer, SessionCandidate, SessionStart, SessionStarted, SessionStop,
    info, method,
};
use sightline_protocol::{ErrorId, Failure};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::hub::Hub;
use crate::session::Placement;

mod choice;

use choice::Launcher;
pub(crate) use choice::{Need, no_launcher, no_worker, workers_keep_crashing};

const RPC_TIMEOUT: Duration = Duration::from_secs(5);
/// A pipeline may take a while until it has its candidates.
const START_TIMEOUT: Duration = Duration::from_secs(9);
const LIST_TIMEOUT: Duration = Duration::from_secs(2);
/// How old the knowledge of launchers and their pipelines may be.
const LIST_MAX_AGE: Duration = Duration::from_secs(1);

/// So long is a launcher believed that it is full.
const REFUSAL: Duration = Duration::from_secs(3);

pub(crate) struct Launchers {
    inventa: Inventa,
    orchestrator: Orchestrator,
    hub: Arc<Hub>,
    /// Held while it is being renewed, so that many who ask at once cause one round of calls.
    seen: tokio::sync::Mutex<Option<Seen>>,
    /// Launchers that would take no more: when they said so, and when to ask again.
    refusals: Mutex<HashMap<ServiceName, (Instant, Option<u32>)>>,
}

struct Seen {
    at: Instant,
    /// All that are registered, and those of them that answer.
    names: Vec<ServiceName>,
    launchers: Vec<Launcher>,
}

impl Launchers {
    pub(crate) fn new(inventa: Inventa, orchestrator: Orchestrator, hub: Arc<Hub>) -> Self {
        Self {
            inventa,
            orchestrator,
            hub,
            seen: tokio::sync::Mutex::default(),
            refusals: Mutex::default(),
        }
    }

    pub(crate) fn inventa(&self) -> &Inventa {
        &self.inventa
    }

    pub(crate) fn has_launcher(&self) -> bool {
        !self.orchestrator.services(kind::MEDIA_BRIDGE).is_empty()
    }

    pub(crate) fn has_worker(&self) -> bool {
        !self.orchestrator.services(kind::INFERENCE).is_empty()
    }

    /// The launcher for a session.
    pub(crate) async fn place(&self, need: Need<'_>) -> Result<Placement, Failure> {
        let mut launchers = self.look().await;
        for launcher in &mut launchers {
            // Its own count may be a heartbeat old.
            launcher.sessions = launcher.sessions.max(self.hub.count(&launcher.name));
            if self.has_refused(&launcher.name) {
                launcher.max_sessions = Some(launcher.sessions);
            }
        }
        choice::choose(&launchers, need, self.has_worker()).map_err(|failure| self.with_hint(failure))
    }

    /// A launcher that has just refused knows better when there will be room.
    fn with_hint(&self, failure: Failure) -> Failure {
        let soonest = self.refusals().values().filter_map(|(_, seconds)| *seconds).min();
        match soonest {
            Some(seconds) if failure.id == ErrorId::TooManySessions => failure.again_in(seconds),
            _ => failure,
        }
    }

    /// The next launcher for a session that `placement`'s launcher refuses as one too many: that it is full, or its
    /// processors or memory are, may not have been known here.
    pub(crate) async fn instead_of(
        &self,
        placement: &Placement,
        refusal: &Failure,
        need: Need<'_>,
    ) -> Option<Placement> {
        if refusal.id != ErrorId::TooManySessions {
            return None;
        }
        let said = (Instant::now(), refusal.retry_after_secs);
        self.refusals().insert(placement.launcher.clone(), said);
        let next = self.place(need).await.ok()?;
        tracing::info!(from = %placement.launcher, to = %next.launcher, %refusal, "tried on the next launcher");
        Some(next)
    }

    fn refusals(&self) -> MutexGuard<'_, HashMap<ServiceName, (Instant, Option<u32>)>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_refused(&self, launcher: &ServiceName) -> bool {
        let mut refusals = self.refusals();
        refusals.retain(|_, (at, _)| at.elapsed() < REFUSAL);
        refusals.contains_key(launcher)
    }

    /// What launchers say keeps their workers from running.
    pub(crate) async fn worker_trouble(&self) -> Option<String> {
        let names = self.orchestrator.services(kind::MEDIA_BRIDGE);
        let infos = join_all(names.iter().map(|name| self.inventa.info(name))).await;
        let mut troubles = infos
            .into_iter()
            .flatten()
            .filter_map(|mut told| told.remove(info::WORKER_TROUBLE));
        troubles.find(|trouble| !trouble.is_empty())
    }

    /// The pipelines of all launchers.
    pub(crate) async fn pipelines(&self) -> Result<PipelineList, Failure> {
        let launchers = self.look().await;
        if launchers.is_empty() {
            return Err(choice::no_launcher());
        }
        let mut pipelines: Vec<_> = launchers
            .into_iter()
            .flat_map(|launcher| launcher.pipelines)
            .collect();
        pipelines.sort_by(|a, b| a.name.cmp(&b.name));
        pipelines.dedup_by(|a, b| a.name == b.name);
        Ok(PipelineList { pipelines })
    }

    /// Starts a session and returns its SDP (an offer, or the answer to the client's) as JSON text.
    pub(crate) async fn start(&self, placement: &Placement, start: &SessionStart) -> Result<String, Failure> {
        let launcher = &placement.launcher;
        if placement.v1 {
            let args = [start.session.as_str()];
            let values = self
                .inventa
                .call(launcher, method::SDP_OFFER_REQ, &args, RPC_TIMEOUT)
                .await
                .map_err(failure)?;
            return values.into_iter().next().ok_or_else(|| no_value(launcher));
        }
        let offer: SdpOffer = self
            .call(launcher, method::SESSION_START, start, START_TIMEOUT)
            .await?;
        to_json(&offer)
    }

    /// Starts a session that has no peer, or whose peer made an offer.
    pub(crate) async fn begin(
        &self,
        placement: &Placement,
        start: &SessionStart,
    ) -> Result<SessionStarted, Failure> {
        self.call(&placement.launcher, method::SESSION_START, start, START_TIMEOUT)
            .await
    }

    /// The workers that are registered, and what each says of itself.
    pub(crate) async fn workers(&self) -> Result<WorkerViews, Failure> {
        let names = self.orchestrator.services(kind::INFERENCE);
        let infos = join_all(names.iter().map(|name| self.inventa.info(name))).await;
        let workers = names.iter().zip(infos).map(|(name, info)| {
            let name = name.to_string();
            let info = info.map_err(|error| failure(error.into()))?;
            Ok(WorkerView { name, info })
        });
        let workers = workers.collect::<Result<_, Failure>>()?;
        Ok(WorkerViews { workers })
    }

    /// Hands the client's answer on.
    pub(crate) async fn accept(
        &self,
        placement: &Placement,
        session: &str,
        sdp: &str,
    ) -> Result<(), Failure> {
        self.inventa
            .call(
                &placement.launcher,
                method::SDP_ACCEPT_OFFER_ANSWER,
                &[session, sdp],
                RPC_TIMEOUT,
            )
            .await
            .map_err(failure)?;
        Ok(())
    }

    pub(crate) async fn candidate(
        &self,
        placement: &Placement,
        session: String,
        candidate: IceCandidate,
    ) -> Result<(), Failure> {
        let argument = SessionCandidate { session, candidate };
        let Done {} = self
            .call(
                &placement.launcher,
                method::SESSION_CANDIDATE,
                &argument,
                RPC_TIMEOUT,
            )
            .await?;
        Ok(())
    }

    /// v1's bridge knows no such call: it ends a session when its peer is silent.
    pub(crate) async fn stop(&self, placement: &Placement, session: String) -> Result<(), Failure> {
        if placement.v1 {
            return Ok(());
        }
        let argument = SessionStop { session };
        let Done {} = self
            .call(&placement.launcher, method::SESSION_STOP, &argument, RPC_TIMEOUT)
            .await?;
        Ok(())
    }

    async fn look(&self) -> Vec<Launcher> {
        let mut seen = self.seen.lock().await;
        let names = self.orchestrator.services(kind::MEDIA_BRIDGE);
        if let Some(seen) = &*seen
            && seen.names == names
            && seen.at.elapsed() < LIST_MAX_AGE
        {
            return seen.launchers.clone();
        }
        let looks = names.iter().map(|name| self.look_at(name));
        let launchers: Vec<Launcher> = join_all(looks)
            .await
            .into_iter()
            .zip(&names)
            .filter_map(|(look, name)| {
                look.inspect_err(|error| tracing::warn!(launcher = %name, %error, "passed over"))
                    .ok()
            })
            .collect();
        *seen = Some(Seen {
            at: Instant::now(),
            names,
            launchers: launchers.clone(),
        });
        launchers
    }

    async fn look_at(&self, name: &ServiceName) -> Result<Launcher, Failure> {
        let told = self
            .inventa
            .info(name)
            .await
            .map_err(|error| failure(error.into()))?;
        let number = |field: &str| told.get(field).and_then(|value| value.parse().ok());
        let v1 = told.is_empty();
        let pipelines = if v1 {
            Vec::new()
        } else {
            self.call::<PipelineList>(name, method::PIPELINE_LIST, &Done {}, LIST_TIMEOUT)
                .await?
                .pipelines
        };
        Ok(Launcher {
            name: name.clone(),
            v1,
            sessions: number(info::SESSIONS).unwrap_or(0),
            max_sessions: number(info::MAX_SESSIONS),
            pipelines,
        })
    }

    async fn call<T: DeserializeOwned>(
        &self,
        launcher: &ServiceName,
        method: &str,
        argument: &impl Serialize,
        timeout: Duration,
    ) -> Result<T, Failure> {
        let argument = to_json(argument)?;
        let values = self
            .inventa
            .call(launcher, method, &[&argument], timeout)
            .await
            .map_err(failure)?;
        let value = values.first().ok_or_else(|| no_value(launcher))?;
        serde_json::from_str(value).map_err(|error| {
            let words = format!("the answer of `{launcher}` to `{method}` cannot be read: {error}");
            Failure::new(ErrorId::Internal, words)
        })
    }
}

/// Ends the sessions of launchers that are lost.
pub(crate) async fn watch(orchestrator: Orchestrator, hub: Arc<Hub>, shutdown: CancellationToken) {
    let mut events = orchestrator.events();
    while let Some(event) = shutdown.run_until_cancelled(events.recv()).await {
        match event {
            Ok(ServiceEvent::Lost(name)) => hub.lose(|launcher| *launcher == name),
            Ok(ServiceEvent::Registered(_)) => {}
            Err(RecvError::Lagged(_)) => {
                let living = orchestrator.services(kind::MEDIA_BRIDGE);
                hub.lose(|launcher| !living.contains(launcher));
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn to_json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value)
        .map_err(|error| Failure::new(ErrorId::Internal, format!("cannot be written as JSON: {error}")))
}

fn no_value(launcher: &ServiceName) -> Failure {
    Failure::new(ErrorId::Internal, format!("`{launcher}` answered with nothing"))
}

fn failure(error: CallError) -> Failure {
    match error {
        CallError::Refused(text) => Failure::parse(&text),
        CallError::NotThere(_) => Failure::new(ErrorId::NoLauncher, error.to_string()),
        CallError::Timeout { .. } => Failure::new(ErrorId::SessionFailed, error.to_string()),
        CallError::Redis(error) => {
            tracing::warn!(%error, "a call failed");
            Failure::new(
                ErrorId::Internal,
                "the server has lost its connection to Redis; try again in a moment",
            )
        }
    }
}
