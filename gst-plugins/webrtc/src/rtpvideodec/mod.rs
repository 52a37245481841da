//! `rtpvideodec`: one RTP video stream in, decoded frames that know who they are out.

use gst::prelude::*;

mod codec;
mod identity;
mod imp;
mod keyframes;

pub use codec::can_decode;

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
