//! GStreamer plugin `track`: follows detected objects through a video.
//!
//! [`tracker`] is ByteTrack; it knows nothing of GStreamer.

use std::sync::LazyLock;

mod assignment;
mod clock;
mod kalman;
mod objecttrack;
mod place;
pub mod tracker;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "objecttrack",
        gst::DebugColorFlags::empty(),
        Some("Object tracking"),
    )
});

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    objecttrack::register(plugin)
}

gst::plugin_define!(
    track,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "Apache 2.0",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    "https://sightline.invalid/",
    env!("BUILD_REL_DATE")
);
