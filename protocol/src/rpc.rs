//! Methods of the RPC, their arguments and values.
//!
//! v1's methods take plain strings. Ours take one JSON argument and answer one JSON value.
//! A refusal is a [`crate::Failure`] in its text form.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Failure;

/// Names of methods.
pub mod method {
    /// To signaling: own `svc:…` → `registered`.
    pub const REGISTER: &str = "register";
    /// To services after a restart of signaling: its `svc:…` → `ok`.
    pub const ORCHESTRATOR_ALIVE: &str = "orchestrator-alive";
    /// To a launcher (v1): session id → `{"sdp":"<offer>"}` with all candidates inside.
    pub const SDP_OFFER_REQ: &str = "sdp-offer-req";
    /// To a launcher: session id, answer SDP → `succeeded`.
    pub const SDP_ACCEPT_OFFER_ANSWER: &str = "sdp-accept-offer-answer";
    /// To signaling: session id, new state, old state → `succeeded`.
    pub const MB_ICE_CONN_STATE_CHANGE: &str = "mb-ice-conn-state-change";

    /// To a launcher: [`super::SessionStart`] → [`super::SessionStarted`].
    pub const SESSION_START: &str = "session-start";
    /// To a launcher: [`super::SessionStop`] → [`super::Done`].
    pub const SESSION_STOP: &str = "session-stop";
    /// Both ways: [`super::SessionCandidate`] → [`super::Done`].
    pub const SESSION_CANDIDATE: &str = "session-candidate";
    /// To signaling: [`super::SessionEvent`] → [`super::Done`].
    pub const SESSION_EVENT: &str = "session-event";
    /// To a launcher: `{}` → [`super::SessionList`].
    pub const SESSION_LIST: &str = "session-list";
    /// To a launcher: `{}` → [`super::PipelineList`].
    pub const PIPELINE_LIST: &str = "pipeline-list";
}

/// The value of v1's methods that have nothing to say.
pub const SUCCEEDED: &str = "succeeded";

/// Typed values for a pipeline's parameters, as a client sent them.
pub type Params = BTreeMap<String, serde_json::Value>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionStart {
    pub session: String,
    pub pipeline: String,
    #[serde(default)]
    pub params: Params,
    /// The signaling service (`svc:sgn:…`) that wants to hear of this session.
    pub reply_to: String,
    /// True if the client takes candidates one by one: then the offer, or the answer, does not wait for them.
    #[serde(default)]
    pub trickle: bool,
    /// The client's own offer; without it the pipeline offers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<String>,
    /// The session ends when its peer sends nothing for so long. A client that is watched in another way too can be given
    /// more time; without it, [`Self::SILENCE_SECS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence_secs: Option<u32>,
}

impl SessionStart {
    /// Longest silence of a peer that nobody else watches.
    pub const SILENCE_SECS: u32 = 10;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SdpOffer {
    pub sdp: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStarted {
    /// The pipeline's offer, or its answer to the client's; none of a pipeline of kind `source`, which has no peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdp: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStop {
    pub session: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionCandidate {
    pub session: String,
    #[serde(flatten)]
    pub candidate: IceCandidate,
}

/// An ICE candidate as browsers write it (`RTCIceCandidateInit`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceCandidate {
    /// `candidate:…`; empty when there are no more.
    pub candidate: String,
    #[serde(default, rename = "sdpMLineIndex", skip_serializing_if = "Option::is_none")]
    pub sdp_m_line_index: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdp_mid: Option<String>,
}

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionPhase {
    /// The pipeline is being started.
    Starting,
    /// The answer was taken; the network paths are being tried.
    Connecting,
    /// Media can flow.
    Connected,
    /// Over, as wished or because the peer went away.
    Ended,
    /// Over, because something broke.
    Failed,
}

impl SessionPhase {
    pub fn is_final(self) -> bool {
        matches!(self, Self::Ended | Self::Failed)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionEvent {
    pub session: String,
    pub state: SessionPhase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Failure>,
    /// How the session's process ended; of final states, and of a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// With `exit`: what that process said last of its frames.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<SessionProgress>,
}

/// How the process of a pipeline ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Exit {
    Success,
    Failed {
        code: i32,
    },
    /// By a signal that its launcher did not send to end a fault.
    Killed {
        signal: i32,
    },
    /// Ended by its launcher, or by the kernel, for the memory it took.
    OutOfMemory,
    /// Ended by its launcher: it gave no sign of life, or a frame was stuck in it.
    Stalled,
    FailedToSpawn,
    /// Also what a kind is read as that we do not know.
    #[serde(other)]
    Unknown,
}

impl Exit {
    /// All that [`Exit::kind`] may say.
    pub const KINDS: [&str; 7] = [
        "success",
        "failed",
        "killed",
        "out_of_memory",
        "stalled",
        "failed_to_spawn",
        "unknown",
    ];

    /// The kind alone, as in JSON: what ends are counted by.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed { .. } => "failed",
            Self::Killed { .. } => "killed",
            Self::OutOfMemory => "out_of_memory",
            Self::Stalled => "stalled",
            Self::FailedToSpawn => "failed_to_spawn",
            Self::Unknown => "unknown",
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Success => f.write_str("it ended in order"),
            Self::Failed { code } => write!(f, "it exited with code {code}"),
            Self::Killed { signal } => write!(f, "it was ended by signal {signal}"),
            Self::OutOfMemory => f.write_str("it took too much memory"),
            Self::Stalled => f.write_str("it did not go on"),
            Self::FailedToSpawn => f.write_str("it could not be started"),
            Self::Unknown => f.write_str("nothing is known of its end"),
        }
    }
}

/// Why no frame reaches a pipeline's end, where that is no fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// The peer is not connected.
    Peer,
    /// Nothing comes in.
    Frames,
    /// The peer sends, and nothing can be decoded before its next keyframe.
    Keyframe,
    /// The pipeline does not play yet.
    Paused,
    /// The last element takes its time: for the clock, or for what is beyond it (Redis).
    Sink,
    /// What comes in is dropped on its way, as the pipeline is meant to.
    Dropped,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionList {
    pub sessions: Vec<SessionInfo>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionInfo {
    pub session: String,
    pub pipeline: String,
    pub state: SessionPhase,
    /// Unix time in microseconds.
    pub started_us: u64,
    /// Process id of the session's process on the launcher's host.
    pub pid: u32,
    /// None before the first second is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<SessionProgress>,
}

/// How a session's frames move.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionProgress {
    /// Buffers that reached the end of the pipeline, since the start.
    pub frames: u64,
    /// Buffers a second that reach it now.
    pub frame_rate: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    pub memory_bytes: u64,
    /// Frames that came to nothing, by reason, since the start; a reason that has not occurred may be missing.
    #[serde(default, skip_serializing_if = "Drops::is_empty")]
    pub dropped: Drops,
}

/// How many frames came to nothing, by reason: `replaced`, `unanswered`, `redis`, `expired`, `dead-lettered`, `late`.
pub type Drops = BTreeMap<String, u64>;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PipelineList {
    pub pipelines: Vec<PipelineInfo>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PipelineKind {
    /// Started for one client, at its request.
    Session,
    /// Started and kept running by the launcher; consumes frames from Redis.
    Worker,
    /// Started on request without a client's media: a file, a camera's address.
    Source,
    /// Started for one client who watches another's session, at its request.
    Viewer,
}

impl PipelineKind {
    /// True of what is started for one client, with whom it speaks over WebRTC.
    pub fn has_peer(self) -> bool {
        matches!(self, Self::Session | Self::Viewer)
    }
}

/// What a client may know of a pipeline: never its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PipelineInfo {
    pub name: String,
    pub kind: PipelineKind,
    pub summary: String,
    /// True if frames leave the session for the worker pool, so that a worker must be there.
    #[serde(default)]
    pub needs_worker: bool,
    /// True if others may watch a session of it: it has a picture to show them.
    #[serde(default)]
    pub watchable: bool,
    /// True if a source of it that broke, or lost its launcher, is started again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restarts: bool,
    #[serde(default)]
    pub params: BTreeMap<String, ParamInfo>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ParamType {
    Integer,
    Number,
    Boolean,
    /// One of the texts in `values`.
    Enum,
    /// Reaches an element only as the value of a property.
    String,
    /// The name of a model in `models.toml`.
    Model,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ParamInfo {
    #[serde(rename = "type")]
    pub kind: ParamType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    #[serde(default)]
    pub doc: String,
}

/// The value of a method that only says that it was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// Fields of the hash `info:svc:mb:<id>` and `info:svc:inf:<id>`.
pub mod info {
    pub const VERSION: &str = "version";
    pub const HOST: &str = "host";
    /// Sessions that run now.
    pub const SESSIONS: &str = "sessions";
    /// Sessions that may run.
    pub const MAX_SESSIONS: &str = "max_sessions";
    /// Workers of a launcher that take frames.
    pub const WORKERS: &str = "workers";
    /// Why workers of a launcher keep crashing; empty if none does.
    pub const WORKER_TROUBLE: &str = "worker_trouble";
    /// How processes of a launcher ended since its start: `session.failed=2 worker.stalled=1`.
    pub const EXITS: &str = "exits";
    /// Address of a launcher's own port: its health, metrics and pipelines.
    pub const HTTP: &str = "http";
    /// Name of a worker's model.
    pub const MODEL: &str = "model";
}
