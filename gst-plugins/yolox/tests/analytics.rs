//! Detections as GstAnalytics metadata, drawn by GStreamer's own element.
#![cfg(feature = "v1_24")]

mod common;

use common::{BLOBS, Frame};
use gst_video::prelude::*;
use gst_video::{VideoFormat, VideoFrame};

/// Neither in the picture nor what its conversion could make of it: opaque magenta.
const MAGENTA: [u8; 3] = [255, 0, 255];

#[test]
fn gstreamers_own_overlay_draws_the_boxes() {
    common::init();
    let mut harness = gst_check::Harness::new_parse(&format!(
        "yoloxdetect model={} ! objectdetectionoverlay draw-labels=false object-detection-outline-color=0xffff00ff",
        common::model("blobs.onnx")
    ));
    let frame = Frame::new(320, 320, &BLOBS);
    harness.set_src_caps(frame.info.to_caps().unwrap());
    harness.push(frame.buffer).unwrap();
    let drawn = VideoFrame::from_buffer_readable(harness.pull().unwrap(), &frame.info).unwrap();
    assert_eq!(drawn.info().format(), VideoFormat::Rgb);

    let stride = drawn.plane_stride()[0] as usize;
    let pixels = drawn.plane_data(0).unwrap();
    let is_drawn = |x: usize, y: usize| pixels[y * stride + x * 3..][..3] == MAGENTA;
    let near = |place: f64| {
        let pixel = (place * 320.0) as usize;
        pixel.saturating_sub(12)..(pixel + 12).min(320)
    };
    for blob in BLOBS {
        let [left, top, right, bottom] = blob.corners;
        let (x, y) = (
            ((left + right) * 160.0) as usize,
            ((top + bottom) * 160.0) as usize,
        );
        for edge in [left, right] {
            assert!(
                near(edge).any(|x| is_drawn(x, y)),
                "{}: no line near x = {edge}",
                blob.label
            );
        }
        for edge in [top, bottom] {
            assert!(
                near(edge).any(|y| is_drawn(x, y)),
                "{}: no line near y = {edge}",
                blob.label
            );
        }
        assert!(!is_drawn(x, y), "{}: its middle is drawn on", blob.label);
    }
}
