//! Element `overlay`: draws a frame's detections on it.

use gst::prelude::*;

mod imp;
mod video;

glib::wrapper! {
    pub struct Overlay(ObjectSubclass<imp::Overlay>) @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

/// What a colour stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstSightlineOverlayColourBy")]
pub enum ColourBy {
    #[default]
    #[enum_value(name = "A class", nick = "class")]
    Class,
    #[enum_value(name = "A track; a class where there is none", nick = "track")]
    Track,
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    ColourBy::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    gst::Element::register(Some(plugin), "overlay", gst::Rank::NONE, Overlay::static_type())
}
