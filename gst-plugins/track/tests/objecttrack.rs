//! `objecttrack` in a harness.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use common::{SIZE, caps, element, frame, harness, ids, inferred, init, pass, person, with_detections};
use gst::prelude::*;
use sightline_gst_common::InferenceMeta;
use sightline_protocol::Detection;

fn stat(element: &gst::Element, field: &str) -> u64 {
    element.property::<gst::Structure>("stats").get(field).unwrap()
}

#[test]
fn ids_stay_and_boxes_are_carried() {
    init();
    let element = element();
    let mut harness = harness(&element);
    for number in 0..30 {
        let x = 0.1 + 0.01 * f64::from(number as u32);
        if number % 3 == 0 {
            let found = pass(&mut harness, inferred(number, &[person(x)]));
            assert_eq!(ids(&found), [Some(1)], "frame {number}");
            let error = (found[0].bbox[0] - x).abs();
            assert!(error < 1e-9, "the detector's box is left as it is: {found:?}");
        } else {
            let found = pass(&mut harness, frame(number));
            assert_eq!(ids(&found), [Some(1)], "frame {number}");
            assert_eq!((found[0].label.as_str(), found[0].score), ("person", 0.9));
            // Once it knows the speed.
            let error = (found[0].bbox[0] - x).abs();
            assert!(
                number < 6 || error < 0.01,
                "frame {number}: {found:?} is not at {x}"
            );
        }
    }
    assert_eq!((stat(&element, "frames"), stat(&element, "inferred")), (30, 10));
    assert_eq!(
        (stat(&element, "carried-boxes"), stat(&element, "created")),
        (20, 1)
    );
    assert_eq!((stat(&element, "tracks"), stat(&element, "lost")), (1, 0));
}

#[test]
fn nothing_found_is_not_nothing_inferred() {
    init();
    let element = element();
    let mut harness = harness(&element);
    pass(&mut harness, inferred(0, &[person(0.1)]));
    assert!(pass(&mut harness, inferred(1, &[])).is_empty());
    assert!(
        pass(&mut harness, frame(2)).is_empty(),
        "what was not found is not carried"
    );
    assert_eq!((stat(&element, "tracks"), stat(&element, "lost")), (0, 1));
    assert_eq!(ids(&pass(&mut harness, inferred(3, &[person(0.1)]))), [Some(1)]);
}

#[test]
fn without_marks_all_frames_count_as_inferred() {
    init();
    let mut harness = harness(&element());
    assert!(pass(&mut harness, frame(0)).is_empty());
    assert_eq!(
        ids(&pass(&mut harness, with_detections(1, &[person(0.1)]))),
        [Some(1)]
    );
    assert!(pass(&mut harness, frame(2)).is_empty());
    assert_eq!(
        ids(&pass(&mut harness, with_detections(3, &[person(0.1)]))),
        [Some(1)]
    );
}

#[test]
fn regions_of_other_elements_are_tracked() {
    init();
    let mut harness = harness(&element());
    for number in 0..3 {
        let mut buffer = frame(number);
        gst_video::VideoRegionOfInterestMeta::add(buffer.make_mut(), "face", (10, 20, 30, 40));
        let found = pass(&mut harness, buffer);
        assert_eq!((found[0].label.as_str(), found[0].track_id), ("face", Some(1)));
    }
}

#[test]
fn carrying_can_be_turned_off() {
    init();
    let element = element();
    let mut harness = harness(&element);
    pass(&mut harness, inferred(0, &[person(0.1)]));
    element.set_property("carry", false);
    assert!(pass(&mut harness, frame(1)).is_empty());
    assert_eq!(stat(&element, "carried-boxes"), 0);
    assert_eq!(ids(&pass(&mut harness, inferred(2, &[person(0.1)]))), [Some(1)]);
    element.set_property("carry", true);
    assert_eq!(ids(&pass(&mut harness, frame(3))), [Some(1)]);
}

#[test]
fn numbers_hold_at_once() {
    init();
    let element = element();
    let mut harness = harness(&element);
    let mut number = 0;
    let mut id = |score| {
        number += 1;
        let found = Detection { score, ..person(0.1) };
        ids(&pass(&mut harness, inferred(number, &[found])))[0]
    };
    assert_eq!(id(0.5), None);
    element.set_property("high-threshold", 0.4);
    element.set_property("new-track-threshold", 0.45);
    assert_eq!(
        (id(0.5), id(0.5)),
        (None, Some(1)),
        "two certain boxes make a track"
    );
    assert_eq!(id(0.3), Some(1), "an uncertain one continues it");
    element.set_property("low-threshold", 0.35);
    assert_eq!(id(0.3), None, "not any more");
    assert_eq!(id(0.5), Some(1));
    element.set_property("match-threshold", 0.3);
    assert_eq!(id(0.5), None, "1 - 0.5 is too far");
    assert_eq!(id(0.9), Some(1));
    element.set_property("track-buffer", 0u32);
    assert_eq!(
        (id(0.9), id(0.9)),
        (None, None),
        "every track ends after its frame"
    );
}

#[test]
fn dropped_frames_count() {
    init();
    let mut harness = harness(&element());
    let at = |number: u64| person(0.1 + 0.01 * number as f64);
    for number in 0..10 {
        pass(&mut harness, inferred(number, &[at(number)]));
    }
    let carried = pass(&mut harness, frame(14));
    let error = (carried[0].bbox[0] - at(14).bbox[0]).abs();
    assert!(error < 0.005, "{carried:?}");
    assert!(
        pass(&mut harness, frame(100)).is_empty(),
        "a long gap ends all tracks"
    );
    assert_eq!(ids(&pass(&mut harness, inferred(101, &[at(9)]))), [None]);
    assert_eq!(ids(&pass(&mut harness, inferred(102, &[at(9)]))), [Some(2)]);
}

#[test]
fn frames_without_times_are_tracked_too() {
    init();
    let mut harness = harness(&element());
    for _ in 0..3 {
        let mut buffer = inferred(0, &[person(0.1)]);
        buffer.make_mut().set_pts(None);
        assert_eq!(ids(&pass(&mut harness, buffer)), [Some(1)]);
    }
}

#[test]
fn a_flush_ends_tracks_but_not_the_count_of_ids() {
    init();
    let element = element();
    let mut harness = harness(&element);
    pass(&mut harness, inferred(0, &[person(0.1)]));
    assert!(harness.push_event(gst::event::FlushStart::new()));
    assert!(harness.push_event(gst::event::FlushStop::new(true)));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(harness.push_event(gst::event::Segment::new(&segment)));
    assert!(pass(&mut harness, frame(1)).is_empty());
    assert_eq!(ids(&pass(&mut harness, inferred(2, &[person(0.1)]))), [Some(2)]);
}

#[test]
fn a_new_stream_begins_at_one() {
    init();
    let element = element();
    let mut harness = harness(&element);
    pass(&mut harness, inferred(0, &[person(0.1)]));
    assert!(harness.push_event(gst::event::StreamStart::new("another")));
    assert!(harness.push_event(gst::event::Caps::new(&caps(SIZE))));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(harness.push_event(gst::event::Segment::new(&segment)));
    assert_eq!(stat(&element, "frames"), 0);
    assert!(pass(&mut harness, frame(1)).is_empty());
    assert_eq!(ids(&pass(&mut harness, inferred(2, &[person(0.6)]))), [Some(1)]);
}

#[test]
fn a_restart_begins_at_one() {
    init();
    let element = element();
    for _ in 0..2 {
        let mut harness = harness(&element);
        assert_eq!(ids(&pass(&mut harness, inferred(0, &[person(0.1)]))), [Some(1)]);
        drop(harness);
        element.set_state(gst::State::Null).unwrap();
        assert_eq!(stat(&element, "frames"), 0);
    }
}

#[test]
fn another_scale_keeps_tracks_and_another_shape_ends_them() {
    init();
    let mut harness = harness(&element());
    pass(&mut harness, inferred(0, &[person(0.1)]));
    harness.set_src_caps(caps((320, 240)));
    let buffer = harness.push_and_pull(frame(1)).unwrap();
    let meta = buffer.meta::<gst_video::VideoRegionOfInterestMeta>().unwrap();
    assert_eq!(meta.rect(), (32, 60, 80, 120), "carried to the new size");
    assert_eq!(ids(&pass(&mut harness, inferred(2, &[person(0.1)]))), [Some(1)]);
    harness.set_src_caps(caps((240, 320)));
    assert!(pass(&mut harness, frame(3)).is_empty());
    assert_eq!(ids(&pass(&mut harness, inferred(4, &[person(0.1)]))), [Some(2)]);
}

#[test]
fn any_raw_video_is_taken_in_any_memory() {
    init();
    for text in [
        "video/x-raw,format=I420,width=320,height=240,framerate=0/1",
        "video/x-raw,format=P010_10LE,width=33,height=1,framerate=30/1",
        "video/x-raw(memory:GLMemory),format=RGBA,width=320,height=240,framerate=30/1,texture-target=2D",
        "video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=NV12,width=320,height=240",
        "video/x-raw(format:Interlaced),format=I420,width=320,height=240,interlace-mode=alternate",
    ] {
        let caps: gst::Caps = text.parse().unwrap();
        let mut harness = gst_check::Harness::with_element(&element(), Some("sink"), Some("src"));
        harness.set_src_caps(caps.clone());
        assert_eq!(
            ids(&pass(&mut harness, inferred(0, &[person(0.1)]))),
            [Some(1)],
            "{text}"
        );
        assert!(
            harness.sinkpad().unwrap().current_caps().unwrap() == caps,
            "{text}"
        );
    }
}

#[test]
fn caps_without_a_size_are_refused() {
    init();
    let mut harness = gst_check::Harness::with_element(&element(), Some("sink"), Some("src"));
    harness.set_src_caps("video/x-raw,format=I420,width=0,height=240".parse().unwrap());
    assert_eq!(harness.push(frame(0)), Err(gst::FlowError::NotNegotiated));
}

#[test]
fn memory_is_not_copied_and_other_owners_see_no_change() {
    init();
    let mut harness = harness(&element());
    let address = |buffer: &gst::Buffer| buffer.map_readable().unwrap().as_ptr();
    let shared = inferred(0, &[person(0.1)]);
    let buffer = harness.push_and_pull(shared.clone()).unwrap();
    assert_eq!(address(&buffer), address(&shared));
    assert_eq!(ids(&sightline_gst_common::detections(&shared, SIZE)), [None]);
    let shared = frame(1);
    let carried = harness.push_and_pull(shared.clone()).unwrap();
    assert_eq!(address(&carried), address(&shared));
    assert!(
        InferenceMeta::read(&carried).is_none(),
        "a carried box was not inferred"
    );
    assert!(sightline_gst_common::detections(&shared, SIZE).is_empty());
    // Without anything to say the buffer is the very same.
    pass(&mut harness, inferred(2, &[]));
    let shared = frame(3);
    assert_eq!(
        harness.push_and_pull(shared.clone()).unwrap().as_ptr(),
        shared.as_ptr()
    );
}

#[test]
fn boxes_that_are_none_pass_untracked() {
    init();
    let mut harness = harness(&element());
    for (number, bad) in [f64::NAN, f64::INFINITY, f64::MAX, -1.0, 0.0]
        .into_iter()
        .enumerate()
    {
        let mut odd = person(0.1);
        odd.bbox[2] = bad;
        let score = Detection {
            score: bad as f32,
            ..person(0.6)
        };
        let found = pass(&mut harness, inferred(2 * number as u64, &[odd, score]));
        assert_eq!(ids(&found), [None, None]);
        harness.push_and_pull(frame(2 * number as u64 + 1)).unwrap();
    }
}

#[test]
fn events_keep_their_order_and_eos_comes_last() {
    init();
    let mut harness = harness(&element());
    harness.push(inferred(0, &[person(0.1)])).unwrap();
    let gap = gst::event::Gap::builder(gst::ClockTime::from_mseconds(40)).build();
    assert!(harness.push_event(gap));
    harness.push(frame(2)).unwrap();
    let tags = gst::event::Tag::new(gst::TagList::new());
    assert!(harness.push_event(tags));
    assert!(harness.push_event(gst::event::Eos::new()));
    let names: Vec<_> = std::iter::from_fn(|| harness.try_pull_event())
        .map(|event| event.type_())
        .collect();
    let expected = [
        gst::EventType::StreamStart,
        gst::EventType::Caps,
        gst::EventType::Segment,
        gst::EventType::Gap,
        gst::EventType::Tag,
        gst::EventType::Eos,
    ];
    assert_eq!(names, expected);
    assert_eq!(harness.buffers_received(), 2);
    assert_eq!(harness.push(frame(3)), Err(gst::FlowError::Eos));
}

#[test]
fn messages_carry_what_is_on_each_frame() {
    init();
    let element = element();
    element.set_property("messages", true);
    let bus = gst::Bus::new();
    let mut harness = harness(&element);
    element.set_bus(Some(&bus));
    pass(&mut harness, inferred(1, &[person(0.1)]));
    pass(&mut harness, frame(2));
    for (pts, inferred) in [(40_000_000_u64, true), (80_000_000, false)] {
        let message = bus.pop_filtered(&[gst::MessageType::Element]).unwrap();
        let structure = message.structure().unwrap();
        assert_eq!(structure.name(), "objecttrack");
        assert_eq!(structure.get("pts"), Ok(pts));
        assert_eq!(structure.get("inferred"), Ok(inferred));
        assert_eq!(
            (structure.get("width"), structure.get("height")),
            (Ok(640), Ok(480))
        );
        let sent: Vec<Detection> = serde_json::from_str(structure.get("detections").unwrap()).unwrap();
        assert_eq!(ids(&sent), [Some(1)]);
    }
    element.set_property("messages", false);
    pass(&mut harness, frame(3));
    assert!(bus.pop_filtered(&[gst::MessageType::Element]).is_none());
}
