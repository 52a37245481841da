//! How both elements behave among others: caps, events, flushes, ends.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use gst::prelude::*;
use gst_check::Harness;
use rustix::process::Signal;
use sightline_gst_common::{FrameMeta, add_detection};
use sightline_protocol::Detection;
use support::*;

const SINK: &str =
    "appsrc name=in format=time caps=image/jpeg ! redisstreamsink name=sink participant-id=abc";
// Not async: GStreamer 1.22 can lock up where a sink prerolls again while the pipeline is told of a latency.
const SOURCE: &str = "redisstreamsrc name=src ! appsink name=out sync=false async=false";

fn element(redis: &Redis, factory: &str) -> gst::Element {
    init();
    let element = gst::ElementFactory::make(factory).property("url", redis.url());
    element.build().unwrap()
}

fn source(element: &gst::Element) -> Harness {
    Harness::with_element(element, None, Some("src"))
}

fn sink(element: &gst::Element) -> Harness {
    Harness::with_element(element, Some("sink"), None)
}

fn types(harness: &mut Harness) -> Vec<gst::EventType> {
    std::iter::from_fn(|| harness.try_pull_event())
        .map(|event| event.type_())
        .collect()
}

fn quickly<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{what}: {:?}",
        start.elapsed()
    );
    result
}

fn pulled(pipeline: &Pipeline) -> u32 {
    let sink = pipeline.element("out").downcast::<gst_app::AppSink>().unwrap();
    let patience = gst::ClockTime::from_mseconds(PATIENCE.as_millis() as u64);
    let sample = sink.try_pull_sample(patience).expect("no frame came");
    FrameMeta::read(sample.buffer().unwrap())
        .unwrap()
        .header
        .timestamp
}

#[test]
fn the_source_sends_its_events_in_order_and_once() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let src = element(&redis, "redisstreamsrc");
    src.set_property_from_str("caps", "image/jpeg,width=64,height=48");
    let mut harness = source(&src);
    harness.play();
    for timestamp in 0..3 {
        add_v1(&mut connection, "images", timestamp);
        let buffer = harness.pull().unwrap();
        assert_eq!(FrameMeta::read(&buffer).unwrap().header.timestamp, timestamp);
        assert!(buffer.pts().is_some());
    }
    use gst::EventType::{Caps, Eos, Segment, StreamStart};
    let caps = harness.sinkpad().unwrap().current_caps().unwrap();
    assert_eq!(caps.to_string(), "image/jpeg, width=(int)64, height=(int)48");
    assert_eq!(types(&mut harness), [StreamStart, Caps, Segment]);
    assert!(src.send_event(gst::event::Eos::new()));
    wait_for("the end", || harness.events_in_queue() > 0);
    assert_eq!(types(&mut harness), [Eos]);
}

#[test]
fn the_source_is_live_and_cannot_be_sought() {
    let redis = Redis::start();
    let src = element(&redis, "redisstreamsrc");
    let mut harness = source(&src);
    harness.play();
    let mut latency = gst::query::Latency::new();
    assert!(src.query(&mut latency));
    assert!(latency.result().0);
    let mut seeking = gst::query::Seeking::new(gst::Format::Time);
    assert!(src.query(&mut seeking));
    assert!(!seeking.result().0);
    let seek = gst::event::Seek::builder(
        1.0,
        gst::SeekFlags::FLUSH,
        gst::SeekType::Set,
        gst::ClockTime::ZERO,
        gst::SeekType::None,
        gst::ClockTime::NONE,
    );
    assert!(!harness.push_upstream_event(seek.build()));
}

#[test]
fn num_buffers_ends_the_source() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    for timestamp in 0..3 {
        add_v1(&mut connection, "images", timestamp);
    }
    let pipeline = Pipeline::play(&redis, "redisstreamsrc name=src num-buffers=2 ! fakesink");
    pipeline.message(gst::MessageType::Eos);
    assert_eq!(pipeline.stat("src", "pushed"), 2);
}

#[test]
fn the_sink_takes_any_caps_and_publishes_the_bytes() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let element = element(&redis, "redisstreamsink");
    element.set_property("participant-id", "abc");
    element.set_property_from_str("leaky", "no");
    element.set_property("max-in-flight", 0_u32);
    let mut harness = sink(&element);
    for (index, caps) in [
        "application/x-some",
        "video/x-raw,format=GRAY8,width=2,height=1,framerate=1/1",
    ]
    .iter()
    .enumerate()
    {
        harness.set_src_caps_str(caps);
        assert_eq!(
            harness.push(gst::Buffer::from_slice([7, index as u8])),
            Ok(gst::FlowSuccess::Ok)
        );
    }
    assert!(harness.push_event(gst::event::Eos::new()));
    let entries = range(&mut connection, "images");
    let bytes: Vec<Vec<u8>> = entries.iter().map(|entry| entry.get("img").unwrap()).collect();
    assert_eq!(bytes, [[7, 0], [7, 1]]);
    // The size is that of the caps, where they give one.
    assert!(!texts(&entries[0]).contains_key("width"));
    assert_eq!(texts(&entries[1])["width"], "2");
}

#[test]
fn detections_without_a_frame_identity_are_named_by_their_pts() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let launch = "appsrc name=in format=time caps=video/x-raw,format=RGB,width=64,height=48,framerate=0/1
        ! redisstreamsink name=sink payload=detections participant-id=camera-1";
    let pipeline = Pipeline::play(&redis, launch);
    let input = Input::of(&pipeline);
    for index in 0..2 {
        let mut buffer = gst::Buffer::new();
        let writable = buffer.get_mut().unwrap();
        writable.set_pts(gst::ClockTime::from_mseconds(1000 + index * 40));
        let dog = Detection {
            label: "dog".into(),
            class_id: 16,
            score: 0.5,
            bbox: [0.25, 0.5, 0.5, 0.25],
            track_id: None,
        };
        add_detection(writable, &dog, (64, 48));
        input.push(buffer);
    }
    input.end();
    pipeline.message(gst::MessageType::Eos);
    let entries = range(&mut connection, "predictions");
    assert_eq!(entries.len(), 2);
    let second = texts(&entries[1]);
    for (name, value) in [
        ("participantId", "camera-1"),
        ("timestamp", "93600"),
        ("pts", "1040000000"),
        ("p0", "dog|0.5000|16;24;48;36"),
    ] {
        assert_eq!(second[name], value, "{name}");
    }
    assert!(!second.contains_key("seq"), "{second:?}");
}

#[test]
fn two_sinks_in_one_pipeline_keep_apart() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let launch = "appsrc name=in format=time caps=image/jpeg ! tee name=t
        t. ! queue ! redisstreamsink name=a participant-id=a stream=one leaky=no max-in-flight=0
        t. ! queue ! redisstreamsink name=b participant-id=b stream=two leaky=no max-in-flight=0";
    let pipeline = Pipeline::play(&redis, launch);
    let input = Input::of(&pipeline);
    for index in 0..20 {
        input.push_jpeg(index);
    }
    input.end();
    pipeline.message(gst::MessageType::Eos);
    for (stream, session) in [("one", "a"), ("two", "b")] {
        let entries = range(&mut connection, stream);
        assert_eq!(entries.len(), 20);
        assert!(
            entries
                .iter()
                .all(|entry| texts(entry)["participantId"] == session)
        );
    }
}

#[test]
fn a_flush_ends_the_sinks_wait_for_credits_and_the_stream_goes_on() {
    let redis = Redis::start();
    let pipeline = Pipeline::play(&redis, &format!("{SINK} leaky=no max-in-flight=1"));
    let input = Input::of(&pipeline);
    for index in 0..10 {
        input.push_jpeg(index);
    }
    wait_for("a wait for credits", || pipeline.stat("sink", "accepted") >= 2);
    flush(&pipeline.element("in"));
    let accepted = pipeline.stat("sink", "accepted");
    input.push_jpeg(1000);
    wait_for("the stream to go on", || {
        pipeline.stat("sink", "accepted") > accepted
    });
    input.end();
    pipeline.message(gst::MessageType::Eos);
    assert_eq!(
        pipeline.stat("sink", "published"),
        pipeline.stat("sink", "accepted")
    );
    pipeline.no_error();
}

#[test]
fn a_flush_ends_the_sinks_wait_for_a_silent_redis() {
    let redis = Redis::start();
    let pipeline = Pipeline::play(&redis, &format!("{SINK} leaky=no max-in-flight=0"));
    let input = Input::of(&pipeline);
    input.push_jpeg(0);
    wait_for("the first frame", || pipeline.stat("sink", "published") == 1);
    redis.signal(Signal::STOP);
    for index in 1..10 {
        input.push_jpeg(index);
    }
    wait_for("a wait for Redis", || pipeline.stat("sink", "accepted") >= 2);
    flush(&pipeline.element("in"));
    redis.signal(Signal::CONT);
    let accepted = pipeline.stat("sink", "accepted");
    input.push_jpeg(1000);
    wait_for("the stream to go on", || {
        pipeline.stat("sink", "accepted") > accepted
    });
    pipeline.no_error();
}

#[test]
fn a_flush_ends_the_sources_wait_and_the_stream_goes_on() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let pipeline = Pipeline::play(&redis, SOURCE);
    for timestamp in 0..3 {
        add_v1(&mut connection, "images", timestamp);
        assert_eq!(pulled(&pipeline), timestamp);
        flush(&pipeline.element("src"));
    }
    redis.signal(Signal::STOP);
    std::thread::sleep(Duration::from_millis(50));
    flush(&pipeline.element("src"));
    redis.signal(Signal::CONT);
    add_v1(&mut connection, "images", 3);
    assert_eq!(pulled(&pipeline), 3);
    pipeline.no_error();
}

fn flush(source: &gst::Element) {
    quickly("flush-start", || {
        assert!(source.send_event(gst::event::FlushStart::new()))
    });
    quickly("flush-stop", || {
        assert!(source.send_event(gst::event::FlushStop::new(true)))
    });
}

#[test]
fn the_sink_can_be_used_again_after_a_stop() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let pipeline = Pipeline::play(&redis, &format!("{SINK} leaky=no max-in-flight=0"));
    for round in 1..=3 {
        let input = Input::of(&pipeline);
        input.push_jpeg(0);
        input.end();
        pipeline.message(gst::MessageType::Eos);
        assert_eq!(len(&mut connection, "images"), round);
        // A new run counts anew.
        assert_eq!(pipeline.stat("sink", "published"), 1, "round {round}");
        quickly("the stop", || pipeline.set_state(gst::State::Ready).unwrap());
        pipeline.set_state(gst::State::Playing).unwrap();
    }
}
