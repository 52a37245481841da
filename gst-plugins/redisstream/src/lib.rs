//! Frames, detections and encoded video through Redis Streams.
//!
//! | module | what |
//! |---|---|
//! | `redisstreamsink` | the element that publishes frames, or what was found in them |
//! | `redisstreamsrc` | the element that reads frames as one of a group of workers |
//! | `detectionjoin` | the element that gives frames the detections that workers found in them |
//! | `redisvideosink` | the element that publishes a session's encoded picture |
//! | `redisvideosrc` | the element that gives it to one of those who watch |
//! | `address` | where Redis is: the properties that all elements have |
//! | `connection` | notices, reconnecting: what the elements need of Redis besides `sightline-redis` |
//! | `identity` | how a frame is named to workers |
//! | `slot` | hands one item at a time between a streaming thread and a task |
//! | `publisher`, `credits` | the sink's task |
//! | `answers` | what workers answer to a session, for the sink and the join |
//! | `reader`, `turns`, `reclaim`, `entry`, `jpeg` | the source's tasks |
//! | `subscription` | listening to a channel |
//! | `video` | what both ends of an encoded picture must agree on |
//! | `fuzz` | an entry's way through the sources, without a Redis |

mod address;
mod answers;
mod connection;
mod credits;
mod detectionjoin;
mod entry;
mod fuzz;
mod identity;
mod jpeg;
mod publisher;
mod reader;
mod reclaim;
mod redisstreamsink;
mod redisstreamsrc;
mod redisvideosink;
mod redisvideosrc;
mod slot;
mod subscription;
mod trace;
mod turns;
mod video;

#[doc(hidden)]
pub use fuzz::{fuzz_entry, fuzz_video_entries};

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    redisstreamsink::register(plugin)?;
    redisstreamsrc::register(plugin)?;
    detectionjoin::register(plugin)?;
    redisvideosink::register(plugin)?;
    redisvideosrc::register(plugin)
}

gst::plugin_define!(
    redisstream,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "Apache 2.0",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    "https://sightline.invalid/",
    env!("BUILD_REL_DATE")
);
