//! What the launch text and the rest of the file say of each other.

use std::ops::Range;

use sightline_protocol::rpc::PipelineKind;

use super::params::Params;
use crate::description::launch::{self, Element};
use crate::description::problem::{Problems, did_you_mean};
use crate::description::{LAUNCH, LaunchPlace};

pub struct Launch<'a> {
    pub text: &'a str,
    pub place: LaunchPlace,
    pub params: &'a Params,
    pub kind: Option<PipelineKind>,
    /// Where `[webrtc]` stands, if it does.
    pub webrtc: Option<Range<usize>>,
}

pub fn check(launch: &Launch<'_>, problems: &mut Problems<'_>) {
    let elements = launch::elements(launch.text);
    check_placeholders(launch, problems);
    for (name, (param, span)) in launch.params {
        let Some(param) = param else { continue };
        for target in &param.targets {
            check_target(name, &target.element, target.at, &elements, problems);
        }
        let is_set = !param.targets.is_empty() || !param.kind.may_stand_in_text();
        if !is_set && !is_used(launch.text, name) {
            let message = "is used nowhere: neither as `{…}` nor with a target";
            problems.warning(span.clone(), format!("params.{name}"), message);
        }
    }
    check_webrtcbin(launch, &elements, problems);
}

fn is_used(text: &str, param: &str) -> bool {
    launch::placeholders(text).iter().any(|(name, _)| name == param)
}

fn check_placeholders(launch: &Launch<'_>, problems: &mut Problems<'_>) {
    for (name, span) in launch::placeholders(launch.text) {
        let span = launch.place.span(launch.text, &span);
        match launch.params.get(&name) {
            None => {
                let hint = did_you_mean(&name, launch.params.keys().map(String::as_str))
                    .unwrap_or_else(|| format!("describe it in a table `[params.{name}]`, or write {{{{{name}}}}} for the text itself"));
                let message = format!("there is no parameter `{name}`");
                problems.error_with_hint(span, LAUNCH, message, Some(hint));
            }
            Some((Some(param), _)) if !param.kind.may_stand_in_text() => {
                let message =
                    format!("the parameter `{name}` is a text, which may not stand in the launch text");
                let hint = format!("set `params.{name}.target` to the property that it is for");
                problems.error_with_hint(span, LAUNCH, message, Some(hint));
            }
            Some(_) => {}
        }
    }
}

fn check_target(param: &str, target: &str, at: usize, elements: &[Element], problems: &mut Problems<'_>) {
    let mut names = elements.iter().filter_map(|element| element.name.as_deref());
    if names.clone().any(|name| name == target) {
        return;
    }
    let hint = did_you_mean(target, names.by_ref())
        .unwrap_or_else(|| format!("give the element a name: `name={target}`"));
    let message = format!("no element in the launch text is named `{target}`");
    let field = format!("params.{param}.target");
    problems.error_with_hint(at..at, field, message, Some(hint));
}

fn check_webrtcbin(launch: &Launch<'_>, elements: &[Element], problems: &mut Problems<'_>) {
    let start = launch.place.start..launch.place.start;
    let webrtcbin = elements.iter().find(|element| element.factory == "webrtcbin");
    match (launch.kind, webrtcbin) {
        (Some(kind), None) if kind.has_peer() => {
            let hint = Some("for example: webrtcbin name=webrtc  webrtc. ! rtpvideodec ! …".to_owned());
            problems.error_with_hint(start, LAUNCH, "a session needs one `webrtcbin`", hint);
        }
        (Some(PipelineKind::Worker | PipelineKind::Source), Some(element)) => {
            let span = launch.place.span(launch.text, &element.span);
            let message = "`webrtcbin` belongs in a pipeline of kind \"session\" or \"viewer\"";
            problems.error(span, LAUNCH, message);
        }
        _ => {}
    }
    if let Some(span) = launch.webrtc.clone().filter(|_| webrtcbin.is_none()) {
        problems.warning(span, "webrtc", "has no effect without a `webrtcbin`");
    }
}
