//! Types of properties.

use gst::glib;

use crate::{engine, postprocess, provider};

/// Which objects hide each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstYoloxDetectNms")]
pub enum Nms {
    #[default]
    #[enum_value(name = "An object hides weaker ones of any class", nick = "class-agnostic")]
    ClassAgnostic,
    #[enum_value(name = "An object hides weaker ones of its own class", nick = "class-aware")]
    ClassAware,
}

impl From<Nms> for postprocess::Nms {
    fn from(nms: Nms) -> Self {
        match nms {
            Nms::ClassAgnostic => Self::ClassAgnostic,
            Nms::ClassAware => Self::ClassAware,
        }
    }
}

/// How the model's input is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstYoloxDetectNormalisation")]
pub enum Normalisation {
    #[default]
    #[enum_value(name = "Blue, green, red; 0 to 255", nick = "none")]
    None,
    #[enum_value(
        name = "Red, green, blue; 0 to 1, less ImageNet's mean, by its deviation",
        nick = "legacy"
    )]
    Legacy,
}

impl From<Normalisation> for engine::Normalisation {
    fn from(normalisation: Normalisation) -> Self {
        match normalisation {
            Normalisation::None => Self::None,
            Normalisation::Legacy => Self::Legacy,
        }
    }
}

/// The shape of the model's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstYoloxDetectInputShape")]
pub enum InputShape {
    #[default]
    #[enum_value(
        name = "The model's; what a picture leaves free is grey, as in YOLOX's demo",
        nick = "model"
    )]
    Model,
    #[enum_value(
        name = "The picture's, where that can be: processors, one frame at a time",
        nick = "picture"
    )]
    Picture,
}

impl From<InputShape> for engine::InputShape {
    fn from(shape: InputShape) -> Self {
        match shape {
            InputShape::Model => Self::Model,
            InputShape::Picture => Self::Picture,
        }
    }
}

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstYoloxDetectExecutionProvider")]
pub enum ExecutionProvider {
    #[default]
    #[enum_value(
        name = "CUDA, else OpenVINO, else the processor: the first that loads",
        nick = "auto"
    )]
    Auto,
    #[enum_value(name = "The processor", nick = "cpu")]
    Cpu,
    #[enum_value(name = "OpenVINO", nick = "openvino")]
    OpenVino,
    #[enum_value(name = "CUDA", nick = "cuda")]
    Cuda,
    #[enum_value(name = "TensorRT", nick = "tensorrt")]
    TensorRt,
}

impl From<ExecutionProvider> for provider::Provider {
    fn from(provider: ExecutionProvider) -> Self {
        match provider {
            ExecutionProvider::Auto => Self::Auto,
            ExecutionProvider::Cpu => Self::Cpu,
            ExecutionProvider::OpenVino => Self::OpenVino,
            ExecutionProvider::Cuda => Self::Cuda,
            ExecutionProvider::TensorRt => Self::TensorRt,
        }
    }
}
