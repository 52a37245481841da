//! Sessions that no WebSocket looks after: REST, WHIP and WHEP start them. Each is kept until its end, and a little
//! longer for its last predictions.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use sightline_protocol::rpc::{Params, PipelineKind, SessionStart};
use sightline_protocol::{ErrorId, Failure};
use tokio::sync::{mpsc, oneshot};

use crate::Services;
use crate::hub::About;
use crate::launchers::Need;
use crate::session::{Event, Placement};
use crate::websocket::session_id;
use crate::whip::{Door, Resource};

mod moving;

use moving::Moves;

/// Events that may wait for a session's keeper.
const MAX_EVENTS: usize = 256;
/// Predictions come on another connection than the word of the end, and so perhaps after it.
const LAST_PREDICTIONS: Duration = Duration::from_millis(250);

/// What to begin.
pub(crate) struct Wanted {
    /// Whose it will be.
    pub(crate) tenant: Arc<str>,
    pub(crate) pipeline: String,
    pub(crate) kind: PipelineKind,
    pub(crate) params: Params,
    /// None of a source.
    pub(crate) peer: Option<Peer>,
}

/// The client at the other end, who came by WHIP or WHEP.
pub(crate) struct Peer {
    pub(crate) offer: String,
    pub(crate) door: Door,
    /// The session that it watches, with which it ends. Such a viewer is not a session for the outside.
    pub(crate) watched: Option<String>,
}

pub(crate) struct Begun {
    pub(crate) session: String,
    /// To the peer's offer.
    pub(crate) answer: Option<String>,
}

impl Wanted {
    fn need(&self) -> Need<'_> {
        Need {
            pipeline: &self.pipeline,
            kind: self.kind,
            client_offers: self.peer.is_some(),
        }
    }

    fn watched(&self) -> Option<&str> {
        self.peer.as_ref()?.watched.as_deref()
    }
}

/// Starts it on a launcher, and has it looked after.
pub(crate) async fn begin(services: &Arc<Services>, wanted: Wanted) -> Result<Begun, Failure> {
    take_start(services)?;
    services.may_start(&wanted.tenant).await?;
    let (tell, told) = oneshot::channel();
    // A task of its own: a client that goes away meanwhile leaves nothing half done.
    services.tasks.spawn(live(Arc::clone(services), wanted, tell));
    told.await
        .unwrap_or_else(|_| Err(Failure::new(ErrorId::Internal, "the session's task has ended")))
}

/// Counts a start; an error if it is one too many.
fn take_start(services: &Services) -> Result<(), Failure> {
    let mut starts = services.starts.lock().unwrap_or_else(PoisonError::into_inner);
    if starts.take(Instant::now()) {
        return Ok(());
    }
    let words = "too many sessions are being started; try again in a moment";
    let seconds = starts.wait().as_secs_f64().ceil().max(1.0);
    Err(Failure::new(ErrorId::RateLimited, words).again_in(seconds as u32))
}

/// A session's life.
async fn live(services: Arc<Services>, wanted: Wanted, tell: oneshot::Sender<Result<Begun, Failure>>) {
    let session = session_id();
    let (inbox, events) = mpsc::channel(MAX_EVENTS);
    let start = SessionStart {
        session: session.clone(),
        pipeline: wanted.pipeline.clone(),
        params: wanted.params.clone(),
        reply_to: services.settings.reply_to.clone(),
        // There is no way to tell the peer of candidates later: the answer waits for all of them.
        trickle: false,
        offer: wanted.peer.as_ref().map(|peer| peer.offer.clone()),
        silence_secs: wanted.peer.as_ref().map(|_| SessionStart::SILENCE_SECS),
    };
    let (placement, answer) = match open(&services, &wanted, &start, inbox).await {
        Ok(begun) => begun,
        Err(failure) => {
            tracing::info!(session, reason = %failure.id, "refused");
            tell.send(Err(failure)).ok();
            return;
        }
    };
    tracing::info!(session, launcher = %placement.launcher, pipeline = wanted.pipeline, "session starts");
    let has_peer = wanted.peer.is_some();
    if let Some(Peer { door, .. }) = &wanted.peer {
        let resource = Resource::new(door.clone(), Arc::clone(&wanted.tenant), placement.clone());
        services.resources.insert(session.clone(), resource);
    }
    let begun = Begun {
        session: session.clone(),
        answer,
    };
    if tell.send(Ok(begun)).is_err() && has_peer {
        // The client has left and knows of no session: nobody would ever end it.
        stop(&services, &session, &placement).await;
        shut(&services, &session);
        return;
    }
    keep(&services, &wanted, &start, placement, events).await;
    tracing::info!(session, "session ended");
    shut(&services, &session);
}

/// Finds it a launcher, hears of it, and starts it.
async fn open(
    services: &Arc<Services>,
    wanted: &Wanted,
    start: &SessionStart,
    inbox: mpsc::Sender<Event>,
) -> Result<(Placement, Option<String>), Failure> {
    let placement = services.launchers.place(wanted.need()).await?;
    let about = About {
        session: start.session.clone(),
        tenant: Arc::clone(&wanted.tenant),
        launcher: placement.launcher.clone(),
    };
    if wanted.watched().is_some() {
        services.hub.open_unlisted(about, inbox);
    } else {
        services.predictions.subscribe(&about.session);
        let pipeline = start.pipeline.clone();
        match wanted.peer {
            Some(_) => services.hub.open(about, pipeline, inbox),
            None => services.hub.open_source(about, pipeline, inbox),
        }
    }
    let begun = start_at(services, wanted.need(), start, placement).await;
    if begun.is_err() {
        shut(services, &start.session);
        services.book.forget(&start.session);
    }
    begun
}

/// Starts it on that launcher, or on the next one where that takes it not.
async fn start_at(
    services: &Arc<Services>,
    need: Need<'_>,
    start: &SessionStart,
    mut placement: Placement,
) -> Result<(Placement, Option<String>), Failure> {
    let session = &start.session;
    loop {
        let failure = match services.launchers.begin(&placement, start).await {
            Ok(started) if started.sdp.is_none() && start.offer.is_some() => {
                stop(services, session, &placement).await;
                let words = format!(
                    "the launcher `{}` gave no answer to the offer",
                    placement.launcher
                );
                Failure::new(ErrorId::Internal, words)
            }
            Ok(started) => return Ok((placement, started.sdp)),
            Err(failure) => failure,
        };
        if matches!(failure.id, ErrorId::SessionFailed | ErrorId::TooManySessions) {
            stop_later(services, session, &placement);
        }
        let Some(next) = services.launchers.instead_of(&placement, &failure, need).await else {
            return Err(failure);
        };
        services.hub.relocate(session, next.launcher.clone());
        placement = next;
    }
}

/// Until it ends, or must: because the server stops, or what it watches is over.
async fn keep(
    services: &Arc<Services>,
    wanted: &Wanted,
    start: &SessionStart,
    mut placement: Placement,
    mut events: mpsc::Receiver<Event>,
) {
    let session = &start.session;
    let over = async {
        match wanted.watched() {
            Some(watched) => services.book.ended(watched).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    let mut moves = Moves::default();
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = services.shutdown.cancelled() => return stop(services, session, &placement).await,
            () = &mut over => return stop(services, session, &placement).await,
        };
        match event {
            Some(Event::Phase { phase, .. }) if !phase.is_final() => {}
            Some(event @ (Event::Phase { .. } | Event::LauncherLost { .. })) => {
                if wanted.peer.is_none() && event.is_loss() {
                    if moves.take(Instant::now())
                        && let Some(next) = moving::move_on(services, wanted, start, &placement).await
                    {
                        placement = next;
                        continue;
                    }
                    services.book.note(session, &event);
                }
                services.resources.remove(session);
                tokio::time::sleep(LAST_PREDICTIONS).await;
                return;
            }
            Some(_) => {}
            None => return,
        }
    }
}

/// A launcher that did not answer in time may start the session all the same, for nobody.
fn stop_later(services: &Arc<Services>, session: &str, placement: &Placement) {
    let (shared, session, placement) = (Arc::clone(services), session.to_owned(), placement.clone());
    services
        .tasks
        .spawn(async move { stop(&shared, &session, &placement).await });
}

async fn stop(services: &Services, session: &str, placement: &Placement) {
    if let Err(failure) = end(services, session, placement).await {
        tracing::debug!(session, %failure, "not stopped");
    }
}

/// Has its launcher end it, which may have happened by itself.
pub(crate) async fn end(services: &Services, session: &str, placement: &Placement) -> Result<(), Failure> {
    match services.launchers.stop(placement, session.to_owned()).await {
        Err(failure) if failure.id != ErrorId::UnknownSession => Err(failure),
        _ => Ok(()),
    }
}

/// Hears no more of it.
fn shut(services: &Services, session: &str) {
    services.resources.remove(session);
    services.hub.shut(session);
    services.predictions.unsubscribe(session);
}
