//! Checks a description's elements and properties against the GStreamer that is installed.

use std::ops::Range;

use gst::prelude::*;

use super::launch::{self, Element, Property};
use super::problem::{Problem, Problems, did_you_mean};
use super::{Description, ParamValue};

/// What GStreamer would not accept of the description. `source` is the file's text.
///
/// Needs `gst::init`, and starts nothing.
pub fn check(description: &Description, source: &str) -> Vec<Problem> {
    let mut problems = Problems::new(source);
    for element in launch::elements(&description.launch) {
        check_element(&element, description, &mut problems);
    }
    check_targets(description, &mut problems);
    if !problems.has_errors() {
        check_as_a_whole(description, &mut problems);
    }
    problems.into_sorted()
}

const FIELD: &str = "pipeline.launch";

fn in_file(description: &Description, span: &Range<usize>) -> Range<usize> {
    description.launch_start + span.start..description.launch_start + span.end
}

fn check_element(element: &Element, description: &Description, problems: &mut Problems<'_>) {
    let span = in_file(description, &element.span);
    let Some(class) = class_of(&element.factory) else {
        let message = format!("there is no element `{}`", element.factory);
        problems.error_with_hint(span, FIELD, message, Some(unknown_element_hint(&element.factory)));
        return;
    };
    for Property { key, span, .. } in &element.properties {
        // `child::property` is resolved by the element itself.
        if key.contains("::") || class.has_property(key) {
            continue;
        }
        let message = format!("`{}` has no property `{key}`", element.factory);
        let hint = did_you_mean(key, class.list_properties().iter().map(|spec| spec.name()));
        problems.error_with_hint(in_file(description, span), FIELD, message, hint);
    }
}

/// The class of an element; its plugin is loaded, no element is made.
fn class_of(factory: &str) -> Option<glib::object::ClassRef<'static, glib::Object>> {
    let factory = gst::ElementFactory::find(factory)?
        .load()
        .ok()?
        .downcast::<gst::ElementFactory>()
        .ok()?;
    glib::object::Class::<glib::Object>::from_type(factory.element_type())
}

fn unknown_element_hint(word: &str) -> String {
    let factories = gst::Registry::get().features(gst::ElementFactory::static_type());
    let names: Vec<_> = factories.iter().map(|factory| factory.name()).collect();
    did_you_mean(word, names.iter().map(|name| name.as_str())).unwrap_or_else(|| {
        "`gst-inspect-1.0` lists the elements that are installed; a plugin's package may be missing"
            .to_owned()
    })
}

fn check_targets(description: &Description, problems: &mut Problems<'_>) {
    let elements = launch::elements(&description.launch);
    for (name, param) in &description.params {
        let Some(target) = &param.target else { continue };
        let element = elements
            .iter()
            .find(|element| element.name.as_deref() == Some(&target.element));
        let Some(class) = element.and_then(|element| class_of(&element.factory)) else {
            continue;
        };
        if !class.has_property(&target.property) {
            let message = format!(
                "the element `{}` has no property `{}`",
                target.element, target.property
            );
            let hint = did_you_mean(
                &target.property,
                class.list_properties().iter().map(|spec| spec.name()),
            );
            let span = description.launch_start..description.launch_start;
            problems.error_with_hint(span, format!("params.{name}.target"), message, hint);
        }
    }
}

/// GStreamer parses the text, with each parameter's default or some value in its range.
fn check_as_a_whole(description: &Description, problems: &mut Problems<'_>) {
    let value = |name: &str| {
        let param = description.params.get(name)?;
        param
            .default
            .clone()
            .or_else(|| some_value(&param.kind))?
            .as_launch_text()
    };
    let Ok(text) = launch::fill(&description.launch, value) else {
        return;
    };
    if let Err(error) = gst::parse::launch_full(&text, None, gst::ParseFlags::FATAL_ERRORS) {
        let span = description.launch_start..description.launch_start;
        problems.error(span, FIELD, format!("GStreamer refuses it: {}", error.message()));
    }
}

fn some_value(kind: &super::ParamKind) -> Option<ParamValue> {
    match kind {
        super::ParamKind::Integer { min, .. } => Some(ParamValue::Integer((*min).max(1))),
        super::ParamKind::Number { min, .. } => Some(ParamValue::Number(min.max(1.0))),
        super::ParamKind::Boolean => Some(ParamValue::Boolean(false)),
        super::ParamKind::Enum { values } => values.first().cloned().map(ParamValue::Enum),
        super::ParamKind::String | super::ParamKind::Model => None,
    }
}
