//! From the text of a file to a [`Description`], with all problems at once.

mod launch;
mod params;

use std::ops::RangeInclusive;

use serde_json::Value;
use sightline_protocol::rpc::PipelineKind;
use toml::de::DeTable;

use super::fields::{At, Fields};
use super::problem::{NOWHERE, Problem, Problems, Severity, did_you_mean};
use super::{
    Audio, Codec, Description, LaunchPlace, Replicas, Restart, RestartPolicy, Source, WebRtc, Worker,
};

/// The version of the format that this program reads.
const SCHEMA: i64 = 1;

const KINDS: [(&str, PipelineKind); 4] = [
    ("session", PipelineKind::Session),
    ("worker", PipelineKind::Worker),
    ("source", PipelineKind::Source),
    ("viewer", PipelineKind::Viewer),
];

const AUDIO: [(&str, Audio); 2] = [("ignore", Audio::Ignore), ("refuse", Audio::Refuse)];
const POLICIES: [(&str, RestartPolicy); 3] = [
    ("never", RestartPolicy::Never),
    ("on_failure", RestartPolicy::OnFailure),
    ("always", RestartPolicy::Always),
];

/// Reads a description. With errors there is none; with warnings only, there is.
pub fn parse(source: &str) -> (Option<Description>, Vec<Problem>) {
    let (draft, problems) = draft(source);
    let good = problems.iter().all(|problem| problem.severity < Severity::Error);
    (draft.filter(|_| good), problems)
}

/// Reads what there is of a description, so that the rest of a file with errors can be checked too.
pub fn draft(source: &str) -> (Option<Description>, Vec<Problem>) {
    let mut problems = Problems::new(source);
    let (table, syntax) = DeTable::parse_recoverable(source);
    for error in &syntax {
        problems.error(
            error.span().unwrap_or(NOWHERE),
            "",
            format!("not valid TOML: {}", error.message()),
        );
    }
    // What follows a syntax error is often read wrongly: more messages would mislead.
    let description = if syntax.is_empty() {
        read(Fields::new(&table, &mut problems), source)
    } else {
        None
    };
    (description, problems.into_sorted())
}

fn read(mut fields: Fields<'_, '_, '_>, source: &str) -> Option<Description> {
    read_schema(&mut fields);
    let name = fields.text("name");
    let name = fields.required("name", name, "name = \"webrtc-detect\"");
    if let Some(name) = &name {
        check_name(name, &mut fields);
    }
    let kind = choice(&mut fields, "kind", &KINDS);
    let kind = fields.required("kind", kind, "kind = \"session\"");
    let summary = fields.text("summary");
    let example = "summary = \"what the pipeline does, in a sentence\"";
    let summary = fields.required("summary", summary, example);
    fields.allow("webrtc");
    let webrtc = fields.table(&["webrtc"], |fields| (read_webrtc(fields), fields.span()));
    let (webrtc, webrtc_span) = webrtc.unzip();
    let params = params::read(&mut fields);
    fields.allow("restart");
    let restart = fields.table(&["restart"], read_restart).unwrap_or_default();
    fields.allow("worker");
    let worker = fields.table(&["worker"], |fields| read_worker(fields, kind));
    fields.allow("source");
    let source_limits = fields.table(&["source"], |fields| read_source(fields, kind));
    fields.allow("pipeline");
    let launch = fields.table(&["pipeline"], |pipeline| {
        let launch = pipeline.text("launch");
        pipeline.required("launch", launch, "launch = \"videotestsrc ! fakesink\"")
    });
    fields.required::<()>("pipeline", None, "[pipeline]");
    fields.finish();
    let launch = launch.flatten()?;
    let launch_place = LaunchPlace::find(source, &launch.span, &launch.value);
    let check = launch::Launch {
        text: &launch.value,
        place: launch_place,
        params: &params,
        kind,
        webrtc: webrtc_span,
    };
    launch::check(&check, fields.problems);
    let name_start = name.as_ref().map_or(0, |name| name.span.start);
    Some(Description {
        name: name.map_or_else(String::new, |name| name.value),
        name_start,
        kind: kind.unwrap_or(PipelineKind::Source),
        summary: summary.map_or_else(String::new, |summary| summary.value),
        webrtc,
        params: params
            .into_iter()
            .filter_map(|(name, (param, _))| Some((name, param?)))
            .collect(),
        restart,
        worker: worker.unwrap_or_default(),
        source: source_limits.unwrap_or_default(),
        launch: launch.value,
        launch_place,
    })
}

fn read_schema(fields: &mut Fields<'_, '_, '_>) {
    if let Some(schema) = fields.integer("schema").filter(|schema| schema.value != SCHEMA) {
        let message = format!("is {}, but this program reads version {SCHEMA}", schema.value);
        fields.problems.error(schema.span, "schema", message);
    }
    fields.required::<()>("schema", None, "schema = 1");
}

/// A name becomes part of addresses and log lines.
fn check_name(name: &At<String>, fields: &mut Fields<'_, '_, '_>) {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let starts = name.value.starts_with(|c: char| c.is_ascii_lowercase());
    if !starts || name.value.len() > 64 || !name.value.chars().all(allowed) {
        let message = "is not 1 to 64 lower-case letters, digits and `-`, starting with a letter";
        fields.problems.error(name.span.clone(), "name", message);
    }
}

/// One of the named values.
fn choice<T: Copy>(fields: &mut Fields<'_, '_, '_>, name: &'static str, known: &[(&str, T)]) -> Option<T> {
    let text = fields.text(name)?;
    let found = known
        .iter()
        .find(|(known, _)| *known == text.value)
        .map(|(_, value)| *value);
    if found.is_none() {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        let hint = did_you_mean(&text.value, names.iter().copied());
        let field = fields.path_of(name);
        let message = format!("is \"{}\", which is none of {}", text.value, names.join(", "));
        fields.problems.error_with_hint(text.span, field, message, hint);
    }
    found
}

/// An integer within bounds, or the default.
fn bounded(
    fields: &mut Fields<'_, '_, '_>,
    name: &'static str,
    range: RangeInclusive<u32>,
    default: u32,
) -> u32 {
    let Some(number) = fields.integer(name) else {
        return default;
    };
    let value = u32::try_from(number.value)
        .ok()
        .filter(|value| range.contains(value));
    if value.is_none() {
        let field = fields.path_of(name);
        let message = format!(
            "is {}, not from {} to {}",
            number.value,
            range.start(),
            range.end()
        );
        fields.problems.error(number.span, field, message);
    }
    value.unwrap_or(default)
}

fn read_webrtc(fields: &mut Fields<'_, '_, '_>) -> WebRtc {
    let defaults = WebRtc::default();
    let names = fields.texts("codecs");
    WebRtc {
        codecs: names.map_or(defaults.codecs, |names| read_codecs(fields, &names)),
        latency_ms: bounded(fields, "latency_ms", WebRtc::LATENCY_MS, defaults.latency_ms),
        max_latency_ms: bounded(
            fields,
            "max_latency_ms",
            WebRtc::LATENCY_MS,
            defaults.max_latency_ms,
        ),
        audio: choice(fields, "audio", &AUDIO).unwrap_or(defaults.audio),
        data_channel: fields
            .boolean("data_channel")
            .map_or(defaults.data_channel, |at| at.value),
    }
}

fn read_codecs(fields: &mut Fields<'_, '_, '_>, names: &At<Vec<String>>) -> Vec<Codec> {
    const FIELD: &str = "webrtc.codecs";
    let mut codecs = Vec::new();
    for name in &names.value {
        let span = names.span.clone();
        match Codec::parse(name) {
            Some(codec) if codecs.contains(&codec) => {
                fields
                    .problems
                    .warning(span, FIELD, format!("names {name} twice"));
            }
            Some(codec) => codecs.push(codec),
            None => {
                let known = Codec::ALL.map(Codec::name);
                let message = format!("\"{name}\" is none of {}", known.join(", "));
                let hint = did_you_mean(name, known);
                fields.problems.error_with_hint(span, FIELD, message, hint);
            }
        }
    }
    if names.value.is_empty() {
        let message = "is empty: name at least one codec";
        fields.problems.error(names.span.clone(), FIELD, message);
    }
    codecs
}

fn read_restart(fields: &mut Fields<'_, '_, '_>) -> Restart {
    let defaults = Restart::default();
    Restart {
        policy: choice(fields, "policy", &POLICIES).unwrap_or(defaults.policy),
        max_restarts: bounded(
            fields,
            "max_restarts",
            Restart::MAX_RESTARTS,
            defaults.max_restarts,
        ),
        window_secs: bounded(fields, "window_secs", Restart::WINDOW_SECS, defaults.window_secs),
    }
}

fn read_source(fields: &mut Fields<'_, '_, '_>, kind: Option<PipelineKind>) -> Source {
    if kind.is_some_and(|kind| kind != PipelineKind::Source) {
        let message = "has an effect only in a pipeline of kind \"source\"";
        fields.problems.warning(fields.span(), "source", message);
    }
    let default = Source::default().max_silence_secs;
    Source {
        max_silence_secs: bounded(fields, "max_silence_secs", Source::MAX_SILENCE_SECS, default),
    }
}

fn read_worker(fields: &mut Fields<'_, '_, '_>, kind: Option<PipelineKind>) -> Worker {
    if kind.is_some_and(|kind| kind != PipelineKind::Worker) {
        let message = "has an effect only in a pipeline of kind \"worker\"";
        fields.problems.warning(fields.span(), "worker", message);
    }
    let min_replicas = fields
        .has("min_replicas")
        .then(|| bounded(fields, "min_replicas", Worker::REPLICAS, 0));
    let given = fields.scalar("replicas");
    let replicas = given.map_or(Worker::default().replicas, |at| {
        read_replicas(fields, &at, min_replicas.unwrap_or(0))
    });
    Worker {
        replicas,
        min_replicas,
    }
}

fn read_replicas(fields: &mut Fields<'_, '_, '_>, at: &At<Value>, min: u32) -> Replicas {
    if at.value == "auto" {
        return Replicas::Auto;
    }
    let number = at.value.as_u64().and_then(|number| u32::try_from(number).ok());
    let number = number.filter(|number| Worker::REPLICAS.contains(number));
    let (first, last) = (Worker::REPLICAS.start(), Worker::REPLICAS.end());
    let message = match number {
        None => Some(format!(
            "is {}, neither \"auto\" nor from {first} to {last}",
            at.value
        )),
        Some(number) if number < min => Some(format!("is {number}, below `min_replicas`, which is {min}")),
        Some(_) => None,
    };
    if let Some(message) = message {
        let field = fields.path_of("replicas");
        fields.problems.error(at.span.clone(), field, message);
    }
    number.map_or(Replicas::Auto, Replicas::Number)
}
