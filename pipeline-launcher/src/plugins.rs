//! GStreamer with our elements in it.

use anyhow::Context;

type Register = fn() -> Result<(), glib::BoolError>;

/// Initialises GStreamer and registers Sightline's elements, which are part of this program: no search path is
/// needed, and they always fit.
pub fn init() -> anyhow::Result<()> {
    gst::init().context("GStreamer cannot be initialised")?;
    let plugins: &[(&str, Register)] = &[
        ("overlay", gstoverlay::plugin_register_static),
        ("redisstream", gstredisstream::plugin_register_static),
        #[cfg(feature = "rs")]
        ("rsrtp", gstrsrtp::plugin_register_static),
        #[cfg(feature = "rs")]
        ("rswebrtc", gstrswebrtc::plugin_register_static),
        ("scalejpeg", gstscalejpeg::plugin_register_static),
        ("sightlinewebrtc", gstsightlinewebrtc::plugin_register_static),
        ("track", gsttrack::plugin_register_static),
        ("yolox", gstyolox::plugin_register_static),
    ];
    for (name, register) in plugins {
        register().with_context(|| format!("the plugin `{name}` cannot be registered"))?;
    }
    Ok(())
}
