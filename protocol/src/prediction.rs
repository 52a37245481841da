//! What a worker found in a frame: one entry of the stream `predictions`, and the same as a JSON object.

use serde::{Deserialize, Serialize};

use crate::frame::{number, session_id, text};
use crate::{FieldError, WIRE_VERSION};

/// One object found in a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    pub label: String,
    /// Index of the label in the model's label file.
    pub class_id: u32,
    /// Confidence, 0 to 1.
    pub score: f32,
    /// Left, top, width and height, each 0 to 1 of the frame.
    #[serde(rename = "box")]
    pub bbox: [f64; 4],
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track_id: Option<u64>,
}

/// Microseconds spent in each stage of a worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// From publication to the worker that read the frame.
    pub queue_us: Option<u64>,
    pub decode_us: Option<u64>,
    pub preprocess_us: Option<u64>,
    pub infer_us: Option<u64>,
    pub postprocess_us: Option<u64>,
}

/// The objects of one frame, and which frame it was.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prediction {
    /// The session's id.
    pub participant_id: String,
    /// RTP timestamp of the frame.
    pub timestamp: u32,
    pub detections: Vec<Detection>,
    /// Width and height in pixels of the picture that the worker saw: v1's boxes refer to it.
    pub picture: (u32, u32),
    pub seq: Option<u64>,
    /// Nanoseconds in the session's running time.
    pub pts: Option<u64>,
    /// Unix time in microseconds at which the frame entered the session's pipeline.
    pub captured: Option<u64>,
    /// Unix time in microseconds at which the session wrote the frame, the worker read it and wrote this.
    pub published: Option<u64>,
    pub read: Option<u64>,
    pub answered: Option<u64>,
    /// Width of the source in pixels.
    pub width: Option<u32>,
    /// Height of the source in pixels.
    pub height: Option<u32>,
    pub traceparent: Option<String>,
    /// Name of the model.
    pub model: Option<String>,
    /// Id of the worker.
    pub worker: Option<String>,
    pub timings: Timings,
}

impl Prediction {
    /// The entry's fields: v1's (`pcount`, `res`, `p0` …) and ours.
    pub fn fields(&self) -> Vec<(String, String)> {
        let mut fields: Vec<(String, String)> = vec![
            ("participantId".into(), self.participant_id.clone()),
            ("timestamp".into(), self.timestamp.to_string()),
            ("pcount".into(), self.detections.len().to_string()),
            ("res".into(), self.picture.1.to_string()),
        ];
        for (index, detection) in self.detections.iter().enumerate() {
            fields.push((format!("p{index}"), v1_object(detection, self.picture)));
        }
        fields.push(("v".into(), WIRE_VERSION.into()));
        let numbers = [
            ("seq", self.seq),
            ("pts", self.pts),
            ("captured", self.captured),
            ("published", self.published),
            ("read", self.read),
            ("answered", self.answered),
            ("width", self.width.map(u64::from)),
            ("height", self.height.map(u64::from)),
            ("queue_us", self.timings.queue_us),
            ("decode_us", self.timings.decode_us),
            ("preprocess_us", self.timings.preprocess_us),
            ("infer_us", self.timings.infer_us),
            ("postprocess_us", self.timings.postprocess_us),
        ];
        fields.extend(
            numbers
                .into_iter()
                .filter_map(|(name, value)| Some((name.into(), value?.to_string()))),
        );
        let texts = [
            ("traceparent", &self.traceparent),
            ("model", &self.model),
            ("worker", &self.worker),
        ];
        fields.extend(
            texts
                .into_iter()
                .filter_map(|(name, value)| Some((name.into(), value.clone()?))),
        );
        // Serialising plain numbers and strings cannot fail.
        let detections = serde_json::to_string(&self.detections).unwrap_or_else(|_| "[]".into());
        fields.push(("detections".into(), detections));
        fields
    }

    /// The same as a JSON object in which every value is a string.
    pub fn to_json(&self) -> String {
        fields_to_json(self.fields())
    }
}

/// An entry's fields as the JSON object that travels on the channel and to the page.
pub fn fields_to_json(fields: impl IntoIterator<Item = (String, String)>) -> String {
    let object: serde_json::Map<_, _> = fields
        .into_iter()
        .map(|(name, value)| (name, serde_json::Value::String(value)))
        .collect();
    serde_json::Value::Object(object).to_string()
}

fn v1_object(detection: &Detection, (width, height): (u32, u32)) -> String {
    let [x, y, w, h] = detection.bbox;
    let pixel = |value: f64, size: u32| (value * f64::from(size)).round() as i64;
    format!(
        "{}|{:.4}|{};{};{};{}",
        detection.label,
        detection.score,
        pixel(x, width),
        pixel(y, height),
        pixel(x + w, width),
        pixel(y + h, height),
    )
}

/// What a reader needs to route a prediction: to which session, and whether it is news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PredictionHeader {
    pub participant_id: String,
    pub timestamp: u32,
    pub seq: Option<u64>,
    /// Unix time in microseconds at which the frame entered the session's pipeline.
    pub captured: Option<u64>,
    /// True in an entry without `v`, written by a v1 worker.
    pub v1: bool,
}

impl PredictionHeader {
    pub fn parse<'a>(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Result<Self, FieldError> {
        let (mut participant, mut timestamp, mut seq, mut captured, mut v1) = (None, None, None, None, true);
        for (name, value) in fields {
            match name {
                b"participantId" => participant = Some(session_id("participantId", value)?),
                b"timestamp" => timestamp = Some(number("timestamp", value)?),
                b"seq" => seq = Some(number("seq", value)?),
                b"captured" => captured = Some(number("captured", value)?),
                b"v" => v1 = false,
                _ => {}
            }
        }
        Ok(Self {
            participant_id: participant.ok_or(FieldError::Missing("participantId"))?,
            timestamp: timestamp.ok_or(FieldError::Missing("timestamp"))?,
            seq,
            captured,
            v1,
        })
    }
}

/// Reads an entry's `detections`, or of a v1 entry its `p0` … `pN`.
///
/// v1 gives boxes in pixels of a picture of height `res`; `aspect` (width ÷ height) gives the width.
pub fn detections<'a>(
    fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    aspect: f64,
) -> Result<Vec<Detection>, FieldError> {
    let mut v1 = Vec::new();
    let mut res = None;
    for (name, value) in fields {
        match name {
            b"detections" => {
                return serde_json::from_slice(value)
                    .map_err(|_| FieldError::invalid("detections", "a JSON array of detections", value));
            }
            b"res" => res = Some(number::<f64>("res", value)?),
            [b'p', digits @ ..] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
                v1.push(text("p0", value)?);
            }
            _ => {}
        }
    }
    let Some(height) = res.filter(|height| *height > 0.0) else {
        return Ok(Vec::new());
    };
    v1.into_iter()
        .map(|object| parse_v1_object(object, height * aspect, height))
        .collect()
}

fn parse_v1_object(object: &str, width: f64, height: f64) -> Result<Detection, FieldError> {
    let invalid = || FieldError::invalid("p0", "`label|score|x1;y1;x2;y2`", object);
    let mut parts = object.split('|');
    let (label, score, corners) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(label), Some(score), Some(corners), None) => (label, score, corners),
        _ => return Err(invalid()),
    };
    let score = score.parse().map_err(|_| invalid())?;
    let corners: Vec<f64> = corners
        .split(';')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|_| invalid())?;
    let [x1, y1, x2, y2] = corners[..] else {
        return Err(invalid());
    };
    let bbox = [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height];
    Ok(Detection {
        label: label.to_owned(),
        class_id: 0,
        score,
        bbox,
        track_id: None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dog() -> Detection {
        Detection {
            label: "dog".into(),
            class_id: 16,
            score: 0.8551,
            bbox: [0.25, 0.5, 0.5, 0.25],
            track_id: None,
        }
    }

    fn bytes(fields: &[(String, String)]) -> impl Iterator<Item = (&[u8], &[u8])> {
        fields
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }

    #[test]
    fn v1_fields_are_pixels_of_the_picture() {
        let prediction = Prediction {
            participant_id: "a1".into(),
            timestamp: 90_000,
            detections: vec![dog()],
            picture: (416, 312),
            ..Default::default()
        };
        let fields = prediction.fields();
        let get = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(get("pcount"), Some("1"));
        assert_eq!(get("res"), Some("312"));
        assert_eq!(get("p0"), Some("dog|0.8551|104;156;312;234"));
    }

    #[test]
    fn v1_objects_are_read() {
        let fields = [("pcount", "1"), ("res", "100"), ("p0", "dog|0.5|10;20;60;70")]
            .map(|(n, v)| (n.to_owned(), v.to_owned()));
        let found = detections(bytes(&fields), 2.0).unwrap();
        assert_eq!(found[0].bbox, [0.05, 0.2, 0.25, 0.5]);
        assert_eq!(found[0].label, "dog");
    }

    #[test]
    fn v1_leaves_res_out_when_nothing_was_found() {
        let fields = [("pcount".to_owned(), "0".to_owned())];
        assert_eq!(detections(bytes(&fields), 1.0), Ok(vec![]));
    }

    #[test]
    fn broken_v1_objects_are_errors() {
        for object in ["", "dog", "dog|x|1;2;3;4", "dog|0.5|1;2;3", "dog|0.5|1;2;3;4|5"] {
            let fields = [("res", "100"), ("p0", object)].map(|(n, v)| (n.to_owned(), v.to_owned()));
            assert!(detections(bytes(&fields), 1.0).is_err(), "{object}");
        }
    }

    proptest! {
        #[test]
        fn header_and_detections_survive(
            participant_id in "[A-Za-z0-9]{1,26}", timestamp: u32, seq: Option<u64>, captured: Option<u64>,
            score in 0f32..1.0, x in 0f64..1.0, n in 0usize..5,
        ) {
            let detection = Detection { score, bbox: [x, 0.1, 0.2, 0.3], ..dog() };
            let prediction = Prediction {
                participant_id: participant_id.clone(), timestamp, seq, captured,
                detections: vec![detection; n], picture: (416, 416), ..Default::default()
            };
            let fields = prediction.fields();
            let header = PredictionHeader::parse(bytes(&fields)).unwrap();
            prop_assert_eq!(header, PredictionHeader { participant_id, timestamp, seq, captured, v1: false });
            prop_assert_eq!(detections(bytes(&fields), 1.0).unwrap(), prediction.detections);
        }

        #[test]
        fn garbage_never_panics(fields: Vec<(Vec<u8>, Vec<u8>)>, aspect: f64) {
            let pairs = || fields.iter().map(|(n, v)| (&n[..], &v[..]));
            drop(PredictionHeader::parse(pairs()));
            drop(detections(pairs(), aspect));
        }
    }
}
