//! A session's picture, encoded once for all who watch it: one entry of the stream `video:<session>`.

use crate::frame::{number, text};
use crate::{FieldError, WIRE_VERSION};

/// Name of the field that holds the encoded frame.
pub const DATA: &str = "data";
/// Longest text of the field `caps`, in bytes.
pub const LONGEST_CAPS: usize = 1024;

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VideoEntry<'a> {
    /// A frame and its data.
    Frame(VideoFrame<'a>, &'a [u8]),
    /// The writer has ended; nothing follows.
    End,
}

/// All of a frame's entry but the data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VideoFrame<'a> {
    /// Counts the frames that the writer was given, from 0. Where a number is missing, the next entry is a keyframe.
    pub seq: u64,
    /// Nanoseconds in the writer's running time.
    pub pts: u64,
    /// True if the frame can be decoded without those before it.
    pub key: bool,
    /// The form of the data, in GStreamer's notation; with every keyframe.
    pub caps: Option<&'a str>,
}

impl<'a> VideoFrame<'a> {
    /// The fields to write, without the data.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("v", WIRE_VERSION.to_owned()),
            ("seq", self.seq.to_string()),
            ("pts", self.pts.to_string()),
            ("key", u8::from(self.key).to_string()),
        ];
        fields.extend(self.caps.map(|caps| ("caps", caps.to_owned())));
        fields
    }

    /// The fields of the entry that ends the stream.
    pub fn end() -> [(&'static str, &'static str); 2] {
        [("v", WIRE_VERSION), ("end", "1")]
    }
}

impl<'a> VideoEntry<'a> {
    /// Reads an entry's fields; unknown ones are ignored.
    pub fn parse(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Result<Self, FieldError> {
        let mut frame = VideoFrame::default();
        let (mut seq, mut pts, mut key, mut data) = (None, None, None, None);
        for (name, value) in fields {
            match name {
                b"end" if flag("end", value)? => return Ok(Self::End),
                b"seq" => seq = Some(number("seq", value)?),
                b"pts" => pts = Some(number("pts", value)?),
                b"key" => key = Some(flag("key", value)?),
                b"caps" => frame.caps = Some(caps(value)?),
                b"data" => data = Some(value),
                _ => {}
            }
        }
        frame.seq = seq.ok_or(FieldError::Missing("seq"))?;
        frame.pts = pts.ok_or(FieldError::Missing("pts"))?;
        frame.key = key.ok_or(FieldError::Missing("key"))?;
        let data = data.ok_or(FieldError::Missing(DATA))?;
        Ok(Self::Frame(frame, data))
    }
}

fn flag(field: &'static str, value: &[u8]) -> Result<bool, FieldError> {
    match value {
        b"0" => Ok(false),
        b"1" => Ok(true),
        _ => Err(FieldError::invalid(field, "0 or 1", value)),
    }
}

fn caps(value: &[u8]) -> Result<&str, FieldError> {
    if value.len() > LONGEST_CAPS {
        return Err(FieldError::invalid("caps", "at most 1024 bytes long", value));
    }
    text("caps", value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse<'a>(fields: &[(&'a str, &'a [u8])]) -> Result<VideoEntry<'a>, FieldError> {
        VideoEntry::parse(fields.iter().map(|(name, value)| (name.as_bytes(), *value)))
    }

    #[test]
    fn errors_name_the_field() {
        let good = [
            ("seq", &b"1"[..]),
            ("pts", b"2"),
            ("key", b"0"),
            (DATA, b"\x9d\x01\x2a"),
        ];
        assert!(parse(&good).is_ok());
        for (index, (name, _)) in good.iter().enumerate() {
            let mut fields = good.to_vec();
            fields.remove(index);
            let error = parse(&fields).unwrap_err();
            assert_eq!(error.to_string(), format!("field `{name}` is missing"));
        }
        let long = "c".repeat(LONGEST_CAPS + 1);
        for (name, value) in [
            ("seq", &b"-1"[..]),
            ("pts", b"18446744073709551616"),
            ("key", b"2"),
            ("end", b"x"),
            ("caps", b"\xff"),
            ("caps", long.as_bytes()),
        ] {
            let mut fields = good.to_vec();
            fields.push((name, value));
            let error = parse(&fields).unwrap_err().to_string();
            assert!(error.starts_with(&format!("field `{name}` is not ")), "{error}");
        }
    }

    #[test]
    fn the_end_needs_nothing_else() {
        let fields = VideoFrame::end().map(|(name, value)| (name, value.as_bytes()));
        assert_eq!(parse(&fields), Ok(VideoEntry::End));
        assert!(parse(&[("end", b"0")]).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            seq: u64, pts: u64, key: bool, caps in proptest::option::of("[a-z0-9/=, -]{0,80}"), data: Vec<u8>,
        ) {
            let frame = VideoFrame { seq, pts, key, caps: caps.as_deref() };
            let fields = frame.fields();
            let pairs = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).chain([(DATA.as_bytes(), &data[..])]);
            prop_assert_eq!(VideoEntry::parse(pairs), Ok(VideoEntry::Frame(frame, &data[..])));
        }

        #[test]
        fn anything_is_read_or_refused(
            fields in proptest::collection::vec(("(seq|pts|key|caps|data|end|v|x)", any::<Vec<u8>>()), 0..9),
        ) {
            drop(VideoEntry::parse(fields.iter().map(|(name, value)| (name.as_bytes(), &value[..]))));
        }
    }
}
