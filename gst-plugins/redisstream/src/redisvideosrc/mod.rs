//! `redisvideosrc`: see [`imp`].

use glib::prelude::*;

mod follower;
mod imp;
mod timeline;
mod watcher;

pub(crate) use follower::{Follower, Item};

glib::wrapper! {
    /// Gives a session's encoded picture to one of those who watch it.
    pub struct RedisVideoSrc(ObjectSubclass<imp::RedisVideoSrc>)
        @extends gst_base::PushSrc, gst_base::BaseSrc, gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "redisvideosrc",
        gst::Rank::NONE,
        RedisVideoSrc::static_type(),
    )
}
