//! `yoloxdetect` in a stream: events, flushes, renegotiation, late frames, leaks.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use common::{BLOBS, Frame, element, harness, init, launch_alone};
use gst::prelude::*;
use sightline_gst_common::InferenceMeta;

const MS: u64 = 1_000_000;

fn events(harness: &mut gst_check::Harness) -> Vec<gst::EventType> {
    std::iter::from_fn(|| harness.try_pull_event())
        .map(|event| event.type_())
        .collect()
}

fn at(frame: &Frame, ms: u64) -> gst::Buffer {
    let mut buffer = frame.buffer.copy();
    buffer.make_mut().set_pts(gst::ClockTime::from_mseconds(ms));
    buffer.make_mut().set_duration(gst::ClockTime::from_mseconds(40));
    buffer
}

fn is_inferred(buffer: &gst::BufferRef) -> bool {
    InferenceMeta::read(buffer).is_some()
}

fn count(element: &gst::Element, field: &str) -> u64 {
    element.property::<gst::Structure>("stats").get(field).unwrap()
}

#[test]
fn events_pass_in_order() {
    use gst::EventType::{Caps, Eos, FlushStart, FlushStop, Gap, Segment, StreamStart};
    init();
    let frame = Frame::new(320, 240, &BLOBS);
    let mut harness = harness(&element(), &frame.info);
    harness.push(at(&frame, 0)).unwrap();
    assert_eq!(events(&mut harness), [StreamStart, Caps, Segment]);
    let caps = harness.sinkpad().unwrap().current_caps().unwrap();
    assert!(caps == frame.info.to_caps().unwrap(), "{caps}");

    let gap = gst::event::Gap::builder(gst::ClockTime::from_mseconds(40)).build();
    assert!(harness.push_event(gap));
    let wide = Frame::new(640, 240, &BLOBS);
    assert!(harness.push_event(gst::event::Caps::new(&wide.info.to_caps().unwrap())));
    harness.push(at(&wide, 80)).unwrap();
    assert!(harness.push_event(gst::event::Eos::new()));
    assert_eq!(events(&mut harness), [Gap, Caps, Eos]);

    assert!(harness.push_event(gst::event::FlushStart::new()));
    assert!(harness.push_event(gst::event::FlushStop::new(true)));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(harness.push_event(gst::event::Segment::new(&segment)));
    harness.push(at(&wide, 0)).unwrap();
    assert_eq!(events(&mut harness), [FlushStart, FlushStop, Segment]);
    assert_eq!(harness.buffers_received(), 3);
}

#[test]
fn frames_without_a_format_are_an_error() {
    init();
    let frame = Frame::new(320, 240, &BLOBS);
    let mut harness = gst_check::Harness::with_element(&element(), Some("sink"), Some("src"));
    harness.play();
    assert!(harness.push_event(gst::event::StreamStart::new("test")));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(harness.push_event(gst::event::Segment::new(&segment)));
    assert_eq!(harness.push(at(&frame, 0)), Err(gst::FlowError::NotNegotiated));
}

/// For a frame at `ms`, the `late`th, when the sink was at 140 ms.
fn assert_qos_message(bus: &gst::Bus, ms: u64, late: u64) {
    let message = bus
        .pop_filtered(&[gst::MessageType::Qos])
        .expect("a message for each");
    let gst::MessageView::Qos(qos) = message.view() else {
        unreachable!()
    };
    let time = Some(gst::ClockTime::from_mseconds(ms));
    assert_eq!(
        qos.get(),
        (false, time, time, time, Some(gst::ClockTime::from_mseconds(40)))
    );
    assert_eq!(qos.values(), ((140 - ms as i64) * MS as i64, 1.5, 1_000_000));
    let stats = [
        gst::format::Buffers::from_u64(1),
        gst::format::Buffers::from_u64(late),
    ];
    assert_eq!(qos.stats(), (stats[0].into(), stats[1].into()));
}

#[test]
fn late_frames_pass_without_inference() {
    init();
    let frame = Frame::new(320, 240, &BLOBS);
    let element = element();
    let bus = gst::Bus::new();
    let mut harness = harness(&element, &frame.info);
    element.set_bus(Some(&bus));
    let push = |harness: &mut gst_check::Harness, ms| {
        let buffer = harness.push_and_pull(at(&frame, ms)).unwrap();
        assert_eq!(buffer.pts(), Some(gst::ClockTime::from_mseconds(ms)));
        assert!(!buffer.flags().contains(gst::BufferFlags::DISCONT));
        is_inferred(&buffer)
    };
    assert!(push(&mut harness, 1));
    // The sink says that a frame of 40 ms came 100 ms too late.
    let late = || {
        let time = gst::ClockTime::from_mseconds(40);
        gst::event::Qos::new(gst::QOSType::Underflow, 1.5, 100 * MS as i64, time)
    };
    assert!(harness.push_upstream_event(late()));
    let upstream = std::iter::from_fn(|| harness.try_pull_upstream_event());
    assert!(
        upstream
            .map(|event| event.type_())
            .any(|event| event == gst::EventType::Qos)
    );
    let inferred = [80, 120, 160, 200].map(|ms| push(&mut harness, ms));
    assert_eq!(inferred, [false, false, true, true]);
    assert_eq!(
        ["frames", "inferred", "skipped", "skipped-qos"].map(|field| count(&element, field)),
        [5, 3, 2, 2]
    );
    for (ms, late) in [(80, 1), (120, 2)] {
        assert_qos_message(&bus, ms, late);
    }

    element.set_property("qos", false);
    assert!(push(&mut harness, 100), "unless it is told not to mind");
    element.set_property("qos", true);
    assert!(!push(&mut harness, 100));
    harness.push_event(gst::event::FlushStart::new());
    harness.push_event(gst::event::FlushStop::new(true));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    harness.push_event(gst::event::Segment::new(&segment));
    while harness.try_pull().is_some() {}
    assert!(push(&mut harness, 100), "after a flush nothing is late");
}

#[test]
fn a_late_frame_does_not_use_up_its_turn() {
    init();
    let frame = Frame::new(320, 240, &BLOBS);
    let element = element();
    element.set_property("interval", 2u32);
    let mut harness = harness(&element, &frame.info);
    let time = gst::ClockTime::from_mseconds(40);
    harness.push_upstream_event(gst::event::Qos::new(
        gst::QOSType::Underflow,
        1.5,
        20 * MS as i64,
        time,
    ));
    let inferred = [0, 40, 80, 120, 160, 200, 240]
        .map(|ms| is_inferred(&harness.push_and_pull(at(&frame, ms)).unwrap()));
    assert_eq!(inferred, [false, false, true, false, false, true, false]);
}

#[test]
fn a_synchronising_sink_makes_it_skip() {
    init();
    // Fifty frames are due within 50 ms, which no machine can infer 1280×720 in a row in that time at this rate.
    let pipeline = gst::parse::launch(&format!(
        "videotestsrc num-buffers=50 ! video/x-raw,format=I420,width=1280,height=720,framerate=1000/1 ! \
         yoloxdetect name=detect model={} ! fakesink name=sink sync=true qos=true max-lateness=-1",
        common::model("blobs.onnx")
    ))
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let messages = common::run(&pipeline);
    let detect = pipeline.by_name("detect").unwrap();
    let stats = detect.property::<gst::Structure>("stats");
    pipeline.set_state(gst::State::Null).unwrap();
    let skipped = stats.get::<u64>("skipped-qos").unwrap();
    assert!(skipped > 0, "{stats}");
    assert_eq!(stats.get("frames"), Ok(50u64), "none is lost");
    let own = messages.iter().filter(|message| {
        message.type_() == gst::MessageType::Qos && message.src() == Some(detect.upcast_ref())
    });
    assert_eq!(own.count() as u64, skipped);
}

#[test]
fn nothing_leaks() {
    init();
    let blobs = common::model("blobs_dynamic.onnx");
    let shared = format!("yoloxdetect model={blobs} model-instance-id=a batch-size=2 messages=true");
    let source = "videotestsrc num-buffers=5 pattern=smpte ! video/x-raw,width=320,height=240";
    for line in [
        format!("{source} ! yoloxdetect model={blobs} interval=1 classes=0 ! fakesink"),
        format!("{source} ! {shared} ! fakesink {source} ! {shared} ! fakesink"),
        "fakesrc num-buffers=1 ! yoloxdetect model=/nonexistent.onnx ! fakesink".to_owned(),
    ] {
        let (log, status) = launch_alone(&line);
        assert_eq!(status.success(), !line.contains("nonexistent"), "{line}: {log}");
        let alive: Vec<_> = log
            .lines()
            .filter(|line| line.contains("object-alive, type-name=(string)") && !line.contains("(string)%s"))
            .collect();
        assert!(log.contains("GST_TRACER"), "the tracer ran: {log}");
        assert!(alive.is_empty(), "{line}: {alive:#?}");
    }
}
