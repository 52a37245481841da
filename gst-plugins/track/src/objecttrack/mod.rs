//! Element `objecttrack`: gives detections ids that stay, and carries them over frames that were not inferred.

use gst::prelude::*;

mod imp;

glib::wrapper! {
    pub struct ObjectTrack(ObjectSubclass<imp::ObjectTrack>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "objecttrack",
        gst::Rank::NONE,
        ObjectTrack::static_type(),
    )
}
