//! From the model's output to objects.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context as _, bail};
use gstyolox::postprocess::{Nms, Params, Postprocessor};
use serde_json::{Value, json};

use crate::timing::median_ms;

/// Sides in pixels of the model's input and of the cells that predictions belong to.
const INPUT: usize = 416;
const STRIDES: [usize; 3] = [8, 16, 32];
const CLASSES: usize = 80;
const TIME: Duration = Duration::from_millis(300);

/// Arguments: a file with the model's output, and the width and height of the frame. Thresholds are the element's
/// defaults.
pub fn measure(arguments: &[String]) -> anyhow::Result<Value> {
    let [file, width, height] = arguments else {
        bail!("postprocess needs a file, a width and a height");
    };
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {file}"))?;
    let (values, _) = bytes.as_chunks::<4>();
    let output: Vec<f32> = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
    let frame: (usize, usize) = (width.parse()?, height.parse()?);
    let ratio = INPUT as f64 / frame.0.max(frame.1) as f64;

    let mut found = json!({});
    for (name, nms) in [
        ("class-agnostic", Nms::ClassAgnostic),
        ("class-aware", Nms::ClassAware),
    ] {
        let params = Params {
            score_threshold: 0.3,
            nms_threshold: 0.45,
            nms,
            max_detections: 100,
        };
        let mut postprocessor = Postprocessor::new(CLASSES, (INPUT, INPUT), &STRIDES, false);
        let mut objects = 0;
        let milliseconds = median_ms(TIME, || {
            let output = black_box(&output);
            objects = postprocessor
                .objects(output, &params, &[true; CLASSES], ratio, frame)
                .len();
        });
        found[name] = json!({ "ms": milliseconds, "objects": objects });
    }
    Ok(found)
}
