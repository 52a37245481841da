//! What a label says: `{label} #{track} {score}`.

use std::fmt;
use std::str::FromStr;

use sightline_protocol::Detection;

pub const DEFAULT: &str = "{label} #{track} {score}";

/// A label's words. One with a placeholder that has no value is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelFormat {
    words: Vec<Word>,
}

type Word = Vec<Part>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Label,
    Class,
    Track,
    Score,
}

const VALUES: [(&str, Value); 4] = [
    ("label", Value::Label),
    ("class", Value::Class),
    ("track", Value::Track),
    ("score", Value::Score),
];

/// Which words are written: those with `{score}`, and all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    pub labels: bool,
    pub scores: bool,
}

/// What is wrong with a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatError {
    Unknown(String),
    Open,
    Close,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => {
                write!(
                    f,
                    "{{{name}}} is not known; there are {{label}}, {{class}}, {{track}} and {{score}}"
                )
            }
            Self::Open => write!(f, "a {{ has no }}; write {{{{ for the character itself"),
            Self::Close => write!(f, "a }} has no {{; write }}}} for the character itself"),
        }
    }
}

impl std::error::Error for FormatError {}

impl FromStr for LabelFormat {
    type Err = FormatError;

    fn from_str(format: &str) -> Result<Self, FormatError> {
        let words = format.split_whitespace().map(word).collect::<Result<_, _>>()?;
        Ok(Self { words })
    }
}

fn word(mut rest: &str) -> Result<Word, FormatError> {
    let mut parts = Vec::new();
    let mut text = String::new();
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        if matches!(character, '{' | '}') && rest.starts_with(character) {
            rest = &rest[1..];
            text.push(character);
        } else if character == '{' {
            let (name, after) = rest.split_once('}').ok_or(FormatError::Open)?;
            rest = after;
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(Part::Value(value(name)?));
        } else if character == '}' {
            return Err(FormatError::Close);
        } else {
            text.push(character);
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

fn value(name: &str) -> Result<Value, FormatError> {
    let found = VALUES.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, value)| *value)
        .ok_or_else(|| FormatError::Unknown(name.to_owned()))
}

impl LabelFormat {
    pub fn write(&self, detection: &Detection, shown: Shown) -> String {
        let words = self.words.iter().filter(|word| {
            if word.contains(&Part::Value(Value::Score)) {
                shown.scores
            } else {
                shown.labels
            }
        });
        let mut text = String::new();
        for word in words.filter_map(|word| write_word(word, detection)) {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&word);
        }
        text
    }
}

fn write_word(word: &Word, detection: &Detection) -> Option<String> {
    word.iter()
        .map(|part| match part {
            Part::Text(text) => Some(text.clone()),
            Part::Value(Value::Label) => Some(detection.label.clone()).filter(|label| !label.is_empty()),
            Part::Value(Value::Class) => Some(detection.class_id.to_string()),
            Part::Value(Value::Track) => detection.track_id.map(|id| id.to_string()),
            Part::Value(Value::Score) => Some(format!("{:.2}", detection.score)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Shown = Shown {
        labels: true,
        scores: true,
    };

    fn dog(track_id: Option<u64>) -> Detection {
        Detection {
            label: "dog".into(),
            class_id: 16,
            score: 0.856,
            bbox: [0.0; 4],
            track_id,
        }
    }

    fn written(format: &str, detection: &Detection, shown: Shown) -> String {
        format.parse::<LabelFormat>().unwrap().write(detection, shown)
    }

    #[test]
    fn words_without_a_value_are_left_out() {
        assert_eq!(written(DEFAULT, &dog(Some(7)), ALL), "dog #7 0.86");
        assert_eq!(written(DEFAULT, &dog(None), ALL), "dog 0.86");
        let nameless = Detection {
            label: String::new(),
            ..dog(Some(7))
        };
        assert_eq!(written(DEFAULT, &nameless, ALL), "#7 0.86");
        assert_eq!(written("<{label}>", &nameless, ALL), "");
    }

    #[test]
    fn words_that_are_not_shown_are_left_out() {
        let shown = |labels, scores| {
            written(
                "found {label}:{score} {class} ({score})",
                &dog(None),
                Shown { labels, scores },
            )
        };
        assert_eq!(shown(true, true), "found dog:0.86 16 (0.86)");
        assert_eq!(shown(true, false), "found 16");
        assert_eq!(shown(false, true), "dog:0.86 (0.86)");
        assert_eq!(shown(false, false), "");
    }

    #[test]
    fn braces_are_written_twice() {
        assert_eq!(written("{{{label}}} }}{{", &dog(None), ALL), "{dog} }{");
        assert_eq!(written("", &dog(None), ALL), "");
        assert_eq!(written("ж {track}ж", &dog(Some(1)), ALL), "ж 1ж");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |format: &str| format.parse::<LabelFormat>().unwrap_err();
        assert_eq!(error("{label} {nmae}"), FormatError::Unknown("nmae".into()));
        assert_eq!(error("{}"), FormatError::Unknown(String::new()));
        assert_eq!(error("{label"), FormatError::Open);
        assert_eq!(error("label}"), FormatError::Close);
        assert_eq!(
            error("{nmae}").to_string(),
            "{nmae} is not known; there are {label}, {class}, {track} and {score}"
        );
        assert_eq!(
            FormatError::Open.to_string(),
            "a { has no }; write {{ for the character itself"
        );
    }
}
