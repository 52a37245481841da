//! Elements for what comes out of `webrtcbin`.

mod rtpvideodec;

pub use rtpvideodec::can_decode;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    rtpvideodec::register(plugin)
}

gst::plugin_define!(
    sightlinewebrtc,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "Apache 2.0",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    "https://sightline.invalid/",
    env!("BUILD_REL_DATE")
);
