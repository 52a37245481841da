//! What an answer brings to its frame.

use std::collections::BTreeMap;

use sightline_gst_common::InferenceMeta;
use sightline_protocol::{Detection, FieldError, prediction, unix_micros};

use super::line::{Heard, Identity};
use crate::answers::Received;

#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    detections: Vec<Detection>,
    /// A v1 worker gives pixels of a picture whose height alone it tells: x and width are in units of the height.
    relative_to_height: bool,
    pub(super) inference: InferenceMeta,
}

/// Why an answer cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    #[error(transparent)]
    Field(#[from] FieldError),
    #[error("a detection's score or box is not a number")]
    NotFinite,
    #[error("a name holds a NUL character")]
    Nul,
}

impl Answer {
    /// Reads a prediction, and which frame it answers.
    pub(super) fn read(received: &Received) -> Result<(Heard, Self), Unusable> {
        let Received { header, fields } = received;
        let heard = Heard {
            identity: Identity {
                timestamp: header.timestamp,
                pts: number(fields, "pts"),
            },
            seq: header.seq,
            captured: header.captured,
        };
        let pairs = fields
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let answer = Self {
            detections: prediction::detections(pairs, 1.0)?,
            relative_to_height: !fields.contains_key("detections"),
            inference: inference(fields),
        };
        answer.check()?;
        Ok((heard, answer))
    }

    fn check(&self) -> Result<(), Unusable> {
        let finite = |found: &Detection| found.score.is_finite() && found.bbox.iter().all(|v| v.is_finite());
        if !self.detections.iter().all(finite) {
            return Err(Unusable::NotFinite);
        }
        // GStreamer's strings end at one.
        let labels = self.detections.iter().map(|found| &found.label);
        let mut names = labels.chain([&self.inference.model]);
        if names.any(|name| name.contains('\0')) {
            return Err(Unusable::Nul);
        }
        Ok(())
    }

    /// The objects in a frame of that width and height.
    pub(super) fn detections(mut self, (width, height): (u32, u32)) -> Vec<Detection> {
        if self.relative_to_height {
            let to_width = f64::from(height) / f64::from(width.max(1));
            for found in &mut self.detections {
                found.bbox[0] *= to_width;
                found.bbox[2] *= to_width;
            }
        }
        self.detections
    }
}

fn number(fields: &BTreeMap<String, String>, name: &str) -> Option<u64> {
    fields.get(name)?.parse().ok()
}

fn inference(fields: &BTreeMap<String, String>) -> InferenceMeta {
    let micros = |name| number(fields, name).unwrap_or(0);
    let [preprocess_us, infer_us, postprocess_us] =
        ["preprocess_us", "infer_us", "postprocess_us"].map(micros);
    let spent = [preprocess_us, infer_us, postprocess_us]
        .into_iter()
        .fold(0, u64::saturating_add);
    InferenceMeta {
        model: fields.get("model").cloned().unwrap_or_default(),
        // Nobody tells: at the latest then.
        started: unix_micros().saturating_sub(spent),
        preprocess_us,
        infer_us,
        postprocess_us,
    }
}

#[cfg(test)]
mod tests {
    use sightline_protocol::Prediction;
    use sightline_protocol::prediction::{PredictionHeader, Timings};

    use super::*;

    fn received(fields: impl IntoIterator<Item = (String, String)>) -> Received {
        let fields: BTreeMap<String, String> = fields.into_iter().collect();
        let pairs = fields
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let header = PredictionHeader::parse(pairs).unwrap();
        Received { header, fields }
    }

    fn v1(fields: &[(&str, &str)]) -> Received {
        let identity = [("participantId", "a"), ("timestamp", "9")];
        let fields = identity.iter().chain(fields);
        received(fields.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    fn dog() -> Detection {
        Detection {
            label: "dog".into(),
            class_id: 16,
            score: 0.5,
            bbox: [0.25, 0.5, 0.5, 0.25],
            track_id: Some(3),
        }
    }

    #[test]
    fn a_prediction_is_read() {
        let prediction = Prediction {
            participant_id: "a".into(),
            timestamp: 9,
            detections: vec![dog()],
            picture: (416, 312),
            seq: Some(4),
            pts: Some(5),
            captured: Some(6),
            model: Some("nano".into()),
            timings: Timings {
                preprocess_us: Some(1),
                infer_us: Some(2),
                postprocess_us: Some(3),
                ..Default::default()
            },
            ..Default::default()
        };
        let (heard, answer) = Answer::read(&received(prediction.fields())).unwrap();
        assert_eq!((heard.identity.timestamp, heard.identity.pts), (9, Some(5)));
        assert_eq!((heard.seq, heard.captured), (Some(4), Some(6)));
        let inference = answer.inference.clone();
        assert_eq!((inference.model.as_str(), inference.infer_us), ("nano", 2));
        assert!(inference.started <= unix_micros() - 6);
        assert_eq!(answer.detections((1280, 720)), [dog()]);
    }

    #[test]
    fn boxes_of_v1_are_pixels_of_a_picture_like_the_frame() {
        let received = v1(&[("pcount", "1"), ("res", "100"), ("p0", "dog|0.5|10;20;60;70")]);
        let (heard, answer) = Answer::read(&received).unwrap();
        assert_eq!((heard.identity.pts, heard.seq), (None, None));
        let found = answer.detections((400, 200));
        assert_eq!(found[0].bbox, [0.05, 0.2, 0.25, 0.5]);
    }

    #[test]
    fn what_cannot_be_attached_is_refused() {
        let unusable = [
            (&[("detections", "[{}]")][..], "detections"),
            (&[("res", "100"), ("p0", "dog|NaN|1;2;3;4")], "not a number"),
            (&[("res", "100"), ("p0", "dog|0.5|1;2;inf;4")], "not a number"),
            (&[("res", "100"), ("p0", "d\0g|0.5|1;2;3;4")], "NUL"),
            (&[("model", "\0"), ("detections", "[]")], "NUL"),
        ];
        for (fields, reason) in unusable {
            let error = Answer::read(&v1(fields)).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
