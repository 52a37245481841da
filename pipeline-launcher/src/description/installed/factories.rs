//! The elements that are installed.

use gst::prelude::*;

use crate::description::problem::did_you_mean;

pub type Class = glib::object::ClassRef<'static, glib::Object>;

/// The class of an element; its plugin is loaded, no element is made.
pub fn class(factory: &str) -> Option<Class> {
    let factory = gst::ElementFactory::find(factory)?
        .load()
        .ok()?
        .downcast::<gst::ElementFactory>()
        .ok()?;
    glib::object::Class::<glib::Object>::from_type(factory.element_type())
}

pub fn unknown_hint(word: &str) -> String {
    let factories = gst::Registry::get().features(gst::ElementFactory::static_type());
    let names: Vec<_> = factories.iter().map(|factory| factory.name()).collect();
    did_you_mean(word, names.iter().map(|name| name.as_str())).unwrap_or_else(|| {
        "`gst-inspect-1.0` lists the elements that are installed; a plugin's package may be missing"
            .to_owned()
    })
}

/// The pads that an element has or may have.
pub struct Template {
    /// `sink`, or with a number to come: `src_%u`.
    pub name: String,
    pub presence: gst::PadPresence,
    pub caps: gst::Caps,
}

impl Template {
    /// Whether a pad of this name may come of it.
    pub fn fits(&self, pad: &str) -> bool {
        match self.name.split_once('%') {
            Some((prefix, _)) => pad == self.name || pad.starts_with(prefix),
            None => pad == self.name,
        }
    }
}

/// The pad templates of an element in one direction; none if there is no such element.
pub fn templates(factory: &str, direction: gst::PadDirection) -> Option<Vec<Template>> {
    let templates = gst::ElementFactory::find(factory)?.static_pad_templates();
    let wanted = templates
        .iter()
        .filter(|template| template.direction() == direction);
    Some(
        wanted
            .map(|template| Template {
                name: template.name_template().to_owned(),
                presence: template.presence(),
                caps: template.caps(),
            })
            .collect(),
    )
}
