//! Why two caps have nothing in common, in words.

use std::collections::BTreeSet;

use gst::prelude::*;

use super::short;

/// Why nothing that is `given` can be taken, and what may help.
pub fn difference(given: &gst::Caps, taken: &gst::Caps) -> (String, Option<String>) {
    let pairs = given.iter_with_features().flat_map(|(one, one_features)| {
        let pairs = taken.iter_with_features();
        pairs
            .filter(move |(other, features)| one.name() == other.name() && one_features.is_equal(features))
            .map(move |(other, _)| (one, other))
    });
    for (one, other) in pairs {
        for (field, value) in one.iter() {
            let Ok(wanted) = other.value(field.as_str()) else {
                continue;
            };
            if value.intersect(wanted).is_none() {
                let why = format!(
                    "`{field}` is {} on one side, {} on the other",
                    shown(value),
                    shown(wanted)
                );
                return (why, helper(one.name(), field));
            }
        }
    }
    let why = format!(
        "one side has {}, the other {}",
        media_types(given),
        media_types(taken)
    );
    (why, None)
}

fn shown(value: &glib::SendValue) -> String {
    let text = value
        .serialize()
        .map_or_else(|_| format!("{value:?}"), |text| text.to_string());
    short(
        &text
            .replace("(string)", "")
            .replace("(int)", "")
            .replace("(fraction)", ""),
    )
}

/// The element that changes a field.
fn helper(media: &str, field: &str) -> Option<String> {
    let element = match (media, field) {
        ("video/x-raw", "format" | "colorimetry" | "chroma-site") => "videoconvert",
        ("video/x-raw", "width" | "height" | "pixel-aspect-ratio") => "videoscale",
        ("video/x-raw", "framerate") => "videorate",
        ("audio/x-raw", "format" | "channels" | "layout") => "audioconvert",
        ("audio/x-raw", "rate") => "audioresample",
        _ => return None,
    };
    Some(format!("`{element}` between them changes it"))
}

/// The media types of caps, with their memory where it is a special one.
pub fn media_types(caps: &gst::Caps) -> String {
    const LISTED: usize = 4;
    if caps.is_any() {
        return "anything".to_owned();
    }
    let names: BTreeSet<_> = caps
        .iter_with_features()
        .map(|(structure, features)| {
            if features.is_any() || features.is_equal(gst::CAPS_FEATURES_MEMORY_SYSTEM_MEMORY.as_ref()) {
                structure.name().to_string()
            } else {
                format!("{}({features})", structure.name())
            }
        })
        .collect();
    let more = names.len().saturating_sub(LISTED);
    let mut text = names.into_iter().take(LISTED).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
