//! What does not need a Redis to be told: properties, and that the documented launch lines run.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use gst::prelude::*;
use support::*;

fn make(factory: &str) -> gst::Element {
    init();
    gst::ElementFactory::make(factory).build().unwrap()
}

#[test]
fn properties_are_read_back() {
    let sink = make("redisstreamsink");
    let source = make("redisstreamsrc");
    let values = [
        (&sink, "url", "redis://other:1"),
        (&sink, "stream", "images:{3}"),
        (&sink, "payload", "detections"),
        (&sink, "participant-id", "abc"),
        (&sink, "max-in-flight", "7"),
        (&sink, "max-length", "12"),
        (&sink, "expiry", "250"),
        (&sink, "leaky", "upstream"),
        (&sink, "worker-id", "w1"),
        (&source, "url", "unix:///run/redis.sock"),
        (&source, "stream", "a,b"),
        (&source, "group", "g"),
        (&source, "consumer", "c"),
        (&source, "count", "3"),
        (&source, "max-age", "900"),
        (&source, "reclaim-idle", "500"),
        (&source, "dead-letter-stream", "d"),
        (&source, "caps", "image/jpeg, width=(int)4"),
    ];
    for (element, name, text) in values {
        element.set_property_from_str(name, text);
        let value = element.property_value(name);
        let read = match (value.get::<String>(), value.get::<gst::Caps>()) {
            (Ok(text), _) => text,
            (_, Ok(caps)) => caps.to_string(),
            _ => value.serialize().unwrap().to_string(),
        };
        assert_eq!(read, text, "{name}");
    }
}

#[test]
fn properties_out_of_range_are_refused() {
    for (factory, name, value) in [
        ("redisstreamsink", "max-in-flight", 65_u32),
        ("redisstreamsink", "max-length", 1_000_001),
        ("redisstreamsink", "expiry", 0),
        ("redisstreamsrc", "count", 0),
        ("redisstreamsrc", "count", 65),
        ("redisstreamsrc", "max-age", 3_600_001),
        ("redisstreamsrc", "reclaim-idle", 99),
    ] {
        let element = make(factory);
        let before = element.property::<u32>(name);
        let set = catch_unwind(AssertUnwindSafe(|| element.set_property(name, value)));
        assert!(set.is_err(), "{factory} took {name}={value}");
        assert_eq!(element.property::<u32>(name), before);
    }
}

#[test]
fn every_property_is_described() {
    for factory in ["redisstreamsink", "redisstreamsrc"] {
        let element = make(factory);
        for property in element.list_properties() {
            if property.owner_type() == element.type_() {
                assert!(
                    property.blurb().is_some_and(|blurb| blurb.len() > 10),
                    "{}",
                    property.name()
                );
            }
        }
    }
    let sink = make("redisstreamsink");
    assert!(!sink.property::<bool>("sync") && !sink.property::<bool>("async"));
    let consumers =
        [make("redisstreamsrc"), make("redisstreamsrc")].map(|src| src.property::<String>("consumer"));
    assert_ne!(consumers[0], consumers[1]);
}

#[test]
fn the_launch_lines_of_the_documentation_run() {
    let sources = [
        include_str!("../src/redisstreamsink/imp.rs"),
        include_str!("../src/redisstreamsrc/imp.rs"),
    ];
    let lines: Vec<&str> = sources
        .iter()
        .flat_map(|source| source.lines())
        .filter_map(|line| Some(line.split_once("gst-launch-1.0 ")?.1))
        .collect();
    assert!(lines.len() >= 3, "{lines:?}");
    let redis = Redis::start();
    for line in lines {
        let pipeline = Pipeline::play(&redis, line);
        let bus = pipeline.bus().unwrap();
        let end = bus.timed_pop_filtered(
            gst::ClockTime::from_seconds(4),
            &[gst::MessageType::Error, gst::MessageType::Eos],
        );
        // A worker has no end.
        let failed = end.is_some_and(|message| message.type_() == gst::MessageType::Error);
        assert!(!failed, "{line}");
    }
}
