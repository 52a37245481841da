//! The media types, fields and words that the installed elements' pad templates know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use gst::prelude::*;

/// Fields that templates leave open, but that everybody knows.
const WELL_KNOWN: [(&str, &[(&str, Kind)]); 2] = [
    (
        "video/x-raw",
        &[
            ("format", Kind::Text),
            ("width", Kind::Integer),
            ("height", Kind::Integer),
            ("framerate", Kind::Fraction),
            ("max-framerate", Kind::Fraction),
            ("pixel-aspect-ratio", Kind::Fraction),
            ("colorimetry", Kind::Text),
            ("chroma-site", Kind::Text),
            ("interlace-mode", Kind::Text),
            ("field-order", Kind::Text),
            ("views", Kind::Integer),
            ("multiview-mode", Kind::Text),
            ("multiview-flags", Kind::Other),
            ("mastering-display-info", Kind::Text),
            ("content-light-level", Kind::Text),
            ("texture-target", Kind::Text),
            ("drm-format", Kind::Text),
        ],
    ),
    (
        "audio/x-raw",
        &[
            ("format", Kind::Text),
            ("layout", Kind::Text),
            ("rate", Kind::Integer),
            ("channels", Kind::Integer),
            ("channel-mask", Kind::Other),
        ],
    ),
];

/// Words of fields that templates leave open.
const WELL_KNOWN_WORDS: [(&str, &str, &[&str]); 2] = [
    (
        "video/x-raw",
        "interlace-mode",
        &["progressive", "interleaved", "mixed", "fields", "alternate"],
    ),
    (
        "video/x-raw",
        "field-order",
        &["top-field-first", "bottom-field-first"],
    ),
];

/// The type of a field's value; a list or range is of its items' kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Integer,
    Fraction,
    Text,
    Boolean,
    Other,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Integer => "an integer",
            Self::Fraction => "a fraction such as 30/1",
            Self::Text => "a word",
            Self::Boolean => "true or false",
            Self::Other => "something else",
        })
    }
}

#[derive(Debug, Default)]
pub struct Field {
    pub kinds: BTreeSet<Kind>,
    pub words: BTreeSet<String>,
}

pub type Fields = BTreeMap<String, Field>;

/// The fields of each media type that an installed element knows.
pub fn vocabulary() -> &'static BTreeMap<String, Fields> {
    static VOCABULARY: OnceLock<BTreeMap<String, Fields>> = OnceLock::new();
    VOCABULARY.get_or_init(collect)
}

fn collect() -> BTreeMap<String, Fields> {
    let mut vocabulary = BTreeMap::<String, Fields>::new();
    for factory in gst::Registry::get().features(gst::ElementFactory::static_type()) {
        let Ok(factory) = factory.downcast::<gst::ElementFactory>() else {
            continue;
        };
        for template in factory.static_pad_templates() {
            let caps = template.caps();
            if caps.is_any() {
                continue;
            }
            for structure in caps.iter() {
                let fields = vocabulary.entry(structure.name().to_string()).or_default();
                for (name, value) in structure.iter() {
                    let field = fields.entry(name.to_string()).or_default();
                    field.kinds.insert(kind(value));
                    field.words.extend(words(value));
                }
            }
        }
    }
    for (media, known) in WELL_KNOWN {
        let fields = vocabulary.entry(media.to_owned()).or_default();
        for (name, kind) in known {
            fields.entry((*name).to_owned()).or_default().kinds.insert(*kind);
        }
    }
    for (media, name, words) in WELL_KNOWN_WORDS {
        let fields = vocabulary.entry(media.to_owned()).or_default();
        let field = fields.entry(name.to_owned()).or_default();
        field.words.extend(words.iter().map(|word| (*word).to_owned()));
    }
    vocabulary
}

/// The items of a list, or the value itself.
fn items(value: &glib::Value) -> Vec<&glib::Value> {
    match value.get::<gst::ListRef<'_>>() {
        Ok(list) => list.as_slice().iter().map(|item| &**item).collect(),
        Err(_) => vec![value],
    }
}

pub fn kind(value: &glib::Value) -> Kind {
    let Some(type_) = items(value).first().map(|item| item.type_()) else {
        return Kind::Other;
    };
    let is = |types: &[glib::Type]| types.contains(&type_);
    if is(&[glib::Type::I32, gst::IntRange::<i32>::static_type()]) {
        Kind::Integer
    } else if is(&[gst::Fraction::static_type(), gst::FractionRange::static_type()]) {
        Kind::Fraction
    } else if is(&[glib::Type::STRING]) {
        Kind::Text
    } else if is(&[glib::Type::BOOL]) {
        Kind::Boolean
    } else {
        Kind::Other
    }
}

pub fn words(value: &glib::Value) -> Vec<String> {
    let texts = items(value)
        .into_iter()
        .filter_map(|item| item.get::<String>().ok());
    texts.collect()
}
