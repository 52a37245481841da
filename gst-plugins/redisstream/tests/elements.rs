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
    let video_sink = make("redisvideosink");
    let video_source = make("redisvideosrc");
    let values = [
        (&sink, "url", "redis://other:1"),
        (&sink, "tls-ca-file", "/ca.pem"),
        (&sink, "tls-cert-file", "/c.pem"),
        (&sink, "tls-key-file", "/k.pem"),
        (&sink, "stream", "images:{3}"),
        (&sink, "payload", "detections"),
        (&sink, "participant-id", "abc"),
        (&sink, "max-in-flight", "7"),
        (&sink, "max-length", "12"),
        (&sink, "expiry", "250"),
        (&sink, "leaky", "upstream"),
        (&sink, "worker-id", "w1"),
        (&sink, "trace-sampler", "every:1000"),
        (&source, "url", "unix:///run/redis.sock"),
        (&source, "tls-ca-file", "/ca.pem"),
        (&source, "tls-cert-file", "/c.pem"),
        (&source, "tls-key-file", "/k.pem"),
        (&source, "stream", "a,b"),
        (&source, "group", "g"),
        (&source, "consumer", "c"),
        (&source, "count", "3"),
        (&source, "max-age", "900"),
        (&source, "reclaim-idle", "500"),
        (&source, "dead-letter-stream", "d"),
        (&source, "caps", "image/jpeg, width=(int)4"),
        (&video_sink, "url", "redis://other:1"),
        (&video_sink, "session", "abc"),
        (&video_sink, "max-length", "30"),
        (&video_source, "tls-ca-file", "/ca.pem"),
        (&video_source, "session", "abc"),
        (&video_source, "timeout", "100"),
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
        ("redisvideosink", "max-length", 9),
        ("redisvideosink", "max-length", 10_001),
        ("redisvideosrc", "timeout", 99),
        ("redisvideosrc", "timeout", 3_600_001),
    ] {
        let element = make(factory);
        let before = element.property::<u32>(name);
        let set = catch_unwind(AssertUnwindSafe(|| element.set_property(name, value)));
        assert!(set.is_err(), "{factory} took {name}={value}");
        assert_eq!(element.property::<u32>(name), before);
    }
}

#[test]
fn every_property_is_described_and_says_when_it_may_change() {
    for factory in [
        "redisstreamsink",
        "redisstreamsrc",
        "redisvideosink",
        "redisvideosrc",
    ] {
        let element = make(factory);
        let properties = element.list_properties();
        let own = properties
            .iter()
            .filter(|property| property.owner_type() == element.type_());
        for property in own {
            let name = property.name();
            assert!(property.blurb().is_some_and(|blurb| blurb.len() > 10), "{name}");
            assert!(property.nick().len() > 2 && property.nick() != name, "{name}");
            let in_ready = property.flags().contains(gst::PARAM_FLAG_MUTABLE_READY);
            let writable = property.flags().contains(glib::ParamFlags::WRITABLE);
            assert_eq!(in_ready, writable, "{name}");
            assert_eq!(writable, name != "stats", "{name}");
        }
    }
    for factory in ["redisstreamsink", "redisvideosink"] {
        let sink = make(factory);
        assert!(!sink.property::<bool>("sync"));
    }
    let consumers =
        [make("redisstreamsrc"), make("redisstreamsrc")].map(|src| src.property::<String>("consumer"));
    assert_ne!(consumers[0], consumers[1]);
}

#[test]
fn null_means_the_default_again() {
    for (factory, name) in [
        ("redisstreamsink", "url"),
        ("redisstreamsink", "stream"),
        ("redisstreamsink", "tls-ca-file"),
        ("redisstreamsink", "participant-id"),
        ("redisstreamsrc", "url"),
        ("redisstreamsrc", "stream"),
        ("redisstreamsrc", "group"),
        ("redisstreamsrc", "dead-letter-stream"),
        ("redisvideosink", "session"),
        ("redisvideosrc", "url"),
    ] {
        let element = make(factory);
        let default = element.property::<Option<String>>(name);
        element.set_property(name, "other");
        element.set_property(name, None::<&str>);
        assert_eq!(
            element.property::<Option<String>>(name),
            default,
            "{factory} {name}"
        );
    }
}

#[test]
fn what_is_set_in_ready_counts() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let pipeline = Pipeline::parse(
        &redis.url(),
        "videotestsrc num-buffers=1 ! jpegenc ! redisstreamsink name=sink participant-id=abc leaky=no",
    );
    pipeline.set_state(gst::State::Ready).unwrap();
    pipeline.element("sink").set_property("stream", "other");
    pipeline.set_state(gst::State::Playing).unwrap();
    pipeline.message(gst::MessageType::Eos);
    assert_eq!(len(&mut connection, "other"), 1);
}
