//! Pipeline descriptions: files that say what runs, for whom, and with which parameters.
//!
//! | step | module |
//! |---|---|
//! | the text of a file → [`Description`], all problems at once | [`parse`] |
//! | its elements and properties against the installed GStreamer | [`installed`] |
//! | a client's values → [`Resolved`]: launch text and property values | here |
//! | a folder of files → the pipelines that can be asked for | [`catalogue`] |

pub mod catalogue;
mod fields;
pub mod installed;
pub mod launch;
pub mod params;
mod parse;
pub mod problem;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sightline_protocol::rpc::{Params, PipelineInfo, PipelineKind};

use crate::models::Models;
pub use params::{Param, ParamKind, ParamValue, Target};
pub use parse::parse;
pub use problem::{Problem, Severity};

/// A file in which every field is known to be right.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    pub name: String,
    pub kind: PipelineKind,
    pub summary: String,
    pub webrtc: Option<WebRtc>,
    pub params: BTreeMap<String, Param>,
    pub restart: Restart,
    /// In gst-launch syntax, with `{name}` for parameters.
    pub launch: String,
    /// Byte of the file at which `launch` begins, for messages.
    pub launch_start: usize,
}

/// How a session's media come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebRtc {
    /// In the order in which they are offered.
    pub codecs: Vec<Codec>,
    /// The jitterbuffer's, in milliseconds.
    pub latency_ms: u32,
}

impl Default for WebRtc {
    fn default() -> Self {
        Self {
            codecs: vec![Codec::Vp8, Codec::H264],
            latency_ms: 50,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Codec {
    Vp8,
    Vp9,
    H264,
}

impl Codec {
    pub const ALL: [Self; 3] = [Self::Vp8, Self::Vp9, Self::H264];

    /// The name in SDP.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::H264 => "H264",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }
}

/// What happens when the pipeline's process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restart {
    pub policy: RestartPolicy,
    /// More restarts than this within the window, and it stays down.
    pub max_restarts: u32,
    pub window_secs: u32,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            policy: RestartPolicy::Never,
            max_restarts: 5,
            window_secs: 60,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    Never,
    OnFailure,
    Always,
}

/// A description with a value for every parameter: what a process runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resolved {
    pub name: String,
    pub webrtc: Option<WebRtc>,
    /// In gst-launch syntax, complete.
    pub launch: String,
    /// Properties to set after parsing.
    pub assignments: Vec<Assignment>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    pub element: String,
    pub property: String,
    pub value: String,
    /// True if the value names a model, which the launcher turns into a path.
    pub is_model: bool,
}

impl Resolved {
    /// Turns names of models into their files, and sets the label file beside each.
    pub fn fill_in_models(&mut self, models: &Models, default: &str) -> Result<(), String> {
        let elements = launch::elements(&self.launch);
        let mut labels = Vec::new();
        for assignment in self
            .assignments
            .iter_mut()
            .filter(|assignment| assignment.is_model)
        {
            let name = if assignment.value.is_empty() {
                default
            } else {
                &assignment.value
            };
            let model = models.find(name)?;
            assignment.value = model.path.display().to_string();
            assignment.is_model = false;
            let element = elements
                .iter()
                .find(|element| element.name.as_deref() == Some(&assignment.element));
            let chosen = element.is_some_and(|element| element.property("labels").is_some());
            if let Some(path) = model.labels.filter(|_| !chosen) {
                let value = path.display().to_string();
                labels.push(Assignment {
                    property: "labels".into(),
                    value,
                    ..assignment.clone()
                });
            }
        }
        self.assignments.extend(labels);
        Ok(())
    }
}

impl Description {
    /// Puts a client's values in; all errors at once, in words.
    pub fn resolve(&self, given: &Params) -> Result<Resolved, Vec<String>> {
        let values = params::resolve(&self.params, given)?;
        let text = |name: &str| values.get(name).and_then(ParamValue::as_launch_text);
        let launch = launch::fill(&self.launch, text)
            .map_err(|name| vec![format!("`{{{name}}}` cannot stand in the launch text")])?;
        let mut assignments = Vec::new();
        for (name, value) in &values {
            let Some(target) = self.params.get(name).and_then(|param| param.target.clone()) else {
                continue;
            };
            let is_model = matches!(value, ParamValue::Model(_));
            let value = match value {
                ParamValue::String(text) | ParamValue::Model(text) => text.clone(),
                other => other.as_launch_text().unwrap_or_default(),
            };
            assignments.push(Assignment {
                element: target.element,
                property: target.property,
                value,
                is_model,
            });
        }
        Ok(Resolved {
            name: self.name.clone(),
            webrtc: self.webrtc.clone(),
            launch,
            assignments,
        })
    }

    /// What a client may know of it.
    pub fn info(&self) -> PipelineInfo {
        PipelineInfo {
            name: self.name.clone(),
            kind: self.kind,
            summary: self.summary.clone(),
            needs_worker: self.needs_worker(),
            params: self
                .params
                .iter()
                .map(|(name, param)| (name.clone(), param.info()))
                .collect(),
        }
    }

    /// True if a session's frames leave it for the worker pool.
    pub fn needs_worker(&self) -> bool {
        self.kind != PipelineKind::Worker
            && launch::elements(&self.launch).iter().any(|element| {
                element.factory == "redisstreamsink" && element.property("payload") != Some("detections")
            })
    }
}

#[cfg(test)]
mod tests;
