//! `redisstreamsink`: see [`imp`].

use glib::prelude::*;

mod imp;

/// What a buffer becomes in Redis.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstRedisStreamSinkPayload")]
#[non_exhaustive]
pub enum Payload {
    #[default]
    #[enum_value(name = "Frame: the buffer, a JPEG, for workers to look at", nick = "frame")]
    Frame,
    #[enum_value(
        name = "Detections: what was found in the buffer's frame",
        nick = "detections"
    )]
    Detections,
}

/// What to do while Redis or the workers are slower than the stream: as `leaky` of `queue`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[repr(u32)]
#[enum_type(name = "GstRedisStreamSinkLeaky")]
#[non_exhaustive]
pub enum Leaky {
    #[default]
    #[enum_value(
        name = "Auto: downstream for payload=frame, no for payload=detections",
        nick = "auto"
    )]
    Auto,
    #[enum_value(name = "Not leaky: nothing is lost, back-pressure goes upstream", nick = "no")]
    No,
    #[enum_value(
        name = "Leaky upstream: the waiting buffer stays, the new one is dropped",
        nick = "upstream"
    )]
    Upstream,
    #[enum_value(
        name = "Leaky downstream: the newest buffer replaces the waiting one",
        nick = "downstream"
    )]
    Downstream,
}

glib::wrapper! {
    /// Publishes frames, or what was found in them, to a Redis stream.
    pub struct RedisStreamSink(ObjectSubclass<imp::RedisStreamSink>)
        @extends gst_base::BaseSink, gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "redisstreamsink",
        gst::Rank::NONE,
        RedisStreamSink::static_type(),
    )
}
