//! `yoloxdetect` in a harness, with the built-in test model: it finds saturated red, green and blue blobs.
//!
//! ONNX Runtime is found through `ORT_DYLIB_PATH` (`make test` sets it).

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use common::{BLOBS, Blob, Frame, detections, element, harness, init, model};
use gst::prelude::*;
use gst_video::VideoFormat;
use sightline_gst_common::InferenceMeta;
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

#[test]
fn blobs_are_found_in_every_format() {
    init();
    for format in FORMATS {
        for (width, height) in [(640, 480), (333, 251), (1281, 719)] {
            let frame = Frame::new(width, height, &BLOBS).converted(format);
            let mut harness = harness(&element(), &frame.info);
            let buffer = harness.push_and_pull(frame.buffer).unwrap();
            let found = detections(&buffer, &frame.info);
            let expected = if format == VideoFormat::Gray8 {
                0
            } else {
                BLOBS.len()
            };
            assert_eq!(found.len(), expected, "{format:?} {width}×{height}: {found:?}");
            for detection in found {
                let blob = BLOBS.iter().find(|blob| blob.label == detection.label).unwrap();
                let overlap = blob.overlap(detection.bbox);
                assert!(
                    overlap > 0.85,
                    "{format:?} {width}×{height}: {detection:?} overlaps {blob:?} by {overlap}"
                );
            }
            let meta = InferenceMeta::read(&buffer).expect("an inferred frame says so");
            assert!(
                meta.model == "blobs" && meta.started > 0 && meta.infer_us > 0,
                "{meta:?}"
            );
        }
    }
}

#[test]
fn rows_may_lie_far_apart() {
    init();
    for format in [
        VideoFormat::Rgb,
        VideoFormat::I420,
        VideoFormat::Nv12,
        VideoFormat::Bgrx,
    ] {
        let frame = Frame::new(321, 201, &BLOBS).converted(format);
        let (info, spread) = frame.spread(72);
        let mut plain = harness(&element(), &info);
        let expected = detections(&plain.push_and_pull(frame.buffer).unwrap(), &info);
        let found = detections(&plain.push_and_pull(spread).unwrap(), &info);
        assert_eq!(found, expected, "{format:?}");
        assert_eq!(found.len(), BLOBS.len());
    }
}

#[test]
fn pixels_are_neither_changed_nor_copied() {
    init();
    let frame = Frame::new(64, 48, &BLOBS);
    let mut harness = harness(&element(), &frame.info);
    let shared = frame.buffer.clone();
    let buffer = harness.push_and_pull(frame.buffer).unwrap();
    let address = |buffer: &gst::Buffer| buffer.map_readable().unwrap().as_ptr();
    assert_eq!(address(&buffer), address(&shared));
    assert!(
        InferenceMeta::read(&shared).is_none(),
        "the other owner's metas are left alone"
    );
}

/// What an export of the test model finds in a frame, twice.
fn found_by(name: &str, batch: u32, normalisation: &str, frame: &Frame) -> Vec<Detection> {
    let element = element();
    element.set_property("model", model(name));
    element.set_property("batch-size", batch);
    element.set_property_from_str("normalisation", normalisation);
    let mut harness = harness(&element, &frame.info);
    let mut find = || detections(&harness.push_and_pull(frame.buffer.clone()).unwrap(), &frame.info);
    let found = find();
    assert_eq!(find(), found, "{name}: the next frame is no different");
    found
}

#[test]
fn every_kind_of_export_finds_the_same() {
    init();
    let frame = Frame::new(640, 480, &BLOBS);
    let plain = found_by("blobs.onnx", 1, "none", &frame);
    assert_eq!(plain.len(), BLOBS.len());
    for (name, batch, normalisation) in [
        ("blobs_decoded.onnx", 1, "none"),
        ("blobs_dynamic.onnx", 1, "none"),
        ("blobs_dynamic.onnx", 3, "none"),
        ("blobs_pair.onnx", 2, "none"),
        ("blobs_legacy.onnx", 1, "legacy"),
    ] {
        let found = found_by(name, batch, normalisation, &frame);
        assert_eq!(found.len(), plain.len(), "{name}");
        for (a, b) in plain.iter().zip(&found) {
            assert_eq!(a.class_id, b.class_id, "{name}");
            assert!(
                a.bbox.iter().zip(b.bbox).all(|(a, b)| (a - b).abs() < 1e-4),
                "{name}: {a:?} {b:?}"
            );
        }
    }
    for (name, normalisation) in [("blobs.onnx", "legacy"), ("blobs_legacy.onnx", "none")] {
        let found = found_by(name, 1, normalisation, &frame);
        assert_ne!(found.len(), plain.len(), "{name} is not a {normalisation} export");
    }
}

#[test]
fn a_p6_export_with_one_class_finds_small_and_huge() {
    init();
    let red = |corners| Blob {
        label: "class 0",
        colour: [255, 0, 0],
        corners,
    };
    let blobs = [red([0.05, 0.3, 0.9, 0.98]), red([0.4, 0.1, 0.5, 0.2])];
    let frame = Frame::new(640, 600, &blobs);
    let found = found_by("blobs_p6.onnx", 1, "none", &frame);
    assert_eq!(found.len(), 2, "{found:?}");
    for found in found {
        assert_eq!(found.label, "class 0");
        assert!(
            blobs.iter().any(|blob| blob.overlap(found.bbox) > 0.85),
            "{found:?}"
        );
    }
}

#[test]
fn frames_between_inferences_pass_untouched() {
    init();
    let frame = Frame::new(64, 64, &BLOBS);
    let element = element();
    element.set_property("interval", 2u32);
    let mut harness = harness(&element, &frame.info);
    let inferred: Vec<bool> = (0..7)
        .map(|_| InferenceMeta::read(&harness.push_and_pull(frame.buffer.clone()).unwrap()).is_some())
        .collect();
    assert_eq!(inferred, [true, false, false, true, false, false, true]);
    let stats = element.property::<gst::Structure>("stats");
    let count = |field: &str| stats.get::<u64>(field).unwrap();
    assert_eq!((count("frames"), count("inferred"), count("skipped")), (7, 3, 4));
    assert_eq!(count("detections"), 3 * BLOBS.len() as u64);
    assert_eq!(
        (
            count("skipped-interval"),
            count("skipped-gap"),
            count("skipped-qos")
        ),
        (4, 0, 0)
    );
    for stage in ["preprocess", "wait", "infer", "postprocess"] {
        let [p50, p90, p99, max] =
            ["p50", "p90", "p99", "max"].map(|name| count(&format!("{name}-{stage}-us")));
        assert!(p50 <= p90 && p90 <= p99 && p99 <= max, "{stats}");
        assert!(stats.has_field(format!("last-{stage}-us")), "{stats}");
    }
    assert!(count("mean-infer-us") > 0 && count("last-infer-us") > 0);
    assert_eq!(stats.get("mean-batch-size"), Ok(1.0));
    assert!(!stats.get::<&str>("execution-provider").unwrap().is_empty());

    element.set_property("interval", 0u32);
    let buffer = harness.push_and_pull(frame.buffer.clone()).unwrap();
    assert!(
        InferenceMeta::read(&buffer).is_some(),
        "a shorter interval holds at once"
    );
}

#[test]
fn gaps_are_not_inferred() {
    init();
    let mut frame = Frame::new(64, 64, &BLOBS);
    frame.buffer.make_mut().set_flags(gst::BufferFlags::GAP);
    let mut harness = harness(&element(), &frame.info);
    let buffer = harness.push_and_pull(frame.buffer).unwrap();
    assert!(InferenceMeta::read(&buffer).is_none());
}

#[test]
fn what_counts_can_change_while_playing() {
    init();
    let frame = Frame::new(640, 480, &BLOBS);
    let element = element();
    let bus = gst::Bus::new();
    let mut harness = harness(&element, &frame.info);
    element.set_bus(Some(&bus));
    let mut labels = || {
        let buffer = harness.push_and_pull(frame.buffer.clone()).unwrap();
        let mut labels: Vec<_> = detections(&buffer, &frame.info)
            .into_iter()
            .map(|found| found.label)
            .collect();
        labels.sort();
        labels
    };
    assert_eq!(labels(), ["blue", "green", "red"]);
    element.set_property("classes", "green, 0");
    assert_eq!(labels(), ["green", "red"]);
    element.set_property("classes", "purple");
    assert_eq!(
        labels(),
        ["green", "red"],
        "a list that does not fit changes nothing"
    );
    let warning = bus
        .pop_filtered(&[gst::MessageType::Warning])
        .expect("and is warned about");
    let gst::MessageView::Warning(warning) = warning.view() else {
        unreachable!()
    };
    assert!(warning.error().message().contains("purple"), "{warning:?}");
    element.set_property("classes", "");
    element.set_property("max-detections", 1u32);
    assert_eq!(labels().len(), 1);
    element.set_property("score-threshold", 1.0);
    assert_eq!(labels(), [""; 0]);
}

#[test]
fn messages_carry_the_detections() {
    init();
    let frame = Frame::new(320, 240, &BLOBS);
    let element = element();
    element.set_property("messages", true);
    let bus = gst::Bus::new();
    let mut harness = harness(&element, &frame.info);
    element.set_bus(Some(&bus));
    let mut buffer = frame.buffer.clone();
    buffer.make_mut().set_pts(gst::ClockTime::from_mseconds(40));
    let buffer = harness.push_and_pull(buffer).unwrap();
    let message = bus.pop_filtered(&[gst::MessageType::Element]).unwrap();
    let structure = message.structure().unwrap();
    assert_eq!(structure.name(), "yoloxdetect");
    assert_eq!(structure.get::<u64>("pts"), Ok(40_000_000));
    assert_eq!(
        (structure.get("width"), structure.get("height")),
        (Ok(320), Ok(240))
    );
    let sent: Vec<sightline_protocol::Detection> =
        serde_json::from_str(structure.get("detections").unwrap()).unwrap();
    assert_eq!(sent.len(), BLOBS.len());
    for (sent, attached) in sent.iter().zip(detections(&buffer, &frame.info)) {
        assert_eq!((&sent.label, sent.score), (&attached.label, attached.score));
    }
}

#[test]
fn the_size_may_change_in_the_stream() {
    init();
    let element = element();
    let first = Frame::new(640, 480, &BLOBS);
    let mut harness = harness(&element, &first.info);
    for (width, height) in [(640, 480), (320, 640), (50, 50), (640, 480)] {
        let frame = Frame::new(width, height, &BLOBS);
        harness.set_src_caps(frame.info.to_caps().unwrap());
        let buffer = harness.push_and_pull(frame.buffer).unwrap();
        for found in detections(&buffer, &frame.info) {
            let blob = BLOBS.iter().find(|blob| blob.label == found.label).unwrap();
            assert!(blob.overlap(found.bbox) > 0.8, "{width}×{height}: {found:?}");
        }
    }
}

#[test]
fn a_blob_at_the_edge_stays_inside_the_frame() {
    init();
    let edge = Blob {
        label: "red",
        colour: [255, 0, 0],
        corners: [0.6, 0.5, 1.0, 1.0],
    };
    let frame = Frame::new(500, 300, &[edge]);
    let mut harness = harness(&element(), &frame.info);
    let found = detections(&harness.push_and_pull(frame.buffer).unwrap(), &frame.info);
    let [x, y, w, h] = found[0].bbox;
    assert!(x >= 0.0 && y >= 0.0 && x + w <= 1.0 && y + h <= 1.0, "{found:?}");
    assert!(edge.overlap(found[0].bbox) > 0.85, "{found:?}");
}
