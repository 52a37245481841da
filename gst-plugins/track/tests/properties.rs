//! `objecttrack`'s properties.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{element, init};
use gst::glib;
use gst::prelude::*;

/// Property, default, another value, and values out of range.
fn cases() -> Vec<(&'static str, glib::Value, glib::Value, Vec<glib::Value>)> {
    let unit = |name, default: f64| {
        let outside = vec![(-0.1).to_value(), 1.1.to_value()];
        (name, default.to_value(), 0.33.to_value(), outside)
    };
    vec![
        unit("high-threshold", 0.6),
        unit("low-threshold", 0.1),
        unit("new-track-threshold", 0.7),
        unit("match-threshold", 0.8),
        (
            "track-buffer",
            30u32.to_value(),
            7u32.to_value(),
            vec![100_001u32.to_value()],
        ),
        ("carry", true.to_value(), false.to_value(), vec![]),
        ("messages", false.to_value(), true.to_value(), vec![]),
    ]
}

fn text(value: &glib::Value) -> String {
    format!("{value:?}")
}

#[test]
fn every_property_is_read_back() {
    init();
    let element = element();
    let properties = element.list_properties();
    let own: Vec<_> = properties
        .iter()
        .filter(|property| property.owner_type() == element.type_())
        .collect();
    assert_eq!(own.len(), cases().len() + 1, "all but `stats` are tried: {own:?}");
    for property in own {
        assert!(
            property.blurb().is_some_and(|blurb| blurb.len() > 8),
            "{property:?}"
        );
    }
    for (name, default, value, outside) in cases() {
        assert_eq!(text(&element.property_value(name)), text(&default), "{name}");
        element.set_property_from_value(name, &value);
        assert_eq!(text(&element.property_value(name)), text(&value), "{name}");
        for outside in outside {
            let set = catch_unwind(AssertUnwindSafe(|| {
                element.set_property_from_value(name, &outside)
            }));
            assert!(set.is_err(), "{name} takes {outside:?}");
            assert_eq!(text(&element.property_value(name)), text(&value), "{name}");
        }
    }
}

#[test]
fn statistics_can_only_be_read() {
    init();
    let element = element();
    let stats = element.property::<gst::Structure>("stats");
    for field in ["frames", "inferred", "carried-boxes", "tracks", "lost", "created"] {
        assert_eq!(stats.get::<u64>(field), Ok(0), "{field}");
    }
    let set = catch_unwind(AssertUnwindSafe(|| element.set_property("stats", stats)));
    assert!(set.is_err());
}
