//! The types of everything that crosses a process in Sightline.
//!
//! No IO, no GStreamer, no runtime: what is here only turns bytes from the wire into values and back.
//! The formats are those of `docs/PROTOCOL.md`; every message has a JSON fixture in `protocol/fixtures`
//! that the tests of Rust and of TypeScript both read.
//!
//! | module | what |
//! |---|---|
//! | [`keys`] | the Redis keys and channels |
//! | [`frame`] | a frame on its way to a worker |
//! | [`prediction`] | what a worker found in it |
//! | [`video`] | a frame of a session's encoded picture, for those who watch |
//! | [`inventa`] | the text of an RPC message |
//! | [`rpc`] | the arguments and values of the RPC methods |
//! | [`rest`] | what the REST API takes and gives |
//! | [`ws`] | the messages between page and signaling |

pub mod error;
pub mod frame;
pub mod inventa;
pub mod keys;
pub mod prediction;
pub mod rest;
pub mod rpc;
pub mod video;
pub mod ws;

pub use error::{ErrorId, Failure, FieldError};
pub use frame::{FrameHeader, is_session_id};
pub use prediction::{Detection, Prediction};
pub use video::{VideoEntry, VideoFrame};

/// Value of the field `v` in entries that we write; entries without it come from a v1 part.
pub const WIRE_VERSION: &str = "1";

/// Now, in microseconds of Unix time: the clock of `captured`, `expires` and `started_us`.
pub fn unix_micros() -> u64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_epoch.map_or(0, |elapsed| {
        u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
    })
}
