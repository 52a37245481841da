//! What the REST API under `/api/v1` takes and gives.
//!
//! With the feature `schema` every type can describe itself as JSON Schema, for the OpenAPI document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::rpc::{Drops, Exit, Params, PipelineInfo};

/// Before an error's id in [`Problem::kind`].
pub const PROBLEM_PREFIX: &str = "urn:sightline:problem:";

/// What to start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionRequest {
    /// Name of a pipeline of kind `source`.
    pub pipeline: String,
    /// Values by name, of the types that the pipeline says.
    #[serde(default)]
    pub params: Params,
}

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum SessionState {
    /// Its process is being started, or started again after a failure.
    Queued,
    Running,
    /// The stream or its client came to an end.
    Completed,
    /// It broke: `last_error` says why.
    Error,
    /// It was stopped.
    Aborted,
}

impl SessionState {
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Error | Self::Aborted)
    }
}

/// A session as it is now, or as it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionView {
    /// 128 random bits in hexadecimal; who knows it may see and stop the session.
    pub id: String,
    /// Whose it is.
    #[serde(default)]
    pub tenant: String,
    pub pipeline: String,
    /// The launcher on which it runs, `svc:mb:<id>`.
    pub launcher: String,
    pub state: SessionState,
    /// Unix time in microseconds, as all times here.
    pub created_us: u64,
    /// When it first ran.
    pub started_us: Option<u64>,
    /// When the first prediction came.
    pub first_frame_us: Option<u64>,
    pub ended_us: Option<u64>,
    /// Frames for which a prediction came.
    pub frames: u64,
    /// Frames for which none came, by reason: `replaced` by a newer frame because no worker was free, `unanswered` by the
    /// worker that had it, `redis` was away, `late` because a newer frame's answer came first.
    #[serde(default)]
    pub dropped: Drops,
    /// Predictions a second in the last 5 s; of an ended session, from its first to its last.
    pub fps: Option<f64>,
    /// From a frame's capture to its prediction's arrival here, smoothed; of a file, the time in its worker.
    pub latency_ms: Option<f64>,
    /// How often it was started again after a failure.
    pub restarts: u32,
    /// Why it failed, last.
    pub last_error: Option<Failure>,
    /// How its process ended, last: also before it was started again.
    #[serde(default)]
    pub exit: Option<Exit>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionViews {
    /// The newest first.
    pub sessions: Vec<SessionView>,
}

/// A pipeline, with a JSON Schema of the parameters that it takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PipelineView {
    #[serde(flatten)]
    pub info: PipelineInfo,
    /// JSON Schema (2020-12) of `params` when a session is started.
    pub params_schema: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WorkerViews {
    pub workers: Vec<WorkerView>,
}

/// An inference worker that is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WorkerView {
    /// `svc:inf:<id>`, as in a prediction's `worker`.
    pub name: String,
    /// What it says of itself, such as its `model`; a v1 worker says nothing.
    pub info: BTreeMap<String, String>,
}

/// A problem document of RFC 9457.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// `urn:sightline:problem:<id>`; ids stay.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// As in the response.
    pub status: u16,
    /// What is wrong, and what to do; words that may change.
    pub detail: String,
    /// Each part of the request that is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Flaw>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Flaw {
    /// JSON Pointer into the request's body, such as `/params/fps`.
    pub pointer: String,
    pub detail: String,
}
