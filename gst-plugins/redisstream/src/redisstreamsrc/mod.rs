//! `redisstreamsrc`: see [`imp`].

use glib::prelude::*;

mod imp;

glib::wrapper! {
    /// Reads frames from a Redis stream as one consumer of a group.
    pub struct RedisStreamSrc(ObjectSubclass<imp::RedisStreamSrc>)
        @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "redisstreamsrc",
        gst::Rank::NONE,
        RedisStreamSrc::static_type(),
    )
}
