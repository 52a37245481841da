//! A model may answer anything: objects stay few, certain enough and inside the frame.
#![no_main]

use arbitrary::Arbitrary;
use gstyolox::postprocess::{Nms, Params, Postprocessor};
use libfuzzer_sys::fuzz_target;

const STRIDES: &[usize] = &[8, 16, 32];
/// Width and height of the model's input in pixels: 84 predictions.
const INPUT: (usize, usize) = (64, 64);

#[derive(Debug, Arbitrary)]
struct Answer {
    classes: u8,
    decoded: bool,
    class_aware: bool,
    score_threshold: u8,
    nms_threshold: u8,
    max_detections: u8,
    unwanted: u8,
    frame: (u16, u16),
    values: Vec<f32>,
}

fuzz_target!(|answer: Answer| {
    let classes = 1 + usize::from(answer.classes % 8);
    let unit = |value: u8| f32::from(value) / 255.0;
    let params = Params {
        score_threshold: unit(answer.score_threshold),
        nms_threshold: unit(answer.nms_threshold),
        nms: if answer.class_aware { Nms::ClassAware } else { Nms::ClassAgnostic },
        max_detections: usize::from(answer.max_detections),
    };
    let wanted: Vec<_> = (0..classes).map(|class| class != usize::from(answer.unwanted)).collect();
    let frame = (1 + usize::from(answer.frame.0), 1 + usize::from(answer.frame.1));
    let ratio = (INPUT.0 as f64 / frame.0 as f64).min(INPUT.1 as f64 / frame.1 as f64);
    let mut output = answer.values;
    output.resize(84 * (5 + classes), 0.0);

    let mut postprocessor = Postprocessor::new(classes, INPUT, STRIDES, answer.decoded);
    let objects = postprocessor.objects(&output, &params, &wanted, ratio, frame);
    assert!(objects.len() <= params.max_detections);
    for object in objects {
        assert!(wanted[object.class]);
        assert!(object.score > params.score_threshold && object.score <= 1.0);
        let [left, top, right, bottom] = object.corners;
        assert!(0.0 <= left && left < right && right <= frame.0 as f32, "{object:?}");
        assert!(0.0 <= top && top < bottom && bottom <= frame.1 as f32, "{object:?}");
    }
});
