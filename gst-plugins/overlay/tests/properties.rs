//! `overlay`'s properties.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::init;
use gst::prelude::*;

fn element() -> gst::Element {
    gst::ElementFactory::make("overlay").build().unwrap()
}

#[test]
fn every_property_is_read_back() {
    init();
    let element = element();
    // Property, default, another value, and one out of range.
    let cases = [
        ("line-width", "0", "3", Some(101u32)),
        ("font-size", "0", "20", Some(501)),
        ("show-labels", "true", "false", None),
        ("show-scores", "true", "false", None),
        ("colour-by", "class", "track", None),
        ("label-format", "{label} #{track} {score}", "{class}", None),
    ];
    let properties = element.list_properties();
    let own = properties
        .iter()
        .filter(|property| property.owner_type() == element.type_())
        .inspect(|property| assert!(property.blurb().is_some_and(|blurb| blurb.len() > 8)));
    assert_eq!(own.count(), cases.len() + 1, "all but `stats` are tried");
    let read = |name| {
        let value = element.property_value(name);
        let text = value
            .get::<String>()
            .or_else(|_| value.serialize().map(Into::into));
        text.unwrap()
    };
    for (name, default, other, outside) in cases {
        assert_eq!(read(name), default, "{name}");
        element.set_property_from_str(name, other);
        assert_eq!(read(name), other, "{name}");
        if let Some(outside) = outside {
            let set = catch_unwind(AssertUnwindSafe(|| element.set_property(name, outside)));
            assert!(set.is_err(), "{name} takes {outside}");
            assert_eq!(read(name), other, "{name}");
        }
    }
    element.set_property("label-format", None::<String>);
    assert_eq!(read("label-format"), "{label} #{track} {score}");
    let stats = element.property::<gst::Structure>("stats");
    assert_eq!(stats.get::<u64>("frames"), Ok(0));
    assert!(catch_unwind(AssertUnwindSafe(|| element.set_property("stats", stats))).is_err());
}

/// The text of the error on the bus.
fn error(bus: &gst::Bus) -> String {
    let message = bus
        .timed_pop_filtered(gst::ClockTime::from_seconds(10), &[gst::MessageType::Error])
        .expect("an error");
    let gst::MessageView::Error(error) = message.view() else {
        unreachable!("only errors are popped");
    };
    assert!(error.error().matches(gst::ResourceError::Settings), "{error:?}");
    format!("{} {:?}", error.error(), error.debug())
}

#[test]
fn a_format_that_means_nothing_is_refused_at_the_start() {
    init();
    let element = element();
    element.set_property("label-format", "{label} {nmae}");
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    assert!(element.set_state(gst::State::Paused).is_err());
    let said = error(&bus);
    assert!(
        said.contains("{label} {nmae}") && said.contains("{nmae} is not known; there are {label}"),
        "{said}"
    );
    element.set_state(gst::State::Null).unwrap();
    element.set_property("label-format", "{label}");
    element.set_state(gst::State::Paused).unwrap();
    element.set_state(gst::State::Null).unwrap();
}

#[test]
fn a_format_that_means_nothing_ends_a_stream() {
    init();
    let element = element();
    let info = common::info(gst_video::VideoFormat::I420, 320, 240);
    let mut harness = common::harness(&element, &info);
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    harness.push_and_pull(common::black(&info)).unwrap();
    element.set_property("label-format", "{label");
    assert_eq!(harness.push(common::black(&info)), Err(gst::FlowError::Error));
    assert!(error(&bus).contains("a { has no }"));
}
