//! GStreamer plugin `yolox`: finds objects with YOLOX models, by ONNX Runtime.

use std::sync::LazyLock;

mod batch;
mod detector;
mod engine;
mod instance;
mod labels;
// For the bench and the fuzzer, as the other public ones.
#[doc(hidden)]
pub mod model;
mod normalise;
#[doc(hidden)]
pub mod postprocess;
#[doc(hidden)]
pub mod preprocess;
mod provider;
mod runtime;
mod stats;
mod yoloxdetect;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "yoloxdetect",
        gst::DebugColorFlags::empty(),
        Some("YOLOX object detection"),
    )
});

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    yoloxdetect::register(plugin)
}

gst::plugin_define!(
    yolox,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "Apache 2.0",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    "https://sightline.invalid/",
    env!("BUILD_REL_DATE")
);
