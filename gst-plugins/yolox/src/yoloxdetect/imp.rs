//! `yoloxdetect` finds objects in video with a YOLOX model and attaches them to the frames, which it passes on
//! untouched: one `GstVideoRegionOfInterestMeta` for each object, in the form that DL Streamer's elements read.
//!
//! ```bash
//! gst-launch-1.0 filesrc location=dog.jpg ! jpegdec ! yoloxdetect model=yolox_nano.onnx ! overlay ! \
//!     videoconvert ! pngenc ! filesink location=dog.png
//! ```
//!
//! Input size, classes, strides and batch are read from the model; every YOLOX export is taken. Frames are skipped by
//! `interval`, and when they would come too late for the sink (`qos`). With `messages=true` each inferred frame posts
//! an element message `yoloxdetect` with `pts`, `width`, `height` and `detections`, a JSON array.
//!
//! ```bash
//! gst-launch-1.0 -m filesrc location=dog.jpg ! jpegdec ! yoloxdetect model=yolox_nano.onnx classes=dog,bicycle \
//!     score-threshold=0.5 messages=true ! fakesink
//! gst-launch-1.0 filesrc location=bikes.mp4 ! qtdemux ! h264parse ! avdec_h264 ! \
//!     yoloxdetect model=yolox_nano.onnx interval=9 ! fakesink
//! ```
//!
//! Elements with the same `model-instance-id` share one loaded model, and infer up to `batch-size` frames together
//! if the model's batch is dynamic. A frame waits for others at most for `batch-timeout`.
//!
//! ```bash
//! gst-launch-1.0 \
//!     videotestsrc num-buffers=30 ! yoloxdetect model=blobs_dynamic.onnx model-instance-id=a batch-size=2 ! fakesink \
//!     videotestsrc num-buffers=30 ! yoloxdetect model=blobs_dynamic.onnx model-instance-id=a batch-size=2 ! fakesink
//! ```
//!
//! Exports of YOLOX up to 0.1.0 take another input, which their files do not say.
//!
//! ```bash
//! gst-launch-1.0 videotestsrc num-buffers=5 ! yoloxdetect model=blobs_legacy.onnx normalisation=legacy ! fakesink
//! ```

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::{BaseTransformMode, GenerateOutputSuccess};
use gst_base::subclass::prelude::*;
use gst_video::{VideoCapsBuilder, VideoFrameRef, VideoInfo};
use sightline_gst_common::{InferenceMeta, RAW_FORMATS, add_detection, detections_message};
use sightline_protocol::Detection;

use super::layout;
use super::qos::Qos;
use super::settings::{self, Settings};
use crate::CAT;
use crate::batch::{BatchError, Membership};
use crate::detector::{Detector, DetectorError, Times};
use crate::engine::{Engine, EngineError};
use crate::instance::InstanceError;
use crate::labels::{Labels, LabelsError};
use crate::model::ModelError;
use crate::postprocess::{Object, Params};
use crate::preprocess::Layout;
use crate::runtime::RuntimeError;
use crate::stats::{Skip, Stats};

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

/// The settings that hold for one frame.
struct FrameSettings {
    params: Params,
    interval: u32,
    messages: bool,
    /// For others that share the model, at most.
    wait: Duration,
}

impl FrameSettings {
    fn new(settings: &Settings) -> Self {
        Self {
            params: settings.params(),
            interval: settings.interval,
            messages: settings.messages,
            wait: settings.longest_wait(),
        }
    }
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

/// Locks are taken in the order `state`, `settings`, `stats`. Only `state` is held while the model runs, and only
/// the streaming thread and what waits for that thread anyway take it. `membership` and `qos` are taken alone.
#[derive(Default)]
pub struct YoloxDetect {
    state: Mutex<Option<State>>,
    settings: Mutex<Settings>,
    stats: Mutex<Stats>,
    /// By which other threads end the streaming thread's wait.
    membership: Mutex<Option<Arc<Membership<Engine>>>>,
    qos: Mutex<Qos>,
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
        let (config, labels) = (settings.config(model), settings.labels.clone());
        let detector =
            Detector::load(settings.instance_id(), &config, labels).map_err(|error| error_message(&error))?;
        let filter = ClassFilter::new(settings.classes.clone(), detector.labels())
            .map_err(|error| error_message(&error.into()))?;
        let (path, facts, provider) = (config.model.display(), detector.model(), detector.provider());
        gst::info!(CAT, imp = self, "{path}: {facts}; runs on {}", provider.name());
        // Many times slower than was meant, perhaps, and nothing else would say so.
        for error in detector.passed_over() {
            gst::warning!(CAT, imp = self, "runs on {}: {error}", provider.name());
            gst::element_imp_warning!(
                self,
                gst::ResourceError::NotFound,
                ("The model runs on {}: {error}", provider.name())
            );
        }
        if settings.batch_size > 1 && settings.instance_id().is_none() {
            gst::info!(
                CAT,
                imp = self,
                "Without `model-instance-id` a batch holds one frame"
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

    /// Why a frame is to be passed on without inference, if it is.
    fn skip(&self, state: &mut State, interval: u32, buffer: &gst::BufferRef) -> Option<Skip> {
        if buffer.flags().contains(gst::BufferFlags::GAP) {
            Some(Skip::Gap)
        } else if !Self::is_due(state, interval) {
            Some(Skip::Interval)
        } else if self.is_late(buffer) {
            // The next frame is tried instead.
            state.wait = 0;
            Some(Skip::Qos)
        } else {
            None
        }
    }

    /// Whether the sink would get the frame too late; then it is told, as GStreamer's elements do.
    fn is_late(&self, buffer: &gst::BufferRef) -> bool {
        let obj = self.obj();
        let segment = obj.segment();
        let Some(segment) = segment.downcast_ref::<gst::ClockTime>().filter(|_| obj.is_qos()) else {
            return false;
        };
        let Some(running_time) = segment.to_running_time(buffer.pts()) else {
            return false;
        };
        let Some((jitter, proportion)) = lock(&self.qos).lateness(running_time) else {
            return false;
        };
        let (processed, late) = lock(&self.stats).processed_and_late();
        let message = gst::message::Qos::builder(false)
            .running_time(running_time)
            .stream_time(segment.to_stream_time(buffer.pts()))
            .timestamp(buffer.pts())
            .duration(buffer.duration())
            .values(jitter, proportion, 1_000_000)
            .stats(
                gst::format::Buffers::from_u64(processed),
                gst::format::Buffers::from_u64(late + 1),
            )
            .src(&*obj)
            .build();
        self.send(message);
        true
    }

    fn process(&self, state: &mut State, buffer: &mut gst::BufferRef) -> Result<(), gst::FlowError> {
        let (settings, changed) = {
            let settings = lock(&self.settings);
            let changed = (settings.classes != state.filter.list).then(|| settings.classes.clone());
            (FrameSettings::new(&settings), changed)
        };
        if let Some(list) = changed {
            self.update_filter(state, list);
        }
        if let Some(skip) = self.skip(state, settings.interval, buffer) {
            lock(&self.stats).skip(skip);
            return Ok(());
        }
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (detections, times) = self.infer(state, &settings, buffer)?;
        let (info, _) = state.video.as_ref().ok_or(gst::FlowError::NotNegotiated)?;
        let size = (info.width(), info.height());
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
        let (pts, count) = (buffer.pts(), detections.len());
        gst::log!(CAT, imp = self, "{pts:?}: {count} objects, {times:?}");
        if settings.messages {
            self.post(pts, size, &detections);
        }
        Ok(())
    }

    fn infer(
        &self,
        state: &mut State,
        settings: &FrameSettings,
        buffer: &gst::BufferRef,
    ) -> Result<(Vec<Detection>, Times), gst::FlowError> {
        let (info, layout) = state.video.as_ref().ok_or(gst::FlowError::NotNegotiated)?;
        let unreadable = |why: &dyn std::fmt::Display| self.fail(&format!("Frame cannot be read: {why}"));
        let frame =
            VideoFrameRef::from_buffer_ref_readable(buffer, info).map_err(|error| unreadable(&error))?;
        let picture = layout::picture(&frame, *layout).map_err(|error| unreadable(&error))?;
        let result = state
            .detector
            .detect(&picture, &settings.params, &state.filter.wanted, settings.wait);
        let (objects, times) = result.map_err(|error| match error {
            DetectorError::Batch {
                source: BatchError::Cancelled,
                ..
            } => gst::FlowError::Flushing,
            error => self.fail(&error.to_string()),
        })?;
        let size = (info.width(), info.height());
        let to_detection = |object| detection(object, &state.labels, size);
        Ok((objects.iter().map(to_detection).collect(), times))
    }

    /// Posts what was found as a message.
    fn post(&self, pts: Option<gst::ClockTime>, size: (u32, u32), detections: &[Detection]) {
        let structure = detections_message("yoloxdetect", pts, size, detections);
        let message = gst::message::Element::builder(structure)
            .src(&*self.obj())
            .build();
        self.send(message);
    }

    fn send(&self, message: gst::Message) {
        if self.obj().post_message(message).is_err() {
            gst::debug!(CAT, imp = self, "Nobody takes messages");
        }
    }

    /// Tells those that share the model what becomes of this element.
    fn tell(&self, what: impl FnOnce(&Membership<Engine>)) {
        if let Some(membership) = &*lock(&self.membership) {
            what(membership);
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
        DetectorError::Instance(InstanceError::Engine(error)) | DetectorError::Engine(error) => {
            engine_error(error)
        }
        DetectorError::Instance(InstanceError::Differs { .. }) => gst::ResourceError::Settings,
        DetectorError::Labels(LabelsError::Read { .. }) => gst::ResourceError::NotFound,
        DetectorError::Labels(_) => gst::ResourceError::Settings,
        DetectorError::Batch { .. } => gst::ResourceError::Failed,
    };
    gst::error_msg!(kind, ("{error}"))
}

fn engine_error(error: &EngineError) -> gst::ResourceError {
    match error {
        EngineError::Model(ModelError::Read { .. })
        | EngineError::Runtime(RuntimeError::NotThere(_) | RuntimeError::NotFound { .. }) => {
            gst::ResourceError::NotFound
        }
        EngineError::Model(ModelError::Batch { .. })
        | EngineError::NoProvider(_)
        | EngineError::Provider(..) => gst::ResourceError::Settings,
        _ => gst::ResourceError::Failed,
    }
}

#[glib::object_subclass]
impl ObjectSubclass for YoloxDetect {
    const NAME: &'static str = "GstYoloxDetect";
    type Type = super::YoloxDetect;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for YoloxDetect {
    fn constructed(&self) {
        self.parent_constructed();
        // As in GStreamer's own video filters.
        self.obj().set_qos(true);
    }

    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(settings::properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let latency_changed = {
            let mut settings = lock(&self.settings);
            let before = settings.longest_wait();
            settings.set(pspec.name(), value);
            before != settings.longest_wait()
        };
        if latency_changed {
            self.send(gst::message::Latency::builder().src(&*self.obj()).build());
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "stats" => lock(&self.stats).to_structure().to_value(),
            name => lock(&self.settings).get(name),
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
                .format_list(RAW_FORMATS.iter().copied())
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

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::PausedToPlaying => self.tell(|membership| membership.play(true)),
            gst::StateChange::PlayingToPaused => self.tell(|membership| membership.play(false)),
            // The parent waits for the streaming thread.
            gst::StateChange::PausedToReady => self.tell(Membership::cancel),
            _ => {}
        }
        self.parent_change_state(transition)
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
        *lock(&self.membership) = Some(state.detector.membership());
        *lock(&self.stats) = Stats::new(state.detector.provider());
        *lock(&self.qos) = Qos::default();
        *lock(&self.state) = Some(state);
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.membership) = None;
        *lock(&self.state) = None;
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        match event.type_() {
            gst::EventType::FlushStart => self.tell(Membership::cancel),
            gst::EventType::FlushStop => {
                *lock(&self.qos) = Qos::default();
                self.tell(Membership::resume);
            }
            // Nothing will come for a while.
            gst::EventType::Eos | gst::EventType::Gap => self.tell(Membership::pause),
            _ => {}
        }
        self.parent_sink_event(event)
    }

    fn src_event(&self, event: gst::Event) -> bool {
        let gst::EventView::Qos(qos) = event.view() else {
            return self.parent_src_event(event);
        };
        // The parent would drop late frames; they are passed on here.
        lock(&self.qos).update(qos);
        self.obj().sink_pad().push_event(event)
    }

    fn query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        let is_answered = BaseTransformImplExt::parent_query(self, direction, query);
        if let gst::QueryViewMut::Latency(query) = query.view_mut()
            && is_answered
            && direction == gst::PadDirection::Src
        {
            let wait = lock(&self.settings).longest_wait();
            let wait = gst::ClockTime::try_from(wait).unwrap_or(gst::ClockTime::ZERO);
            let (is_live, min, max) = query.result();
            query.set(is_live, min + wait, max.map(|max| max + wait));
        }
        is_answered
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
