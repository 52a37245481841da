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
    Done, IceCandidate, PipelineKind, PipelineList, SdpOffer, SessionCandidate, SessionList, SessionStart,
    SessionStarted, SessionStop, info, method,
};
use sightline_protocol::{ErrorId, Failure};
use tokio::sync::broadcast::error::RecvError;

use crate::Services;
use crate::hub::Hub;
use crate::session::{Event, Placement};

mod choice;

use choice::Launcher;
pub(crate) use choice::{Need, no_launcher, no_worker, workers_keep_crashing};

const RPC_TIMEOUT: Duration = Duration::from_secs(5);
/// A pipeline may take a while until it has its candidates.
const START_TIMEOUT: Duration = Duration::from_secs(9);
/// Seconds after which a launcher that had too much to do may be asked again.
const BUSY: u32 = 5;
const LIST_TIMEOUT: Duration = Duration::from_secs(2);
/// Whoever asks for sessions waits for it.
const DROPS_TIMEOUT: Duration = Duration::from_millis(500);
/// How old the knowledge of launchers and their pipelines may be.
const LIST_MAX_AGE: Duration = Duration::from_secs(1);

/// So long is a launcher believed that it takes no session.
const REFUSAL: Duration = Duration::from_secs(3);
/// A session that is known here has been asked for by then.
const ASKED_TO_START: Duration = Duration::from_millis(300);
/// So long is it known what a lost launcher ran.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);

pub(crate) struct Launchers {
    inventa: Inventa,
    orchestrator: Orchestrator,
    hub: Arc<Hub>,
    /// Held while it is being renewed, so that many who ask at once cause one round of calls.
    seen: tokio::sync::Mutex<Option<Seen>>,
    /// When launchers were last asked how their sessions' frames move.
    asked: tokio::sync::Mutex<Option<Instant>>,
    /// Launchers that took no session: when that was, and why.
    refusals: Mutex<HashMap<ServiceName, (Instant, Failure)>>,
}

struct Seen {
    at: Instant,
    /// All that are registered, and those of them that answer.
    names: Vec<ServiceName>,
    launchers: Vec<Launcher>,
}

impl Seen {
    fn v1(&self) -> Vec<ServiceName> {
        let v1 = self.launchers.iter().filter(|launcher| launcher.v1);
        v1.map(|launcher| launcher.name.clone()).collect()
    }
}

impl Launchers {
    pub(crate) fn new(inventa: Inventa, orchestrator: Orchestrator, hub: Arc<Hub>) -> Self {
        Self {
            inventa,
            orchestrator,
            hub,
            seen: tokio::sync::Mutex::default(),
            asked: tokio::sync::Mutex::default(),
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
        let mut launchers = Vec::new();
        for mut launcher in self.look().await {
            // Its own count may be a heartbeat old.
            launcher.sessions = launcher.sessions.max(self.hub.count(&launcher.name));
            match self.refusal_of(&launcher.name) {
                None => {}
                Some(ErrorId::TooManySessions) => launcher.max_sessions = Some(launcher.sessions),
                // It is stopping, or dead.
                Some(_) => continue,
            }
            launchers.push(launcher);
        }
        choice::choose(&launchers, need, self.has_worker()).map_err(|failure| self.with_hint(failure))
    }

    /// A launcher that has just refused knows better when there will be room.
    fn with_hint(&self, failure: Failure) -> Failure {
        let soonest = self
            .refusals()
            .values()
            .filter_map(|(_, refusal)| refusal.retry_after_secs)
            .min();
        match soonest {
            Some(seconds) if failure.id == ErrorId::TooManySessions => failure.again_in(seconds),
            _ => failure,
        }
    }

    /// The next launcher for a session that `placement`'s launcher does not take: that it is full, stopping or dead may
    /// not have been known here.
    pub(crate) async fn instead_of(
        &self,
        placement: &Placement,
        refusal: &Failure,
        need: Need<'_>,
    ) -> Option<Placement> {
        match refusal.id {
            ErrorId::TooManySessions | ErrorId::ServerStopping | ErrorId::NoLauncher => {}
            _ => return None,
        }
        let said = (Instant::now(), refusal.clone());
        self.refusals().insert(placement.launcher.clone(), said);
        let next = self.place(need).await.ok()?;
        tracing::info!(from = %placement.launcher, to = %next.launcher, %refusal, "tried on the next launcher");
        Some(next)
    }

    fn refusals(&self) -> MutexGuard<'_, HashMap<ServiceName, (Instant, Failure)>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusal_of(&self, launcher: &ServiceName) -> Option<ErrorId> {
        let mut refusals = self.refusals();
        refusals.retain(|_, (at, _)| at.elapsed() < REFUSAL);
        refusals.get(launcher).map(|(_, refusal)| refusal.id)
    }

    /// True if a source of that pipeline is started again when it breaks.
    pub(crate) async fn restarts(&self, pipeline: &str) -> bool {
        let launchers = self.look().await;
        let mut known = launchers.iter().flat_map(|launcher| &launcher.pipelines);
        known.any(|info| info.name == pipeline && info.kind == PipelineKind::Source && info.restarts)
    }

    /// What launchers say keeps their workers from running.
    pub(crate) async fn worker_trouble(&self) -> Option<String> {
        // Those for workers only are not registered.
        let names = self.inventa.telling(kind::MEDIA_BRIDGE).await.unwrap_or_default();
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

    /// Has the launchers of our sessions say what those have dropped, so that it can be read in the book. One that does
    /// not answer in time leaves it at what it was.
    pub(crate) async fn ask_drops(&self) {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|at| at.elapsed() < LIST_MAX_AGE) {
            return;
        }
        let mut ours = self.hub.launchers();
        // v1's bridge knows no such call.
        let v1 = self.seen.lock().await.as_ref().map(Seen::v1).unwrap_or_default();
        ours.retain(|launcher| !v1.contains(launcher));
        let calls = ours.iter().map(|launcher| {
            self.call::<SessionList>(launcher, method::SESSION_LIST, &Done {}, DROPS_TIMEOUT)
        });
        for told in join_all(calls)
            .await
            .into_iter()
            .flatten()
            .flat_map(|list| list.sessions)
        {
            if let Some(progress) = told.progress {
                self.hub.dropped(&told.session, progress.dropped);
            }
        }
        *asked = Some(Instant::now());
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

/// Tells the sessions of launchers that are lost. One that was only cut off from Redis runs them still when it is back:
/// nobody wants them then.
pub(crate) async fn watch(services: Arc<Services>) {
    let Launchers {
        orchestrator, hub, ..
    } = &services.launchers;
    let mut events = orchestrator.events();
    let mut left: HashMap<ServiceName, (Instant, Vec<String>)> = HashMap::new();
    while let Some(event) = services.shutdown.run_until_cancelled(events.recv()).await {
        let lost = match event {
            Ok(ServiceEvent::Lost(name)) => hub.lose(|launcher| *launcher == name),
            Ok(ServiceEvent::Registered(name)) => {
                if let Some((_, sessions)) = left.remove(&name) {
                    services
                        .tasks
                        .spawn(stop_left(Arc::clone(&services), name, sessions));
                }
                continue;
            }
            Ok(ServiceEvent::RegisteredAgain(name)) if name.kind == kind::MEDIA_BRIDGE => {
                let asking = lose_what_is_not_run(Arc::clone(&services), name);
                services.tasks.spawn(asking);
                continue;
            }
            Ok(ServiceEvent::RegisteredAgain(_)) => continue,
            Err(RecvError::Lagged(_)) => {
                let living = orchestrator.services(kind::MEDIA_BRIDGE);
                hub.lose(|launcher| !living.contains(launcher))
            }
            Err(RecvError::Closed) => return,
        };
        left.retain(|_, (since, _)| since.elapsed() < LEFT_BEHIND);
        for (launcher, session) in lost {
            let (_, sessions) = left
                .entry(launcher)
                .or_insert_with(|| (Instant::now(), Vec::new()));
            sessions.push(session);
        }
    }
}

/// Tells the sessions that a launcher does not run any more: it was restarted so soon, under the name that it had, that
/// nobody missed it.
async fn lose_what_is_not_run(services: Arc<Services>, launcher: ServiceName) {
    let thought = services.hub.of(&launcher);
    if thought.is_empty() {
        return;
    }
    // What it was asked to start before that, it knows when it is asked for all.
    tokio::time::sleep(ASKED_TO_START).await;
    let asked =
        services
            .launchers
            .call::<SessionList>(&launcher, method::SESSION_LIST, &Done {}, LIST_TIMEOUT);
    let run = match asked.await {
        Ok(list) => list.sessions,
        Err(failure) => {
            tracing::debug!(%launcher, %failure, "it does not say what it runs");
            return;
        }
    };
    for session in thought {
        if run.iter().any(|info| info.session == session) || !services.hub.runs_on(&session, &launcher) {
            continue;
        }
        tracing::warn!(session, %launcher, "lost: its launcher was restarted");
        services.hub.deliver(
            &session,
            Event::LauncherLost {
                session: session.clone(),
            },
        );
    }
}

/// Ends what a launcher runs that was thought lost.
async fn stop_left(services: Arc<Services>, launcher: ServiceName, sessions: Vec<String>) {
    let placement = Placement { launcher, v1: false };
    for session in sessions {
        if services.hub.runs_on(&session, &placement.launcher) {
            continue;
        }
        match services.launchers.stop(&placement, session.clone()).await {
            Ok(()) => {
                tracing::warn!(session, launcher = %placement.launcher, "stopped: its launcher had been lost")
            }
            Err(failure) => tracing::debug!(session, %failure, "nothing was left of it"),
        }
        services.book.renew(&session);
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
        // It lives, and has too much to do: another one may have less, or this one soon.
        CallError::Timeout { ref method, .. } if method == method::SESSION_START => {
            Failure::new(ErrorId::TooManySessions, format!("{error}: its host is too busy")).again_in(BUSY)
        }
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
