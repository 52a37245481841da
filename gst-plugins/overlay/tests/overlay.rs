//! `overlay` in a harness.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used)]

use std::sync::Once;

use gst::prelude::*;
use gst_video::{VideoFormat, VideoFrame, VideoInfo, VideoOverlayCompositionMeta};
use sightline_gst_common::add_detection;
use sightline_protocol::Detection;

const FORMATS: [VideoFormat; 19] = [
    VideoFormat::I420,
    VideoFormat::Nv12,
    VideoFormat::Rgb,
    VideoFormat::Bgr,
    VideoFormat::Rgbx,
    VideoFormat::Bgrx,
    VideoFormat::Xrgb,
    VideoFormat::Xbgr,
    VideoFormat::Rgba,
    VideoFormat::Bgra,
    VideoFormat::Argb,
    VideoFormat::Abgr,
    VideoFormat::Yv12,
    VideoFormat::Nv21,
    VideoFormat::Y42b,
    VideoFormat::Y444,
    VideoFormat::Yuy2,
    VideoFormat::Uyvy,
    VideoFormat::Gray8,
];

/// What sinks name that draw compositions themselves.
const FEATURES: [&str; 2] = ["memory:SystemMemory", "meta:GstVideoOverlayComposition"];

fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        gstoverlay::plugin_register_static().unwrap();
    });
}

fn element() -> gst::Element {
    gst::ElementFactory::make("overlay")
        .property("line-width", 4u32)
        .build()
        .unwrap()
}

fn harness(element: &gst::Element, info: &VideoInfo) -> gst_check::Harness {
    let mut harness = gst_check::Harness::with_element(element, Some("sink"), Some("src"));
    harness.set_src_caps(info.to_caps().unwrap());
    harness
}

fn info(format: VideoFormat, width: u32, height: u32) -> VideoInfo {
    VideoInfo::builder(format, width, height).build().unwrap()
}

/// A black frame on which a dog fills the middle half in width and height.
fn frame(info: &VideoInfo) -> gst::Buffer {
    let rgb = self::info(VideoFormat::Rgb, info.width(), info.height());
    let black = gst::Buffer::from_mut_slice(vec![0; rgb.size()]);
    let mut buffer = converted(black, &rgb, info);
    let dog = Detection {
        label: "dog".into(),
        class_id: 16,
        score: 0.86,
        bbox: [0.25, 0.25, 0.5, 0.5],
        track_id: None,
    };
    add_detection(buffer.make_mut(), &dog, (info.width(), info.height()));
    buffer
}

fn converted(buffer: gst::Buffer, from: &VideoInfo, to: &VideoInfo) -> gst::Buffer {
    let converter = gst_video::VideoConverter::new(from, to, None).unwrap();
    let source = VideoFrame::from_buffer_readable(buffer, from).unwrap();
    let target = gst::Buffer::with_size(to.size()).unwrap();
    let mut target = VideoFrame::from_buffer_writable(target, to).unwrap();
    converter.frame(&source, &mut target);
    target.into_buffer()
}

/// Brightness of a pixel, 0 to 255.
fn brightness(buffer: &gst::Buffer, info: &VideoInfo) -> impl Fn(u32, u32) -> u8 {
    let gray = self::info(VideoFormat::Gray8, info.width(), info.height());
    let buffer = converted(buffer.clone(), info, &gray);
    let (pixels, stride) = (buffer.map_readable().unwrap().to_vec(), gray.stride()[0] as usize);
    move |x, y| pixels[y as usize * stride + x as usize]
}

#[test]
fn boxes_are_blended_into_every_format() {
    init();
    for format in FORMATS {
        for (width, height) in [(320, 240), (333, 251)] {
            let info = info(format, width, height);
            let mut harness = harness(&element(), &info);
            let buffer = harness.push_and_pull(frame(&info)).unwrap();
            let at = brightness(&buffer, &info);
            let (left, top) = (width / 4, height / 4);
            let places = [
                ("left line", (left + 1, height / 2), true),
                ("right line", (left + width / 2 - 2, height / 2), true),
                ("top line", (width / 2, top + 1), true),
                ("bottom line", (width / 2, top + height / 2 - 2), true),
                ("plate", (left + 1, top - 4), true),
                ("inside", (width / 2, height / 2), false),
                ("outside", (width - 10, height - 10), false),
            ];
            for (name, (x, y), bright) in places {
                let value = at(x, y);
                assert_eq!(value > 60, bright, "{format:?} {width}×{height} {name}: {value}");
            }
            assert!(buffer.meta::<VideoOverlayCompositionMeta>().is_none());
        }
    }
}

#[test]
fn a_frame_without_detections_is_not_touched() {
    init();
    let info = info(VideoFormat::I420, 320, 240);
    let mut harness = harness(&element(), &info);
    let buffer = gst::Buffer::from_mut_slice(vec![7; info.size()]);
    let before = buffer.as_ptr();
    let after = harness.push_and_pull(buffer).unwrap();
    assert_eq!(after.as_ptr(), before);
}

#[test]
fn another_owners_frame_is_not_drawn_on() {
    init();
    let info = info(VideoFormat::Rgb, 320, 240);
    let mut harness = harness(&element(), &info);
    let shared = frame(&info);
    let drawn = harness.push_and_pull(shared.clone()).unwrap();
    assert!(shared.map_readable().unwrap().iter().all(|byte| *byte == 0));
    assert!(drawn.map_readable().unwrap().iter().any(|byte| *byte != 0));
}

#[test]
fn downstream_that_names_the_feature_gets_the_drawing_attached() {
    init();
    let info = info(VideoFormat::I420, 320, 240);
    let mut caps = info.to_caps().unwrap();
    let mut harness = gst_check::Harness::with_element(&element(), Some("sink"), Some("src"));
    caps.make_mut()
        .set_features(0, Some(gst::CapsFeatures::new(FEATURES)));
    harness.set_sink_caps(caps.clone());
    harness.set_src_caps(info.to_caps().unwrap());
    let plain = frame(&info);
    let buffer = harness.push_and_pull(plain.clone()).unwrap();
    assert_eq!(harness.sinkpad().unwrap().current_caps().unwrap(), caps);
    assert!(
        *buffer.map_readable().unwrap() == *plain.map_readable().unwrap(),
        "pixels stay as they were"
    );
    let meta = buffer.meta::<VideoOverlayCompositionMeta>().unwrap();
    assert_eq!(meta.overlay().n_rectangles(), 5);

    // A second overlay behind it adds to what is there.
    let mut second = gst_check::Harness::with_element(&element(), Some("sink"), Some("src"));
    second.set_src_caps(caps.clone());
    let buffer = second.push_and_pull(buffer.clone()).unwrap();
    let meta = buffer.meta::<VideoOverlayCompositionMeta>().unwrap();
    assert_eq!(meta.overlay().n_rectangles(), 10);
}

#[test]
fn what_is_drawn_can_change_while_playing() {
    init();
    let info = info(VideoFormat::Rgb, 320, 240);
    let element = element();
    let mut harness = harness(&element, &info);
    let mut drawn = || {
        let buffer = harness.push_and_pull(frame(&info)).unwrap();
        buffer
            .map_readable()
            .unwrap()
            .chunks(3)
            .filter(|pixel| **pixel != [0, 0, 0])
            .count()
    };
    let all = drawn();
    element.set_property("show-scores", false);
    let without_score = drawn();
    element.set_property("show-labels", false);
    let boxes = drawn();
    element.set_property("line-width", 1u32);
    let thin = drawn();
    assert!(
        all > without_score && without_score > boxes && boxes > thin,
        "{all} {without_score} {boxes} {thin}"
    );
    // 160 × 120 pixels, each line once.
    assert_eq!(thin, 2 * 160 + 2 * 118);
    element.set_property("font-size", 40u32);
    element.set_property("show-labels", true);
    assert!(drawn() > all);
}

#[test]
fn every_property_is_read_back() {
    init();
    let element = gst::ElementFactory::make("overlay").build().unwrap();
    let own = element
        .list_properties()
        .iter()
        .filter(|property| property.owner_type() == element.type_())
        .count();
    let numbers = [("line-width", 3u32, 101u32), ("font-size", 20, 501)];
    let switches = ["show-labels", "show-scores"];
    assert_eq!(own, numbers.len() + switches.len() + 1);
    for (name, value, outside) in numbers {
        assert_eq!(element.property::<u32>(name), 0);
        element.set_property(name, value);
        let set = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            element.set_property(name, outside)
        }));
        assert!(set.is_err(), "{name} takes {outside}");
        assert_eq!(element.property::<u32>(name), value);
    }
    for name in switches {
        assert!(element.property::<bool>(name));
        element.set_property(name, false);
        assert!(!element.property::<bool>(name));
    }
    let colour_by = || format!("{:?}", element.property_value("colour-by"));
    let before = colour_by();
    element.set_property_from_str("colour-by", "track");
    assert_ne!(colour_by(), before);
}
