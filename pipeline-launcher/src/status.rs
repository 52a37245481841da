//! What a launcher runs at the moment, as JSON: `/api/v1/status`, which `top` shows.

use serde::{Deserialize, Serialize};
use sightline_protocol::rpc::{SessionInfo, SessionPhase, Waiting};

/// Enough of a session's id to tell sessions apart, and not enough to follow one.
pub const SHOWN_OF_ID: usize = 8;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub sessions: Vec<SessionStatus>,
    pub max_sessions: usize,
    pub workers: Vec<WorkerStatus>,
    /// None if Redis does not answer.
    pub queue: Option<QueueStatus>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// The beginning of its id.
    pub session: String,
    pub pipeline: String,
    pub state: SessionPhase,
    pub started_us: u64,
    pub frames: u64,
    /// Buffers a second at its sinks.
    pub frame_rate: f64,
    pub waiting: Option<Waiting>,
    pub memory_bytes: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    pub worker: String,
    pub model: String,
    pub running: bool,
    /// Why it is down; empty if it is not.
    pub trouble: String,
    /// Frames that were too old when it read them.
    pub expired: u64,
    #[serde(flatten)]
    pub figures: Figures,
}

/// Of the last ten seconds, but for `frames`, which are all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    pub frames: u64,
    pub inferences_per_second: f64,
    /// Of preprocessing, inference and postprocessing together; none without an inference.
    pub inference_ms: Option<Quantiles>,
    /// From Redis's taking a frame to the worker's reading it.
    pub queue_ms: Option<Quantiles>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p95: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct QueueStatus {
    pub length: u64,
    /// Of the oldest frame.
    pub age_ms: u64,
}

impl From<SessionInfo> for SessionStatus {
    fn from(info: SessionInfo) -> Self {
        let progress = info.progress.as_ref();
        Self {
            session: info.session.chars().take(SHOWN_OF_ID).collect(),
            pipeline: info.pipeline,
            state: info.state,
            started_us: info.started_us,
            frames: progress.map_or(0, |progress| progress.frames),
            frame_rate: progress.map_or(0.0, |progress| progress.frame_rate),
            waiting: progress.and_then(|progress| progress.waiting),
            memory_bytes: progress.map_or(0, |progress| progress.memory_bytes),
        }
    }
}
