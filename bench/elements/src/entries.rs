//! From a frame's header and from what was found in it to the fields of Redis entries.

use std::hint::black_box;
use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};
use sightline_protocol::prediction::Timings;
use sightline_protocol::{Detection, FrameHeader, Prediction};

use crate::timing::median_ms;

const TIME: Duration = Duration::from_millis(300);
const SESSION: &str = "0f8fad5bd9cb469fa165708867728950";

/// Arguments: `frame` or `prediction`, the latter of twenty objects.
pub fn measure(arguments: &[String]) -> anyhow::Result<Value> {
    let [what] = arguments else {
        bail!("entries needs `frame` or `prediction`");
    };
    let milliseconds = match what.as_str() {
        "frame" => {
            let header = header();
            median_ms(TIME, || drop(black_box(black_box(&header).fields())))
        }
        "prediction" => {
            let prediction = prediction();
            // As a worker does it: an entry for the stream, and its JSON for the channel.
            median_ms(TIME, || {
                let prediction = black_box(&prediction);
                drop(black_box((prediction.fields(), prediction.to_json())));
            })
        }
        what => bail!("there is no entry {what:?}; there are `frame` and `prediction`"),
    };
    Ok(json!({ "ms": milliseconds }))
}

fn header() -> FrameHeader {
    FrameHeader {
        participant_id: SESSION.to_owned(),
        timestamp: 3_735_928_559,
        seq: Some(41),
        pts: Some(1_640_000_000),
        captured: Some(1_766_481_000_123_456),
        expires: Some(1_766_481_001_123_456),
        width: Some(640),
        height: Some(480),
        ..FrameHeader::default()
    }
}

fn prediction() -> Prediction {
    let detection = |index: u32| Detection {
        label: "person".to_owned(),
        class_id: index,
        score: 0.855_1,
        bbox: [f64::from(index) / 40.0, 0.5, 0.25, 0.251_953_125],
        track_id: None,
    };
    Prediction {
        participant_id: SESSION.to_owned(),
        timestamp: 3_735_928_559,
        detections: (0..20).map(detection).collect(),
        picture: (416, 312),
        seq: Some(41),
        pts: Some(1_640_000_000),
        captured: Some(1_766_481_000_123_456),
        published: Some(1_766_481_000_131_204),
        read: Some(1_766_481_000_131_514),
        answered: Some(1_766_481_000_144_301),
        width: Some(640),
        height: Some(480),
        model: Some("yolox_nano".to_owned()),
        worker: Some("svc:inf:host1-0".to_owned()),
        timings: Timings {
            queue_us: Some(310),
            decode_us: Some(900),
            preprocess_us: Some(260),
            infer_us: Some(11_500),
            postprocess_us: Some(90),
        },
        traceparent: None,
    }
}
