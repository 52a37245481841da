//! Element `scalejpegenc`: scales frames and encodes them as JPEG, in one pass.

use gst::prelude::*;

mod imp;

glib::wrapper! {
    pub struct ScaleJpegEnc(ObjectSubclass<imp::ScaleJpegEnc>)
        @extends gst_video::VideoEncoder, gst::Element, gst::Object, @implements gst::Preset;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "scalejpegenc",
        gst::Rank::NONE,
        ScaleJpegEnc::static_type(),
    )
}
