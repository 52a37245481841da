//! From the text of a file to a [`Description`], with all problems at once.

use std::collections::BTreeMap;
use std::ops::Range;

use sightline_protocol::rpc::{ParamType, PipelineKind};
use toml::de::DeTable;

use super::fields::{At, Fields};
use super::launch;
use super::params::{Param, ParamKind, Target};
use super::problem::{NOWHERE, Problem, Problems, did_you_mean};
use super::{Codec, Description, Restart, RestartPolicy, WebRtc};

/// The version of the format that this program reads.
const SCHEMA: i64 = 1;

/// Reads a description. With errors there is none; with warnings only, there is.
pub fn parse(source: &str) -> (Option<Description>, Vec<Problem>) {
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
    let description = if problems.has_errors() { None } else { description };
    (description, problems.into_sorted())
}

fn read(mut fields: Fields<'_, '_, '_>, source: &str) -> Option<Description> {
    if let Some(schema) = fields.integer("schema").filter(|schema| schema.value != SCHEMA) {
        let message = format!("is {}, but this program reads version {SCHEMA}", schema.value);
        fields.problems.error(schema.span, "schema", message);
    }
    fields.required::<()>("schema", None, "schema = 1");
    let name = fields.text("name");
    let name = fields.required("name", name, "name = \"webrtc-detect\"");
    if let Some(name) = &name {
        check_name(name, &mut fields);
    }
    let kinds = [
        ("session", PipelineKind::Session),
        ("worker", PipelineKind::Worker),
        ("source", PipelineKind::Source),
    ];
    let kind = choice(&mut fields, "kind", &kinds);
    let kind = fields.required("kind", kind, "kind = \"session\"");
    let summary = fields.text("summary");
    let summary = fields.required(
        "summary",
        summary,
        "summary = \"what the pipeline does, in a sentence\"",
    );

    fields.allow("webrtc");
    let webrtc = fields.table(&["webrtc"], read_webrtc);
    let params = read_params(&mut fields);
    fields.allow("restart");
    let restart = fields.table(&["restart"], read_restart).unwrap_or_default();
    fields.allow("pipeline");
    let launch = fields.table(&["pipeline"], |pipeline| {
        let launch = pipeline.text("launch");
        pipeline.required("launch", launch, "launch = \"videotestsrc ! fakesink\"")
    });
    fields.required::<()>("pipeline", None, "[pipeline]");
    fields.finish();
    let launch = launch.flatten()?;
    let launch_start = content_start(source, &launch.span);
    check_launch(
        &mut fields,
        &launch.value,
        launch_start,
        &params,
        kind,
        webrtc.is_some(),
    );
    Some(Description {
        name: name?.value,
        kind: kind?,
        summary: summary?.value,
        webrtc,
        params: params
            .into_iter()
            .map(|(name, (param, _))| (name, param))
            .collect(),
        restart,
        launch: launch.value,
        launch_start,
    })
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
fn bounded(fields: &mut Fields<'_, '_, '_>, name: &'static str, range: Range<i64>, default: u32) -> u32 {
    let Some(number) = fields.integer(name) else {
        return default;
    };
    if !range.contains(&number.value) {
        let field = fields.path_of(name);
        let message = format!(
            "is {}, not from {} to {}",
            number.value,
            range.start,
            range.end - 1
        );
        fields.problems.error(number.span, field, message);
    }
    u32::try_from(number.value).unwrap_or(default)
}

fn read_webrtc(fields: &mut Fields<'_, '_, '_>) -> WebRtc {
    let defaults = WebRtc::default();
    let mut codecs = Vec::new();
    if let Some(names) = fields.texts("codecs") {
        for name in &names.value {
            match Codec::parse(name) {
                Some(codec) if codecs.contains(&codec) => {
                    fields.problems.warning(
                        names.span.clone(),
                        "webrtc.codecs",
                        format!("names {name} twice"),
                    );
                }
                Some(codec) => codecs.push(codec),
                None => {
                    let known = Codec::ALL.map(Codec::name);
                    let message = format!("\"{name}\" is none of {}", known.join(", "));
                    let hint = did_you_mean(&name.to_ascii_uppercase(), known);
                    fields
                        .problems
                        .error_with_hint(names.span.clone(), "webrtc.codecs", message, hint);
                }
            }
        }
        if names.value.is_empty() {
            fields
                .problems
                .error(names.span, "webrtc.codecs", "is empty: name at least one codec");
        }
    } else {
        codecs = defaults.codecs;
    }
    WebRtc {
        codecs,
        latency_ms: bounded(fields, "latency_ms", 0..10_001, defaults.latency_ms),
    }
}

fn read_restart(fields: &mut Fields<'_, '_, '_>) -> Restart {
    let defaults = Restart::default();
    let known = [
        ("never", RestartPolicy::Never),
        ("on_failure", RestartPolicy::OnFailure),
        ("always", RestartPolicy::Always),
    ];
    Restart {
        policy: choice(fields, "policy", &known).unwrap_or(defaults.policy),
        max_restarts: bounded(fields, "max_restarts", 0..1001, defaults.max_restarts),
        window_secs: bounded(fields, "window_secs", 1..86_401, defaults.window_secs),
    }
}

type Params = BTreeMap<String, (Param, Range<usize>)>;

fn read_params(fields: &mut Fields<'_, '_, '_>) -> Params {
    let mut params = Params::new();
    for name in fields.tables("params") {
        let plain = name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let param = fields.table(&["params", &name], |fields| {
            if !plain || name.is_empty() {
                let (span, field) = (fields.span(), fields.path_of(""));
                let message = "a parameter's name has only lower-case letters, digits and `_`";
                fields.problems.error(span, field.trim_end_matches('.'), message);
            }
            read_param(fields).map(|param| (param, fields.span()))
        });
        params.extend(param.flatten().map(|param| (name, param)));
    }
    params
}

fn read_param(fields: &mut Fields<'_, '_, '_>) -> Option<Param> {
    let known = [
        ("integer", ParamType::Integer),
        ("number", ParamType::Number),
        ("boolean", ParamType::Boolean),
        ("enum", ParamType::Enum),
        ("string", ParamType::String),
        ("model", ParamType::Model),
    ];
    let kind = choice(fields, "type", &known);
    let kind = fields.required("type", kind, "type = \"integer\"");
    let default = fields.scalar("default");
    let (min, max) = (fields.scalar("min"), fields.scalar("max"));
    let values = fields.texts("values");
    let target = fields.text("target");
    let doc = fields.text("doc").map_or_else(String::new, |doc| doc.value);
    let kind = kind?;

    for (name, bound) in [("min", &min), ("max", &max)] {
        if bound.is_some() && !matches!(kind, ParamType::Integer | ParamType::Number) {
            let (span, field) = (fields.span(), fields.path_of(name));
            fields
                .problems
                .error(span, field, "only an integer or a number has bounds");
        }
    }
    let kind = match kind {
        ParamType::Integer => {
            let bound = |at: &Option<At<_>>, without| {
                at.as_ref()
                    .map_or(Some(without), |at: &At<serde_json::Value>| at.value.as_i64())
            };
            match (bound(&min, i64::MIN), bound(&max, i64::MAX)) {
                (Some(min), Some(max)) => ParamKind::Integer { min, max },
                _ => {
                    let (span, field) = (fields.span(), fields.path_of("min"));
                    fields
                        .problems
                        .error(span, field, "the bounds of an integer are integers");
                    return None;
                }
            }
        }
        ParamType::Number => {
            let bound = |at: &Option<At<serde_json::Value>>, without: f64| {
                at.as_ref().and_then(|at| at.value.as_f64()).unwrap_or(without)
            };
            ParamKind::Number {
                min: bound(&min, f64::MIN),
                max: bound(&max, f64::MAX),
            }
        }
        ParamType::Boolean => ParamKind::Boolean,
        ParamType::Enum => ParamKind::Enum {
            values: read_enum_values(fields, values)?,
        },
        ParamType::String => ParamKind::String,
        ParamType::Model => ParamKind::Model,
    };
    let target = read_target(fields, &kind, target);
    let default = default.and_then(|at| match kind.read(&at.value) {
        Ok(value) => Some(value),
        Err(error) => {
            let field = fields.path_of("default");
            fields.problems.error(at.span, field, error);
            None
        }
    });
    Some(Param {
        kind,
        default,
        target,
        doc,
    })
}

/// An enum's values stand in the launch text, so they may only be single harmless words.
fn read_enum_values(fields: &mut Fields<'_, '_, '_>, values: Option<At<Vec<String>>>) -> Option<Vec<String>> {
    let values = fields.required("values", values, "values = [\"fast\", \"good\"]")?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | ':' | '/' | ',');
    for value in values
        .value
        .iter()
        .filter(|value| value.is_empty() || !value.chars().all(allowed))
    {
        let field = fields.path_of("values");
        let message = format!("\"{value}\" is not a word of letters, digits and `-_.+:/,`");
        fields.problems.error(values.span.clone(), field, message);
    }
    Some(values.value)
}

fn read_target(
    fields: &mut Fields<'_, '_, '_>,
    kind: &ParamKind,
    target: Option<At<String>>,
) -> Option<Target> {
    let Some(target) = target else {
        if !kind.may_stand_in_text() {
            let (span, field) = (fields.span(), fields.path_of("target"));
            let message = "is missing: a string or a model reaches an element only as a property's value";
            fields.problems.error_with_hint(
                span,
                field,
                message,
                Some("target = \"element-name.property\"".into()),
            );
        }
        return None;
    };
    match target.value.split_once('.') {
        Some((element, property)) if !element.is_empty() && !property.is_empty() => Some(Target {
            element: element.to_owned(),
            property: property.to_owned(),
        }),
        _ => {
            let field = fields.path_of("target");
            fields
                .problems
                .error(target.span, field, "is not of the form `element-name.property`");
            None
        }
    }
}

/// What the launch text and the rest of the file say of each other.
fn check_launch(
    fields: &mut Fields<'_, '_, '_>,
    text: &str,
    start: usize,
    params: &Params,
    kind: Option<PipelineKind>,
    has_webrtc: bool,
) {
    const FIELD: &str = "pipeline.launch";
    let elements = launch::elements(text);
    let placeholders = launch::placeholders(text);
    for (name, span) in &placeholders {
        let span = start + span.start..start + span.end;
        match params.get(name) {
            None => {
                let hint = did_you_mean(name, params.keys().map(String::as_str));
                fields
                    .problems
                    .error_with_hint(span, FIELD, format!("there is no parameter `{name}`"), hint);
            }
            Some((param, _)) if !param.kind.may_stand_in_text() => {
                let message =
                    format!("the parameter `{name}` is a text, which may not stand in the launch text");
                let hint = Some(format!(
                    "set `params.{name}.target` to the property that it is for"
                ));
                fields.problems.error_with_hint(span, FIELD, message, hint);
            }
            Some(_) => {}
        }
    }
    for (name, (param, span)) in params {
        let field = format!("params.{name}");
        if let Some(target) = &param.target {
            if !elements
                .iter()
                .any(|element| element.name.as_deref() == Some(&target.element))
            {
                let names = elements.iter().filter_map(|element| element.name.as_deref());
                let hint = did_you_mean(&target.element, names)
                    .unwrap_or_else(|| format!("give the element a name: `name={}`", target.element));
                let message = format!("no element in the launch text is named `{}`", target.element);
                fields
                    .problems
                    .error_with_hint(span.clone(), field + ".target", message, Some(hint));
            }
        } else if !placeholders.iter().any(|(used, _)| used == name) {
            fields.problems.warning(
                span.clone(),
                field,
                "is used nowhere: neither as `{…}` nor with a target",
            );
        }
    }
    let webrtcbin = elements.iter().find(|element| element.factory == "webrtcbin");
    match (kind, webrtcbin) {
        (Some(PipelineKind::Session), None) => {
            let message = "a session needs one `webrtcbin`";
            fields.problems.error(start..start, FIELD, message);
        }
        (Some(PipelineKind::Worker | PipelineKind::Source), Some(element)) => {
            let span = start + element.span.start..start + element.span.end;
            fields.problems.error(
                span,
                FIELD,
                "`webrtcbin` belongs in a pipeline of kind \"session\"",
            );
        }
        _ => {}
    }
    if has_webrtc && webrtcbin.is_none() {
        fields
            .problems
            .warning(start..start, "webrtc", "has no effect without a `webrtcbin`");
    }
}

/// Where a text's content starts: after its quotes and the line break that TOML drops.
fn content_start(source: &str, span: &Range<usize>) -> usize {
    let text = source.get(span.clone()).unwrap_or_default();
    let quotes = if text.starts_with("'''") || text.starts_with("\"\"\"") {
        3
    } else {
        1
    };
    let dropped = text.get(quotes..).map_or(0, |rest| match rest.as_bytes() {
        [b'\n', ..] if quotes == 3 => 1,
        [b'\r', b'\n', ..] if quotes == 3 => 2,
        _ => 0,
    });
    span.start + quotes + dropped
}
