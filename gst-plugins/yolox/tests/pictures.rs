//! `yoloxdetect` with a real model on real pictures, if the test data is here.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use common::{data, init};
use gst::prelude::*;
use serde::Deserialize;
use sightline_protocol::Detection;

/// What YOLOX's own demo finds.
#[derive(Deserialize)]
struct Reference {
    detections: std::collections::HashMap<String, Vec<Expected>>,
}

#[derive(Debug, Deserialize)]
struct Expected {
    label: String,
    score: f32,
    box_xyxy: [f64; 4],
}

/// Runs a pipeline to its end and returns the detections of its first frame, with the frame's size.
fn run(launch: &str) -> (Vec<Detection>, (f64, f64)) {
    let pipeline = gst::parse::launch(launch).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let mut found = None;
    loop {
        let message = bus
            .timed_pop(gst::ClockTime::from_seconds(60))
            .expect("an end within a minute");
        match message.view() {
            gst::MessageView::Element(element) if found.is_none() => {
                let structure = element.structure().unwrap();
                let json: &str = structure.get("detections").unwrap();
                let size = |field| f64::from(structure.get::<i32>(field).unwrap());
                found = Some((
                    serde_json::from_str(json).unwrap(),
                    (size("width"), size("height")),
                ));
            }
            gst::MessageView::Error(error) => panic!("{launch}: {} {:?}", error.error(), error.debug()),
            gst::MessageView::Eos(_) => break,
            _ => {}
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    found.unwrap_or_default()
}

fn overlap(a: [f64; 4], b: [f64; 4]) -> f64 {
    let area = |[left, top, right, bottom]: [f64; 4]| (right - left).max(0.0) * (bottom - top).max(0.0);
    let common = [a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])];
    let common = if common[0] < common[2] && common[1] < common[3] {
        area(common)
    } else {
        0.0
    };
    common / (area(a) + area(b) - common)
}

#[test]
fn the_dog_is_found_as_by_yoloxs_own_demo() {
    init();
    let Some(data) = data() else { return };
    let reference = std::fs::read_to_string(data.join("reference/detections.json")).unwrap();
    let reference: Reference = serde_json::from_str(&reference).unwrap();
    let expected = &reference.detections["dog.jpg"];
    for format in ["I420", "NV12", "RGB", "BGR", "RGBx", "BGRA"] {
        let (found, (width, height)) = run(&format!(
            "filesrc location={0}/images/dog.jpg ! jpegdec idct-method=islow ! videoconvert ! \
             video/x-raw,format={format} ! yoloxdetect model={0}/models/yolox_nano.onnx messages=true ! fakesink",
            data.display()
        ));
        for expected in expected.iter().filter(|expected| expected.score >= 0.35) {
            let same = found.iter().any(|found| {
                let [x, y, w, h] = found.bbox;
                let corners = [x * width, y * height, (x + w) * width, (y + h) * height];
                found.label == expected.label
                    && (found.score - expected.score).abs() <= 0.05
                    && overlap(corners, expected.box_xyxy) >= 0.9
            });
            assert!(same, "{format}: {expected:?} is not among {found:?}");
        }
    }
}
