//! `detectionjoin`: see [`imp`].

use std::sync::LazyLock;

use glib::prelude::*;

mod answer;
mod imp;
mod line;
mod queue;
mod remote;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "detectionjoin",
        gst::DebugColorFlags::empty(),
        Some("Joins frames with what workers found in them"),
    )
});

glib::wrapper! {
    /// Gives frames the detections that workers found in them.
    pub struct DetectionJoin(ObjectSubclass<imp::DetectionJoin>)
        @extends gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "detectionjoin",
        gst::Rank::NONE,
        DetectionJoin::static_type(),
    )
}
