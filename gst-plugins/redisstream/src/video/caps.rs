//! The form of encoded video, as text and back.
//!
//! The text is GStreamer's own notation, but not GStreamer's reader reads it: anybody who can write to Redis wrote it.

use glib::prelude::*;
use sightline_protocol::FieldError;

/// Fields that a payloader or decoder may want to know; the others stay behind.
const FIELDS: [&str; 14] = [
    "width",
    "height",
    "framerate",
    "pixel-aspect-ratio",
    "profile",
    "level",
    "tier",
    "stream-format",
    "alignment",
    "chroma-format",
    "bit-depth-luma",
    "bit-depth-chroma",
    "colorimetry",
    "interlace-mode",
];

/// Video whose frames need nothing but themselves and those before them: no `codec_data` beside the stream.
pub(crate) fn template() -> gst::Caps {
    let h26x = |name: &str| {
        let caps = gst::Structure::builder(name);
        caps.field("stream-format", "byte-stream")
            .field("alignment", "au")
            .build()
    };
    [
        gst::Structure::new_empty("video/x-vp8"),
        gst::Structure::new_empty("video/x-vp9"),
        h26x("video/x-h264"),
        h26x("video/x-h265"),
        gst::Structure::builder("video/x-av1")
            .field("stream-format", "obu-stream")
            .field("alignment", "tu")
            .build(),
    ]
    .into_iter()
    .collect()
}

/// The caps' plain fields.
pub(crate) fn to_text(caps: &gst::CapsRef) -> Option<String> {
    let structure = caps.structure(0)?;
    let mut text = structure.name().to_string();
    for field in FIELDS {
        let Ok(value) = structure.value(field) else {
            continue;
        };
        let written = if let Ok(number) = value.get::<i32>() {
            format!("(int){number}")
        } else if let Ok(fraction) = value.get::<gst::Fraction>() {
            format!("(fraction){}/{}", fraction.numer(), fraction.denom())
        } else if let Some(word) = value.get::<&str>().ok().filter(|word| is_word(word)) {
            format!("(string){word}")
        } else {
            continue;
        };
        text += &format!(", {field}={written}");
    }
    Some(text)
}

/// Reads what [`to_text`] writes; unknown fields are ignored.
pub(crate) fn from_text(text: &str) -> Result<gst::Caps, FieldError> {
    let invalid = || FieldError::invalid("caps", "the caps of an encoded video", text);
    let mut parts = text.split(',').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let template = template();
    let known = template.iter().find(|structure| structure.name() == name);
    let mut structure = gst::Structure::new_empty(known.ok_or_else(invalid)?.name());
    for part in parts {
        let (field, value) = part.split_once('=').ok_or_else(invalid)?;
        if FIELDS.contains(&field) {
            structure.set_value(field, value_of(value).ok_or_else(invalid)?);
        }
    }
    let caps: gst::Caps = [structure].into_iter().collect();
    if caps.is_subset(&template) {
        Ok(caps)
    } else {
        Err(invalid())
    }
}

fn value_of(text: &str) -> Option<glib::SendValue> {
    let (kind, value) = text.strip_prefix('(')?.split_once(')')?;
    let positive = |text: &str| text.parse::<i32>().ok().filter(|number| *number >= 0);
    match kind {
        "int" => Some(positive(value)?.to_send_value()),
        "fraction" => {
            let (numer, denom) = value.split_once('/')?;
            let denom = positive(denom).filter(|denom| *denom > 0)?;
            Some(gst::Fraction::new(positive(numer)?, denom).to_send_value())
        }
        "string" => is_word(value).then(|| value.to_send_value()),
        _ => None,
    }
}

/// Text that stands for itself, without quotes.
fn is_word(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '+');
    (1..=64).contains(&text.len()) && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_encoders_give_survives_without_their_headers() {
        gst::init().unwrap();
        for (given, kept) in [
            (
                "video/x-vp8, profile=(string)0, streamheader=(buffer)< 4f56, 8153 >, width=(int)640, \
                 height=(int)480, pixel-aspect-ratio=(fraction)1/1, framerate=(fraction)0/1",
                "video/x-vp8, width=(int)640, height=(int)480, framerate=(fraction)0/1, \
                 pixel-aspect-ratio=(fraction)1/1, profile=(string)0",
            ),
            (
                "video/x-h264, stream-format=(string)byte-stream, alignment=(string)au, level=(string)3.1",
                "video/x-h264, level=(string)3.1, stream-format=(string)byte-stream, alignment=(string)au",
            ),
        ] {
            let text = to_text(&gst::Caps::from_str(given).unwrap()).unwrap();
            assert_eq!(text, kept);
            let caps = from_text(&text).unwrap();
            assert!(caps.is_fixed());
            assert_eq!(caps, gst::Caps::from_str(kept).unwrap());
        }
    }

    #[test]
    fn other_caps_are_refused() {
        gst::init().unwrap();
        for text in [
            "",
            "video/x-raw",
            "video/x-h264",
            "video/x-h264, stream-format=(string)avc, alignment=(string)au",
            "video/x-vp8, width",
            "video/x-vp8, width=640",
            "video/x-vp8, width=(int)-1",
            "video/x-vp8, width=(int)2147483648",
            "video/x-vp8, framerate=(fraction)1/0",
            "video/x-vp8, profile=(string)\"0\"",
            "video/x-vp8, profile=(GstCaps)x",
            "video/x-vp8; video/x-vp9",
        ] {
            assert!(from_text(text).is_err(), "{text}");
        }
        assert!(from_text("video/x-vp8, new=[whatever]").is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(
            name in "(video/x-vp8|video/x-h264|\\PC{0,9})",
            fields in prop::collection::vec(
                ("(width|framerate|profile|\\PC{0,5})", "(\\((int|fraction|string|bool)\\)[0-9/-]{0,12}|\\PC{0,9})"), 0..6,
            ),
        ) {
            gst::init().unwrap();
            let fields = fields.iter().map(|(field, value)| format!(", {field}={value}"));
            let text: String = std::iter::once(name).chain(fields).collect();
            if let Ok(caps) = from_text(&text) {
                prop_assert_eq!(from_text(&to_text(&caps).unwrap()).unwrap(), caps);
            }
        }
    }
}
