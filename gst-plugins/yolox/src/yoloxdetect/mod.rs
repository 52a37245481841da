//! Element `yoloxdetect`: attaches to each frame the objects that a YOLOX model finds in it.

use gst::prelude::*;

mod enums;
mod imp;
mod layout;
mod qos;
mod settings;

pub use enums::{ExecutionProvider, InputShape, Nms, Normalisation};

glib::wrapper! {
    pub struct YoloxDetect(ObjectSubclass<imp::YoloxDetect>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    Normalisation::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    InputShape::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    Nms::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    ExecutionProvider::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    gst::Element::register(
        Some(plugin),
        "yoloxdetect",
        gst::Rank::NONE,
        YoloxDetect::static_type(),
    )
}
