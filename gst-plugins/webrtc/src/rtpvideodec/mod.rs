//! `rtpvideodec`: one RTP video stream in, decoded frames that know who they are out.

use gst::prelude::*;

mod codec;
mod identity;
mod imp;

glib::wrapper! {
    pub struct RtpVideoDec(ObjectSubclass<imp::RtpVideoDec>) @extends gst::Bin, gst::Element, gst::Object, @implements gst::ChildProxy;
}

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "rtpvideodec",
        gst::Rank::NONE,
        RtpVideoDec::static_type(),
    )
}
