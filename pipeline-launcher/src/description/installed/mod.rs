//! Checks a description against the GStreamer that is installed, before anything starts.
//!
//! The launch text is checked as it would run: with every parameter at its default, and with each in turn at every
//! extreme that a client may choose.

mod caps;
mod differences;
mod factories;
mod links;
mod values;
mod vocabulary;

use std::collections::{BTreeMap, BTreeSet};

use gst::prelude::*;

use super::launch::{self, Filled};
use super::problem::{Problem, Problems, Severity, did_you_mean};
use super::{Description, LAUNCH, ParamKind, ParamValue, build};

/// Something wrong with a launch text.
#[derive(Debug)]
struct Finding {
    severity: Severity,
    /// Byte of the text.
    at: usize,
    message: String,
    hint: Option<String>,
}

impl Finding {
    fn error(at: usize, message: String, hint: Option<String>) -> Self {
        Self {
            severity: Severity::Error,
            at,
            message,
            hint,
        }
    }

    fn warning(at: usize, message: String, hint: Option<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(at, message, hint)
        }
    }
}

/// The launch text with a value for each parameter.
struct Variant {
    filled: Filled,
    /// The parameter that is not at its default, and its value.
    chosen: Option<(String, String)>,
}

/// What GStreamer would not accept of the description. `source` is the file's text.
///
/// Needs `gst::init`, and starts nothing.
pub fn check(description: &Description, source: &str) -> Vec<Problem> {
    let mut problems = Problems::new(source);
    check_targets(description, &mut problems);
    let variants = variants(description);
    let mut known = unknown_placeholders(description);
    for variant in &variants {
        let found = check_text(&variant.filled.text);
        report(variant, found, description, &mut known, &mut problems);
    }
    // GStreamer itself has the last word; it knows one error at a time.
    for variant in &variants {
        if problems.has_errors() {
            break;
        }
        let found = build::parse(&variant.filled.text)
            .err()
            .map(|error| Finding::error(0, format!("GStreamer refuses it: {error}"), None));
        report(
            variant,
            found.into_iter().collect(),
            description,
            &mut known,
            &mut problems,
        );
    }
    problems.into_sorted()
}

fn check_text(text: &str) -> Vec<Finding> {
    let launch = launch::read(text);
    let mut found: Vec<_> = launch.elements.iter().flat_map(check_element).collect();
    let mut bad_caps = Vec::new();
    for caps in launch.links.iter().filter_map(|link| link.caps.clone()) {
        let wrong = caps::check(&text[caps.clone()], caps.start);
        if !wrong.is_empty() {
            bad_caps.push(caps);
        }
        found.extend(wrong);
    }
    found.extend(links::check(&launch, text, &bad_caps));
    found
}

fn check_element(element: &launch::Element) -> Vec<Finding> {
    let at = element.span.start;
    match factories::class(&element.factory) {
        Some(class) => values::check(element, &class),
        None => {
            let message = format!("there is no element `{}`", element.factory);
            vec![Finding::error(
                at,
                message,
                Some(factories::unknown_hint(&element.factory)),
            )]
        }
    }
}

/// Adds what is not known yet from another variant.
fn report(
    variant: &Variant,
    found: Vec<Finding>,
    description: &Description,
    known: &mut BTreeSet<usize>,
    problems: &mut Problems<'_>,
) {
    let mut new = BTreeSet::new();
    for finding in found {
        let at = variant.filled.origin(finding.at);
        if known.contains(&at) {
            continue;
        }
        new.insert(at);
        let (mut message, mut hint) = (finding.message, finding.hint);
        if let Some((param, value)) = &variant.chosen {
            message = format!("{message}, when the parameter `{param}` is {}", short(value));
            let bounds = || format!("`min` and `max` in `[params.{param}]` keep it in bounds");
            let is_number = value.parse::<f64>().is_ok();
            hint = hint.or_else(|| is_number.then(bounds));
        }
        let span = description.launch_place.span(&description.launch, &(at..at));
        problems.push(finding.severity, span, LAUNCH.to_owned(), message, hint);
    }
    known.append(&mut new);
}

/// A value for a message: its beginning, if it is long.
fn short(value: &str) -> String {
    const LENGTH: usize = 40;
    match value.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

/// The text with all defaults, then with each parameter in turn at each of its extremes.
fn variants(description: &Description) -> Vec<Variant> {
    let defaults: BTreeMap<_, _> = description
        .params
        .iter()
        .filter_map(|(name, param)| {
            let value = param.default.clone().or_else(|| usual(&param.kind));
            Some((name.as_str(), value?.as_launch_text()?))
        })
        .collect();
    let with = |chosen: Option<(String, String)>| {
        let value = |name: &str| match &chosen {
            Some((param, value)) if param == name => Some(value.clone()),
            // A placeholder that nothing may fill has been reported.
            _ => Some(defaults.get(name).map_or_else(|| "1".to_owned(), String::clone)),
        };
        let filled = launch::fill(&description.launch, value).ok()?;
        Some(Variant { filled, chosen })
    };
    let used: BTreeSet<_> = launch::placeholders(&description.launch)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let mut variants: Vec<_> = with(None).into_iter().collect();
    for (name, param) in description.params.iter().filter(|(name, _)| used.contains(*name)) {
        let texts = extremes(&param.kind)
            .into_iter()
            .filter_map(|value| value.as_launch_text());
        variants.extend(texts.filter_map(|text| with(Some((name.clone(), text)))));
    }
    variants
}

/// Where placeholders stand that nothing may fill: they have been reported, and what follows from them is no news.
fn unknown_placeholders(description: &Description) -> BTreeSet<usize> {
    let placeholders = launch::placeholders(&description.launch).into_iter();
    let unknown = placeholders.filter(|(name, _)| {
        let param = description.params.get(name);
        !param.is_some_and(|param| param.kind.may_stand_in_text())
    });
    unknown.map(|(_, span)| span.start).collect()
}

/// A value that few properties refuse, for a parameter without a default.
fn usual(kind: &ParamKind) -> Option<ParamValue> {
    match kind {
        ParamKind::Integer { min, max } => Some(ParamValue::Integer(1.clamp(*min, *max))),
        ParamKind::Number { min, max } => Some(ParamValue::Number(1.0_f64.clamp(*min, *max))),
        other => extremes(other).into_iter().next(),
    }
}

/// The values that a client may choose, or the ends of their range.
fn extremes(kind: &ParamKind) -> Vec<ParamValue> {
    match kind {
        ParamKind::Integer { min, max } => vec![ParamValue::Integer(*min), ParamValue::Integer(*max)],
        ParamKind::Number { min, max } => vec![ParamValue::Number(*min), ParamValue::Number(*max)],
        ParamKind::Boolean => vec![ParamValue::Boolean(false), ParamValue::Boolean(true)],
        ParamKind::Enum { values } => values.iter().cloned().map(ParamValue::Enum).collect(),
        ParamKind::String | ParamKind::Model => Vec::new(),
    }
}

/// Each target is a property that takes what a client may give.
fn check_targets(description: &Description, problems: &mut Problems<'_>) {
    let elements = launch::elements(&description.launch);
    let params = description.params.iter();
    for (name, param, target) in
        params.flat_map(|(name, param)| param.targets.iter().map(move |target| (name, param, target)))
    {
        let element = elements
            .iter()
            .find(|element| element.name.as_deref() == Some(&target.element));
        let Some(class) = element.and_then(|element| factories::class(&element.factory)) else {
            continue;
        };
        let found = match class.find_property(&target.property) {
            Some(spec) => check_target_values(&target.element, &spec, param),
            None => {
                let message = format!(
                    "the element `{}` has no property `{}`",
                    target.element, target.property
                );
                let known = class.list_properties();
                let hint = did_you_mean(&target.property, known.iter().map(|spec| spec.name()));
                Some((message, hint))
            }
        };
        if let Some((message, hint)) = found {
            let field = format!("params.{name}.target");
            problems.error_with_hint(target.at..target.at, field, message, hint);
        }
    }
}

fn check_target_values(
    element: &str,
    spec: &glib::ParamSpec,
    param: &super::Param,
) -> Option<(String, Option<String>)> {
    if let Err(reason) = build::may_be_set(spec) {
        return Some((format!("`{}` of `{element}` {reason}", spec.name()), None));
    }
    // What a client will write into a text is its own business; the default is the file's.
    let values = param.default.iter().cloned().chain(extremes(&param.kind));
    values
        .filter(|value| !matches!(value, ParamValue::Model(_)))
        .find_map(|value| {
            let found = values::check_value(element, spec, &value.as_text(), 0);
            found
                .into_iter()
                .next()
                .map(|finding| (finding.message, finding.hint))
        })
}
