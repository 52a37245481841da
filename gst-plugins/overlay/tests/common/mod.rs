//! Frames with detections on them, and what can be seen of the drawing.

// Each test file uses its own part of this.
#![allow(dead_code)]

use std::sync::Once;

use gst::prelude::*;
use gst_video::{VideoFormat, VideoFrame, VideoInfo};
use sightline_gst_common::add_detection;
use sightline_protocol::Detection;

pub const FORMATS: [VideoFormat; 19] = [
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

pub fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        gstoverlay::plugin_register_static().unwrap();
    });
}

pub fn element() -> gst::Element {
    gst::ElementFactory::make("overlay")
        .property("line-width", 4u32)
        .build()
        .unwrap()
}

pub fn stat(element: &gst::Element, field: &str) -> u64 {
    element.property::<gst::Structure>("stats").get(field).unwrap()
}

/// The element in PLAYING, between pads of which the last takes no compositions.
pub fn harness(element: &gst::Element, info: &VideoInfo) -> gst_check::Harness {
    let mut harness = gst_check::Harness::with_element(element, Some("sink"), Some("src"));
    harness.set_src_caps(info.to_caps().unwrap());
    harness
}

/// The caps of sinks that draw compositions themselves.
pub fn composition_caps(info: &VideoInfo) -> gst::Caps {
    let features = ["memory:SystemMemory", "meta:GstVideoOverlayComposition"];
    let mut caps = info.to_caps().unwrap();
    caps.make_mut()
        .set_features(0, Some(gst::CapsFeatures::new(features)));
    caps
}

/// The same, before such a sink.
pub fn attaching(element: &gst::Element, info: &VideoInfo) -> gst_check::Harness {
    let mut harness = gst_check::Harness::with_element(element, Some("sink"), Some("src"));
    harness.set_sink_caps(composition_caps(info));
    harness.set_src_caps(info.to_caps().unwrap());
    harness
}

pub fn info(format: VideoFormat, width: u32, height: u32) -> VideoInfo {
    VideoInfo::builder(format, width, height).build().unwrap()
}

/// A dog in the middle half in width and height.
pub fn dog() -> Detection {
    Detection {
        label: "dog".into(),
        class_id: 16,
        score: 0.86,
        bbox: [0.25, 0.25, 0.5, 0.5],
        track_id: None,
    }
}

/// A black frame.
pub fn black(info: &VideoInfo) -> gst::Buffer {
    let rgb = self::info(VideoFormat::Rgb, info.width(), info.height());
    converted(gst::Buffer::from_mut_slice(vec![0; rgb.size()]), &rgb, info)
}

/// The same with detections.
pub fn frame(info: &VideoInfo, found: &[Detection]) -> gst::Buffer {
    let mut buffer = black(info);
    for detection in found {
        add_detection(buffer.make_mut(), detection, (info.width(), info.height()));
    }
    buffer
}

pub fn converted(buffer: gst::Buffer, from: &VideoInfo, to: &VideoInfo) -> gst::Buffer {
    let converter = gst_video::VideoConverter::new(from, to, None).unwrap();
    let source = VideoFrame::from_buffer_readable(buffer, from).unwrap();
    let target = gst::Buffer::with_size(to.size()).unwrap();
    let mut target = VideoFrame::from_buffer_writable(target, to).unwrap();
    converter.frame(&source, &mut target);
    target.into_buffer()
}

/// Red, green and blue of a pixel.
pub fn colours(buffer: &gst::Buffer, info: &VideoInfo) -> impl Fn(u32, u32) -> [u8; 3] {
    let rgb = self::info(VideoFormat::Rgb, info.width(), info.height());
    let buffer = converted(buffer.clone(), info, &rgb);
    let (pixels, stride) = (bytes(&buffer), rgb.stride()[0] as usize);
    move |x, y| {
        pixels[y as usize * stride + 3 * x as usize..][..3]
            .try_into()
            .unwrap()
    }
}

pub fn bytes(buffer: &gst::Buffer) -> Vec<u8> {
    buffer.map_readable().unwrap().to_vec()
}
