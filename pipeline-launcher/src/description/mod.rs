//! Pipeline descriptions: files that say what runs, for whom, and with which parameters.
//!
//! | step | module |
//! |---|---|
//! | the text of a file → [`Description`], all problems at once | [`parse`] |
//! | its elements, values and links against the installed GStreamer | [`installed`] |
//! | what two files may not both have | [`owners`] |
//! | several files → a verdict for each | [`judge`] |
//! | a client's values → [`Resolved`]: launch text and property values | here |
//! | that → GStreamer's pipeline | [`build`] |
//! | a folder of files → the pipelines that can be asked for | [`catalogue`] |
//! | the format itself, as a JSON Schema for editors | [`schema`] |

pub mod build;
pub mod catalogue;
mod fields;
pub mod installed;
pub mod judge;
pub mod launch;
pub mod owners;
pub mod params;
mod parse;
pub mod problem;
pub mod schema;

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sightline_protocol::rpc::{Params, PipelineInfo, PipelineKind};

use crate::models::{Model, Models};
pub use params::{Param, ParamKind, ParamValue, Target};
pub use parse::{draft, parse};
pub use problem::{Problem, Severity};

/// A file in which every field is known to be right.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    pub name: String,
    /// Byte of the file at which the name stands, for messages.
    pub name_start: usize,
    pub kind: PipelineKind,
    pub summary: String,
    pub webrtc: Option<WebRtc>,
    pub params: BTreeMap<String, Param>,
    pub restart: Restart,
    pub worker: Worker,
    pub source: Source,
    /// In gst-launch syntax, with `{name}` for parameters.
    pub launch: String,
    pub launch_place: LaunchPlace,
}

/// The field of the launch text, in messages.
pub(crate) const LAUNCH: &str = "pipeline.launch";

/// Where the launch text stands in the file, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaunchPlace {
    /// Byte of the file at which it begins.
    pub start: usize,
    /// Bytes that TOML takes from each line break: one of `\r\n`. None if the text has escapes.
    per_line: Option<usize>,
}

impl LaunchPlace {
    /// `span` is the value's in the file, with its quotes.
    fn find(source: &str, span: &Range<usize>, text: &str) -> Self {
        let raw = source.get(span.clone()).unwrap_or_default();
        let content = [
            "'''\r\n",
            "'''\n",
            "'''",
            "\"\"\"\r\n",
            "\"\"\"\n",
            "\"\"\"",
            "'",
            "\"",
        ]
        .iter()
        .find_map(|quote| raw.strip_prefix(quote))
        .unwrap_or(raw);
        let per_line = if content.starts_with(text) {
            Some(0)
        } else {
            content.starts_with(&text.replace('\n', "\r\n")).then_some(1)
        };
        Self {
            start: span.end - content.len(),
            per_line,
        }
    }

    /// A span of the text as one of the file; with escapes in the text, its start.
    pub fn span(&self, text: &str, span: &Range<usize>) -> Range<usize> {
        let place = |at: usize| match self.per_line {
            Some(extra) => {
                let lines = text.get(..at).map_or(0, |before| before.matches('\n').count());
                self.start + at + lines * extra
            }
            None => self.start,
        };
        place(span.start)..place(span.end)
    }
}

/// How a session's media come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WebRtc {
    /// What is offered to the peer, best first.
    #[schemars(length(min = 1))]
    pub codecs: Vec<Codec>,
    /// How long a missing packet is waited for at first, in milliseconds.
    #[schemars(range(min = *Self::LATENCY_MS.start(), max = *Self::LATENCY_MS.end()))]
    pub latency_ms: u32,
    /// How far that grows while packets are lost, in milliseconds.
    #[schemars(range(min = *Self::LATENCY_MS.start(), max = *Self::LATENCY_MS.end()))]
    pub max_latency_ms: u32,
    /// What becomes of the peer's audio.
    pub audio: Audio,
    /// True if predictions go to the peer over a data channel named `predictions`, too.
    pub data_channel: bool,
}

impl WebRtc {
    pub const LATENCY_MS: RangeInclusive<u32> = 0..=10_000;
}

impl Default for WebRtc {
    fn default() -> Self {
        Self {
            codecs: Codec::ALL.to_vec(),
            latency_ms: 300,
            max_latency_ms: 600,
            audio: Audio::Ignore,
            data_channel: false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Codec {
    Vp8,
    H264,
    Vp9,
    Av1,
}

impl Codec {
    /// Best first: the cheapest to decode.
    pub const ALL: [Self; 4] = [Self::Vp8, Self::H264, Self::Vp9, Self::Av1];

    /// The name in SDP.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vp8 => "VP8",
            Self::H264 => "H264",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }
}

/// What becomes of a peer's audio, which no pipeline hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Audio {
    /// It is received and thrown away: a client that sends a microphone too need not be told.
    Ignore,
    /// An offer that has it is refused in words.
    Refuse,
}

/// What happens when the pipeline's process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Restart {
    /// Whether it is started again.
    pub policy: RestartPolicy,
    /// More restarts than this within the window, and it stays down.
    #[schemars(range(min = *Self::MAX_RESTARTS.start(), max = *Self::MAX_RESTARTS.end()))]
    pub max_restarts: u32,
    /// The window, in seconds.
    #[schemars(range(min = *Self::WINDOW_SECS.start(), max = *Self::WINDOW_SECS.end()))]
    pub window_secs: u32,
}

impl Restart {
    pub const MAX_RESTARTS: RangeInclusive<u32> = 0..=1000;
    pub const WINDOW_SECS: RangeInclusive<u32> = 1..=86_400;
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    Never,
    OnFailure,
    Always,
}

/// How many of a worker's pipeline run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Worker {
    /// The most that run, as work asks for them.
    pub replicas: Replicas,
    /// The fewest that run, also without work; if not given, as many as `replicas`, and 1 if that is "auto".
    #[schemars(range(min = *Self::REPLICAS.start(), max = *Self::REPLICAS.end()))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<u32>,
}

impl Worker {
    pub const REPLICAS: RangeInclusive<u32> = 0..=256;

    /// The fewest and the most that run on a machine whose cores carry `auto`.
    pub fn range(self, auto: u32) -> RangeInclusive<u32> {
        let (min, max) = match self.replicas {
            Replicas::Auto => (1, auto),
            Replicas::Number(number) => (number, number),
        };
        self.min_replicas.unwrap_or(min).min(max)..=max
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            replicas: Replicas::Auto,
            min_replicas: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Replicas {
    /// What the cores carry.
    Auto,
    #[serde(untagged)]
    Number(#[schemars(range(min = *Worker::REPLICAS.start(), max = *Worker::REPLICAS.end()))] u32),
}

/// What a source is held to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Source {
    /// So many seconds without a frame, and its process is ended, to be started again as `restart` wants it; 0: no limit.
    #[schemars(range(min = *Self::MAX_SILENCE_SECS.start(), max = *Self::MAX_SILENCE_SECS.end()))]
    pub max_silence_secs: u32,
}

impl Source {
    pub const MAX_SILENCE_SECS: RangeInclusive<u32> = 0..=86_400;

    pub fn max_silence(self) -> Duration {
        match self.max_silence_secs {
            0 => Duration::MAX,
            seconds => Duration::from_secs(seconds.into()),
        }
    }
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
    /// Turns names of models into their files, and sets the label file beside each. `default` is taken where none is named.
    pub fn fill_in_models(&mut self, models: &Models, default: &Model) -> Result<(), String> {
        let elements = launch::elements(&self.launch);
        let mut labels = Vec::new();
        for assignment in self
            .assignments
            .iter_mut()
            .filter(|assignment| assignment.is_model)
        {
            let model = if assignment.value.is_empty() {
                default.clone()
            } else {
                models.find(&assignment.value)?
            };
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
            .map_err(|name| vec![format!("`{{{name}}}` cannot stand in the launch text")])?
            .text;
        let mut assignments = Vec::new();
        for (name, value) in &values {
            let is_model = matches!(value, ParamValue::Model(_));
            let targets = self.params.get(name).map_or(&[][..], |param| &param.targets);
            assignments.extend(targets.iter().map(|target| Assignment {
                element: target.element.clone(),
                property: target.property.clone(),
                value: value.as_text(),
                is_model,
            }));
        }
        Ok(Resolved {
            name: self.name.clone(),
            webrtc: self.webrtc.clone(),
            launch,
            assignments,
        })
    }

    /// The models that a client names are known; all errors at once, in words.
    pub fn check_models(&self, given: &Params, models: &Models) -> Result<(), Vec<String>> {
        let error = |(name, value): (&String, &serde_json::Value)| {
            self.params
                .get(name)
                .filter(|param| param.kind == ParamKind::Model)?;
            let error = models.check_name(value.as_str()?).err()?;
            Some(format!("parameter `{name}`: {error}"))
        };
        let errors: Vec<_> = given.iter().filter_map(error).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// What a client may know of it.
    pub fn info(&self) -> PipelineInfo {
        PipelineInfo {
            name: self.name.clone(),
            kind: self.kind,
            summary: self.summary.clone(),
            needs_worker: self.needs_worker(),
            watchable: self.is_watchable(),
            restarts: self.kind == PipelineKind::Source && self.restart.policy != RestartPolicy::Never,
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

    /// True if a session of it has a picture for others to watch.
    pub fn is_watchable(&self) -> bool {
        let elements = launch::elements(&self.launch);
        elements.iter().any(|element| element.factory == "redisvideosink")
    }
}

#[cfg(test)]
mod tests;
