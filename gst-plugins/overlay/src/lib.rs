//! GStreamer plugin `overlay`: draws detections on video.

mod drawing;
mod label_format;
mod overlay;
mod palette;
mod picture;
mod rect;
mod text;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    overlay::register(plugin)
}

gst::plugin_define!(
    overlay,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "Apache 2.0",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    "https://sightline.invalid/",
    env!("BUILD_REL_DATE")
);
