//! Names of Redis keys and channels.

use crc::{CRC_32_ISO_HDLC, Crc};

/// The CRC-32 of zlib, gzip and PNG: in every language's library.
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Stream of frames: sessions write, workers read.
pub const IMAGES: &str = "images";
/// The most shards that a stream may have.
pub const MAX_SHARDS: u32 = 256;

/// All that a reader of these streams reads, whose names have commas between them: each, and its shards.
pub fn streams(names: &str, shards: u32) -> Vec<String> {
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    let all = |name: &str| {
        let shards = (0..shards).map(|number| shard(name, number));
        // Those who know of no shards write to the name itself.
        std::iter::once(name.to_owned()).chain(shards).collect::<Vec<_>>()
    };
    names.flat_map(all).collect()
}

/// The stream that takes a session's frames, all of them in their order.
pub fn shard_of(stream: &str, session: &str, shards: u32) -> String {
    match CRC.checksum(session.as_bytes()).checked_rem(shards) {
        Some(number) => shard(stream, number),
        None => stream.to_owned(),
    }
}

/// The braces make a Redis Cluster place each shard by its number alone.
fn shard(stream: &str, number: u32) -> String {
    format!("{stream}:{{{number}}}")
}

/// Consumer group of the workers on [`IMAGES`].
pub const IMAGES_GROUP: &str = "cg:images";
/// Stream of frames that could not be processed (their description, never the picture).
pub const IMAGES_DEAD: &str = "images:dead";
/// Stream of predictions: workers write, integrators and signaling's bridge task read.
pub const PREDICTIONS: &str = "predictions";
/// Consumer group of signaling's bridge task, which hands on the predictions of v1 workers.
pub const BRIDGE_GROUP: &str = "cg:bridge";
/// Hash of tenants, id → name.
pub const TENANTS: &str = "TENANTS";

/// The Pub/Sub channel on which one session's predictions are published.
pub fn predictions_channel(session: &str) -> String {
    format!("predictions:{session}")
}

/// Pattern of all channels made by [`predictions_channel`].
pub const PREDICTIONS_PATTERN: &str = "predictions:*";

/// Stream of a session's encoded picture: its process writes, each of those who watch reads all of it.
pub fn video_stream(session: &str) -> String {
    format!("video:{session}")
}

/// The Pub/Sub channel on which those who watch a session ask for a keyframe.
pub fn video_keyframe_channel(session: &str) -> String {
    format!("video:{session}:keyframe")
}

/// The hash beside a service's liveness key: capacity, load, version, host.
pub fn service_info(service: &str) -> String {
    format!("info:{service}")
}

/// The Pub/Sub channel on which a service hears RPC messages.
pub fn service_channel(service: &str) -> String {
    format!("ch:{service}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_its_shard() {
        // zlib.crc32(b"123456789") == 0xcbf43926, the check value of this CRC.
        for (shards, stream) in [
            (0, "images"),
            (1, "images:{0}"),
            (3, "images:{2}"),
            (7, "images:{5}"),
        ] {
            assert_eq!(shard_of(IMAGES, "123456789", shards), stream, "{shards}");
        }
    }

    #[test]
    fn readers_read_all_that_sessions_write() {
        assert_eq!(streams(IMAGES, 0), ["images"]);
        assert_eq!(
            streams(IMAGES, 3),
            ["images", "images:{0}", "images:{1}", "images:{2}"]
        );
        let used: std::collections::BTreeSet<_> = (0..100)
            .map(|session| shard_of(IMAGES, &session.to_string(), 3))
            .collect();
        assert_eq!(used.into_iter().collect::<Vec<_>>(), streams(IMAGES, 3)[1..]);
    }
}
