//! Frames and detections through Redis Streams.
//!
//! | module | what |
//! |---|---|
//! | `redisstreamsink` | the element that publishes frames, or what was found in them |
//! | `redisstreamsrc` | the element that reads frames as one of a group of workers |
//! | `connection` | runtime, connecting, reconnecting: all that both elements need of Redis |
//! | `slot` | hands one item at a time between a streaming thread and a task |
//! | `publisher`, `credits`, `answers` | the sink's task |
//! | `reader`, `reclaim`, `entry`, `jpeg` | the source's tasks |

mod answers;
mod connection;
mod credits;
mod entry;
mod jpeg;
mod publisher;
mod reader;
mod reclaim;
mod redisstreamsink;
mod redisstreamsrc;
mod slot;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    redisstreamsink::register(plugin)?;
    redisstreamsrc::register(plugin)
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
