//! What `overlay` does with buffers, caps and events.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use gst::prelude::*;
use gst_video::{VideoFormat, VideoOverlayCompositionMeta, VideoRegionOfInterestMeta};
use sightline_protocol::Detection;

fn memory(buffer: &gst::Buffer) -> *const gst::ffi::GstMemory {
    buffer.peek_memory(0).as_ptr()
}

#[test]
fn a_frame_without_detections_is_not_touched() {
    init();
    let info = info(VideoFormat::I420, 320, 240);
    for mut harness in [harness(&element(), &info), attaching(&element(), &info)] {
        // Another owner would make any change a copy.
        let shared = black(&info);
        let after = harness.push_and_pull(shared.clone()).unwrap();
        assert_eq!(after.as_ptr(), shared.as_ptr());
        // What lies outside of the frame is nothing to draw either.
        let outside = Detection {
            bbox: [2.0, 0.2, 0.1, 0.1],
            ..dog()
        };
        let shared = frame(&info, &[outside]);
        let after = harness.push_and_pull(shared.clone()).unwrap();
        assert_eq!(after.as_ptr(), shared.as_ptr());
    }
}

#[test]
fn a_frame_of_its_own_is_drawn_on_in_place() {
    init();
    let info = info(VideoFormat::I420, 320, 240);
    let buffer = frame(&info, &[dog()]);
    let before = memory(&buffer);
    let after = harness(&element(), &info).push_and_pull(buffer).unwrap();
    assert_eq!(memory(&after), before);
    assert!(bytes(&after) != bytes(&black(&info)));
}

#[test]
fn another_owners_frame_is_not_drawn_on() {
    init();
    let info = info(VideoFormat::Rgb, 320, 240);
    let shared = frame(&info, &[dog()]);
    let drawn = harness(&element(), &info).push_and_pull(shared.clone()).unwrap();
    assert!(bytes(&shared).iter().all(|byte| *byte == 0));
    assert!(bytes(&drawn).iter().any(|byte| *byte != 0));
}

#[test]
fn metas_and_times_are_kept() {
    init();
    let info = info(VideoFormat::I420, 320, 240);
    for mut harness in [harness(&element(), &info), attaching(&element(), &info)] {
        let mut buffer = frame(&info, &[dog(), dog()]);
        let buffer_mut = buffer.make_mut();
        buffer_mut.set_pts(gst::ClockTime::from_mseconds(40));
        buffer_mut.set_duration(gst::ClockTime::from_mseconds(20));
        buffer_mut.set_offset(3);
        let shared = buffer.clone();
        let after = harness.push_and_pull(buffer).unwrap();
        assert_eq!(after.iter_meta::<VideoRegionOfInterestMeta>().count(), 2);
        assert_eq!(
            (after.pts(), after.duration(), after.offset()),
            (shared.pts(), shared.duration(), 3)
        );
    }
}

#[test]
fn downstream_that_names_the_feature_gets_the_drawing_attached() {
    init();
    for format in FORMATS {
        let info = info(format, 320, 240);
        let mut harness = attaching(&element(), &info);
        let plain = frame(&info, &[dog()]);
        let buffer = harness.push_and_pull(plain.clone()).unwrap();
        let caps = harness.sinkpad().unwrap().current_caps().unwrap();
        assert_eq!(caps, composition_caps(&info));
        assert_eq!(memory(&buffer), memory(&plain), "pixels are not even copied");
        let meta = buffer.meta::<VideoOverlayCompositionMeta>().unwrap();
        assert_eq!(meta.overlay().n_rectangles(), 5);

        // A second overlay behind it adds to what is there.
        let mut second = gst_check::Harness::with_element(&element(), Some("sink"), Some("src"));
        second.set_src_caps(caps.clone());
        let buffer = second.push_and_pull(buffer.clone()).unwrap();
        let meta = buffer.meta::<VideoOverlayCompositionMeta>().unwrap();
        assert_eq!(meta.overlay().n_rectangles(), 10);
    }
}

#[test]
fn what_is_attached_looks_like_what_is_blended() {
    init();
    // Rows without gaps, in which anything may be.
    let info = info(VideoFormat::Rgb, 324, 241);
    let found = [
        dog(),
        Detection {
            class_id: 3,
            bbox: [0.1, 0.1, 0.3, 0.8],
            ..dog()
        },
    ];
    let blended = harness(&element(), &info)
        .push_and_pull(frame(&info, &found))
        .unwrap();
    let mut attached = attaching(&element(), &info)
        .push_and_pull(frame(&info, &found))
        .unwrap();
    let composition = attached
        .meta::<VideoOverlayCompositionMeta>()
        .unwrap()
        .overlay_owned();
    let attached_mut = attached.make_mut();
    let mut pixels = gst_video::VideoFrameRef::from_buffer_ref_writable(attached_mut, &info).unwrap();
    composition.blend(&mut pixels).unwrap();
    drop(pixels);
    // GStreamer's function rounds otherwise.
    let pairs = bytes(&attached).into_iter().zip(bytes(&blended));
    let furthest = pairs.map(|(a, b)| a.abs_diff(b)).max();
    assert!(furthest <= Some(1), "{furthest:?}");
}

#[test]
fn the_same_detections_are_rendered_once() {
    init();
    let info = info(VideoFormat::I420, 320, 240);
    let element = element();
    let mut harness = attaching(&element, &info);
    let mut composition = |detection: Detection| {
        let buffer = harness.push_and_pull(frame(&info, &[detection])).unwrap();
        let meta = buffer.meta::<VideoOverlayCompositionMeta>().unwrap();
        meta.overlay_owned()
    };
    let (first, second) = (composition(dog()), composition(dog()));
    assert_eq!(first.as_ptr(), second.as_ptr());
    let moved = composition(Detection {
        bbox: [0.26, 0.25, 0.5, 0.5],
        ..dog()
    });
    assert_ne!(moved.as_ptr(), first.as_ptr());
    element.set_property("line-width", 5u32);
    let wider = composition(Detection {
        bbox: [0.26, 0.25, 0.5, 0.5],
        ..dog()
    });
    assert_ne!(wider.as_ptr(), moved.as_ptr());
    let stats = ["frames", "drawn", "unchanged"].map(|field| stat(&element, field));
    assert_eq!(stats, [4, 4, 1]);
}

#[test]
fn the_size_may_change() {
    init();
    let mut harness = harness(&element(), &info(VideoFormat::I420, 320, 240));
    for (format, width, height) in [
        (VideoFormat::I420, 320, 240),
        (VideoFormat::I420, 641, 359),
        (VideoFormat::Rgb, 64, 64),
        (VideoFormat::I420, 320, 240),
    ] {
        let info = info(format, width, height);
        harness.set_src_caps(info.to_caps().unwrap());
        let buffer = harness.push_and_pull(frame(&info, &[dog()])).unwrap();
        let at = colours(&buffer, &info);
        assert!(
            at(width / 4 + 1, height / 2)[1] > 200,
            "{format:?} {width}×{height}"
        );
        assert_eq!(
            harness.sinkpad().unwrap().current_caps(),
            Some(info.to_caps().unwrap())
        );
    }
}

#[test]
fn events_pass_in_their_order() {
    init();
    let info = info(VideoFormat::I420, 320, 240);
    let mut harness = harness(&element(), &info);
    let mut tags = gst::TagList::new();
    tags.make_mut()
        .add::<gst::tags::Title>(&"street", gst::TagMergeMode::Append);
    assert!(harness.push_event(gst::event::Tag::new(tags)));
    harness.push_and_pull(frame(&info, &[dog()])).unwrap();
    assert!(harness.push_event(gst::event::Gap::builder(gst::ClockTime::ZERO).build()));
    assert!(harness.push_event(gst::event::FlushStart::new()));
    assert!(harness.push_event(gst::event::FlushStop::new(true)));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(harness.push_event(gst::event::Segment::new(&segment)));
    harness.push_and_pull(frame(&info, &[dog()])).unwrap();
    assert!(harness.push_event(gst::event::Eos::new()));
    let events: Vec<_> = std::iter::from_fn(|| harness.try_pull_event())
        .map(|event| event.type_())
        .collect();
    use gst::EventType as Type;
    let expected = [
        Type::StreamStart,
        Type::Caps,
        Type::Segment,
        Type::Tag,
        Type::Gap,
        Type::FlushStart,
        Type::FlushStop,
        Type::Segment,
        Type::Eos,
    ];
    assert_eq!(events, expected);
    assert_eq!(harness.push(black(&info)), Err(gst::FlowError::Eos));
}

#[test]
fn other_formats_are_not_accepted() {
    init();
    let element = element();
    let sink = element.static_pad("sink").unwrap();
    let accepts = |caps: &gst::Caps| sink.query_accept_caps(caps);
    assert!(accepts(&info(VideoFormat::Nv12, 320, 240).to_caps().unwrap()));
    assert!(!accepts(
        &info(VideoFormat::I42010le, 320, 240).to_caps().unwrap()
    ));
    assert!(!accepts(&gst::Caps::new_empty_simple("audio/x-raw")));
}

#[test]
fn upstream_learns_what_downstream_wishes_for_memory() {
    init();
    let info = info(VideoFormat::I420, 320, 240);
    for (attach, mut harness) in [
        (false, harness(&element(), &info)),
        (true, attaching(&element(), &info)),
    ] {
        let sink = harness.sinkpad().unwrap();
        sink.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, probe| {
            if let Some(gst::QueryViewMut::Allocation(query)) =
                probe.query_mut().map(|query| query.view_mut())
            {
                query.add_allocation_meta::<gst_video::VideoMeta>(None);
                return gst::PadProbeReturn::Handled;
            }
            gst::PadProbeReturn::Ok
        });
        // Once there is a frame, all is negotiated.
        harness.push_and_pull(black(&info)).unwrap();
        let mut query = gst::query::Allocation::new(Some(&info.to_caps().unwrap()), true);
        assert!(
            harness.srcpad().unwrap().peer_query(&mut query),
            "attach: {attach}"
        );
        let wish = query.find_allocation_meta::<gst_video::VideoMeta>();
        assert!(wish.is_some(), "attach: {attach}");
    }
}

#[test]
fn it_stops_and_starts_again() {
    init();
    let info = info(VideoFormat::I420, 320, 240);
    let element = element();
    for _ in 0..3 {
        let mut harness = harness(&element, &info);
        harness.push_and_pull(frame(&info, &[dog()])).unwrap();
        assert_eq!(stat(&element, "drawn"), 1, "the count begins anew");
        element.set_state(gst::State::Null).unwrap();
    }
}
