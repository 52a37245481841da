//! Frames with coloured blobs, and elements that look for them.

// Each test file uses its own part of this.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::sync::Once;

use gst_video::prelude::*;
use gst_video::{VideoFormat, VideoFrame, VideoInfo, VideoMeta};
use sightline_protocol::Detection;

pub fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        gstyolox::plugin_register_static().unwrap();
        gstoverlay::plugin_register_static().unwrap();
    });
}

pub fn model(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../models")
        .join(name);
    path.to_str().unwrap().to_owned()
}

/// The data folder, if it is here. In CI it must be.
pub fn data() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("SIGHTLINE_DATA").map_or_else(beside, PathBuf::from);
    if folder.join("models/yolox_nano.onnx").is_file() {
        return Some(folder);
    }
    let message = format!("no test data in {}; set SIGHTLINE_DATA", folder.display());
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
    eprintln!("not tested: {message}");
    None
}

/// `yoloxdetect` with the test model.
pub fn element() -> gst::Element {
    gst::ElementFactory::make("yoloxdetect")
        .property("model", model("blobs.onnx"))
        .build()
        .unwrap()
}

/// The element in PLAYING, between pads that carry `info`.
pub fn harness(element: &gst::Element, info: &VideoInfo) -> gst_check::Harness {
    let mut harness = gst_check::Harness::with_element(element, Some("sink"), Some("src"));
    harness.set_src_caps(info.to_caps().unwrap());
    harness
}

pub fn detections(buffer: &gst::BufferRef, info: &VideoInfo) -> Vec<Detection> {
    sightline_gst_common::detections(buffer, (info.width(), info.height()))
}

/// A rectangle of one colour.
#[derive(Debug, Clone, Copy)]
pub struct Blob {
    pub label: &'static str,
    /// Red, green, blue.
    pub colour: [u8; 3],
    /// Left, top, right, bottom; 0 to 1.
    pub corners: [f64; 4],
}

pub const BLOBS: [Blob; 3] = [
    Blob {
        label: "red",
        colour: [255, 0, 0],
        corners: [0.1, 0.15, 0.35, 0.55],
    },
    Blob {
        label: "green",
        colour: [0, 255, 0],
        corners: [0.5, 0.1, 0.9, 0.3],
    },
    Blob {
        label: "blue",
        colour: [0, 0, 255],
        corners: [0.55, 0.5, 0.8, 0.9],
    },
];

impl Blob {
    /// Intersection over union with a box of left, top, width, height.
    pub fn overlap(&self, [x, y, w, h]: [f64; 4]) -> f64 {
        let [left, top, right, bottom] = self.corners;
        let width = (right.min(x + w) - left.max(x)).max(0.0);
        let height = (bottom.min(y + h) - top.max(y)).max(0.0);
        let intersection = width * height;
        intersection / ((right - left) * (bottom - top) + w * h - intersection)
    }
}

pub struct Frame {
    pub info: VideoInfo,
    pub buffer: gst::Buffer,
}

impl Frame {
    /// An RGB frame with blobs on grey.
    pub fn new(width: u32, height: u32, blobs: &[Blob]) -> Self {
        let info = VideoInfo::builder(VideoFormat::Rgb, width, height)
            .build()
            .unwrap();
        let stride = info.stride()[0] as usize;
        let mut pixels = vec![100; info.size()];
        for blob in blobs {
            let [left, top, right, bottom] = blob.corners;
            let range = |from: f64, to: f64, size: u32| {
                let pixel = |place: f64| (place * f64::from(size)).round() as usize;
                pixel(from)..pixel(to)
            };
            for y in range(top, bottom, height) {
                for x in range(left, right, width) {
                    pixels[y * stride + x * 3..][..3].copy_from_slice(&blob.colour);
                }
            }
        }
        Self {
            info,
            buffer: gst::Buffer::from_mut_slice(pixels),
        }
    }

    pub fn converted(self, format: VideoFormat) -> Self {
        let info = VideoInfo::builder(format, self.info.width(), self.info.height())
            .build()
            .unwrap();
        let converter = gst_video::VideoConverter::new(&self.info, &info, None).unwrap();
        let source = VideoFrame::from_buffer_readable(self.buffer, &self.info).unwrap();
        let target = gst::Buffer::with_size(info.size()).unwrap();
        let mut target = VideoFrame::from_buffer_writable(target, &info).unwrap();
        converter.frame(&source, &mut target);
        Self {
            info,
            buffer: target.into_buffer(),
        }
    }

    /// The same picture with `gap` more bytes in each row and before each plane.
    pub fn spread(&self, gap: usize) -> (VideoInfo, gst::Buffer) {
        let source = VideoFrame::from_buffer_readable(self.buffer.clone(), &self.info).unwrap();
        let mut bytes = Vec::new();
        let (mut offsets, mut strides) = (Vec::new(), Vec::new());
        for plane in 0..source.n_planes() {
            bytes.resize(bytes.len() + gap, 0xaa);
            offsets.push(bytes.len());
            let stride = source.plane_stride()[plane as usize] as usize;
            strides.push((stride + gap) as i32);
            for row in source.plane_data(plane).unwrap().chunks(stride) {
                bytes.extend_from_slice(row);
                bytes.resize(bytes.len() + stride + gap - row.len(), 0xaa);
            }
        }
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        VideoMeta::add_full(
            buffer.make_mut(),
            gst_video::VideoFrameFlags::empty(),
            self.info.format(),
            self.info.width(),
            self.info.height(),
            &offsets,
            &strides,
        )
        .unwrap();
        (self.info.clone(), buffer)
    }
}

/// Waits for a playing pipeline's end; gives its messages.
pub fn wait(pipeline: &gst::Pipeline) -> Vec<gst::Message> {
    let bus = pipeline.bus().unwrap();
    let mut messages = Vec::new();
    loop {
        let message = bus
            .timed_pop(gst::ClockTime::from_seconds(60))
            .expect("an end within a minute");
        match message.view() {
            gst::MessageView::Error(error) => panic!("{} {:?}", error.error(), error.debug()),
            gst::MessageView::Eos(_) => return messages,
            _ => messages.push(message),
        }
    }
}

/// Runs a pipeline to its end.
pub fn run(pipeline: &gst::Pipeline) -> Vec<gst::Message> {
    pipeline.set_state(gst::State::Playing).unwrap();
    wait(pipeline)
}

/// Runs a line by `gst-launch-1.0`, with the plugin and the leaks tracer; gives what it logged.
pub fn launch_alone(line: &str) -> (String, std::process::ExitStatus) {
    // The library lies beside the test; the folder has much else that is no plugin.
    let folder = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let library = program.with_file_name("libgstyolox.so");
    std::os::unix::fs::symlink(library, folder.path().join("libgstyolox.so")).unwrap();
    let output = std::process::Command::new("gst-launch-1.0")
        .args(line.split_whitespace())
        .env("GST_PLUGIN_PATH", folder.path())
        .env("GST_REGISTRY", folder.path().join("registry.bin"))
        .env("GST_TRACERS", "leaks")
        .env("GST_DEBUG", "GST_TRACER:7")
        .env("GST_DEBUG_NO_COLOR", "1")
        .output()
        .unwrap();
    let log = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (log.concat(), output.status)
}
