//! A pipeline's typed parameters, and the values that a client gives them.

use std::collections::BTreeMap;

use serde_json::Value;
use sightline_protocol::rpc::{ParamInfo, ParamType, Params};

use super::problem::did_you_mean;

/// Longest string value; a file name or a camera's address fits.
const MAX_STRING_BYTES: usize = 4096;

#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    pub kind: ParamKind,
    /// The value if the client gives none; without it the client must, but for a model: that is the launcher's.
    pub default: Option<ParamValue>,
    /// All of them take the value.
    pub targets: Vec<Target>,
    pub doc: String,
}

impl Param {
    pub fn is_for(&self, element: &str, property: &str) -> bool {
        let is_it = |target: &Target| target.element == element && target.property == property;
        self.targets.iter().any(is_it)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum ParamKind {
    Integer { min: i64, max: i64 },
    Number { min: f64, max: f64 },
    Boolean,
    Enum { values: Vec<String> },
    String,
    Model,
}

/// The property that a string or a model sets after the pipeline has been parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub element: String,
    pub property: String,
    /// Byte of the file, for messages.
    pub at: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ParamValue {
    Integer(i64),
    Number(f64),
    Boolean(bool),
    /// One of the values that the description lists.
    Enum(String),
    String(String),
    Model(String),
}

impl ParamValue {
    /// The text in a launch line, if the value may stand in one: never a string's.
    pub fn as_launch_text(&self) -> Option<String> {
        match self {
            Self::Integer(value) => Some(value.to_string()),
            Self::Number(value) => Some(value.to_string()),
            Self::Boolean(value) => Some(value.to_string()),
            Self::Enum(value) => Some(value.clone()),
            Self::String(_) | Self::Model(_) => None,
        }
    }
}

impl ParamValue {
    /// The text that a target property is set from.
    pub fn as_text(&self) -> String {
        match self {
            Self::String(text) | Self::Model(text) => text.clone(),
            other => other.as_launch_text().unwrap_or_default(),
        }
    }

    pub fn to_json(&self) -> Value {
        match self {
            Self::Integer(number) => Value::from(*number),
            Self::Number(number) => Value::from(*number),
            Self::Boolean(flag) => Value::from(*flag),
            Self::Enum(text) | Self::String(text) | Self::Model(text) => Value::from(text.as_str()),
        }
    }
}

impl ParamKind {
    pub fn as_type(&self) -> ParamType {
        match self {
            Self::Integer { .. } => ParamType::Integer,
            Self::Number { .. } => ParamType::Number,
            Self::Boolean => ParamType::Boolean,
            Self::Enum { .. } => ParamType::Enum,
            Self::String => ParamType::String,
            Self::Model => ParamType::Model,
        }
    }

    /// True if the value can be written into the launch text by `{name}`.
    pub fn may_stand_in_text(&self) -> bool {
        !matches!(self, Self::String | Self::Model)
    }

    /// Reads a value as JSON has it; the error says what would be right.
    pub fn read(&self, value: &Value) -> Result<ParamValue, String> {
        match self {
            Self::Integer { min, max } => match value.as_i64() {
                Some(number) if (*min..=*max).contains(&number) => Ok(ParamValue::Integer(number)),
                _ => Err(format!("{value} is not an integer from {min} to {max}")),
            },
            Self::Number { min, max } => match value.as_f64() {
                Some(number) if (*min..=*max).contains(&number) => Ok(ParamValue::Number(number)),
                _ => Err(format!("{value} is not a number from {min} to {max}")),
            },
            Self::Boolean => value
                .as_bool()
                .map(ParamValue::Boolean)
                .ok_or_else(|| format!("{value} is neither true nor false")),
            Self::Enum { values } => match value.as_str() {
                Some(text) if values.iter().any(|known| known == text) => {
                    Ok(ParamValue::Enum(text.to_owned()))
                }
                _ => Err(format!("{value} is none of {}", values.join(", "))),
            },
            Self::String | Self::Model => match value.as_str() {
                Some(text) if text.len() > MAX_STRING_BYTES => {
                    Err(format!("the text is longer than {MAX_STRING_BYTES} bytes"))
                }
                Some(text) if text.contains('\0') => Err("the text contains a NUL character".into()),
                Some(text) if *self == Self::Model => Ok(ParamValue::Model(text.to_owned())),
                Some(text) => Ok(ParamValue::String(text.to_owned())),
                None => Err(format!("{value} is not a text")),
            },
        }
    }

    /// Reads a value as typed on a command line.
    pub fn read_text(&self, text: &str) -> Result<ParamValue, String> {
        let value = match self {
            Self::Enum { .. } | Self::String | Self::Model => Value::String(text.to_owned()),
            _ => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
        };
        self.read(&value)
    }
}

impl Param {
    /// What a client may know of it.
    pub fn info(&self) -> ParamInfo {
        let (min, max) = match &self.kind {
            ParamKind::Integer { min, max } => (bound(*min as f64), bound(*max as f64)),
            ParamKind::Number { min, max } => (bound(*min), bound(*max)),
            _ => (None, None),
        };
        let values = match &self.kind {
            ParamKind::Enum { values } => values.clone(),
            _ => Vec::new(),
        };
        let default = self.default.as_ref().map(ParamValue::to_json);
        ParamInfo {
            kind: self.kind.as_type(),
            default,
            min,
            max,
            values,
            doc: self.doc.clone(),
        }
    }
}

/// A bound that says something.
fn bound(value: f64) -> Option<f64> {
    (value.abs() < i64::MAX as f64).then_some(value)
}

/// Every parameter's value: the client's, or the default. All errors at once.
pub fn resolve(
    params: &BTreeMap<String, Param>,
    given: &Params,
) -> Result<BTreeMap<String, ParamValue>, Vec<String>> {
    let mut errors = Vec::new();
    for name in given.keys().filter(|name| !params.contains_key(*name)) {
        let hint = did_you_mean(name, params.keys().map(String::as_str)).map(|hint| format!("; {hint}"));
        errors.push(format!(
            "there is no parameter `{name}`{}",
            hint.unwrap_or_default()
        ));
    }
    let mut values = BTreeMap::new();
    for (name, param) in params {
        let value = match given.get(name) {
            Some(value) => param
                .kind
                .read(value)
                .map_err(|error| format!("parameter `{name}`: {error}")),
            // Without a default of its own a model is the launcher's.
            None if param.kind == ParamKind::Model && param.default.is_none() => {
                Ok(ParamValue::Model(String::new()))
            }
            None => param
                .default
                .clone()
                .ok_or_else(|| format!("parameter `{name}` must be given")),
        };
        match value {
            Ok(value) => drop(values.insert(name.clone(), value)),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(values)
    } else {
        Err(errors)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fps() -> BTreeMap<String, Param> {
        let kind = ParamKind::Integer { min: 1, max: 60 };
        let param = Param {
            kind,
            default: Some(ParamValue::Integer(30)),
            targets: Vec::new(),
            doc: String::new(),
        };
        BTreeMap::from([("fps".to_owned(), param)])
    }

    fn given(name: &str, value: Value) -> Params {
        Params::from([(name.to_owned(), value)])
    }

    #[test]
    fn defaults_fill_in() {
        let values = resolve(&fps(), &Params::new()).unwrap();
        assert_eq!(values["fps"], ParamValue::Integer(30));
        assert_eq!(
            resolve(&fps(), &given("fps", json!(15))).unwrap()["fps"],
            ParamValue::Integer(15)
        );
    }

    #[test]
    fn wrong_values_are_refused_in_words() {
        for (value, words) in [
            (json!(0), "0 is not an integer from 1 to 60"),
            (json!("30 ! filesink location=/etc/passwd"), "is not an integer"),
            (json!(1.5), "1.5 is not an integer"),
            (json!(null), "null is not an integer"),
        ] {
            let errors = resolve(&fps(), &given("fps", value)).unwrap_err();
            assert!(errors[0].contains(words), "{errors:?}");
        }
        let errors = resolve(&fps(), &given("fsp", json!(1))).unwrap_err();
        assert_eq!(errors, ["there is no parameter `fsp`; did you mean `fps`?"]);
        let errors = resolve(&fps(), &given("fpss", json!(1))).unwrap_err();
        assert_eq!(errors, ["there is no parameter `fpss`; did you mean `fps`?"]);
    }

    #[test]
    fn strings_never_stand_in_launch_text() {
        let value = ParamKind::String.read(&json!("a ! b")).unwrap();
        assert_eq!(value.as_launch_text(), None);
    }
}
