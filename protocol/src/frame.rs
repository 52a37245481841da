//! A frame on its way to a worker: one entry of the stream `images`.

use crate::{FieldError, WIRE_VERSION};

/// All of a frame's entry but the picture.
///
/// `participant_id` and `timestamp` are always there; the others only in entries that we wrote
/// (`is_v1()` is false), never in those of a v1 media bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrameHeader {
    /// The session's id.
    pub participant_id: String,
    /// RTP timestamp of the frame.
    pub timestamp: u32,
    /// Counts the session's published frames, from 0.
    pub seq: Option<u64>,
    /// Nanoseconds in the session's running time.
    pub pts: Option<u64>,
    /// Unix time in microseconds at which the frame entered the pipeline.
    pub captured: Option<u64>,
    /// Unix time in microseconds at which the session wrote it.
    pub published: Option<u64>,
    /// Unix time in microseconds after which nobody wants the answer.
    pub expires: Option<u64>,
    /// Width of the source in pixels; the picture may be smaller.
    pub width: Option<u32>,
    /// Height of the source in pixels; the picture may be smaller.
    pub height: Option<u32>,
    /// W3C trace context, when the frame is sampled.
    pub traceparent: Option<String>,
    /// True in an entry without `v`, written by a v1 part.
    pub v1: bool,
}

/// Name of the field that holds the JPEG.
pub const IMG: &str = "img";

impl FrameHeader {
    /// The fields to write, without the picture.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("participantId", self.participant_id.clone()),
            ("timestamp", self.timestamp.to_string()),
        ];
        if self.v1 {
            return fields;
        }
        fields.push(("v", WIRE_VERSION.to_owned()));
        let numbers = [
            ("seq", self.seq),
            ("pts", self.pts),
            ("captured", self.captured),
            ("published", self.published),
            ("expires", self.expires),
            ("width", self.width.map(u64::from)),
            ("height", self.height.map(u64::from)),
        ];
        fields.extend(
            numbers
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?.to_string()))),
        );
        fields.extend(
            self.traceparent
                .iter()
                .map(|value| ("traceparent", value.clone())),
        );
        fields
    }

    /// Reads an entry's fields; unknown ones are ignored. Returns the header and the picture.
    pub fn parse<'a>(
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(Self, &'a [u8]), FieldError> {
        let mut header = Self {
            v1: true,
            ..Self::default()
        };
        let (mut participant, mut timestamp, mut img) = (None, None, None);
        for (name, value) in fields {
            match name {
                b"participantId" => participant = Some(session_id("participantId", value)?),
                b"timestamp" => timestamp = Some(number("timestamp", value)?),
                b"img" => img = Some(value),
                b"v" => header.v1 = false,
                b"seq" => header.seq = Some(number("seq", value)?),
                b"pts" => header.pts = Some(number("pts", value)?),
                b"captured" => header.captured = Some(number("captured", value)?),
                b"published" => header.published = Some(number("published", value)?),
                b"expires" => header.expires = Some(number("expires", value)?),
                b"width" => header.width = Some(number("width", value)?),
                b"height" => header.height = Some(number("height", value)?),
                // Not worth a frame: a trace context of unknown form is as good as none (W3C Trace Context §3.2.2).
                b"traceparent" => header.traceparent = traceparent(value),
                _ => {}
            }
        }
        header.participant_id = participant.ok_or(FieldError::Missing("participantId"))?;
        header.timestamp = timestamp.ok_or(FieldError::Missing("timestamp"))?;
        Ok((header, img.ok_or(FieldError::Missing(IMG))?))
    }
}

/// Unix microseconds, to the millisecond, at which Redis took an entry: its id says so.
pub fn published_micros(id: &str) -> Option<u64> {
    let (millis, _) = id.split_once('-')?;
    millis.parse::<u64>().ok()?.checked_mul(1000)
}

pub(crate) fn text<'a>(field: &'static str, value: &'a [u8]) -> Result<&'a str, FieldError> {
    let text = std::str::from_utf8(value).ok();
    // Strings of C end at a NUL; GLib's bindings panic at one.
    text.filter(|text| !text.contains('\0'))
        .ok_or_else(|| FieldError::invalid(field, "UTF-8 text without NUL characters", value))
}

/// Lower-case hexadecimal numbers and `-`; versions to come may be longer than the 55 characters of version 00.
fn traceparent(value: &[u8]) -> Option<String> {
    let allowed = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
    let good = (1..=256).contains(&value.len()) && value.iter().all(allowed);
    good.then(|| String::from_utf8_lossy(value).into_owned())
}

pub(crate) fn number<T: std::str::FromStr>(field: &'static str, value: &[u8]) -> Result<T, FieldError> {
    text(field, value)?
        .parse()
        .map_err(|_| FieldError::invalid(field, "a number in range", value))
}

/// A session id becomes part of a channel's name and of log lines, so its form is narrow: 1 to 128 letters,
/// digits, `-`, `_`, `.` or `:`.
pub fn is_session_id(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    (1..=128).contains(&text.len()) && text.chars().all(allowed)
}

pub(crate) fn session_id(field: &'static str, value: &[u8]) -> Result<String, FieldError> {
    let id = text(field, value)?;
    if !is_session_id(id) {
        return Err(FieldError::invalid(
            field,
            "1 to 128 letters, digits, `-`, `_`, `.` or `:`",
            value,
        ));
    }
    Ok(id.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(fields: &[(&str, &[u8])]) -> Result<FrameHeader, FieldError> {
        FrameHeader::parse(fields.iter().map(|(name, value)| (name.as_bytes(), *value)))
            .map(|(header, _)| header)
    }

    #[test]
    fn a_v1_entry_has_neither_expiry_nor_size() {
        let header = parse(&[
            ("participantId", b"7"),
            ("timestamp", b"4294967295"),
            ("img", b"jpeg"),
        ])
        .unwrap();
        assert!(header.v1);
        assert_eq!(header.timestamp, u32::MAX);
        assert_eq!((header.expires, header.width), (None, None));
    }

    #[test]
    fn errors_name_the_field() {
        let error = parse(&[
            ("participantId", b"a"),
            ("timestamp", b"4294967296"),
            ("img", b""),
        ])
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "field `timestamp` is not a number in range: `4294967296`"
        );
        let error = parse(&[("participantId", b"a"), ("timestamp", b"1")]).unwrap_err();
        assert_eq!(error.to_string(), "field `img` is missing");
        assert!(parse(&[("participantId", b"a b"), ("timestamp", b"1"), ("img", b"")]).is_err());
    }

    #[test]
    fn a_strange_trace_context_costs_nothing_but_the_trace() {
        let with = |value: &'static [u8]| {
            let fields = [
                ("participantId", &b"a"[..]),
                ("timestamp", b"1"),
                ("img", b""),
                ("traceparent", value),
            ];
            parse(&fields).unwrap().traceparent
        };
        assert_eq!(with(b"00-0af7-b7ad-01").as_deref(), Some("00-0af7-b7ad-01"));
        for value in [&b""[..], b"00-\0", b"\xff", b"00-XYZ", &[b'0'; 257]] {
            assert_eq!(with(value), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            participant_id in "[A-Za-z0-9]{1,26}", timestamp: u32, seq: Option<u64>, pts: Option<u64>,
            captured: Option<u64>, published: Option<u64>, expires: Option<u64>, width: Option<u32>, height: Option<u32>,
            traceparent in proptest::option::of("[0-9a-f-]{1,55}"), img: Vec<u8>,
        ) {
            let header = FrameHeader {
                participant_id, timestamp, seq, pts, captured, published, expires, width, height, traceparent, v1: false,
            };
            let fields = header.fields();
            let pairs = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).chain([(IMG.as_bytes(), &img[..])]);
            prop_assert_eq!(FrameHeader::parse(pairs), Ok((header, &img[..])));
        }

        #[test]
        fn garbage_never_panics(fields: Vec<(Vec<u8>, Vec<u8>)>) {
            drop(FrameHeader::parse(fields.iter().map(|(n, v)| (&n[..], &v[..]))));
        }
    }
}
