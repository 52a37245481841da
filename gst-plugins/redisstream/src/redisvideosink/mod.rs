//! `redisvideosink`: see [`imp`].

use glib::prelude::*;

mod imp;
mod writer;

glib::wrapper! {
    /// Publishes a session's encoded picture for all who watch it.
    pub struct RedisVideoSink(ObjectSubclass<imp::RedisVideoSink>)
        @extends gst_base::BaseSink, gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "redisvideosink",
        gst::Rank::NONE,
        RedisVideoSink::static_type(),
    )
}
