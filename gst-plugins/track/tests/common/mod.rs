//! Frames with detections on them.

// Each test file uses its own part of this.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::sync::Once;

use sightline_gst_common::{InferenceMeta, add_detection};
use sightline_protocol::Detection;

pub const SIZE: (u32, u32) = (640, 480);

pub fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        gsttrack::plugin_register_static().unwrap();
        gstyolox::plugin_register_static().unwrap();
    });
}

/// The data folder, if it is here. In CI it must be.
pub fn data() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("SIGHTLINE_DATA").map_or_else(beside, PathBuf::from);
    if folder.join("video/bikes.mp4").is_file() {
        return Some(folder);
    }
    let message = format!("no test data in {}; set SIGHTLINE_DATA", folder.display());
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
    eprintln!("not tested: {message}");
    None
}

pub fn caps((width, height): (u32, u32)) -> gst::Caps {
    gst::Caps::builder("video/x-raw")
        .field("format", "GRAY8")
        .field("width", width as i32)
        .field("height", height as i32)
        .field("framerate", gst::Fraction::new(25, 1))
        .build()
}

pub fn element() -> gst::Element {
    gst::ElementFactory::make("objecttrack").build().unwrap()
}

/// The element in PLAYING, between pads that carry frames of `SIZE`.
pub fn harness(element: &gst::Element) -> gst_check::Harness {
    let mut harness = gst_check::Harness::with_element(element, Some("sink"), Some("src"));
    harness.set_src_caps(caps(SIZE));
    harness
}

/// A person, whose left edge is at `x` (0 to 1).
pub fn person(x: f64) -> Detection {
    Detection {
        label: "person".into(),
        class_id: 0,
        score: 0.9,
        bbox: [x, 0.25, 0.25, 0.5],
        track_id: None,
    }
}

/// The frame of a number, at 25 frames a second.
pub fn frame(number: u64) -> gst::Buffer {
    let mut buffer = gst::Buffer::with_size(16).unwrap();
    let buffer_mut = buffer.get_mut().unwrap();
    buffer_mut.set_pts(gst::ClockTime::from_mseconds(40 * number));
    buffer
}

/// The same, with what a detector that marks its frames found.
pub fn inferred(number: u64, found: &[Detection]) -> gst::Buffer {
    let mut buffer = with_detections(number, found);
    InferenceMeta::default().attach(buffer.make_mut()).unwrap();
    buffer
}

/// The same, from a detector that does not.
pub fn with_detections(number: u64, found: &[Detection]) -> gst::Buffer {
    let mut buffer = frame(number);
    for detection in found {
        add_detection(buffer.make_mut(), detection, SIZE);
    }
    buffer
}

/// Sends a frame through and returns what is on it then.
pub fn pass(harness: &mut gst_check::Harness, buffer: gst::Buffer) -> Vec<Detection> {
    sightline_gst_common::detections(&harness.push_and_pull(buffer).unwrap(), SIZE)
}

pub fn ids(detections: &[Detection]) -> Vec<Option<u64>> {
    detections.iter().map(|detection| detection.track_id).collect()
}
