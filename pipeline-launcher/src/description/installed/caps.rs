//! Caps as they stand in a launch text.

use std::str::FromStr;

use super::vocabulary::{Field, Fields, Kind, kind, vocabulary, words};
use super::{Finding, short};
use crate::description::problem::{closest, did_you_mean};

/// Fields whose words are the same for all elements: an unknown one is misspelt.
const CLOSED_FIELDS: [&str; 6] = [
    "format",
    "layout",
    "interlace-mode",
    "field-order",
    "stream-format",
    "alignment",
];

/// What is wrong with the caps `text`, which stand at byte `at`.
pub fn check(text: &str, at: usize) -> Vec<Finding> {
    if matches!(text.trim(), "ANY" | "EMPTY" | "NONE") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (start, structure) in split(text, ';') {
        found.extend(check_structure(structure, at + start));
    }
    if found.is_empty() && gst::Caps::from_str(text).is_err() {
        let message = format!("`{}` are no caps", short(text));
        let hint = Some("for example: video/x-raw,format=I420,framerate=30/1".to_owned());
        found.push(Finding::error(at, message, hint));
    }
    found
}

fn check_structure(text: &str, at: usize) -> Vec<Finding> {
    let mut parts = split(text, ',').into_iter();
    let Some((start, head)) = parts.next() else {
        return Vec::new();
    };
    let (media, features) = head.split_once('(').unwrap_or((head, "ANY"));
    let media = media.trim_end();
    if let Some(finding) = check_features(features.trim_end_matches(')'), at + start) {
        return vec![finding];
    }
    let Some(fields) = vocabulary().get(media) else {
        let hint = closest(media, vocabulary().keys().map(String::as_str)).map_or_else(
            || "no installed element has this media type on a pad".to_owned(),
            |known| format!("did you mean `{known}`?"),
        );
        let message = format!("there is no media type `{}`", short(media));
        return vec![Finding::error(at + start, message, Some(hint))];
    };
    parts
        .filter_map(|(start, part)| check_field(media, fields, part, at + start))
        .collect()
}

/// What stands in brackets after the media type. GStreamer takes what is malformed for a programmer's mistake.
fn check_features(text: &str, at: usize) -> Option<Finding> {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let good = |feature: &str| {
        feature.split_once(':').is_some_and(|(kind, name)| {
            !kind.is_empty() && !name.is_empty() && format!("{kind}{name}").chars().all(letter)
        })
    };
    let features = text.split(',').map(str::trim);
    let bad = features
        .filter(|feature| !matches!(*feature, "ANY" | ""))
        .find(|feature| !good(feature))?;
    let message = format!("`{}` is no feature that caps have", short(bad));
    let hint = Some("for example: video/x-raw(memory:GLMemory)".to_owned());
    Some(Finding::error(at, message, hint))
}

/// A range whose ends do not rise in whole steps. GStreamer takes it for a programmer's mistake.
fn empty_range(text: &str) -> Option<&str> {
    let number = |text: &str| {
        let (above, below) = text.split_once('/').unwrap_or((text, "1"));
        Some(above.trim().parse::<f64>().ok()? / below.trim().parse::<f64>().ok()?)
    };
    let ranges = text.split('[').skip(1).filter_map(|rest| rest.split(']').next());
    let is_empty = |range: &&str| {
        let numbers: Option<Vec<f64>> = range.split(',').map(number).collect();
        match numbers.as_deref() {
            Some([low, high]) => low >= high,
            Some([low, high, step]) => low >= high || *step <= 0.0 || low % step != 0.0 || high % step != 0.0,
            _ => false,
        }
    };
    ranges.into_iter().find(is_empty)
}

fn check_field(media: &str, fields: &Fields, text: &str, at: usize) -> Option<Finding> {
    if let Some(range) = empty_range(text) {
        let message = format!(
            "the range [{}] holds nothing: its ends must rise, in whole steps",
            short(range)
        );
        return Some(Finding::error(at, message, None));
    }
    let caps = gst::Caps::from_str(&format!("{media},{text}")).ok();
    let structure = caps.as_ref().and_then(|caps| caps.structure(0));
    let Some((name, value)) = structure.and_then(|structure| structure.iter().next()) else {
        let message = format!("`{}` cannot be read as field=value", short(text));
        let hint = Some(format!("for example: {media},width=640"));
        return Some(Finding::error(at, message, hint));
    };
    match fields.get(name.as_str()) {
        Some(field) => check_value(media, name, field, value, at),
        None => unknown_field(media, fields, name, at),
    }
}

fn unknown_field(media: &str, fields: &Fields, name: &str, at: usize) -> Option<Finding> {
    // Of other media, RTP above all, an application may invent fields.
    if media.starts_with("application/") {
        return None;
    }
    let message = format!("`{media}` has no field `{name}`");
    if let Some(hint) = did_you_mean(name, fields.keys().map(String::as_str)) {
        return Some(Finding::error(at, message, Some(hint)));
    }
    let raw = matches!(media, "video/x-raw" | "audio/x-raw");
    raw.then(|| Finding::warning(at, message, Some("no installed element looks at it".to_owned())))
}

fn check_value(media: &str, name: &str, field: &Field, value: &glib::Value, at: usize) -> Option<Finding> {
    let given = kind(value);
    let comparable = !field.kinds.contains(&Kind::Other) && given != Kind::Other;
    if comparable && !field.kinds.contains(&given) {
        let takes: Vec<_> = field.kinds.iter().map(Kind::to_string).collect();
        let hint = (given == Kind::Integer && field.kinds.contains(&Kind::Fraction))
            .then(|| value.get::<i32>().ok())
            .flatten()
            .map(|number| format!("write {name}={number}/1"));
        let message = format!("`{name}` of `{media}` takes {}, not {given}", takes.join(" or "));
        return Some(Finding::error(at, message, hint));
    }
    if !CLOSED_FIELDS.contains(&name) || field.words.is_empty() {
        return None;
    }
    let unknown = words(value)
        .into_iter()
        .find(|word| !field.words.contains(word))?;
    let hint = did_you_mean(&unknown, field.words.iter().map(String::as_str));
    if hint.is_none() && name != "format" {
        return None;
    }
    let message = format!("`{name}` of `{media}` cannot be `{}`", short(&unknown));
    Some(Finding::error(at, message, hint))
}

/// Parts a text at `separator` outside of brackets and quotes; each part trimmed, with its start.
fn split(text: &str, separator: char) -> Vec<(usize, &str)> {
    let (mut parts, mut start, mut depth, mut quoted) = (Vec::new(), 0, 0_i32, false);
    for (index, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '{' | '[' | '(' | '<' if !quoted => depth += 1,
            '}' | ']' | ')' | '>' if !quoted => depth -= 1,
            _ if c == separator && !quoted && depth == 0 => {
                parts.push((start, &text[start..index]));
                start = index + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push((start, &text[start..]));
    let trimmed = parts.into_iter().map(|(start, part)| {
        let leading = part.len() - part.trim_start().len();
        (start + leading, part.trim())
    });
    trimmed.filter(|(_, part)| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_rise() {
        for (text, falls) in [
            ("width=[1,64]", None),
            ("width=[5,1]", Some("5,1")),
            ("width=[ 5, 5 ]", Some(" 5, 5 ")),
            ("framerate=(fraction)[1/2,1/3]", Some("1/2,1/3")),
            ("framerate={[1/3,1/2],[30,1]}", Some("30,1")),
            ("width=[ 0, 64, 2 ]", None),
            ("width=[1,64,2]", Some("1,64,2")),
            ("width=[1", None),
            ("width=[a,b]", None),
            ("width=640", None),
        ] {
            assert_eq!(empty_range(text), falls, "{text}");
        }
    }

    #[test]
    fn parts_stand_outside_of_brackets_and_quotes() {
        assert_eq!(
            split("a(b,c), d={1,2}, e=\"x,y\",", ','),
            [(0, "a(b,c)"), (8, "d={1,2}"), (17, "e=\"x,y\"")]
        );
        assert_eq!(split("", ','), []);
        assert_eq!(split("é)) ,b", ','), [(0, "é)) ,b")]);
    }
}
