//! What goes into the state machine, and what comes out.

use std::sync::Arc;
use std::time::SystemTime;

use sightline_ice::IceServers;
use sightline_protocol::inventa::ServiceName;
use sightline_protocol::prediction::PredictionHeader;
use sightline_protocol::rpc::{IceCandidate, SessionPhase, SessionStart};
use sightline_protocol::ws::ServerMessage;
use sightline_protocol::{ErrorId, Failure};

use crate::auth::Access;

/// Which launcher a session runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    pub launcher: ServiceName,
    /// A media bridge of v1: it knows `sdp-offer-req` only.
    pub v1: bool,
}

#[derive(Debug)]
pub enum Event {
    /// A text message from the client.
    Message(String),
    /// A message that is not text, or longer than it may be.
    NotText,
    TooLong,
    /// Another sign of life: a ping or a pong.
    Heard,
    /// The client went away.
    Gone,
    /// The server stops.
    Shutdown,
    /// [`super::Session::deadline`] has passed.
    Tick,
    Placed {
        session: String,
        result: Result<Placement, Failure>,
    },
    Offer {
        session: String,
        placement: Placement,
        /// The offer, or the answer to the client's, as JSON text, `{"sdp":"…"}`.
        result: Result<String, Failure>,
    },
    Accepted {
        session: String,
        result: Result<(), Failure>,
    },
    Phase {
        session: String,
        phase: SessionPhase,
        reason: Option<Failure>,
    },
    Candidate {
        session: String,
        candidate: IceCandidate,
    },
    LauncherLost {
        session: String,
    },
    Prediction {
        header: PredictionHeader,
        entry: serde_json::Value,
    },
}

impl Event {
    /// The session's launcher is gone, or going.
    pub(crate) fn is_loss(&self) -> bool {
        match self {
            Self::LauncherLost { .. } => true,
            Self::Phase {
                phase: SessionPhase::Ended,
                reason: Some(reason),
                ..
            } => reason.id == ErrorId::ServerStopping,
            _ => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Send(ServerMessage),
    /// Answer a clock probe with the time of sending.
    SendClock {
        t0: f64,
    },
    Ping,
    /// Say goodbye and end the connection.
    Close {
        code: u16,
        reason: &'static str,
    },
    /// Check the tenant and find a launcher: [`Event::Placed`].
    Place {
        session: String,
        tenant: Arc<str>,
        pipeline: String,
        /// The client made an offer, which not every launcher can answer.
        client_offers: bool,
    },
    /// Listen for the session's predictions and for its launcher's events.
    Open {
        session: String,
        tenant: Arc<str>,
        pipeline: String,
        placement: Placement,
    },
    /// Stop listening for them.
    Shut {
        session: String,
    },
    /// Start the pipeline: [`Event::Offer`], also where the offer is the client's.
    Start {
        placement: Placement,
        start: SessionStart,
    },
    /// Hand the client's answer to the launcher: [`Event::Accepted`].
    Accept {
        placement: Placement,
        session: String,
        sdp: String,
    },
    /// Hand a candidate of the client to the launcher.
    Candidate {
        placement: Placement,
        session: String,
        candidate: IceCandidate,
    },
    /// End the pipeline.
    Stop {
        placement: Placement,
        session: String,
    },
}

/// What all sessions of a server have in common.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our own name, for the launcher's events.
    pub reply_to: String,
    pub ice_servers: IceServers,
    pub access: Access,
    /// The time of day, until which credentials are good.
    pub wall_clock: fn() -> SystemTime,
}
