//! What is known of a session while there is one.

use std::sync::Arc;
use std::time::Instant;

use sightline_protocol::rpc::{IceCandidate, SessionPhase};
use sightline_protocol::ws::Join;

use super::{Action, Freshness, Placement};

pub(super) struct Active {
    pub(super) id: String,
    pub(super) tenant: Arc<str>,
    pub(super) join: Join,
    /// The client made the offer.
    pub(super) client_offers: bool,
    pub(super) stage: Stage,
    pub(super) deadline: Option<Instant>,
    pub(super) placement: Option<Placement>,
    /// What the client was last told.
    pub(super) phase: SessionPhase,
    /// The client's candidates that came before its answer was accepted, or its offer answered.
    pub(super) early: Vec<IceCandidate>,
    /// The launcher's candidates that overtook its offer or answer.
    pub(super) overtaking: Vec<IceCandidate>,
    pub(super) freshness: Freshness,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// A launcher is being looked for.
    Placing,
    /// The launcher makes its offer, or answers the client's.
    Starting,
    /// The client makes its answer.
    Offered,
    /// The launcher takes the answer.
    Accepting,
    /// The answer was taken, or given.
    Running,
}

impl Active {
    /// Offer and answer are exchanged: the client's candidates can go their way.
    pub(super) fn run(&mut self) -> Vec<Action> {
        self.stage = Stage::Running;
        self.deadline = None;
        let early = std::mem::take(&mut self.early);
        let Some(placement) = &self.placement else {
            return Vec::new();
        };
        let hand_on = |candidate| Action::Candidate {
            placement: placement.clone(),
            session: self.id.clone(),
            candidate,
        };
        early.into_iter().map(hand_on).collect()
    }
}

pub(super) fn release(active: Active, stop: bool) -> Vec<Action> {
    let Some(placement) = active.placement else {
        return Vec::new();
    };
    let mut actions = vec![Action::Shut {
        session: active.id.clone(),
    }];
    if stop {
        actions.push(Action::Stop {
            placement,
            session: active.id,
        });
    }
    actions
}

pub(super) fn rank(phase: SessionPhase) -> u8 {
    match phase {
        SessionPhase::Starting => 0,
        SessionPhase::Connecting => 1,
        SessionPhase::Connected => 2,
        SessionPhase::Ended | SessionPhase::Failed => 3,
    }
}
