//! The properties of an element and their values, by the properties' types.

use glib::ParamSpec;
use gst::prelude::*;

use super::factories::Class;
use super::{Finding, caps, short};
use crate::description::launch::{Element, Property};
use crate::description::problem::did_you_mean;

pub fn check(element: &Element, class: &Class) -> Vec<Finding> {
    element
        .properties
        .iter()
        // `child::property` is resolved by the element itself.
        .filter(|property| !property.key.contains("::"))
        .flat_map(|property| check_property(element, property, class))
        .collect()
}

fn check_property(element: &Element, property: &Property, class: &Class) -> Vec<Finding> {
    let (factory, key, at) = (&element.factory, &property.key, property.span.start);
    let Some(spec) = class.find_property(key) else {
        let known = class.list_properties();
        let hint = did_you_mean(key, known.iter().map(|spec| spec.name()));
        let message = format!("`{factory}` has no property `{key}`");
        return vec![Finding::error(at, message, hint)];
    };
    let flags = spec.flags();
    if !flags.contains(glib::ParamFlags::WRITABLE) {
        let message = format!("`{key}` of `{factory}` can only be read");
        return vec![Finding::error(at, message, None)];
    }
    let mut found = check_value(factory, &spec, &property.value, property.value_span.start);
    if flags.contains(glib::ParamFlags::DEPRECATED) {
        let message = format!("`{key}` of `{factory}` is deprecated: a later GStreamer may not have it");
        let hint = spec.blurb().map(|blurb| format!("its description: {blurb}"));
        found.push(Finding::warning(at, message, hint));
    }
    found
}

/// What is wrong with `value` for a property; `at` is where the value stands.
pub fn check_value(element: &str, spec: &ParamSpec, value: &str, at: usize) -> Vec<Finding> {
    let type_ = spec.value_type();
    if type_ == gst::Caps::static_type() {
        return caps::check(value, at);
    }
    if type_.is_a(glib::Type::ENUM) || type_.is_a(glib::Type::FLAGS) {
        return check_choice(element, spec, value, at);
    }
    let takes = match number_range(spec) {
        Some(range) => range.refuses(value),
        None => other_type(spec, value),
    };
    let message = takes.map(|takes| {
        format!(
            "`{}` of `{element}` takes {takes}, not `{}`",
            spec.name(),
            short(value)
        )
    });
    message
        .map(|message| Finding::error(at, message, None))
        .into_iter()
        .collect()
}

/// A value of an enum, or a flag.
struct Choice {
    nick: String,
    /// In C.
    name: String,
    number: i64,
}

fn choices(spec: &ParamSpec) -> Vec<Choice> {
    let type_ = spec.value_type();
    let choice = |nick: &str, name: &str, number| Choice {
        nick: nick.to_owned(),
        name: name.to_owned(),
        number,
    };
    if let Some(class) = glib::EnumClass::with_type(type_) {
        let values = class.values().iter();
        return values
            .map(|value| choice(value.nick(), value.name(), value.value().into()))
            .collect();
    }
    let class = glib::FlagsClass::with_type(type_);
    let values = class
        .as_ref()
        .map_or(&[] as &[glib::FlagsValue], |class| class.values())
        .iter();
    values
        .map(|value| choice(value.nick(), value.name(), value.value().into()))
        .collect()
}

/// An enum's word, or flags joined by `+`.
fn check_choice(element: &str, spec: &ParamSpec, value: &str, at: usize) -> Vec<Finding> {
    /// More words than this are no help.
    const LISTED: usize = 12;
    let choices = choices(spec);
    let is_enum = spec.value_type().is_a(glib::Type::ENUM);
    let known = |word: &str| match word.parse::<i64>() {
        Ok(number) => !is_enum || choices.iter().any(|choice| choice.number == number),
        Err(_) => choices
            .iter()
            .any(|choice| choice.nick == word || choice.name == word),
    };
    let words: Vec<_> = if is_enum {
        vec![value]
    } else {
        value.split('+').map(str::trim).collect()
    };
    // `0x3` and the like: GStreamer knows.
    let numeric = |word: &str| word.starts_with("0x") || (!is_enum && word.is_empty());
    let unknown = words.into_iter().filter(|word| !known(word) && !numeric(word));
    unknown
        .map(|word| {
            let nicks: Vec<_> = choices.iter().map(|choice| choice.nick.as_str()).collect();
            let hint = did_you_mean(word, nicks.iter().copied())
                .or_else(|| (nicks.len() <= LISTED).then(|| format!("it takes {}", nicks.join(", "))))
                .unwrap_or_else(|| format!("`gst-inspect-1.0` lists its {} values", nicks.len()));
            let message = format!("`{}` of `{element}` cannot be `{}`", spec.name(), short(word));
            Finding::error(at, message, Some(hint))
        })
        .collect()
}

enum Range {
    Integer(i128, i128),
    Number(f64, f64),
}

impl Range {
    /// What it takes, if it does not take `value`.
    fn refuses(&self, value: &str) -> Option<String> {
        match self {
            Self::Integer(min, max) => match value.trim().parse::<i128>() {
                Ok(number) if (*min..=*max).contains(&number) => None,
                Ok(_) => Some(format!("{min} to {max}")),
                // `0x10`, `max`
                Err(_) if glib::Value::deserialize(value, glib::Type::U64).is_ok() => None,
                Err(_) => Some("an integer".to_owned()),
            },
            Self::Number(min, max) => match value.trim().parse::<f64>() {
                Ok(number) if (*min..=*max).contains(&number) => None,
                Ok(_) => Some(format!("{min} to {max}")),
                Err(_) if glib::Value::deserialize(value, glib::Type::F64).is_ok() => None,
                Err(_) => Some("a number".to_owned()),
            },
        }
    }
}

/// The range of a property that is a number.
fn number_range(spec: &ParamSpec) -> Option<Range> {
    macro_rules! range {
        ($($type:ty => $range:ident),*) => {
            $(if let Some(spec) = spec.downcast_ref::<$type>() {
                return Some(Range::$range(spec.minimum().into(), spec.maximum().into()));
            })*
        };
    }
    range!(
        glib::ParamSpecInt => Integer,
        glib::ParamSpecUInt => Integer,
        glib::ParamSpecInt64 => Integer,
        glib::ParamSpecUInt64 => Integer,
        glib::ParamSpecFloat => Number,
        glib::ParamSpecDouble => Number
    );
    None
}

/// What a property of another type takes, if it does not take `value`.
fn other_type(spec: &ParamSpec, value: &str) -> Option<String> {
    let type_ = spec.value_type();
    // An element's value is a pipeline of its own, and a text takes everything.
    if type_ == glib::Type::STRING || type_.is_a(glib::Type::OBJECT) {
        return None;
    }
    if glib::Value::deserialize_with_pspec(value, spec).is_ok() {
        return None;
    }
    Some(if type_ == glib::Type::BOOL {
        "true or false".to_owned()
    } else if type_ == gst::Fraction::static_type() {
        "a fraction such as 30/1".to_owned()
    } else {
        format!("a {}", type_.name())
    })
}
