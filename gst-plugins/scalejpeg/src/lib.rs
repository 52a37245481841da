//! GStreamer plugin `scalejpeg`: scales video and encodes it as JPEG, in one pass.

// For the bench, which times it without GStreamer.
#[doc(hidden)]
pub mod jpeg;
mod scalejpegenc;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    scalejpegenc::register(plugin)
}

gst::plugin_define!(
    scalejpeg,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "Apache 2.0",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    "https://sightline.invalid/",
    env!("BUILD_REL_DATE")
);
