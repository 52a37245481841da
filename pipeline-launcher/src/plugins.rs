//! GStreamer with our elements in it, and without what a pipeline does not need.

use std::collections::BTreeSet;

use anyhow::Context;
use gst::prelude::*;

use crate::description::launch;

/// Plugins whose elements others choose by themselves: `decodebin` by what a stranger sends, `webrtcbin` for its transport.
const CHOSEN: &str = "
    app autoconvert coreelements coretracers debug debugutilsbad gio playback staticelements typefindfunctions
    adaptivedemux2 curl dash dtls hls nice rtmp rtmp2 rtp rtpmanager rtponvif rtsp sctp sdpelem soup srt srtp tcp udp webrtc
    audioparsers codectimestamper flv isomp4 ivfparse jpegformat legacyrawparse matroska mpegpsdemux mpegtsdemux multipart
    ogg opusparse rawparse videoparsersbad
    aom dav1d jpeg libav nvcodec openh264 opus png rsdav1d v4l2codecs va vpx webp x264
    audioconvert audioresample videoconvert videoconvertscale videorate videoscale
";

/// In place of plugins' names: every one.
const ALL: &str = "all";

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

/// Forgets, in this process, all plugins but those whose elements a launch text names, those that elements choose by
/// themselves, our own, and `more`.
pub fn keep(launch: &str, more: &BTreeSet<String>) {
    if more.contains(ALL) {
        return;
    }
    let registry = gst::Registry::get();
    let named: BTreeSet<_> = launch::elements(launch)
        .into_iter()
        .filter_map(|element| gst::ElementFactory::find(&element.factory)?.plugin_name())
        .collect();
    for plugin in registry.plugins() {
        let name = plugin.plugin_name();
        let is_own = plugin.filename().is_none();
        if !is_own
            && !CHOSEN.split_whitespace().any(|chosen| chosen == name)
            && !more.contains(name.as_str())
            && !named.contains(&name)
        {
            registry.remove_plugin(&plugin);
        }
    }
}
