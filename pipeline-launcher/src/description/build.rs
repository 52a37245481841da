//! From a resolved description to GStreamer's pipeline: the only place where launch text is parsed to be run, and
//! where a client's texts reach an element.

use gst::prelude::*;

use super::{Assignment, Resolved};

/// The pipeline in state NULL, its parameters set. The error says what GStreamer does not take.
pub fn build(resolved: &Resolved) -> Result<gst::Pipeline, String> {
    let pipeline = parse(&resolved.launch)
        .map_err(|error| format!("GStreamer refuses the pipeline `{}`: {error}", resolved.name))?;
    for assignment in &resolved.assignments {
        assign(&pipeline, assignment)?;
    }
    Ok(pipeline)
}

/// Parses a complete launch text.
pub fn parse(launch: &str) -> Result<gst::Pipeline, String> {
    let element = gst::parse::launch_full(launch, None, gst::ParseFlags::FATAL_ERRORS)
        .map_err(|error| error.message().to_owned())?;
    match element.downcast::<gst::Pipeline>() {
        Ok(pipeline) => Ok(pipeline),
        Err(element) => {
            let pipeline = gst::Pipeline::new();
            pipeline.add(&element).map_err(|error| error.to_string())?;
            Ok(pipeline)
        }
    }
}

/// Sets a property to a text, converted to the property's type.
fn assign(pipeline: &gst::Pipeline, assignment: &Assignment) -> Result<(), String> {
    let Assignment {
        element,
        property,
        value,
        ..
    } = assignment;
    let target = pipeline
        .by_name(element)
        .ok_or_else(|| format!("the pipeline has no element named `{element}`"))?;
    let spec = target
        .find_property(property)
        .ok_or_else(|| format!("the element `{element}` has no property `{property}`"))?;
    may_be_set(&spec).map_err(|reason| format!("the property `{element}.{property}` {reason}"))?;
    let value = if spec.value_type() == glib::Type::STRING {
        value.to_value()
    } else {
        glib::Value::deserialize_with_pspec(value, &spec)
            .map_err(|_| format!("the property `{element}.{property}` does not take this value"))?
    };
    target.set_property_from_value(property, &value);
    Ok(())
}

/// Whether a parameter may set the property at all. A value may not become an element, or rename one; nor is a client's
/// text for GStreamer's readers of caps and structures, which take what is malformed for a programmer's mistake.
pub fn may_be_set(spec: &glib::ParamSpec) -> Result<(), &'static str> {
    let type_ = spec.value_type();
    let plain = [
        glib::Type::STRING,
        glib::Type::BOOL,
        glib::Type::I32,
        glib::Type::U32,
        glib::Type::I64,
        glib::Type::U64,
        glib::Type::F32,
        glib::Type::F64,
        gst::Fraction::static_type(),
    ];
    if !spec.flags().contains(glib::ParamFlags::WRITABLE) {
        Err("can only be read")
    } else if spec.flags().contains(glib::ParamFlags::CONSTRUCT_ONLY) {
        Err("is set when the element is made: write it in the launch text")
    } else if spec.name() == "name" {
        Err("is what the file knows the element by: a parameter cannot change it")
    } else if plain.contains(&type_) || type_.is_a(glib::Type::ENUM) || type_.is_a(glib::Type::FLAGS) {
        Ok(())
    } else {
        Err("takes more than a plain value: a parameter cannot set it")
    }
}
