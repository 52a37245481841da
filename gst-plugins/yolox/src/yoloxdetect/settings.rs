//! The element's properties.

use std::path::PathBuf;
use std::time::Duration;

use gst::glib;
use gst::prelude::*;

use super::{ExecutionProvider, InputShape, Nms, Normalisation};
use crate::engine::Options;
use crate::instance::Config;
use crate::postprocess::Params;

/// More frames in a batch than any device gains from.
const MAX_BATCH: u32 = 256;
const MAX_THREADS: u32 = 1024;
/// Longer, a stalled stream would look like a hang.
const MAX_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub model: Option<PathBuf>,
    pub labels: Option<PathBuf>,
    pub normalisation: Normalisation,
    pub input_shape: InputShape,
    pub score_threshold: f64,
    pub nms_threshold: f64,
    pub nms: Nms,
    pub max_detections: u32,
    pub classes: Option<String>,
    pub interval: u32,
    pub execution_provider: ExecutionProvider,
    pub device_id: u32,
    pub intra_threads: u32,
    pub model_instance_id: Option<String>,
    pub batch_size: u32,
    pub batch_timeout: Duration,
    pub messages: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: None,
            labels: None,
            normalisation: Normalisation::default(),
            input_shape: InputShape::default(),
            score_threshold: 0.3,
            nms_threshold: 0.45,
            nms: Nms::default(),
            max_detections: 100,
            classes: None,
            interval: 0,
            execution_provider: ExecutionProvider::default(),
            device_id: 0,
            intra_threads: 1,
            model_instance_id: None,
            batch_size: 1,
            batch_timeout: Duration::from_millis(10),
            messages: false,
        }
    }
}

impl Settings {
    pub(super) fn params(&self) -> Params {
        Params {
            score_threshold: self.score_threshold as f32,
            nms_threshold: self.nms_threshold as f32,
            nms: self.nms.into(),
            max_detections: self.max_detections as usize,
        }
    }

    /// How to run `model`.
    pub(super) fn config(&self, model: PathBuf) -> Config {
        let options = Options {
            provider: self.execution_provider.into(),
            device: self.device_id,
            threads: self.intra_threads as usize,
            batch: self.batch_size as usize,
            shape: self.input_shape.into(),
            normalisation: self.normalisation.into(),
        };
        Config { model, options }
    }

    /// The id under which the model is shared, if it is.
    pub(super) fn instance_id(&self) -> Option<&str> {
        self.model_instance_id.as_deref().filter(|id| !id.is_empty())
    }

    /// How long a frame may wait for others.
    pub(super) fn longest_wait(&self) -> Duration {
        if self.batch_size > 1 && self.instance_id().is_some() {
            self.batch_timeout
        } else {
            Duration::ZERO
        }
    }

    pub(super) fn set(&mut self, name: &str, value: &glib::Value) {
        match name {
            "model" => self.model = checked::<Option<String>>(value).map(PathBuf::from),
            "labels" => self.labels = checked::<Option<String>>(value).map(PathBuf::from),
            "normalisation" => self.normalisation = checked(value),
            "input-shape" => self.input_shape = checked(value),
            "score-threshold" => self.score_threshold = checked(value),
            "nms-threshold" => self.nms_threshold = checked(value),
            "nms" => self.nms = checked(value),
            "max-detections" => self.max_detections = checked(value),
            "classes" => self.classes = checked(value),
            "interval" => self.interval = checked(value),
            "execution-provider" => self.execution_provider = checked(value),
            "device-id" => self.device_id = checked(value),
            "intra-threads" => self.intra_threads = checked(value),
            "model-instance-id" => self.model_instance_id = checked(value),
            "batch-size" => self.batch_size = checked(value),
            "batch-timeout" => self.batch_timeout = Duration::from_nanos(checked(value)),
            "messages" => self.messages = checked(value),
            name => unreachable!("GObject lets no unknown property `{name}` through"),
        }
    }

    pub(super) fn get(&self, name: &str) -> glib::Value {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string()).to_value();
        match name {
            "model" => path(&self.model),
            "labels" => path(&self.labels),
            "normalisation" => self.normalisation.to_value(),
            "input-shape" => self.input_shape.to_value(),
            "score-threshold" => self.score_threshold.to_value(),
            "nms-threshold" => self.nms_threshold.to_value(),
            "nms" => self.nms.to_value(),
            "max-detections" => self.max_detections.to_value(),
            "classes" => self.classes.to_value(),
            "interval" => self.interval.to_value(),
            "execution-provider" => self.execution_provider.to_value(),
            "device-id" => self.device_id.to_value(),
            "intra-threads" => self.intra_threads.to_value(),
            "model-instance-id" => self.model_instance_id.to_value(),
            "batch-size" => self.batch_size.to_value(),
            "batch-timeout" => nanoseconds(self.batch_timeout).to_value(),
            "messages" => self.messages.to_value(),
            name => unreachable!("GObject lets no unknown property `{name}` through"),
        }
    }
}

/// A value whose type GObject has checked.
fn checked<'v, T: glib::value::FromValue<'v>>(value: &'v glib::Value) -> T {
    value
        .get()
        .unwrap_or_else(|_| unreachable!("GObject lets no value of another type through"))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn properties() -> Vec<glib::ParamSpec> {
    let defaults = Settings::default();
    let groups = [model, objects, frames, runtime, sharing, reports];
    groups.iter().flat_map(|group| group(&defaults)).collect()
}

/// Which model, and what it takes.
fn model(defaults: &Settings) -> Vec<glib::ParamSpec> {
    vec![
        glib::ParamSpecString::builder("model")
            .nick("Model")
            .blurb("Path of the YOLOX model (.onnx)")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("labels")
            .nick("Labels")
            .blurb("Path of the label file, one label a line (unset: the .txt file beside the model, else built in)")
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("normalisation", defaults.normalisation)
            .nick("Normalisation")
            .blurb("Scale and order of the colours in the model's input; exports of YOLOX up to 0.1.0 want `legacy`")
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("input-shape", defaults.input_shape)
            .nick("Input shape")
            .blurb("Shape of the model's input; the picture's is faster, and gives scores that differ a little")
            .mutable_ready()
            .build(),
    ]
}

/// Which objects count.
fn objects(defaults: &Settings) -> Vec<glib::ParamSpec> {
    vec![
        glib::ParamSpecDouble::builder("score-threshold")
            .nick("Score threshold")
            .blurb("Score that an object must exceed, 0 to 1")
            .minimum(0.0)
            .maximum(1.0)
            .default_value(defaults.score_threshold)
            .mutable_playing()
            .build(),
        glib::ParamSpecDouble::builder("nms-threshold")
            .nick("NMS threshold")
            .blurb(
                "Overlap (intersection over union, 0 to 1) above which the weaker of two objects is dropped",
            )
            .minimum(0.0)
            .maximum(1.0)
            .default_value(defaults.nms_threshold)
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("nms", defaults.nms)
            .nick("NMS")
            .blurb("Which objects hide each other in non-maximum suppression")
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("max-detections")
            .nick("Maximum detections")
            .blurb("Number of objects in a frame that are kept, the most certain")
            .minimum(1)
            .default_value(defaults.max_detections)
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("classes")
            .nick("Classes")
            .blurb("Labels or class ids to look for, separated by commas (unset or empty: all)")
            .mutable_playing()
            .build(),
    ]
}

/// Which frames are inferred.
fn frames(defaults: &Settings) -> Vec<glib::ParamSpec> {
    vec![
        glib::ParamSpecUInt::builder("interval")
            .nick("Interval")
            .blurb("Number of frames passed on without inference after each inferred one")
            .default_value(defaults.interval)
            .mutable_playing()
            .build(),
    ]
}

/// What the model runs on.
fn runtime(defaults: &Settings) -> Vec<glib::ParamSpec> {
    vec![
        glib::ParamSpecEnum::builder_with_default("execution-provider", defaults.execution_provider)
            .nick("Execution provider")
            .blurb("What the model runs on; ONNX Runtime must have been built with it")
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("device-id")
            .nick("Device id")
            .blurb("Number of the device, for execution providers that know several")
            .default_value(defaults.device_id)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("intra-threads")
            .nick("Intra-op threads")
            .blurb("Number of threads that work on one run of the model (0: ONNX Runtime's choice)")
            .maximum(MAX_THREADS)
            .default_value(defaults.intra_threads)
            .mutable_ready()
            .build(),
    ]
}

/// How elements share a model.
fn sharing(defaults: &Settings) -> Vec<glib::ParamSpec> {
    vec![
        glib::ParamSpecString::builder("model-instance-id")
            .nick("Model instance id")
            .blurb("Elements of this process with the same id share one loaded model (unset or empty: not shared)")
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("batch-size")
            .nick("Batch size")
            .blurb("Most frames in one run of a shared model; more than 1 needs a model with that or a dynamic batch")
            .minimum(1)
            .maximum(MAX_BATCH)
            .default_value(defaults.batch_size)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt64::builder("batch-timeout")
            .nick("Batch timeout")
            .blurb("Nanoseconds that a frame waits at most for frames of the other elements that share the model")
            .maximum(nanoseconds(MAX_TIMEOUT))
            .default_value(nanoseconds(defaults.batch_timeout))
            .mutable_playing()
            .build(),
    ]
}

/// What the element tells.
fn reports(defaults: &Settings) -> Vec<glib::ParamSpec> {
    vec![
        glib::ParamSpecBoolean::builder("messages")
            .nick("Messages")
            .blurb("Post an element message with the detections of each inferred frame")
            .default_value(defaults.messages)
            .mutable_playing()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb(
                "execution-provider; numbers of frames, inferred, skipped (-interval, -gap, -qos), detections, \
                 mean-batch-size; and of preprocess, wait, infer and postprocess the last-, mean-, p50-, p90-, p99- \
                 and max- time (-us) in microseconds",
            )
            .read_only()
            .build(),
    ]
}
