//! From the entries of a stream to frames that can be decoded one after the other.

use sightline_protocol::video::DATA;
use sightline_protocol::{FieldError, VideoEntry};

use crate::entry::RawEntry;
use crate::video::{Continuity, caps};

/// A larger frame is none.
const LARGEST_FRAME: usize = 8 << 20;

#[derive(Debug)]
pub(crate) enum Item {
    Frame(Frame),
    /// The writer has ended.
    End,
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) caps: gst::Caps,
    /// Nanoseconds of the writer's running time.
    pub(crate) pts: u64,
    pub(crate) key: bool,
    /// Frames before it are missing.
    pub(crate) discont: bool,
    pub(crate) data: Vec<u8>,
}

/// What has been shown, and in which form.
#[derive(Default)]
pub(crate) struct Follower {
    continuity: Continuity,
    skipped: bool,
    caps: Option<(String, gst::Caps)>,
}

impl Follower {
    /// What the entry is to those who watch; none if it can be decoded only after the next keyframe.
    pub(crate) fn follow(&mut self, entry: &mut RawEntry) -> Result<Option<Item>, FieldError> {
        let item = self.read(entry);
        if item.is_err() {
            self.jump();
        }
        item
    }

    /// What comes next does not follow what came last.
    pub(crate) fn jump(&mut self) {
        self.continuity.broken();
        self.skipped = true;
    }

    fn read(&mut self, entry: &mut RawEntry) -> Result<Option<Item>, FieldError> {
        let (frame, data) = match VideoEntry::parse(entry.pairs())? {
            VideoEntry::Frame(frame, data) => (frame, data),
            VideoEntry::End => return Ok(Some(Item::End)),
        };
        if !self.continuity.admits(frame.seq, frame.key) {
            self.skipped = true;
            return Ok(None);
        }
        if !(1..=LARGEST_FRAME).contains(&data.len()) {
            let length = format!("{} bytes", data.len());
            return Err(FieldError::invalid(DATA, "1 byte to 8 MiB", length));
        }
        if let Some(text) = frame.caps.filter(|_| frame.key)
            && self.caps.as_ref().is_none_or(|(known, _)| known != text)
        {
            self.caps = Some((text.to_owned(), caps::from_text(text)?));
        }
        let caps = self.caps.as_ref().map(|(_, caps)| caps.clone());
        let (pts, key) = (frame.pts, frame.key);
        Ok(Some(Item::Frame(Frame {
            caps: caps.ok_or(FieldError::Missing("caps"))?,
            pts,
            key,
            discont: std::mem::take(&mut self.skipped),
            data: entry.take(DATA),
        })))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const VP8: &str = "video/x-vp8, width=(int)64";

    fn entry(fields: &[(&str, &str)]) -> RawEntry {
        let fields = fields
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        RawEntry {
            stream: "video:a".into(),
            id: "1-0".into(),
            fields: fields.collect(),
            read_at: 0,
            since: Instant::now(),
        }
    }

    fn frame(seq: &str, key: &str, caps: Option<&str>) -> RawEntry {
        let mut fields = vec![("seq", seq), ("pts", "7"), ("key", key), (DATA, "x")];
        fields.extend(caps.map(|caps| ("caps", caps)));
        entry(&fields)
    }

    #[test]
    fn the_first_frame_shown_is_a_keyframe_and_so_is_the_first_after_a_gap() {
        gst::init().unwrap();
        let mut follower = Follower::default();
        let mut shown = |seq: &str, key: &str, caps| match follower.follow(&mut frame(seq, key, caps)) {
            Ok(Some(Item::Frame(frame))) => Some((frame.key, frame.discont)),
            _ => None,
        };
        assert_eq!(shown("1", "0", None), None);
        assert_eq!(shown("2", "1", Some(VP8)), Some((true, true)));
        assert_eq!(shown("3", "0", None), Some((false, false)));
        assert_eq!(shown("5", "0", None), None);
        assert_eq!(
            shown("6", "1", None),
            Some((true, true)),
            "in the form known before"
        );
    }

    #[test]
    fn what_is_no_frame_is_an_error_and_a_gap() {
        gst::init().unwrap();
        let mut follower = Follower::default();
        let bad = [
            frame("1", "1", None),
            frame("1", "1", Some("video/x-raw")),
            entry(&[("seq", "1"), ("pts", "7"), ("key", "1"), (DATA, "")]),
            entry(&[]),
        ];
        for mut bad in bad {
            assert!(follower.follow(&mut frame("0", "1", Some(VP8))).is_ok());
            // The form of the frame before is not that of another stream.
            follower.caps = None;
            assert!(follower.follow(&mut bad).is_err(), "{bad:?}");
            assert!(matches!(follower.follow(&mut frame("1", "0", None)), Ok(None)));
        }
    }

    #[test]
    fn the_end_is_the_end_whatever_came_before() {
        let end = follower_of(&mut entry(&[("v", "1"), ("end", "1")]));
        assert!(matches!(end, Ok(Some(Item::End))));
    }

    fn follower_of(entry: &mut RawEntry) -> Result<Option<Item>, FieldError> {
        Follower::default().follow(entry)
    }
}
