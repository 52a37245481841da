//! What happens on one WebSocket, from Welcome to the end: a state machine without sockets and clocks.
//!
//! [`Session::handle`] takes an event and the time and returns what is to be done. Whatever takes time
//! (finding a launcher, its offer) is an [`Action`] whose outcome comes back as an [`Event`]; outcomes carry
//! the session's id, so that those of an earlier attempt are recognised.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sightline_protocol::prediction::PredictionHeader;
use sightline_protocol::rpc::{IceCandidate, SessionPhase, SessionStart};
use sightline_protocol::ws::{
    ClientMessage, ErrorData, Join, PROTOCOL, Sdp, ServerMessage, SessionState, WELCOME, Welcome,
};
use sightline_protocol::{ErrorId, Failure};

use crate::auth::Caller;
use crate::sdp::{self, Flow};

mod active;
mod bucket;
mod freshness;
#[cfg(test)]
mod tests;
mod types;

use active::{Active, Stage, rank, release};
pub(crate) use bucket::Bucket;
pub(crate) use freshness::Freshness;
pub use types::{Action, Event, Placement, Settings};

/// The pipeline of a client that names none.
pub const DEFAULT_PIPELINE: &str = "webrtc-detect";
/// Longest message from a client.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// Messages of a client. A browser that joins sends its answer and a burst of some twenty candidates.
const BURST: u32 = 30;
const PER_SECOND: u32 = 1;
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Of a client that has not said yet who it is.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(3);
/// After a session the client may begin another one on the same connection.
const REJOIN_TIMEOUT: Duration = Duration::from_secs(60);
const OFFER_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Longer than the call itself may take.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(10);
const PING_EVERY: Duration = Duration::from_secs(15);
const SILENCE: Duration = Duration::from_secs(45);
/// For a camera that pauses; a client that is gone is noticed here sooner.
const PEER_SILENCE_SECS: u32 = 30;
const MAX_EARLY_CANDIDATES: usize = 32;
const MAX_CANDIDATE_BYTES: usize = 1024;
const MAX_NAME_BYTES: usize = 128;

/// Close codes of RFC 6455.
pub mod close {
    pub const NORMAL: u16 = 1000;
    pub const GOING_AWAY: u16 = 1001;
    pub const POLICY: u16 = 1008;
    pub const TOO_BIG: u16 = 1009;
}

pub struct Session {
    settings: Arc<Settings>,
    new_id: Box<dyn FnMut() -> String + Send>,
    state: State,
    /// Who it is, where that is known before it joins.
    caller: Option<Caller>,
    /// The client speaks protocol 2.
    extended: bool,
    bucket: Bucket,
    heard: Instant,
    pinged: Instant,
}

enum State {
    /// Waiting for Join, at most until then.
    Idle(Instant),
    Active(Box<Active>),
    Closed,
}

impl Session {
    /// A connection that was just opened, and its greeting. `new_id` makes unguessable session ids. A client whose
    /// `caller` is not known yet must bring a token with its first Join.
    pub fn new(
        settings: Arc<Settings>,
        connection: u64,
        caller: Option<Caller>,
        new_id: impl FnMut() -> String + Send + 'static,
        now: Instant,
    ) -> (Self, Vec<Action>) {
        let patience = if caller.is_some() {
            JOIN_TIMEOUT
        } else {
            TOKEN_TIMEOUT
        };
        let session = Self {
            settings,
            new_id: Box::new(new_id),
            state: State::Idle(now + patience),
            caller,
            extended: false,
            bucket: Bucket::new(BURST, PER_SECOND, now),
            heard: now,
            pinged: now,
        };
        let welcome = ServerMessage::Welcome(Welcome {
            id: connection,
            message: WELCOME.into(),
        });
        (session, vec![Action::Send(welcome)])
    }

    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// When [`Event::Tick`] is due.
    pub fn deadline(&self) -> Instant {
        let liveness = (self.heard + SILENCE).min(self.pinged + PING_EVERY);
        match &self.state {
            State::Idle(until) => liveness.min(*until),
            State::Active(active) => active.deadline.map_or(liveness, |until| liveness.min(until)),
            State::Closed => liveness,
        }
    }

    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        if self.is_closed() {
            return self.after_the_end(event);
        }
        match event {
            Event::Message(_) | Event::NotText | Event::Heard if !self.admit(now) => {
                let failure =
                    Failure::new(ErrorId::RateLimited, "too many messages: 60 a minute, 30 at once");
                self.close(failure, close::POLICY, "rate limited")
            }
            Event::Message(text) => self.message(&text, now),
            Event::NotText => vec![self.error(bad_message("only text messages are understood"))],
            Event::TooLong => {
                let failure = bad_message("a message is longer than 64 KiB");
                self.close(failure, close::TOO_BIG, "message too long")
            }
            Event::Heard => Vec::new(),
            Event::Gone => self.gone(),
            Event::Shutdown => self.shutdown(now),
            Event::Tick => self.tick(now),
            Event::Placed { session, result } => self.placed(&session, result, now),
            Event::Offer {
                session,
                placement,
                result,
            } => self.offered(session, placement, result, now),
            Event::Accepted { session, result } => self.accepted(&session, result, now),
            Event::Phase {
                session,
                phase,
                reason,
            } => self.phase(&session, phase, reason, now),
            Event::Candidate { session, candidate } => self.launcher_candidate(&session, candidate),
            Event::LauncherLost { session } => self.launcher_lost(&session, now),
            Event::Prediction { header, entry } => self.prediction(&header, entry),
        }
    }

    /// Counts a message of the client; false if it is one too many.
    fn admit(&mut self, now: Instant) -> bool {
        self.heard = now;
        self.bucket.take(now)
    }

    fn message(&mut self, text: &str, now: Instant) -> Vec<Action> {
        if text.len() > MAX_MESSAGE_BYTES {
            return self.handle(Event::TooLong, now);
        }
        match serde_json::from_str(text) {
            Ok(ClientMessage::Join(join)) => self.join(join, now),
            Ok(ClientMessage::SdpOfferAnswer(answer)) => self.answer(answer.sdp, now),
            Ok(ClientMessage::IceCandidate(candidate)) => self.client_candidate(candidate),
            Ok(ClientMessage::Stats(probe)) => vec![Action::SendClock { t0: probe.t0 }],
            // A newer client may know messages that we do not.
            Err(_) if is_of_unknown_type(text) => Vec::new(),
            Err(error) => vec![self.error(bad_message(format!("this message cannot be read: {error}")))],
        }
    }

    fn join(&mut self, mut join: Join, now: Instant) -> Vec<Action> {
        if let State::Active(_) = self.state {
            let failure = bad_message("this connection has a session already: open another one");
            return vec![self.error(failure)];
        }
        self.extended = join.protocol.is_some_and(|protocol| protocol >= PROTOCOL);
        let pipeline = join.pipeline.clone().unwrap_or_else(|| DEFAULT_PIPELINE.into());
        if join.tenant_id.len() > MAX_NAME_BYTES || pipeline.len() > MAX_NAME_BYTES {
            return vec![self.join_error(bad_message("the names in Join are too long"))];
        }
        let caller = match self.caller(join.token.take()) {
            Ok(caller) => caller,
            Err(failure) => return self.turn_away(failure),
        };
        let tenant: Arc<str> = match &*join.tenant_id {
            "" => Arc::clone(caller.tenant()),
            named => named.into(),
        };
        if let Err(failure) = caller.join(&tenant) {
            return vec![self.join_error(failure)];
        }
        join.sdp = join.sdp.filter(|_| self.extended);
        if let Some(text) = join.sdp.take() {
            match sdp::offer(&text, Flow::ClientSends) {
                Ok((offer, _)) => join.sdp = Some(offer),
                Err(failure) => return vec![self.join_error(failure)],
            }
        }
        let client_offers = join.sdp.is_some();
        let id = (self.new_id)();
        let place = Action::Place {
            session: id.clone(),
            tenant: Arc::clone(&tenant),
            pipeline: pipeline.clone(),
            client_offers,
        };
        self.state = State::Active(Box::new(Active {
            id,
            tenant,
            join: Join {
                pipeline: Some(pipeline),
                ..join
            },
            client_offers,
            stage: Stage::Placing,
            deadline: Some(now + OFFER_TIMEOUT),
            placement: None,
            phase: SessionPhase::Starting,
            early: Vec::new(),
            overtaking: Vec::new(),
            freshness: Freshness::default(),
        }));
        vec![place]
    }

    /// Who joins: a token in Join says it anew.
    fn caller(&mut self, token: Option<String>) -> Result<Caller, Failure> {
        let now = (self.settings.wall_clock)();
        if let (None, Some(caller)) = (&token, &self.caller)
            && caller.is_fresh(now)
        {
            return Ok(caller.clone());
        }
        let caller = self.settings.access.caller(token.as_deref(), now)?;
        self.caller = Some(caller.clone());
        Ok(caller)
    }

    /// Says why, and ends the connection of somebody who has shown no good token.
    fn turn_away(&mut self, failure: Failure) -> Vec<Action> {
        let mut actions = vec![self.join_error(failure)];
        self.state = State::Closed;
        actions.push(Action::Close {
            code: close::POLICY,
            reason: "no token, or a bad one",
        });
        actions
    }

    fn placed(&mut self, id: &str, result: Result<Placement, Failure>, now: Instant) -> Vec<Action> {
        let reply_to = self.settings.reply_to.clone();
        let Some(active) = self.active_in(id, Stage::Placing) else {
            return Vec::new();
        };
        let placement = match result {
            Ok(placement) => placement,
            Err(failure) => return self.fail(failure, now),
        };
        active.stage = Stage::Starting;
        active.placement = Some(placement.clone());
        let start = SessionStart {
            session: active.id.clone(),
            pipeline: active.join.pipeline.clone().unwrap_or_default(),
            params: active.join.params.clone(),
            reply_to,
            trickle: active.join.protocol.is_some_and(|protocol| protocol >= PROTOCOL),
            offer: active.join.sdp.take(),
            silence_secs: Some(PEER_SILENCE_SECS),
        };
        let session = active.id.clone();
        let mut actions = vec![Action::Open {
            session: session.clone(),
            tenant: Arc::clone(&active.tenant),
            pipeline: start.pipeline.clone(),
            placement: placement.clone(),
        }];
        if self.extended {
            actions.push(Action::Send(ServerMessage::SessionState(SessionState {
                session,
                state: SessionPhase::Starting,
                reason: None,
                ice_servers: self
                    .settings
                    .ice_servers
                    .for_client(&start.session, (self.settings.wall_clock)()),
            })));
        }
        actions.push(Action::Start { placement, start });
        actions
    }

    fn offered(
        &mut self,
        session: String,
        placement: Placement,
        result: Result<String, Failure>,
        now: Instant,
    ) -> Vec<Action> {
        let Some(active) = self.active_in(&session, Stage::Starting) else {
            // Started for nobody: the client left, or joined anew.
            return result
                .map(|_| Action::Stop { placement, session })
                .into_iter()
                .collect();
        };
        match result {
            Ok(answer) if active.client_offers => self.answered(&answer, placement, now),
            Ok(offer) => {
                active.stage = Stage::Offered;
                // Another launcher than was thought of, where that one was full.
                active.placement = Some(placement);
                active.deadline = Some(now + ANSWER_TIMEOUT);
                let candidates = std::mem::take(&mut active.overtaking);
                std::iter::once(ServerMessage::SdpOffer(offer))
                    .chain(candidates.into_iter().map(ServerMessage::IceCandidate))
                    .map(Action::Send)
                    .collect()
            }
            Err(failure) => self.fail(failure, now),
        }
    }

    /// The launcher has answered the client's offer, which `answer` is as JSON.
    fn answered(&mut self, answer: &str, placement: Placement, now: Instant) -> Vec<Action> {
        let State::Active(active) = &mut self.state else {
            return Vec::new();
        };
        active.placement = Some(placement);
        let Ok(answer) = serde_json::from_str::<Sdp>(answer) else {
            let failure = Failure::new(ErrorId::Internal, "the launcher's answer cannot be read");
            return self.fail(failure, now);
        };
        let candidates = std::mem::take(&mut active.overtaking);
        let mut actions: Vec<_> = std::iter::once(ServerMessage::SdpAnswer(answer))
            .chain(candidates.into_iter().map(ServerMessage::IceCandidate))
            .map(Action::Send)
            .collect();
        actions.extend(active.run());
        actions.extend(self.tell(SessionPhase::Connecting));
        actions
    }

    fn answer(&mut self, sdp: String, now: Instant) -> Vec<Action> {
        let State::Active(active) = &mut self.state else {
            return vec![self.error(bad_message("there is no session to answer for: send Join first"))];
        };
        let (Stage::Offered, Some(placement)) = (active.stage, active.placement.clone()) else {
            return vec![self.error(bad_message("no offer waits for an answer"))];
        };
        if sdp.trim().is_empty() {
            return vec![self.error(bad_message("the answer is empty"))];
        }
        active.stage = Stage::Accepting;
        active.deadline = Some(now + ACCEPT_TIMEOUT);
        let session = active.id.clone();
        vec![Action::Accept {
            placement,
            session,
            sdp,
        }]
    }

    fn accepted(&mut self, id: &str, result: Result<(), Failure>, now: Instant) -> Vec<Action> {
        let Some(active) = self.active_in(id, Stage::Accepting) else {
            return Vec::new();
        };
        if let Err(failure) = result {
            return self.fail(failure, now);
        }
        let mut actions = active.run();
        actions.extend(self.tell(SessionPhase::Connecting));
        actions
    }

    fn client_candidate(&mut self, candidate: IceCandidate) -> Vec<Action> {
        let plain = candidate.candidate.len() <= MAX_CANDIDATE_BYTES
            && !candidate.candidate.contains(char::is_control);
        let State::Active(active) = &mut self.state else {
            return vec![self.error(bad_message(
                "there is no session for this candidate: send Join first",
            ))];
        };
        if !plain {
            return vec![self.error(bad_message("this candidate is not one line of at most 1 KiB"))];
        }
        let is_early = match active.stage {
            Stage::Placing | Stage::Starting => active.client_offers,
            Stage::Offered | Stage::Accepting => true,
            Stage::Running => false,
        };
        match (active.stage, active.placement.clone()) {
            // A v1 bridge has all candidates in the SDP.
            (_, Some(placement)) if placement.v1 => Vec::new(),
            (Stage::Running, Some(placement)) => vec![Action::Candidate {
                placement,
                session: active.id.clone(),
                candidate,
            }],
            _ if is_early && active.early.len() < MAX_EARLY_CANDIDATES => {
                active.early.push(candidate);
                Vec::new()
            }
            _ if is_early => {
                vec![self.error(bad_message("more than 32 candidates before there was an answer"))]
            }
            _ => vec![self.error(bad_message("a candidate before the offer"))],
        }
    }

    fn launcher_candidate(&mut self, id: &str, candidate: IceCandidate) -> Vec<Action> {
        if !self.extended {
            return Vec::new();
        }
        match self.active(id) {
            // A browser takes candidates only after the offer.
            Some(active) if active.stage < Stage::Offered => {
                if active.overtaking.len() < MAX_EARLY_CANDIDATES {
                    active.overtaking.push(candidate);
                }
                Vec::new()
            }
            Some(_) => vec![Action::Send(ServerMessage::IceCandidate(candidate))],
            None => Vec::new(),
        }
    }

    fn phase(&mut self, id: &str, phase: SessionPhase, reason: Option<Failure>, now: Instant) -> Vec<Action> {
        if self.active(id).is_none() {
            return Vec::new();
        }
        if phase.is_final() {
            return self.end(phase, reason, false, now);
        }
        self.tell(phase).into_iter().collect()
    }

    fn launcher_lost(&mut self, id: &str, now: Instant) -> Vec<Action> {
        let Some(launcher) = self.active(id).and_then(|active| active.placement.clone()) else {
            return Vec::new();
        };
        let message = format!(
            "the launcher `{}` that ran this session is gone; start again to get another one",
            launcher.launcher
        );
        let failure = Failure::new(ErrorId::NoLauncher, message);
        self.end(SessionPhase::Failed, Some(failure), false, now)
    }

    fn prediction(&mut self, header: &PredictionHeader, entry: serde_json::Value) -> Vec<Action> {
        let news = self
            .active(&header.participant_id)
            .is_some_and(|active| active.freshness.admit(header));
        news.then_some(Action::Send(ServerMessage::Prediction(entry)))
            .into_iter()
            .collect()
    }

    fn tick(&mut self, now: Instant) -> Vec<Action> {
        if now >= self.heard + SILENCE {
            let mut actions = self.gone();
            actions.push(Action::Close {
                code: close::POLICY,
                reason: "no sign of life for 45 s",
            });
            return actions;
        }
        let mut actions = Vec::new();
        if now >= self.pinged + PING_EVERY {
            self.pinged = now;
            actions.push(Action::Ping);
        }
        let late = match &self.state {
            State::Idle(until) if now >= *until => {
                let failure = bad_message("no Join came in time");
                actions.extend(self.close(failure, close::POLICY, "no Join"));
                return actions;
            }
            State::Active(active) if active.deadline.is_some_and(|until| now >= until) => active.stage,
            _ => return actions,
        };
        let failure = match late {
            Stage::Placing | Stage::Starting => Failure::new(
                ErrorId::SessionFailed,
                "the pipeline made no offer (or answer) within 10 s; try again, or look into the launcher's log",
            ),
            Stage::Offered => bad_message("the offer was not answered within 30 s"),
            Stage::Accepting | Stage::Running => Failure::new(
                ErrorId::SessionFailed,
                "the launcher did not take the answer in time; try again",
            ),
        };
        actions.extend(self.fail(failure, now));
        actions
    }

    fn shutdown(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if let State::Active(_) = self.state {
            let failure = Failure::new(
                ErrorId::ServerStopping,
                "the server is stopping; try again in a moment",
            );
            actions = self.end(SessionPhase::Ended, Some(failure), true, now);
        }
        self.state = State::Closed;
        actions.push(Action::Close {
            code: close::GOING_AWAY,
            reason: "the server is stopping",
        });
        actions
    }

    /// Frees what the session holds; the client is not there to be told.
    fn gone(&mut self) -> Vec<Action> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Active(active) => release(*active, true),
            State::Idle(_) | State::Closed => Vec::new(),
        }
    }

    /// Says why, and ends the connection.
    fn close(&mut self, failure: Failure, code: u16, reason: &'static str) -> Vec<Action> {
        let mut actions = vec![self.error(failure)];
        actions.extend(self.gone());
        actions.push(Action::Close { code, reason });
        actions
    }

    fn fail(&mut self, failure: Failure, now: Instant) -> Vec<Action> {
        self.end(SessionPhase::Failed, Some(failure), true, now)
    }

    /// Ends the session, but not the connection. `stop` if the launcher does not know yet.
    fn end(&mut self, phase: SessionPhase, reason: Option<Failure>, stop: bool, now: Instant) -> Vec<Action> {
        let idle = State::Idle(now + REJOIN_TIMEOUT);
        let active = match std::mem::replace(&mut self.state, idle) {
            State::Active(active) => active,
            other => {
                self.state = other;
                return Vec::new();
            }
        };
        let words = || {
            reason
                .clone()
                .unwrap_or_else(|| Failure::new(ErrorId::SessionEnded, "the session has ended"))
        };
        let told = if active.stage == Stage::Placing || (active.stage == Stage::Starting && !self.extended) {
            self.join_error(words())
        } else if self.extended {
            Action::Send(ServerMessage::SessionState(SessionState {
                session: active.id.clone(),
                state: phase,
                reason,
                ice_servers: Vec::new(),
            }))
        } else {
            self.error(words())
        };
        let mut actions = vec![told];
        actions.extend(release(*active, stop));
        actions
    }

    /// Tells a client of protocol 2 where its session is, never backwards and nothing twice.
    fn tell(&mut self, phase: SessionPhase) -> Option<Action> {
        let State::Active(active) = &mut self.state else {
            return None;
        };
        if rank(phase) <= rank(active.phase) {
            return None;
        }
        active.phase = phase;
        let state = SessionState {
            session: active.id.clone(),
            state: phase,
            reason: None,
            ice_servers: Vec::new(),
        };
        self.extended
            .then_some(Action::Send(ServerMessage::SessionState(state)))
    }

    /// The session, if it is the one with that id.
    fn active(&mut self, id: &str) -> Option<&mut Active> {
        match &mut self.state {
            State::Active(active) if active.id == id => Some(active),
            _ => None,
        }
    }

    fn active_in(&mut self, id: &str, stage: Stage) -> Option<&mut Active> {
        self.active(id).filter(|active| active.stage == stage)
    }

    fn error_data(&self, failure: Failure) -> ErrorData {
        if self.extended {
            ErrorData::Failure(failure)
        } else {
            ErrorData::Text(failure.message)
        }
    }

    fn error(&self, failure: Failure) -> Action {
        Action::Send(ServerMessage::Error(self.error_data(failure)))
    }

    fn join_error(&self, failure: Failure) -> Action {
        Action::Send(ServerMessage::JoinError(self.error_data(failure)))
    }

    /// A pipeline that comes up after its client has left is stopped.
    fn after_the_end(&self, event: Event) -> Vec<Action> {
        match event {
            Event::Offer {
                session,
                placement,
                result: Ok(_),
            } => vec![Action::Stop { placement, session }],
            _ => Vec::new(),
        }
    }
}

fn is_of_unknown_type(text: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Envelope {
        r#type: String,
    }
    let envelope = serde_json::from_str::<Envelope>(text);
    envelope.is_ok_and(|envelope| !ClientMessage::TYPES.contains(&envelope.r#type.as_str()))
}

fn bad_message(message: impl Into<String>) -> Failure {
    Failure::new(ErrorId::BadMessage, message)
}
