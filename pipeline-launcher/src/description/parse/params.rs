//! `[params.NAME]`.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;
use sightline_protocol::rpc::ParamType;

use super::choice;
use crate::description::fields::{At, Fields};
use crate::description::params::{Param, ParamKind, Target};

/// Parameters by name, and where each stands in the file. None: there is one, but it is wrong.
pub type Params = BTreeMap<String, (Option<Param>, Range<usize>)>;

pub const TYPES: [(&str, ParamType); 6] = [
    ("integer", ParamType::Integer),
    ("number", ParamType::Number),
    ("boolean", ParamType::Boolean),
    ("enum", ParamType::Enum),
    ("string", ParamType::String),
    ("model", ParamType::Model),
];

pub fn read(fields: &mut Fields<'_, '_, '_>) -> Params {
    let mut params = Params::new();
    for (name, span) in fields.tables("params") {
        let param = fields.table(&["params", &name], |fields| {
            check_name(&name, span.clone(), fields);
            read_param(fields)
        });
        params.insert(name, (param.flatten(), span));
    }
    params
}

fn check_name(name: &str, span: Range<usize>, fields: &mut Fields<'_, '_, '_>) {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        let field = fields.path_of("").trim_end_matches('.').to_owned();
        let message = "a parameter's name has only lower-case letters, digits and `_`";
        fields.problems.error(span, field, message);
    }
}

fn read_param(fields: &mut Fields<'_, '_, '_>) -> Option<Param> {
    let kind = choice(fields, "type", &TYPES);
    let kind = fields.required("type", kind, "type = \"integer\"");
    let default = fields.scalar("default");
    let kind = read_kind(fields, kind);
    let targets = fields.text_or_texts("target");
    let doc = fields.text("doc").map_or_else(String::new, |doc| doc.value);
    let kind = kind?;
    let targets = read_targets(fields, &kind, targets);
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
        targets,
        doc,
    })
}

/// The type with its bounds or values.
fn read_kind(fields: &mut Fields<'_, '_, '_>, kind: Option<ParamType>) -> Option<ParamKind> {
    let (min, max) = (fields.scalar("min"), fields.scalar("max"));
    let values = fields.texts("values");
    let kind = kind?;
    let bounded = matches!(kind, ParamType::Integer | ParamType::Number);
    if !bounded {
        misplaced(
            fields,
            "min",
            min.as_ref(),
            "only an integer or a number has bounds",
        );
        misplaced(
            fields,
            "max",
            max.as_ref(),
            "only an integer or a number has bounds",
        );
    }
    if kind != ParamType::Enum {
        misplaced(fields, "values", values.as_ref(), "only an enum has values");
    }
    match kind {
        ParamType::Integer => {
            let min = bound(fields, "min", min.as_ref(), "an integer", Value::as_i64, i64::MIN)?;
            let (max, at) = (
                bound(fields, "max", max.as_ref(), "an integer", Value::as_i64, i64::MAX)?,
                max,
            );
            ordered(fields, min <= max, at.as_ref()).then_some(ParamKind::Integer { min, max })
        }
        ParamType::Number => {
            let min = bound(fields, "min", min.as_ref(), "a number", Value::as_f64, f64::MIN)?;
            let (max, at) = (
                bound(fields, "max", max.as_ref(), "a number", Value::as_f64, f64::MAX)?,
                max,
            );
            ordered(fields, min <= max, at.as_ref()).then_some(ParamKind::Number { min, max })
        }
        ParamType::Boolean => Some(ParamKind::Boolean),
        ParamType::Enum => read_enum_values(fields, values).map(|values| ParamKind::Enum { values }),
        ParamType::String => Some(ParamKind::String),
        ParamType::Model => Some(ParamKind::Model),
    }
}

fn misplaced<T>(fields: &mut Fields<'_, '_, '_>, name: &str, at: Option<&At<T>>, message: &str) {
    if let Some(at) = at {
        let field = fields.path_of(name);
        fields.problems.error(at.span.clone(), field, message);
    }
}

/// A bound, or what holds without it.
fn bound<T>(
    fields: &mut Fields<'_, '_, '_>,
    name: &str,
    at: Option<&At<Value>>,
    expected: &str,
    convert: impl FnOnce(&Value) -> Option<T>,
    without: T,
) -> Option<T> {
    let Some(at) = at else { return Some(without) };
    let value = convert(&at.value);
    if value.is_none() {
        let message = format!("is {}, not {expected} like the parameter", at.value);
        misplaced(fields, name, Some(at), &message);
    }
    value
}

fn ordered(fields: &mut Fields<'_, '_, '_>, ordered: bool, max: Option<&At<Value>>) -> bool {
    if !ordered {
        misplaced(fields, "max", max, "is below `min`: no value would do");
    }
    ordered
}

/// An enum's values stand in the launch text, so they may only be single harmless words.
fn read_enum_values(fields: &mut Fields<'_, '_, '_>, values: Option<At<Vec<String>>>) -> Option<Vec<String>> {
    let values = fields.required("values", values, "values = [\"fast\", \"good\"]")?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | ':' | '/' | ',');
    for value in &values.value {
        if value.is_empty() || !value.chars().all(allowed) {
            let message = format!("\"{value}\" is not a word of letters, digits and `-_.+:/,`");
            misplaced(fields, "values", Some(&values), &message);
        }
    }
    if values.value.is_empty() {
        misplaced(
            fields,
            "values",
            Some(&values),
            "is empty: name at least one word",
        );
    }
    Some(values.value)
}

fn read_targets(
    fields: &mut Fields<'_, '_, '_>,
    kind: &ParamKind,
    targets: Option<At<Vec<At<String>>>>,
) -> Vec<Target> {
    let field = fields.path_of("target");
    let Some(targets) = targets else {
        if !kind.may_stand_in_text() && !fields.has("target") {
            let message = "is missing: a string or a model reaches an element only as a property's value";
            let hint = Some("for example: target = \"element-name.property\"".to_owned());
            fields
                .problems
                .error_with_hint(fields.span(), field, message, hint);
        }
        return Vec::new();
    };
    if targets.value.is_empty() {
        let message = "is empty: name at least one property";
        fields.problems.error(targets.span, field, message);
        return Vec::new();
    }
    let read = |target: At<String>| match target.value.split_once('.') {
        Some((element, property)) if !element.is_empty() && !property.is_empty() => Some(Target {
            element: element.to_owned(),
            property: property.to_owned(),
            at: target.span.start,
        }),
        _ => {
            let message = "is not of the form `element-name.property`";
            fields.problems.error(target.span, field.clone(), message);
            None
        }
    };
    targets.value.into_iter().filter_map(read).collect()
}
