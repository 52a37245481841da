//! Elements that share a model, and batches.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use common::{BLOBS, Frame, detections, harness, init, model};
use gst::prelude::*;
use sightline_gst_common::InferenceMeta;

/// Far longer than any test takes that does what it should.
const LONG: u64 = 10_000_000_000;

fn sharing(id: &str, batch: u32) -> gst::Element {
    gst::ElementFactory::make("yoloxdetect")
        .property("model", model("blobs_dynamic.onnx"))
        .property("labels", model("blobs.txt"))
        .property("model-instance-id", id)
        .property("batch-size", batch)
        .property("batch-timeout", LONG)
        .build()
        .unwrap()
}

fn stat(element: &gst::Element, field: &str) -> u64 {
    element.property::<gst::Structure>("stats").get(field).unwrap()
}

/// Whether no frame waited for somebody who did not come.
fn never_waited_long(element: &gst::Element) -> bool {
    stat(element, "max-wait-us") < LONG / 1000 / 2
}

fn mean_batch(element: &gst::Element) -> f64 {
    element
        .property::<gst::Structure>("stats")
        .get("mean-batch-size")
        .unwrap()
}

#[test]
fn each_gets_its_own_detections() {
    init();
    for (batch, elements) in [(1, 3), (2, 2), (4, 3)] {
        let start = Arc::new(Barrier::new(elements));
        let id = format!("own {batch} {elements}");
        let threads: Vec<_> = (0..elements)
            .map(|index| {
                let (start, element) = (start.clone(), sharing(&id, batch));
                std::thread::spawn(move || {
                    let blob = BLOBS[index];
                    let frame = Frame::new(300 + 100 * index as u32, 240, &[blob]);
                    let mut harness = harness(&element, &frame.info);
                    start.wait();
                    for _ in 0..20 {
                        let buffer = harness.push_and_pull(frame.buffer.clone()).unwrap();
                        let found = detections(&buffer, &frame.info);
                        assert_eq!(found.len(), 1, "{found:?}");
                        assert_eq!(found[0].label, blob.label);
                        assert!(blob.overlap(found[0].bbox) > 0.85, "{found:?}");
                    }
                    assert_eq!(stat(&element, "inferred"), 20);
                    assert!(never_waited_long(&element));
                    // Others need not wait for this one any more.
                    harness.push_event(gst::event::Eos::new());
                    mean_batch(&element)
                })
            })
            .collect();
        for thread in threads {
            let mean = thread.join().unwrap();
            assert!(mean <= f64::from(batch), "{mean}");
            assert_eq!(
                mean > 1.5,
                batch > 1,
                "batches of {batch} had {mean} frames on average"
            );
        }
    }
}

/// A branch of a pipeline with a shared model.
fn branch(name: &str, id: &str) -> String {
    format!(
        "videotestsrc num-buffers=20 ! video/x-raw,width=320,height=240 ! yoloxdetect name={name} model={} \
         model-instance-id={id} batch-size=2 batch-timeout={LONG} ! fakesink ",
        model("blobs_dynamic.onnx")
    )
}

fn pipeline(launch: &str) -> gst::Pipeline {
    gst::parse::launch(launch).unwrap().downcast().unwrap()
}

#[test]
fn branches_of_one_pipeline_and_several_pipelines_batch() {
    init();
    let one = [pipeline(&(branch("a", "one") + &branch("b", "one")))];
    let two = [pipeline(&branch("a", "two")), pipeline(&branch("b", "two"))];
    for pipelines in [&one[..], &two] {
        for pipeline in pipelines {
            pipeline.set_state(gst::State::Playing).unwrap();
        }
        for pipeline in pipelines {
            common::wait(pipeline);
        }
        for name in ["a", "b"] {
            let element = pipelines
                .iter()
                .find_map(|pipeline| pipeline.by_name(name))
                .unwrap();
            assert_eq!(stat(&element, "inferred"), 20);
            assert!(never_waited_long(&element), "{name}");
            let mean = mean_batch(&element);
            assert!(mean > 1.5 && mean <= 2.0, "{name}: {mean} frames in a batch");
        }
        for pipeline in pipelines {
            pipeline.set_state(gst::State::Null).unwrap();
        }
    }
}

/// An element whose next frame waits for another, and the other.
fn waiting(id: &str, frame: &Frame) -> (gst::Element, gst_check::Harness, gst_check::Harness) {
    let (element, other) = (sharing(id, 2), sharing(id, 2));
    let waiting = harness(&element, &frame.info);
    let mut other = harness(&other, &frame.info);
    let buffer = other.push_and_pull(frame.buffer.clone()).unwrap();
    assert!(InferenceMeta::read(&buffer).is_some(), "nobody else is there yet");
    (element, waiting, other)
}

type Push = std::thread::JoinHandle<(gst_check::Harness, Result<gst::FlowSuccess, gst::FlowError>)>;

/// Pushes a frame from a thread of its own, and comes back when it waits.
fn push(mut harness: gst_check::Harness, frame: &Frame) -> Push {
    let buffer = frame.buffer.clone();
    let thread = std::thread::spawn(move || {
        let result = harness.push(buffer);
        (harness, result)
    });
    // Long enough to come to the wait; if it is not, the test is easier to pass, not harder.
    std::thread::sleep(Duration::from_millis(200));
    assert!(!thread.is_finished(), "it waits");
    thread
}

#[test]
fn a_flush_ends_the_wait_at_once() {
    init();
    let frame = Frame::new(320, 240, &BLOBS);
    let (element, harness, mut other) = waiting("flush", &frame);
    let start = Instant::now();
    let thread = push(harness, &frame);
    assert_eq!(
        stat(&element, "inferred"),
        0,
        "its properties can be read meanwhile"
    );
    let pad = element.static_pad("sink").unwrap();
    assert!(pad.send_event(gst::event::FlushStart::new()));
    let (mut harness, result) = thread.join().unwrap();
    assert_eq!(result, Err(gst::FlowError::Flushing));
    assert!(start.elapsed() < Duration::from_nanos(LONG) / 2);

    assert!(pad.send_event(gst::event::FlushStop::new(true)));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(harness.push_event(gst::event::Segment::new(&segment)));
    let thread = push(harness, &frame);
    other.push(frame.buffer.clone()).unwrap();
    let (_, result) = thread.join().unwrap();
    assert_eq!(result, Ok(gst::FlowSuccess::Ok), "and the stream goes on");
    assert_eq!((stat(&element, "inferred"), mean_batch(&element)), (1, 2.0));
}

#[test]
fn a_state_change_ends_the_wait_at_once() {
    init();
    let frame = Frame::new(320, 240, &BLOBS);
    let (element, harness, _other) = waiting("state", &frame);
    let start = Instant::now();
    let thread = push(harness, &frame);
    element.set_state(gst::State::Null).unwrap();
    assert_eq!(thread.join().unwrap().1, Err(gst::FlowError::Flushing));
    assert!(start.elapsed() < Duration::from_nanos(LONG) / 2);
}

#[test]
fn who_ends_or_leaves_is_not_waited_for() {
    init();
    let frame = Frame::new(320, 240, &BLOBS);
    type Leave = fn(&mut gst_check::Harness);
    let leave: [(&str, Leave); 4] = [
        ("eos", |other| assert!(other.push_event(gst::event::Eos::new()))),
        ("gap", |other| {
            assert!(other.push_event(gst::event::Gap::builder(gst::ClockTime::ZERO).build()))
        }),
        ("paused", |other| {
            other.element().unwrap().set_state(gst::State::Paused).unwrap();
        }),
        ("flush", |other| {
            assert!(other.push_event(gst::event::FlushStart::new()))
        }),
    ];
    for (how, leave) in leave {
        let (element, harness, mut other) = waiting(how, &frame);
        let start = Instant::now();
        let thread = push(harness, &frame);
        leave(&mut other);
        assert_eq!(thread.join().unwrap().1, Ok(gst::FlowSuccess::Ok), "{how}");
        assert!(start.elapsed() < Duration::from_nanos(LONG) / 2, "{how}");
        assert_eq!(stat(&element, "inferred"), 1);
    }
}

#[test]
fn the_timeout_can_change_and_is_part_of_the_latency() {
    init();
    let frame = Frame::new(320, 240, &BLOBS);
    let (element, mut harness, _other) = waiting("timeout", &frame);
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    harness.set_upstream_latency(gst::ClockTime::from_mseconds(5));
    assert_eq!(
        harness.query_latency(),
        Some(gst::ClockTime::from_mseconds(10_005))
    );
    element.set_property("batch-timeout", 20_000_000u64);
    assert!(bus.pop_filtered(&[gst::MessageType::Latency]).is_some());
    assert_eq!(harness.query_latency(), Some(gst::ClockTime::from_mseconds(25)));
    harness.push(frame.buffer.clone()).unwrap();
    assert_eq!(mean_batch(&element), 1.0, "without the other");
    let wait = stat(&element, "max-wait-us");
    assert!(wait >= 19_000, "after {wait} µs");

    let alone = sharing("", 2);
    let mut harness = common::harness(&alone, &frame.info);
    harness.set_upstream_latency(gst::ClockTime::from_mseconds(5));
    assert_eq!(
        harness.query_latency(),
        Some(gst::ClockTime::from_mseconds(5)),
        "alone nothing waits"
    );
}
