//! An entry of any kind on its way through the sources, for fuzzers: anybody who can write to Redis can write it.

use std::time::{Duration, Instant};

use redis::Value;
use sightline_protocol::FrameHeader;
use sightline_protocol::frame::IMG;

use crate::connection;
use crate::entry::{self, AgeLimits, DeadReason, RawEntry, Verdict};
use crate::jpeg;
use crate::redisvideosrc::{Follower, Item};

const NOW: u64 = 1_700_000_000_000_000;
/// No letter is longer, whatever was in the frame.
const LONGEST_LETTER: usize = 4096;

/// Reads `bytes` as the reply of a Redis or, if they are none, as an entry's names and values with a NUL after each.
/// Panics if an entry is neither pushed whole, nor expired, nor described.
pub fn fuzz_entry(bytes: &[u8]) {
    let reply = redis::parse_redis_value(bytes).unwrap_or_else(|_| entry_of(bytes));
    for entry in entry::streams(reply, NOW) {
        check(entry);
    }
}

/// Reads `bytes` as [`fuzz_entry`] does, each entry as the next of a session's encoded picture. Panics if what is shown
/// does not begin with a keyframe. Needs `gst::init`.
pub fn fuzz_video_entries(bytes: &[u8]) {
    let reply = redis::parse_redis_value(bytes).unwrap_or_else(|_| entry_of(bytes));
    let mut follower = Follower::default();
    let mut whole = false;
    for mut entry in entry::streams(reply, NOW) {
        match follower.follow(&mut entry) {
            Ok(Some(Item::Frame(frame))) => {
                assert!(frame.key || whole);
                assert!(frame.caps.is_fixed() && !frame.data.is_empty());
                whole = true;
            }
            Ok(Some(Item::End)) => {}
            Ok(None) | Err(_) => whole = false,
        }
    }
}

fn entry_of(bytes: &[u8]) -> Value {
    let text = |text: &[u8]| Value::BulkString(text.to_vec());
    let fields = Value::Array(bytes.split(|byte| *byte == 0).map(text).collect());
    let entry = Value::Array(vec![text(b"1699999999999-0"), fields]);
    Value::Array(vec![Value::Array(vec![
        text(b"images"),
        Value::Array(vec![entry]),
    ])])
}

fn check(mut entry: RawEntry) {
    // Whatever the machine does, it was read just now.
    entry.since = Instant::now();
    let limits = AgeLimits {
        max_age: Duration::ZERO,
        reclaim_idle: Duration::from_secs(3600),
    };
    match entry.judge(NOW, limits) {
        Verdict::Push(header) => {
            assert!(header.expires.is_none_or(|expires| expires > NOW));
            let img = entry.take_img();
            assert!(jpeg::size(&img).is_ok());
            let fields = header.fields();
            let pairs = fields
                .iter()
                .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            let whole = pairs.chain([(IMG.as_bytes(), &img[..])]);
            if !header.v1 {
                assert_eq!(FrameHeader::parse(whole), Ok((header.clone(), &img[..])));
            }
        }
        Verdict::Expired => {}
        Verdict::Dead(reason) => bury(&entry, &reason),
    }
    bury(&entry, &DeadReason::Reclaimed);
}

fn bury(entry: &RawEntry, reason: &DeadReason) {
    let mut pipeline = connection::pipe();
    entry.bury(&mut pipeline, "g", "dead", reason);
    let named = 3 * (entry.id.len() + entry.stream.len());
    let length = pipeline.get_packed_pipeline().len();
    assert!(
        length <= named + LONGEST_LETTER,
        "a dead letter of {length} bytes"
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JPEG: &[u8] = b"\xff\xd8\xff\xc0\0\x0b\x08\0\x10\0\x10\x01\x01\x11\0\xff\xd9";

    /// A bulk string as Redis writes it.
    fn bulk(bytes: &[u8]) -> Vec<u8> {
        let mut text = format!("${}\r\n", bytes.len()).into_bytes();
        text.extend(bytes);
        text.extend(b"\r\n");
        text
    }

    /// The reply to a read that found one entry, in RESP2 or RESP3.
    fn reply(resp3: bool, id: &[u8], fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        let mut text = if resp3 {
            b"%1\r\n".to_vec()
        } else {
            b"*1\r\n*2\r\n".to_vec()
        };
        text.extend(bulk(b"images"));
        text.extend(b"*1\r\n*2\r\n");
        text.extend(bulk(id));
        text.extend(format!("*{}\r\n", 2 * fields.len()).bytes());
        for part in fields.iter().flat_map(|(name, value)| [name, value]) {
            text.extend(bulk(part));
        }
        text
    }

    fn name() -> impl Strategy<Value = Vec<u8>> {
        let known = prop::sample::select(vec![
            "participantId",
            "timestamp",
            "img",
            "v",
            "seq",
            "pts",
            "captured",
            "expires",
            "width",
            "traceparent",
            "key",
            "caps",
            "data",
            "end",
        ]);
        prop_oneof![4 => known.prop_map(|name| name.as_bytes().to_vec()), 1 => any::<Vec<u8>>()]
    }

    fn value() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any::<Vec<u8>>(),
            any::<u64>().prop_map(|number| number.to_string().into_bytes()),
            "[01]".prop_map(String::into_bytes),
            "[a-z0-9-]{1,130}".prop_map(String::into_bytes),
            Just(b"video/x-vp8, width=(int)64".to_vec()),
            Just(JPEG.to_vec()),
            (0..JPEG.len(), any::<u8>()).prop_map(|(index, byte)| {
                let mut broken = JPEG.to_vec();
                broken[index] = byte;
                broken
            }),
        ]
    }

    proptest! {
        #[test]
        fn any_entry_is_pushed_or_expires_or_is_buried(
            resp3: bool, id in "[0-9]{0,20}-?[0-9]{0,20}", fields in prop::collection::vec((name(), value()), 0..12),
        ) {
            let reply = reply(resp3, id.as_bytes(), &fields);
            fuzz_entry(&reply);
            gst::init().unwrap();
            fuzz_video_entries(&reply);
        }

        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            fuzz_entry(&bytes);
            fuzz_video_entries(&bytes);
        }

        #[test]
        fn a_reply_cut_anywhere_is_survived(end in 0..200_usize, resp3: bool) {
            let fields = [("participantId", &b"a"[..]), ("timestamp", b"1"), ("img", JPEG)]
                .map(|(name, value)| (name.into(), value.to_vec()));
            let whole = reply(resp3, b"5-0", &fields);
            fuzz_entry(&whole[..end.min(whole.len())]);
        }
    }

    #[test]
    fn both_ways_reach_a_frame() {
        let fields = [("participantId", &b"a"[..]), ("timestamp", b"1"), ("img", JPEG)]
            .map(|(name, value)| (name.into(), value.to_vec()));
        for resp3 in [false, true] {
            let reply = redis::parse_redis_value(&reply(resp3, b"5-0", &fields)).unwrap();
            let found = entry::streams(reply, NOW);
            assert_eq!((found.len(), found[0].fields.len()), (1, 3));
        }
        // A picture with a NUL ends there; what is left is no JPEG but an entry.
        let bare = entry::streams(entry_of(b"participantId\0a\0timestamp\x001\0img\0\xff\xd8"), NOW);
        assert_eq!((bare.len(), bare[0].fields.len()), (1, 3));
        fuzz_entry(b"participantId\0a\0timestamp\x001\0img\0\xff\xd8");
    }
}
