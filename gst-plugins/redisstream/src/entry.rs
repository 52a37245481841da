//! An entry of the frame stream, and whether it is fit to be looked at.

use std::time::{Duration, Instant};

use redis::{Pipeline, Value};
use sha2::{Digest, Sha256};
use sightline_protocol::frame::{IMG, published_micros};
use sightline_protocol::{FieldError, FrameHeader};

use crate::jpeg::{self, JpegError};

/// The dead-letter stream is for people to look at, not a backlog.
const DEAD_LETTERS: usize = 100;

pub(crate) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// As it came from Redis.
#[derive(Debug, Clone)]
pub(crate) struct RawEntry {
    pub(crate) stream: String,
    pub(crate) id: String,
    pub(crate) fields: Fields,
    /// Unix microseconds.
    pub(crate) read_at: u64,
    pub(crate) since: Instant,
}

/// A frame that may be decoded.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) header: FrameHeader,
    pub(crate) entry: RawEntry,
}

/// What to do with an entry.
#[derive(Debug)]
pub(crate) enum Verdict {
    Push(FrameHeader),
    /// Nobody wants the answer any more.
    Expired,
    /// It can never be processed.
    Dead(DeadReason),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DeadReason {
    #[error(transparent)]
    Field(#[from] FieldError),
    #[error(transparent)]
    Jpeg(#[from] JpegError),
    #[error("reclaimed: a worker read it and never finished it")]
    Reclaimed,
}

/// How old an entry may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AgeLimits {
    /// Since publication, by the entry's id; zero: no limit.
    pub(crate) max_age: Duration,
    /// Since it was read: after this it has been reclaimed.
    pub(crate) reclaim_idle: Duration,
}

impl RawEntry {
    /// Looks at the entry at the Unix time `now` in microseconds.
    pub(crate) fn judge(&self, now: u64, limits: AgeLimits) -> Verdict {
        if self.is_too_old(now, limits) {
            return Verdict::Expired;
        }
        match self.header(now) {
            Ok(Some(header)) => Verdict::Push(header),
            Ok(None) => Verdict::Expired,
            Err(reason) => Verdict::Dead(reason),
        }
    }

    fn is_too_old(&self, now: u64, limits: AgeLimits) -> bool {
        let max_age = u64::try_from(limits.max_age.as_micros()).unwrap_or(u64::MAX);
        let published = published_micros(&self.id).unwrap_or(now);
        let aged = max_age > 0 && now.saturating_sub(published) > max_age;
        aged || self.since.elapsed() >= limits.reclaim_idle
    }

    /// The frame's header, or none if it has expired.
    fn header(&self, now: u64) -> Result<Option<FrameHeader>, DeadReason> {
        let (header, img) = FrameHeader::parse(self.pairs())?;
        if header.expires.is_some_and(|expires| expires <= now) {
            return Ok(None);
        }
        jpeg::size(img)?;
        Ok(Some(header))
    }

    /// Takes the picture out, uncopied.
    pub(crate) fn take_img(&mut self) -> Vec<u8> {
        self.take(IMG)
    }

    /// Takes a field's value out, uncopied.
    pub(crate) fn take(&mut self, field: &str) -> Vec<u8> {
        // As in parsing, the last field of a name counts.
        let found = self.fields.iter_mut().rev();
        found
            .filter(|(name, _)| name == field.as_bytes())
            .map(|(_, value)| std::mem::take(value))
            .next()
            .unwrap_or_default()
    }

    /// A field's value; empty if it is missing.
    pub(crate) fn field(&self, name: &str) -> &[u8] {
        let found = self.fields.iter().rev().find(|(n, _)| n == name.as_bytes());
        found.map_or(&[], |(_, value)| value)
    }

    /// Its names and values.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (&name[..], &value[..]))
    }

    /// Adds the commands that acknowledge and delete the entry.
    pub(crate) fn finish(&self, pipeline: &mut Pipeline, group: &str) {
        pipeline.cmd("XACK").arg(&self.stream).arg(group).arg(&self.id);
        pipeline.cmd("XDEL").arg(&self.stream).arg(&self.id);
    }

    /// Adds the commands that describe the entry in the dead-letter stream, without its picture, and finish it.
    pub(crate) fn bury(&self, pipeline: &mut Pipeline, group: &str, dead_letters: &str, reason: &DeadReason) {
        let img = self.field(IMG);
        // Whatever it is, it is not to fill the stream.
        let session: String = String::from_utf8_lossy(self.field("participantId"))
            .chars()
            .take(128)
            .collect();
        pipeline
            .cmd("XADD")
            .arg(dead_letters)
            .arg("MAXLEN")
            .arg("~")
            .arg(DEAD_LETTERS)
            .arg("*");
        pipeline.arg("id").arg(&self.id).arg("stream").arg(&self.stream);
        pipeline
            .arg("session")
            .arg(session)
            .arg("sha256")
            .arg(sha256(img));
        pipeline.arg("size").arg(img.len());
        pipeline.arg("reason").arg(reason.to_string());
        self.finish(pipeline, group);
    }
}

fn sha256(data: &[u8]) -> String {
    let digits = Sha256::digest(data);
    digits.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads entries out of `[[id, [field, value, …]], …]`. What Redis reports as deleted (nil) is left out.
pub(crate) fn entries(stream: &str, value: Value, read_at: u64) -> Vec<RawEntry> {
    let since = Instant::now();
    items(value)
        .into_iter()
        .filter_map(|entry| {
            let mut parts = items(entry).into_iter();
            let id = String::from_utf8(bytes(parts.next()?)?).ok()?;
            let fields = pairs(parts.next()?)?
                .into_iter()
                .filter_map(|(name, value)| Some((bytes(name)?, bytes(value)?)))
                .collect();
            Some(RawEntry {
                stream: stream.to_owned(),
                id,
                fields,
                read_at,
                since,
            })
        })
        .collect()
}

/// Reads the reply of XREADGROUP; nil means that the wait was in vain.
pub(crate) fn streams(reply: Value, read_at: u64) -> Vec<RawEntry> {
    let streams: Vec<(Value, Value)> = match reply {
        Value::Map(pairs) => pairs,
        other => items(other)
            .into_iter()
            .filter_map(|stream| {
                let mut parts = items(stream).into_iter();
                Some((parts.next()?, parts.next()?))
            })
            .collect(),
    };
    streams
        .into_iter()
        .filter_map(|(name, list)| {
            let name = String::from_utf8(bytes(name)?).ok()?;
            Some(entries(&name, list, read_at))
        })
        .flatten()
        .collect()
}

fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

fn pairs(value: Value) -> Option<Vec<(Value, Value)>> {
    match value {
        Value::Map(pairs) => Some(pairs),
        Value::Array(items) => {
            let mut items = items.into_iter();
            let mut pairs = Vec::new();
            while let (Some(name), Some(value)) = (items.next(), items.next()) {
                pairs.push((name, value));
            }
            Some(pairs)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JPEG: &[u8] = b"\xff\xd8\xff\xc0\0\x0b\x08\0\x10\0\x10\x01\x01\x11\0";
    const LIMITS: AgeLimits = AgeLimits {
        max_age: Duration::ZERO,
        reclaim_idle: Duration::from_secs(2),
    };

    fn entry(fields: &[(&str, &[u8])]) -> RawEntry {
        RawEntry {
            stream: "images".into(),
            id: "5-0".into(),
            fields: fields
                .iter()
                .map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec()))
                .collect(),
            read_at: 6_000,
            since: Instant::now(),
        }
    }

    #[test]
    fn a_v1_frame_is_pushed_and_keeps_its_last_picture() {
        let mut entry = entry(&[
            ("participantId", b"7"),
            ("timestamp", b"1"),
            ("img", b""),
            ("img", JPEG),
        ]);
        let Verdict::Push(header) = entry.judge(6_000, LIMITS) else {
            panic!("not pushed");
        };
        assert!(header.v1);
        assert_eq!(entry.take_img(), JPEG);
    }

    #[test]
    fn age_is_judged_by_expiry_by_id_and_since_reading() {
        let fresh = entry(&[
            ("participantId", b"7"),
            ("timestamp", b"1"),
            ("v", b"1"),
            ("expires", b"7000"),
            ("img", JPEG),
        ]);
        assert!(matches!(fresh.judge(7_000, LIMITS), Verdict::Expired));
        let max_age = AgeLimits {
            max_age: Duration::from_millis(1),
            ..LIMITS
        };
        assert!(matches!(fresh.judge(6_001, max_age), Verdict::Expired));
        let reclaimed = AgeLimits {
            reclaim_idle: Duration::ZERO,
            ..LIMITS
        };
        assert!(matches!(fresh.judge(6_000, reclaimed), Verdict::Expired));
        assert!(matches!(fresh.judge(6_000, max_age), Verdict::Push(_)));
    }

    #[test]
    fn what_cannot_be_a_frame_is_dead_and_says_why() {
        let id = ("participantId", &b"7"[..]);
        let time = ("timestamp", &b"1"[..]);
        let cases = [
            (vec![id, ("img", JPEG)], "field `timestamp` is missing"),
            (vec![id, time, ("img", b"GIF89a")], "the picture is not a JPEG"),
            (vec![id, time, ("img", b"")], "the picture is empty"),
        ];
        for (fields, reason) in cases {
            let Verdict::Dead(dead) = entry(&fields).judge(6_000, LIMITS) else {
                panic!("{reason}");
            };
            assert_eq!(dead.to_string(), reason);
        }
    }

    #[test]
    fn replies_of_any_shape_are_read() {
        let text = |text: &str| Value::BulkString(text.into());
        let fields = Value::Array(vec![
            text("a"),
            text("b"),
            Value::BulkString(vec![0xff]),
            text(""),
        ]);
        let list = Value::Array(vec![
            Value::Array(vec![text("1-0"), fields]),
            Value::Array(vec![text("2-0"), Value::Nil]),
            Value::Nil,
        ]);
        let two = Value::Array(vec![Value::Array(vec![text("images"), list.clone()])]);
        let three = Value::Map(vec![(text("images"), list)]);
        for reply in [two, three] {
            let entries = streams(reply, 9);
            assert_eq!(entries.len(), 1);
            assert_eq!((entries[0].id.as_str(), entries[0].fields.len()), ("1-0", 2));
        }
        assert!(streams(Value::Nil, 9).is_empty());
        assert!(streams(Value::Array(vec![Value::Int(1), Value::Okay]), 9).is_empty());
    }

    #[test]
    fn ids_tell_the_time() {
        assert_eq!(published_micros("1700000000000-3"), Some(1_700_000_000_000_000));
        assert_eq!(published_micros("x-3"), None);
        assert_eq!(published_micros("18446744073709551615-0"), None);
    }

    #[test]
    fn the_hash_is_sha256() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
