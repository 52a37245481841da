//! A pipeline's parameters: their JSON Schema, and all that is wrong with the values that a client gives.
//!
//! The launcher, which knows more (models, files, addresses), has the last word.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sightline_protocol::rest::Flaw;
use sightline_protocol::rpc::{ParamInfo, ParamType, Params, PipelineInfo};
use sightline_protocol::{ErrorId, Failure};

use super::problem::Refusal;

/// Longest text, as the launcher has it.
const MAX_TEXT_BYTES: usize = 4096;
/// From this likeness on a name is taken for a misspelling.
const ALIKE: f64 = 0.8;

/// JSON Schema of an object that holds the parameters.
pub(super) fn schema(pipeline: &PipelineInfo) -> Map<String, Value> {
    let properties: Map<_, _> = pipeline
        .params
        .iter()
        .map(|(name, param)| (name.clone(), param_schema(param)))
        .collect();
    let required: Vec<_> = pipeline
        .params
        .iter()
        .filter(|(_, param)| is_required(param))
        .map(|(name, _)| name)
        .collect();
    let schema = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

fn param_schema(param: &ParamInfo) -> Value {
    let mut schema = Map::new();
    let mut say = |key: &str, value: Value| schema.insert(key.to_owned(), value);
    say("description", param.doc.clone().into());
    match param.kind {
        ParamType::Integer => say("type", "integer".into()),
        ParamType::Number => say("type", "number".into()),
        ParamType::Boolean => say("type", "boolean".into()),
        ParamType::Enum => say("enum", param.values.clone().into()),
        ParamType::String | ParamType::Model => {
            say("maxLength", MAX_TEXT_BYTES.into());
            say("type", "string".into())
        }
    };
    for (key, bound) in [("minimum", param.min), ("maximum", param.max)] {
        match bound {
            Some(bound) if param.kind == ParamType::Integer => say(key, (bound as i64).into()),
            Some(bound) => say(key, bound.into()),
            None => None,
        };
    }
    if let Some(default) = &param.default {
        say("default", default.clone());
    }
    schema.into()
}

/// Without a default the client must say it, but for a model: then the launcher's own is taken.
fn is_required(param: &ParamInfo) -> bool {
    param.default.is_none() && param.kind != ParamType::Model
}

/// All that is wrong, each with the place in the request's body.
pub(crate) fn flaws(known: &BTreeMap<String, ParamInfo>, given: &Params) -> Vec<Flaw> {
    let flaw = |name: &str, detail: String| Flaw {
        pointer: format!("/params/{}", name.replace('~', "~0").replace('/', "~1")),
        detail,
    };
    let mut flaws = Vec::new();
    for (name, value) in given {
        let wrong = match known.get(name) {
            Some(param) => wrong(param, value).map(|words| format!("parameter `{name}`: {words}")),
            None => Some(unknown_param(known, name)),
        };
        flaws.extend(wrong.map(|detail| flaw(name, detail)));
    }
    for (name, param) in known {
        if is_required(param) && !given.contains_key(name) {
            flaws.push(flaw(name, format!("parameter `{name}` must be given")));
        }
    }
    flaws
}

/// A launcher knows more of parameters than can be told here: models, and what addresses are open.
pub(crate) fn refused(failure: Failure) -> Refusal {
    if failure.id != ErrorId::InvalidParam {
        return failure.into();
    }
    let flaw = Flaw {
        pointer: "/params".to_owned(),
        detail: failure.message,
    };
    Refusal::flaws(ErrorId::InvalidParam, vec![flaw])
}

fn wrong(param: &ParamInfo, value: &Value) -> Option<String> {
    let within =
        |number: f64| param.min.is_none_or(|min| number >= min) && param.max.is_none_or(|max| number <= max);
    let range = || match (param.min, param.max) {
        (Some(min), Some(max)) => format!(" from {min} to {max}"),
        (Some(min), None) => format!(" of at least {min}"),
        (None, Some(max)) => format!(" of at most {max}"),
        (None, None) => String::new(),
    };
    match param.kind {
        ParamType::Integer => (!value.as_i64().is_some_and(|number| within(number as f64)))
            .then(|| format!("{value} is not an integer{}", range())),
        ParamType::Number => {
            (!value.as_f64().is_some_and(within)).then(|| format!("{value} is not a number{}", range()))
        }
        ParamType::Boolean => (!value.is_boolean()).then(|| format!("{value} is neither true nor false")),
        ParamType::Enum => {
            let known = |text: &str| param.values.iter().any(|known| known == text);
            (!value.as_str().is_some_and(known))
                .then(|| format!("{value} is none of {}", param.values.join(", ")))
        }
        ParamType::String | ParamType::Model => match value.as_str() {
            None => Some(format!("{value} is not a text")),
            Some(text) if text.len() > MAX_TEXT_BYTES => {
                Some(format!("the text is longer than {MAX_TEXT_BYTES} bytes"))
            }
            Some(text) if text.contains('\0') => Some("the text contains a NUL character".into()),
            Some(_) => None,
        },
    }
}

fn unknown_param(known: &BTreeMap<String, ParamInfo>, name: &str) -> String {
    let hint = match nearest(name, known.keys()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => String::new(),
    };
    format!("there is no parameter `{name}`{hint}")
}

pub(super) fn unknown_pipeline(pipelines: &[PipelineInfo], name: &str) -> Failure {
    let names = || pipelines.iter().map(|info| &info.name);
    let hint = match nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let all: Vec<_> = names().map(String::as_str).collect();
            format!("there are {}", all.join(", "))
        }
    };
    Failure::new(
        ErrorId::UnknownPipeline,
        format!("there is no pipeline `{name}`: {hint}"),
    )
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    known
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(likeness, _)| *likeness > ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn param(kind: ParamType, default: Option<Value>) -> ParamInfo {
        ParamInfo {
            kind,
            default,
            min: None,
            max: None,
            values: Vec::new(),
            doc: "for a test".into(),
        }
    }

    fn pipeline() -> PipelineInfo {
        let fps = ParamInfo {
            min: Some(1.0),
            max: Some(60.0),
            ..param(ParamType::Integer, Some(json!(30)))
        };
        let leaky = ParamInfo {
            values: vec!["no".into(), "downstream".into()],
            ..param(ParamType::Enum, Some(json!("no")))
        };
        serde_json::from_value(json!({
            "name": "uri-detect", "kind": "source", "summary": "", "params": {
                "fps": fps, "leaky": leaky, "uri": param(ParamType::String, None),
                "model": param(ParamType::Model, None), "score": param(ParamType::Number, Some(json!(0.3))),
                "loud": param(ParamType::Boolean, Some(json!(false))),
            }
        }))
        .unwrap()
    }

    #[test]
    fn the_schema_says_what_is_checked() {
        let schema = schema(&pipeline());
        assert_eq!(schema["required"], json!(["uri"]));
        assert_eq!(schema["additionalProperties"], false);
        let fps = json!({"type": "integer", "minimum": 1, "maximum": 60, "default": 30, "description": "for a test"});
        assert_eq!(schema["properties"]["fps"], fps);
        assert_eq!(schema["properties"]["leaky"]["enum"], json!(["no", "downstream"]));
    }

    #[test]
    fn every_flaw_is_named() {
        let given = json!({
            "fps": 61, "leaky": "maybe", "model": 3, "scroe": 1, "score": "high", "loud": 0, "a/b~": 1
        });
        let given: Params = serde_json::from_value(given).unwrap();
        let found: Vec<_> = flaws(&pipeline().params, &given)
            .into_iter()
            .map(|flaw| (flaw.pointer, flaw.detail))
            .collect();
        let expected = [
            ("/params/a~1b~0", "there is no parameter `a/b~`"),
            (
                "/params/fps",
                "parameter `fps`: 61 is not an integer from 1 to 60",
            ),
            (
                "/params/leaky",
                "parameter `leaky`: \"maybe\" is none of no, downstream",
            ),
            ("/params/loud", "parameter `loud`: 0 is neither true nor false"),
            ("/params/model", "parameter `model`: 3 is not a text"),
            ("/params/score", "parameter `score`: \"high\" is not a number"),
            (
                "/params/scroe",
                "there is no parameter `scroe`; did you mean `score`?",
            ),
            ("/params/uri", "parameter `uri` must be given"),
        ];
        let expected: Vec<_> = expected.map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        assert_eq!(found, expected);
    }

    #[test]
    fn good_values_pass() {
        let given =
            json!({"fps": 1, "leaky": "no", "uri": "http://a/", "model": "m", "score": 1, "loud": true});
        let given: Params = serde_json::from_value(given).unwrap();
        assert_eq!(flaws(&pipeline().params, &given), []);
        let long = Params::from([("uri".into(), json!("x".repeat(4097)))]);
        assert!(
            flaws(&pipeline().params, &long)[0]
                .detail
                .contains("longer than 4096")
        );
    }
}
