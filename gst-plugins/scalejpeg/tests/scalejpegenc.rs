//! `scalejpegenc` in real pipelines, its JPEGs judged by GStreamer's own decoder.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use gst::prelude::*;
use sightline_gst_common::FrameMeta;
use sightline_protocol::FrameHeader;

fn init() {
    gst::init().unwrap();
    gstscalejpeg::plugin_register_static().unwrap();
}

/// All buffers that come out of the pipeline's element `out`, each with its caps.
fn run(launch: &str) -> Result<Vec<gst::Sample>, String> {
    init();
    let pipeline = gst::parse::launch(&format!("{launch} ! appsink name=out sync=false")).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let out = pipeline
        .by_name("out")
        .unwrap()
        .downcast::<gst_app::AppSink>()
        .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut samples = Vec::new();
    while let Some(sample) = out.try_pull_sample(gst::ClockTime::from_seconds(20)) {
        samples.push(sample);
    }
    let error = pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error]);
    pipeline.set_state(gst::State::Null).unwrap();
    match error.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(error)) => Err(error.error().to_string()),
        _ => Ok(samples),
    }
}

fn size(sample: &gst::Sample) -> (i32, i32) {
    let structure = sample.caps().unwrap().structure(0).unwrap();
    (structure.get("width").unwrap(), structure.get("height").unwrap())
}

fn bytes(sample: &gst::Sample) -> Vec<u8> {
    sample.buffer().unwrap().map_readable().unwrap().to_vec()
}

#[test]
fn a_jpeg_fits_the_square_and_keeps_the_frames_proportions() {
    for (caps, max_size, expected) in [
        ("width=640,height=480", 416, (416, 312)),
        ("width=1280,height=720", 416, (416, 234)),
        ("width=360,height=640", 416, (234, 416)),
        ("width=320,height=240", 416, (320, 240)),
        ("width=99,height=67", 0, (99, 67)),
        ("width=720,height=576,pixel-aspect-ratio=16/15", 416, (416, 312)),
        ("width=4000,height=2", 416, (416, 1)),
    ] {
        for format in ["I420", "NV12", "YV12", "NV21"] {
            let line = format!(
                "videotestsrc num-buffers=1 ! video/x-raw,format={format},{caps} ! scalejpegenc max-size={max_size}"
            );
            let samples = run(&line).unwrap();
            assert_eq!(size(&samples[0]), expected, "{caps} {format}");
            let caps = samples[0].caps().unwrap().structure(0).unwrap();
            assert_eq!(
                caps.get::<gst::Fraction>("pixel-aspect-ratio"),
                Ok(gst::Fraction::new(1, 1))
            );
            assert_eq!(caps.get::<&str>("colorimetry"), Ok("1:4:0:0"));
            let shown = run(&format!("{line} ! jpegdec")).unwrap();
            assert_eq!(size(&shown[0]), expected, "as the decoder sees it");
        }
    }
}

/// The largest difference of the means of 4×4 parts of two pictures of RGB.
fn difference(first: &gst::Sample, second: &gst::Sample) -> f64 {
    let (width, height) = size(first);
    let (width, height) = (width as usize, height as usize);
    let stride = (3 * width).next_multiple_of(4);
    let (first, second) = (bytes(first), bytes(second));
    let mut largest: f64 = 0.0;
    for part in 0..48 {
        let (channel, column, row) = (part % 3, part / 3 % 4, part / 12);
        let mean = |picture: &[u8]| {
            let rows = row * height / 4..(row + 1) * height / 4;
            let sum: f64 = rows
                .flat_map(|y| {
                    (column * width / 4..(column + 1) * width / 4).map(move |x| y * stride + 3 * x + channel)
                })
                .map(|at| f64::from(picture[at]))
                .sum();
            sum / ((width / 4) * (height / 4)) as f64
        };
        largest = largest.max((mean(&first) - mean(&second)).abs());
    }
    largest
}

#[test]
fn colours_are_those_of_the_frame_whatever_its_range_and_matrix() {
    for colorimetry in ["bt601", "bt709", "1:4:0:0", "2:4:5:1", "1:3:5:1"] {
        let source = format!(
            "videotestsrc num-buffers=1 pattern=smpte100 ! video/x-raw,format=I420,width=320,height=240,colorimetry={colorimetry}"
        );
        let rgb = "videoconvert ! video/x-raw,format=RGB";
        let [ours, original] = ["scalejpegenc quality=95 ! jpegdec ! ", ""]
            .map(|way| run(&format!("{source} ! {way}{rgb}")).unwrap());
        let off = difference(&ours[0], &original[0]);
        assert!(off < 4.0, "{colorimetry}: off by {off}");
    }
}

#[test]
fn a_frame_keeps_its_identity_and_its_time() {
    init();
    let mut harness = gst_check::Harness::new("scalejpegenc");
    harness.set_src_caps_str("video/x-raw,format=I420,width=64,height=48,framerate=0/1");
    let meta = FrameMeta {
        header: FrameHeader {
            timestamp: 90_000,
            width: Some(64),
            height: Some(48),
            ..Default::default()
        },
        entry: None,
        read_at: None,
    };
    let mut buffer = gst::Buffer::from_mut_slice(vec![77; 64 * 48 * 3 / 2]);
    let writable = buffer.get_mut().unwrap();
    writable.set_pts(gst::ClockTime::from_mseconds(1234));
    meta.attach(writable).unwrap();
    harness.push(buffer).unwrap();
    let jpeg = harness.pull().unwrap();
    assert_eq!(jpeg.pts(), Some(gst::ClockTime::from_mseconds(1234)));
    let kept = FrameMeta::read(&jpeg).unwrap().header;
    assert_eq!(
        (kept.timestamp, kept.width, kept.height),
        (90_000, Some(64), Some(48))
    );
}

#[test]
fn a_change_of_size_and_of_settings_takes_effect_at_the_next_frame() {
    init();
    let mut harness = gst_check::Harness::new("scalejpegenc");
    let element = harness.element().unwrap();
    let mut encode = |(width, height): (usize, usize)| {
        harness.set_src_caps_str(&format!(
            "video/x-raw,format=I420,width={width},height={height},framerate=0/1"
        ));
        let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, width as u32, height as u32);
        let bytes = (0..info.build().unwrap().size())
            .map(|at| (at * 7 % 251) as u8)
            .collect::<Vec<_>>();
        harness.push(gst::Buffer::from_mut_slice(bytes)).unwrap();
        let jpeg = harness.pull().unwrap();
        let caps = harness.sinkpad().unwrap().current_caps().unwrap();
        let structure = caps.structure(0).unwrap();
        (
            jpeg.size(),
            structure.get::<i32>("width").unwrap(),
            structure.get::<i32>("height").unwrap(),
        )
    };
    let (large, width, height) = encode((64, 48));
    assert_eq!((width, height), (64, 48));
    element.set_property("quality", 10u32);
    let (small, ..) = encode((64, 48));
    assert!(small < large, "{small} bytes, {large} before");
    element.set_property("max-size", 32u32);
    assert_eq!(encode((64, 48)).1, 32);
    let (_, width, height) = encode((40, 80));
    assert_eq!((width, height), (16, 32));
}

#[test]
fn a_frame_with_too_few_bytes_is_an_error_that_says_so() {
    init();
    let mut harness = gst_check::Harness::new("scalejpegenc");
    let bus = gst::Bus::new();
    harness.element().unwrap().set_bus(Some(&bus));
    harness.set_src_caps_str("video/x-raw,format=I420,width=64,height=48,framerate=0/1");
    assert_eq!(
        harness.push(gst::Buffer::from_mut_slice(vec![0; 100])),
        Err(gst::FlowError::Error)
    );
    let message = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
    let gst::MessageView::Error(error) = message.view() else {
        unreachable!("it was asked for")
    };
    assert!(error.error().matches(gst::StreamError::Encode));
}

#[test]
fn every_property_is_read_back() {
    init();
    let element = gst::ElementFactory::make("scalejpegenc").build().unwrap();
    for (name, default, other, outside) in [("max-size", 0u32, 416u32, 65_536u32), ("quality", 85, 60, 101)] {
        assert_eq!(element.property::<u32>(name), default);
        element.set_property(name, other);
        assert_eq!(element.property::<u32>(name), other);
        let set = catch_unwind(AssertUnwindSafe(|| element.set_property(name, outside)));
        assert!(set.is_err(), "{name} takes {outside}");
    }
    let own = element.list_properties();
    let own = own
        .iter()
        .filter(|property| property.owner_type() == element.type_());
    assert_eq!(own.count(), 2, "all are tried");
}
