//! `yoloxdetect` finds objects in video with a YOLOX model and attaches them to the frames, which it passes on
//! untouched: one `GstVideoRegionOfInterestMeta` for each object, in the form that DL Streamer's elements read.
//!
//! ```bash
//! gst-launch-1.0 filesrc location=dog.jpg ! jpegdec ! yoloxdetect model=yolox_nano.onnx ! overlay ! \
//!     videoconvert ! pngenc ! filesink location=dog.png
//! ```
//!
//! Input size, classes and strides are read from the model. With `messages=true` each inferred frame also
//! posts an element message `yoloxdetect` with `pts`, `width`, `height` and `detections`, a JSON array.

use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::subclass::base_transform::{BaseTransformMode, GenerateOutputSuccess};
use gst_base::subclass::prelude::*;
use gst_video::{VideoCapsBuilder, VideoFrameRef, VideoInfo};
use sightline_gst_common::{InferenceMeta, add_detection};
use sightline_protocol::Detection;

use super::{ExecutionProvider, Nms, layout};
use crate::CAT;
use crate::detector::{Config, Detector, DetectorError, Times};
use crate::engine::EngineError;
use crate::labels::{Labels, LabelsError};
use crate::model::ModelError;
use crate::postprocess::{Object, Params};
use crate::preprocess::Layout;
use crate::runtime::RuntimeError;
use crate::stats::Stats;

#[derive(Debug, Clone)]
struct Settings {
    model: Option<PathBuf>,
    labels: Option<PathBuf>,
    score_threshold: f64,
    nms_threshold: f64,
    nms: Nms,
    max_detections: u32,
    classes: Option<String>,
    interval: u32,
    execution_provider: ExecutionProvider,
    device_id: u32,
    intra_threads: u32,
    messages: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: None,
            labels: None,
            score_threshold: 0.3,
            nms_threshold: 0.45,
            nms: Nms::default(),
            max_detections: 100,
            classes: None,
            interval: 0,
            execution_provider: ExecutionProvider::default(),
            device_id: 0,
            intra_threads: 1,
            messages: false,
        }
    }
}

impl Settings {
    fn params(&self) -> Params {
        Params {
            score_threshold: self.score_threshold as f32,
            nms_threshold: self.nms_threshold as f32,
            nms: self.nms.into(),
            max_detections: self.max_detections as usize,
        }
    }
}

/// What a running element has.
struct State {
    detector: Detector,
    labels: Labels,
    /// Of the negotiated caps.
    video: Option<(VideoInfo, Layout)>,
    /// Frames still to be passed on before the next inference.
    wait: u32,
    filter: ClassFilter,
}

/// Which classes count, as the property `classes` said when it was last looked at.
struct ClassFilter {
    list: Option<String>,
    wanted: Vec<bool>,
}

impl ClassFilter {
    fn new(list: Option<String>, labels: &Labels) -> Result<Self, LabelsError> {
        let wanted = labels.select(list.as_deref().unwrap_or_default())?;
        Ok(Self { list, wanted })
    }
}

/// Locks are taken in the order `state`, `settings`, `stats`; only `state` is held while the model runs.
#[derive(Default)]
pub struct YoloxDetect {
    state: Mutex<Option<State>>,
    settings: Mutex<Settings>,
    stats: Mutex<Stats>,
}

/// No lock here guards an invariant that a panic could have broken.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl YoloxDetect {
    fn load(&self, settings: &Settings) -> Result<State, gst::ErrorMessage> {
        let Some(model) = settings.model.clone() else {
            return Err(gst::error_msg!(
                gst::ResourceError::Settings,
                ("No model: set the property `model` to the path of a YOLOX .onnx file")
            ));
        };
        let config = Config {
            model,
            labels: settings.labels.clone(),
            provider: settings.execution_provider.into(),
            device: settings.device_id,
            threads: settings.intra_threads as usize,
        };
        let detector = Detector::load(&config).map_err(|error| error_message(&error))?;
        let filter = ClassFilter::new(settings.classes.clone(), detector.labels())
            .map_err(|error| error_message(&error.into()))?;
        let facts = detector.model();
        gst::info!(
            CAT,
            imp = self,
            "{}: input {}×{}, {} classes, {} predictions on strides {:?}, decoded in the graph: {}, metadata {:?}",
            config.model.display(),
            facts.size.0,
            facts.size.1,
            facts.classes,
            facts.anchors,
            facts.strides,
            facts.decoded,
            facts.metadata,
        );
        if settings.execution_provider == ExecutionProvider::Auto {
            gst::info!(
                CAT,
                imp = self,
                "execution-provider=auto runs the model on the CPU"
            );
        }
        Ok(State {
            labels: detector.labels().clone(),
            detector,
            video: None,
            wait: 0,
            filter,
        })
    }

    /// Takes a changed list of classes over; one that does not fit the model is warned about and ignored.
    fn update_filter(&self, state: &mut State, list: Option<String>) {
        if state.filter.list == list {
            return;
        }
        match ClassFilter::new(list.clone(), &state.labels) {
            Ok(filter) => state.filter = filter,
            Err(error) => {
                gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{error}"));
                state.filter.list = list;
            }
        }
    }

    /// Whether this frame's turn has come. A shorter interval holds at once.
    fn is_due(state: &mut State, interval: u32) -> bool {
        match state.wait.min(interval) {
            0 => {
                state.wait = interval;
                true
            }
            wait => {
                state.wait = wait - 1;
                false
            }
        }
    }

    fn process(&self, state: &mut State, buffer: &mut gst::BufferRef) -> Result<(), gst::FlowError> {
        let (params, interval, messages, classes) = {
            let settings = lock(&self.settings);
            let changed = (settings.classes != state.filter.list).then(|| settings.classes.clone());
            (settings.params(), settings.interval, settings.messages, changed)
        };
        if let Some(list) = classes {
            self.update_filter(state, list);
        }
        if buffer.flags().contains(gst::BufferFlags::GAP) || !Self::is_due(state, interval) {
            lock(&self.stats).skip();
            return Ok(());
        }
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (detections, times) = self.infer(state, &params, buffer)?;
        let info = state
            .video
            .as_ref()
            .map(|(info, _)| (info.width(), info.height()));
        let size = info.ok_or(gst::FlowError::NotNegotiated)?;
        for detection in &detections {
            add_detection(buffer, detection, size);
        }
        let meta = InferenceMeta {
            model: state.detector.model().name.clone(),
            started: micros(started),
            preprocess_us: micros(times.preprocess),
            infer_us: micros(times.infer),
            postprocess_us: micros(times.postprocess),
        };
        meta.attach(buffer)
            .map_err(|error| self.fail(&error.to_string()))?;
        lock(&self.stats).infer(detections.len(), &times);
        gst::log!(
            CAT,
            imp = self,
            "{:?}: {} objects, {times:?}",
            buffer.pts(),
            detections.len()
        );
        if messages {
            self.post(buffer.pts(), size, &detections);
        }
        Ok(())
    }

    fn infer(
        &self,
        state: &mut State,
        params: &Params,
        buffer: &gst::BufferRef,
    ) -> Result<(Vec<Detection>, Times), gst::FlowError> {
        let (info, layout) = state.video.as_ref().ok_or(gst::FlowError::NotNegotiated)?;
        let unreadable = |why: &dyn std::fmt::Display| self.fail(&format!("Frame cannot be read: {why}"));
        let frame =
            VideoFrameRef::from_buffer_ref_readable(buffer, info).map_err(|error| unreadable(&error))?;
        let picture = layout::picture(&frame, *layout).map_err(|error| unreadable(&error))?;
        let (objects, times) = state
            .detector
            .detect(&picture, params, &state.filter.wanted)
            .map_err(|error| self.fail(&error.to_string()))?;
        let size = (info.width(), info.height());
        let to_detection = |object| detection(object, &state.labels, size);
        Ok((objects.iter().map(to_detection).collect(), times))
    }

    /// Posts what was found as a message.
    fn post(&self, pts: Option<gst::ClockTime>, (width, height): (u32, u32), detections: &[Detection]) {
        let json = serde_json::to_string(detections).unwrap_or_else(|_| "[]".into());
        let structure = gst::Structure::builder("yoloxdetect")
            .field("pts", pts.map_or(u64::MAX, gst::ClockTime::nseconds))
            .field("width", i32::try_from(width).unwrap_or(i32::MAX))
            .field("height", i32::try_from(height).unwrap_or(i32::MAX))
            .field("detections", json)
            .build();
        let message = gst::message::Element::builder(structure)
            .src(&*self.obj())
            .build();
        if self.obj().post_message(message).is_err() {
            gst::debug!(CAT, imp = self, "Nobody takes messages");
        }
    }

    /// Posts an error that ends the stream.
    fn fail(&self, what: &str) -> gst::FlowError {
        gst::error!(CAT, imp = self, "{what}");
        gst::element_imp_error!(self, gst::ResourceError::Failed, ("{what}"));
        gst::FlowError::Error
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn detection(object: &Object, labels: &Labels, (width, height): (u32, u32)) -> Detection {
    let [left, top, right, bottom] = object.corners.map(f64::from);
    let (width, height) = (f64::from(width), f64::from(height));
    Detection {
        label: labels.get(object.class).to_owned(),
        class_id: u32::try_from(object.class).unwrap_or(u32::MAX),
        score: object.score,
        bbox: [
            left / width,
            top / height,
            (right - left) / width,
            (bottom - top) / height,
        ],
        track_id: None,
    }
}

fn error_message(error: &DetectorError) -> gst::ErrorMessage {
    let kind = match error {
        DetectorError::Model(ModelError::Read { .. })
        | DetectorError::Labels(LabelsError::Read { .. })
        | DetectorError::Engine(EngineError::Runtime(
            RuntimeError::NotThere(_) | RuntimeError::NotFound { .. },
        )) => gst::ResourceError::NotFound,
        DetectorError::Labels(_) | DetectorError::Engine(EngineError::NoProvider(_)) => {
            gst::ResourceError::Settings
        }
        _ => gst::ResourceError::Failed,
    };
    gst::error_msg!(kind, ("{error}"))
}

#[glib::object_subclass]
impl ObjectSubclass for YoloxDetect {
    const NAME: &'static str = "GstYoloxDetect";
    type Type = super::YoloxDetect;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for YoloxDetect {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let defaults = Settings::default();
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
                    .blurb("Overlap (intersection over union, 0 to 1) above which the weaker of two objects is dropped")
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
                glib::ParamSpecUInt::builder("interval")
                    .nick("Interval")
                    .blurb("Number of frames passed on without inference after each inferred one")
                    .default_value(defaults.interval)
                    .mutable_playing()
                    .build(),
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
                    .blurb("Number of threads that work on one frame (0: ONNX Runtime's choice)")
                    .maximum(1024)
                    .default_value(defaults.intra_threads)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoolean::builder("messages")
                    .nick("Messages")
                    .blurb("Post an element message with the detections of each inferred frame")
                    .default_value(defaults.messages)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb("Frames, inferences, detections, and last and mean time of each stage in microseconds")
                    .read_only()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let path = || {
            value
                .get::<Option<String>>()
                .expect("type checked by GObject")
                .map(PathBuf::from)
        };
        let number = || value.get::<u32>().expect("type checked by GObject");
        let mut settings = lock(&self.settings);
        match pspec.name() {
            "model" => settings.model = path(),
            "labels" => settings.labels = path(),
            "score-threshold" => settings.score_threshold = value.get().expect("type checked by GObject"),
            "nms-threshold" => settings.nms_threshold = value.get().expect("type checked by GObject"),
            "nms" => settings.nms = value.get().expect("type checked by GObject"),
            "max-detections" => settings.max_detections = number(),
            "classes" => settings.classes = value.get().expect("type checked by GObject"),
            "interval" => settings.interval = number(),
            "execution-provider" => {
                settings.execution_provider = value.get().expect("type checked by GObject")
            }
            "device-id" => settings.device_id = number(),
            "intra-threads" => settings.intra_threads = number(),
            "messages" => settings.messages = value.get().expect("type checked by GObject"),
            name => unreachable!("GObject lets no unknown property `{name}` through"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string()).to_value();
        let settings = lock(&self.settings);
        match pspec.name() {
            "model" => path(&settings.model),
            "labels" => path(&settings.labels),
            "score-threshold" => settings.score_threshold.to_value(),
            "nms-threshold" => settings.nms_threshold.to_value(),
            "nms" => settings.nms.to_value(),
            "max-detections" => settings.max_detections.to_value(),
            "classes" => settings.classes.to_value(),
            "interval" => settings.interval.to_value(),
            "execution-provider" => settings.execution_provider.to_value(),
            "device-id" => settings.device_id.to_value(),
            "intra-threads" => settings.intra_threads.to_value(),
            "messages" => settings.messages.to_value(),
            "stats" => lock(&self.stats).to_structure().to_value(),
            name => unreachable!("GObject lets no unknown property `{name}` through"),
        }
    }
}

impl GstObjectImpl for YoloxDetect {}

impl ElementImpl for YoloxDetect {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "YOLOX object detector",
                "Filter/Analyzer/Video",
                "Attaches the objects that a YOLOX model finds to the frames",
                "The Sightline developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = VideoCapsBuilder::new()
                .format_list(layout::FORMATS.iter().copied())
                .build();
            [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                .map(|(name, direction)| {
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps)
                        .expect("the template is constant")
                })
                .into()
        });
        &TEMPLATES
    }
}

impl BaseTransformImpl for YoloxDetect {
    // Pixels are never touched: allocation and format are between upstream and downstream. Metas are added in
    // `generate_output`, to a writable copy of the buffer that shares its memory.
    const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = true;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let state = self.load(&settings)?;
        *lock(&self.state) = Some(state);
        *lock(&self.stats) = Stats::default();
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.state) = None;
        Ok(())
    }

    fn set_caps(&self, incaps: &gst::Caps, _outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info =
            VideoInfo::from_caps(incaps).map_err(|_| gst::loggable_error!(CAT, "Not video: {incaps}"))?;
        if let Some(state) = lock(&self.state).as_mut() {
            let layout = layout::layout(&info);
            gst::debug!(CAT, imp = self, "{incaps}: {layout:?}");
            state.video = Some((info, layout));
        }
        Ok(())
    }

    fn generate_output(&self) -> Result<GenerateOutputSuccess, gst::FlowError> {
        let Some(mut buffer) = self.take_queued_buffer() else {
            return Ok(GenerateOutputSuccess::NoOutput);
        };
        let mut state = lock(&self.state);
        let state = state.as_mut().ok_or(gst::FlowError::Flushing)?;
        self.process(state, buffer.make_mut())?;
        Ok(GenerateOutputSuccess::Buffer(buffer))
    }
}
