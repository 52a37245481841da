/**
 * SECTION:element-redisstreamsink
 *
 * Publishes frames, or what was found in them, to a Redis stream.
 *
 * With `payload=frame` each buffer, a JPEG, becomes one entry for workers to look at. The frame's identity comes
 * from the buffer's frame meta where an element before has attached one; otherwise the session is
 * `participant-id` and the timestamp is the PTS in a 90 kHz clock. A session has at most `max-in-flight` frames
 * published and unanswered. Meanwhile the newest frame waits and replaces the one before it: the streaming thread
 * never waits for Redis. With `leaky=no` it does wait, and nothing is lost. With `wait-for-credit` it waits after a frame
 * until another may be published, so that a leaky queue upstream chooses the newest picture and none is encoded in vain.
 *
 * A frame expires `expiry` after its capture; one that was long under way before it could be published is still
 * given half of that.
 *
 * With `payload=detections` each buffer becomes one prediction, made of the buffer's metas. In the same round trip
 * it is announced on the session's channel, and the frame's entry is acknowledged and deleted.
 *
 * ## Example: publish frames
 * ```bash
 * gst-launch-1.0 videotestsrc is-live=true num-buffers=30 ! video/x-raw,width=320,height=240,framerate=10/1 ! \
 *     jpegenc ! redisstreamsink participant-id=me
 * ```
 *
 * ## Example: write down what a detector finds
 * ```bash
 * gst-launch-1.0 filesrc location=dog.jpg ! jpegdec ! yoloxdetect model=yolox_nano.onnx ! \
 *     redisstreamsink payload=detections participant-id=dog
 * ```
 */
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use glib::prelude::*;
use glib::subclass::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use sightline_gst_common::{FrameMeta, InferenceMeta, detections};
use sightline_protocol::frame::published_micros;
use sightline_protocol::prediction::Timings;
use sightline_protocol::{FrameHeader, Prediction, keys, unix_micros};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Leaky, Payload};
use crate::address::{Address, default_shards};
use crate::connection::{Error, Reporter};
use crate::credits::CREDIT_LIFETIME;
use crate::identity::rtp_timestamp;
use crate::publisher::{self, Answer, Config, Frame, Item, Stats};
use crate::slot::{Slot, Stop};
use crate::trace::Sampler;

const MAX_LENGTH_FRAMES: u32 = 256;
const MAX_LENGTH_PREDICTIONS: u32 = 1000;
/// At the end of the stream, the longest wait for what was accepted to be written.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "redisstreamsink",
        gst::DebugColorFlags::empty(),
        Some("Publishes to a Redis stream"),
    )
});

#[derive(Debug, Clone)]
struct Settings {
    address: Address,
    stream: Option<String>,
    shards: u32,
    payload: Payload,
    participant_id: Option<String>,
    max_in_flight: u32,
    max_length: u32,
    expiry: u32,
    leaky: Leaky,
    wait_for_credit: bool,
    worker_id: Option<String>,
    trace_sampler: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: Address::default(),
            stream: None,
            shards: default_shards(),
            payload: Payload::default(),
            participant_id: None,
            max_in_flight: 2,
            max_length: 0,
            expiry: 1000,
            leaky: Leaky::default(),
            wait_for_credit: false,
            worker_id: None,
            trace_sampler: None,
        }
    }
}

impl Settings {
    fn leaky(&self) -> Leaky {
        match (self.leaky, self.payload) {
            (Leaky::Auto, Payload::Frame) => Leaky::Downstream,
            (Leaky::Auto, Payload::Detections) => Leaky::No,
            (chosen, _) => chosen,
        }
    }

    /// An error is a text that is no rule.
    fn sampler(&self) -> Result<Sampler, &str> {
        match self.trace_sampler.as_deref() {
            Some(text) => Sampler::parse(text).ok_or(text),
            None => Ok(Sampler::Never),
        }
    }

    fn config(&self) -> Config {
        let (stream, max_length, max_in_flight) = match self.payload {
            Payload::Frame => (keys::IMAGES, MAX_LENGTH_FRAMES, self.max_in_flight),
            // Nobody answers an answer.
            Payload::Detections => (keys::PREDICTIONS, MAX_LENGTH_PREDICTIONS, 0),
        };
        Config {
            stream: self.stream.clone().unwrap_or_else(|| stream.to_owned()),
            shards: self.shards,
            max_length: if self.max_length == 0 {
                max_length
            } else {
                self.max_length
            },
            max_in_flight: usize::try_from(max_in_flight).unwrap_or(usize::MAX),
            expiry: Duration::from_millis(self.expiry.into()),
            session: self
                .participant_id
                .clone()
                .filter(|_| self.payload == Payload::Frame),
            leaky: self.leaky() != Leaky::No,
        }
    }
}

/// What lives from READY to READY.
struct Started {
    settings: Settings,
    sampler: Sampler,
    slot: Arc<Slot<Item>>,
    /// Its end ends the task.
    _task: DropGuard,
}

#[derive(Default)]
struct State {
    started: Option<Arc<Started>>,
    /// Width and height that the caps give.
    size: Option<(u32, u32)>,
    /// Outlives the task, to be read after the end.
    stats: Arc<Stats>,
    /// The last session id found good.
    checked_session: String,
    /// When a frame was chosen for a trace.
    last_traced: Option<Instant>,
}

/// Neither lock is taken while the other is held.
#[derive(Default)]
pub struct RedisStreamSink {
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RedisStreamSink {
    fn started(&self) -> Result<Arc<Started>, gst::FlowError> {
        lock(&self.state).started.clone().ok_or(gst::FlowError::Flushing)
    }

    /// Whose frame a buffer holds and which: from its meta, completed by what the element knows.
    fn identify(&self, settings: &Settings, buffer: &gst::BufferRef) -> Result<FrameMeta, gst::FlowError> {
        let mut meta = FrameMeta::read(buffer).unwrap_or_else(|| FrameMeta {
            header: FrameHeader {
                timestamp: rtp_timestamp(buffer.pts()),
                ..Default::default()
            },
            ..Default::default()
        });
        if meta.header.participant_id.is_empty() {
            meta.header.participant_id = settings.participant_id.clone().unwrap_or_default();
        }
        self.check_session(&meta.header.participant_id)?;
        Ok(meta)
    }

    fn check_session(&self, id: &str) -> Result<(), gst::FlowError> {
        if !id.is_empty() && lock(&self.state).checked_session == id {
            return Ok(());
        }
        if id.is_empty() {
            gst::element_imp_error!(
                self,
                gst::ResourceError::Settings,
                ("The frame belongs to no session: set `participant-id`, or attach a frame meta before this element")
            );
            return Err(gst::FlowError::Error);
        }
        publisher::check_session(id).map_err(|error| {
            gst::element_imp_error!(
                self,
                gst::ResourceError::Settings,
                ("The session id cannot be used: {error}")
            );
            gst::FlowError::Error
        })?;
        lock(&self.state).checked_session = id.to_owned();
        Ok(())
    }

    fn running_time(&self, buffer: &gst::BufferRef) -> Option<u64> {
        let segment = self.obj().segment();
        let segment = segment.downcast_ref::<gst::ClockTime>()?;
        Some(segment.to_running_time(buffer.pts()?)?.nseconds())
    }

    /// A frame's trace context: one that it came with, or its own if it is chosen.
    fn traceparent(&self, started: &Started, given: Option<String>) -> Option<String> {
        let mut state = lock(&self.state);
        given.or_else(|| started.sampler.context(&mut state.last_traced, Instant::now()))
    }

    fn frame(&self, started: &Started, buffer: &gst::Buffer) -> Result<Frame, gst::FlowError> {
        let mut header = self.identify(&started.settings, buffer)?.header;
        header.traceparent = self.traceparent(started, header.traceparent);
        let size = lock(&self.state).size;
        header.v1 = false;
        header.pts = self.running_time(buffer).or(header.pts);
        header.captured = header.captured.or_else(|| Some(unix_micros()));
        header.width = header.width.or(size.map(|(width, _)| width));
        header.height = header.height.or(size.map(|(_, height)| height));
        let img = buffer.clone().into_mapped_buffer_readable().map_err(|_| {
            gst::element_imp_error!(
                self,
                gst::ResourceError::Read,
                ("Cannot map a buffer for reading")
            );
            gst::FlowError::Error
        })?;
        Ok(Frame {
            header,
            img: Box::new(img),
        })
    }

    fn answer(&self, started: &Started, buffer: &gst::Buffer) -> Result<Answer, gst::FlowError> {
        let settings = &started.settings;
        let FrameMeta {
            header,
            entry,
            read_at,
        } = self.identify(settings, buffer)?;
        // Whoever published a frame has chosen, or not.
        let traceparent = match entry {
            Some(_) => header.traceparent,
            None => self.traceparent(started, header.traceparent),
        };
        let size = lock(&self.state).size;
        let picture = size.unwrap_or_default();
        let inference = InferenceMeta::read(buffer);
        let published = entry.as_ref().and_then(|entry| published_micros(&entry.id));
        let since = |end: Option<u64>, start: Option<u64>| Some(end?.saturating_sub(start?));
        let inferred = inference.as_ref().map(|inference| inference.started);
        let prediction = Prediction {
            detections: detections(buffer, picture),
            picture,
            // A worker's running time says nothing of the session's.
            pts: match entry {
                Some(_) => header.pts,
                None => header.pts.or_else(|| self.running_time(buffer)),
            },
            participant_id: header.participant_id,
            timestamp: header.timestamp,
            seq: header.seq,
            captured: header.captured,
            published: header.published,
            read: read_at,
            // When it is written.
            answered: None,
            // A v1 frame has no size but the picture's.
            width: header.width.or(size.map(|(width, _)| width)),
            height: header.height.or(size.map(|(_, height)| height)),
            traceparent,
            worker: settings.worker_id.clone(),
            timings: Timings {
                queue_us: since(read_at, published),
                decode_us: since(inferred, read_at),
                preprocess_us: inference.as_ref().map(|inference| inference.preprocess_us),
                infer_us: inference.as_ref().map(|inference| inference.infer_us),
                postprocess_us: inference.as_ref().map(|inference| inference.postprocess_us),
            },
            model: inference.map(|inference| inference.model),
        };
        Ok(Answer { prediction, entry })
    }

    fn hand_over(&self, started: &Started, item: Item) -> Result<gst::FlowSuccess, gst::FlowError> {
        let stats = lock(&self.state).stats.clone();
        let given = match started.settings.leaky() {
            Leaky::Upstream => started.slot.offer(item),
            Leaky::Downstream | Leaky::Auto => started.slot.replace(item),
            Leaky::No => self.put(started, item)?,
        };
        match given {
            Ok(leaked) => {
                stats.accepted.fetch_add(1, Ordering::Relaxed);
                if leaked.is_some() {
                    stats.count_leaked();
                }
                // While Redis is away, what is not wanted is told apart here.
                if started.settings.wait_for_credit && !stats.link.down.load(Ordering::Relaxed) {
                    started.slot.await_open(Instant::now() + CREDIT_LIFETIME);
                }
                Ok(gst::FlowSuccess::Ok)
            }
            // The task has posted why.
            Err(_) => Err(gst::FlowError::Error),
        }
    }

    /// Waits for room; a pause ends the wait and is itself waited out.
    fn put(&self, started: &Started, mut item: Item) -> Result<Result<Option<Item>, Stop>, gst::FlowError> {
        loop {
            match started.slot.put(item) {
                Ok(()) => return Ok(Ok(None)),
                Err((back, Stop::Interrupted)) => {
                    self.obj().wait_preroll()?;
                    item = back;
                }
                Err((_, stop)) => return Ok(Err(stop)),
            }
        }
    }

    /// Waits until what was accepted is written.
    fn drain(&self) {
        let Ok(started) = self.started() else { return };
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        loop {
            match started.slot.drain(deadline) {
                Ok(()) | Err(Stop::Failed(_)) => return,
                Err(Stop::Interrupted) => {
                    if self.obj().wait_preroll().is_err() {
                        return;
                    }
                }
                Err(Stop::TimedOut) => {
                    let lost = started.slot.unfinished();
                    gst::element_imp_warning!(
                        self,
                        gst::ResourceError::Write,
                        (
                            "At the end of the stream, buffers not written to Redis within {} s and lost: {lost}",
                            DRAIN_TIMEOUT.as_secs()
                        )
                    );
                    return;
                }
            }
        }
    }

    fn reporter(&self) -> Reporter {
        Reporter::new(&*self.obj(), *CAT, gst::ResourceError::Write)
    }

    fn connect(&self, settings: Settings, sampler: Sampler) -> Result<(), Error> {
        let server = settings.address.server()?;
        let slot = Arc::new(Slot::default());
        let stats = Arc::new(Stats::default());
        let cancelled = CancellationToken::new();
        let task = cancelled.clone().drop_guard();
        gst::debug!(CAT, imp = self, "Connecting to {server}");
        publisher::start_and_wait(
            server,
            settings.config(),
            slot.clone(),
            stats.clone(),
            self.reporter(),
            cancelled,
        )?;
        *lock(&self.state) = State {
            started: Some(Arc::new(Started {
                settings,
                sampler,
                slot,
                _task: task,
            })),
            stats,
            ..Default::default()
        };
        Ok(())
    }

    fn start(&self) -> Result<(), gst::StateChangeError> {
        let settings = lock(&self.settings).clone();
        let sampler = settings.sampler().map_err(|text| {
            gst::element_imp_error!(
                self,
                gst::ResourceError::Settings,
                ("`trace-sampler` is `{text}`; it must be always_on, always_off, traceidratio:<0 to 1> or \
                     every:<milliseconds>")
            );
            gst::StateChangeError
        })?;
        self.connect(settings, sampler).map_err(|error| {
            let kind = if error.is_setting() {
                gst::ResourceError::Settings
            } else {
                gst::ResourceError::OpenWrite
            };
            gst::element_imp_error!(self, kind, ("{error}"));
            gst::StateChangeError
        })
    }

    fn stats(&self) -> gst::Structure {
        let stats = lock(&self.state).stats.clone();
        let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        gst::Structure::builder("application/x-redisstreamsink-stats")
            .field("accepted", get(&stats.accepted))
            .field("published", get(&stats.published))
            .field("answered", get(&stats.answered))
            .field("expired-credits", get(&stats.expired_credits))
            .field("dropped-replaced", get(&stats.dropped_replaced))
            .field("dropped-redis", get(&stats.dropped_redis))
            .field("reconnects", get(&stats.link.reconnects))
            .field("in-flight", get(&stats.in_flight))
            .field("queue-us", get(&stats.queue_us))
            .field("inference-us", get(&stats.inference_us))
            .build()
    }
}

#[glib::object_subclass]
impl ObjectSubclass for RedisStreamSink {
    const NAME: &'static str = "GstRedisStreamSink";
    type Type = super::RedisStreamSink;
    type ParentType = gst_base::BaseSink;
}

impl ObjectImpl for RedisStreamSink {
    fn constructed(&self) {
        self.parent_constructed();
        // Frames are wanted as soon as they are there.
        self.obj().set_sync(false);
    }

    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        fn set<T: for<'a> glib::value::FromValue<'a>>(field: &mut T, value: &glib::Value) {
            // GObject has checked the type.
            if let Ok(value) = value.get() {
                *field = value;
            }
        }
        let mut settings = lock(&self.settings);
        if settings.address.set(pspec.name(), value) {
            return;
        }
        match pspec.name() {
            "stream" => set(&mut settings.stream, value),
            "shards" => set(&mut settings.shards, value),
            "payload" => set(&mut settings.payload, value),
            "participant-id" => set(&mut settings.participant_id, value),
            "max-in-flight" => set(&mut settings.max_in_flight, value),
            "max-length" => set(&mut settings.max_length, value),
            "expiry" => set(&mut settings.expiry, value),
            "leaky" => set(&mut settings.leaky, value),
            "wait-for-credit" => set(&mut settings.wait_for_credit, value),
            "worker-id" => set(&mut settings.worker_id, value),
            "trace-sampler" => set(&mut settings.trace_sampler, value),
            name => gst::warning!(CAT, imp = self, "No property is named `{name}`"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        if pspec.name() == "stats" {
            return self.stats().to_value();
        }
        let settings = lock(&self.settings);
        if let Some(value) = settings.address.get(pspec.name()) {
            return value;
        }
        match pspec.name() {
            "stream" => settings.stream.to_value(),
            "shards" => settings.shards.to_value(),
            "payload" => settings.payload.to_value(),
            "participant-id" => settings.participant_id.to_value(),
            "max-in-flight" => settings.max_in_flight.to_value(),
            "max-length" => settings.max_length.to_value(),
            "expiry" => settings.expiry.to_value(),
            "leaky" => settings.leaky.to_value(),
            "wait-for-credit" => settings.wait_for_credit.to_value(),
            "worker-id" => settings.worker_id.to_value(),
            "trace-sampler" => settings.trace_sampler.to_value(),
            _ => pspec.default_value().clone(),
        }
    }
}

fn properties() -> Vec<glib::ParamSpec> {
    let defaults = Settings::default();
    let own = vec![
        glib::ParamSpecString::builder("stream")
            .nick("Stream")
            .blurb("Key of the stream to write to; NULL: `images` for frames, `predictions` for detections")
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("shards")
            .nick("Shards")
            .blurb(
                "Streams over which sessions are spread, STREAM:{0}, STREAM:{1}, …, for frames (0: the one stream); the \
                 environment's SIGHTLINE_SHARDS where it is set",
            )
            .maximum(keys::MAX_SHARDS)
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("payload", defaults.payload)
            .nick("Payload")
            .blurb("What a buffer becomes in Redis")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("participant-id")
            .nick("Participant id")
            .blurb("Session of the buffers whose frame meta names none")
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("max-in-flight")
            .nick("Max in flight")
            .blurb(
                "Frames of a session that may be published and unanswered (0: no limit, answers are ignored)",
            )
            .maximum(64)
            .default_value(defaults.max_in_flight)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("max-length")
            .nick("Max length")
            .blurb(
                "Entries after which the stream is trimmed, roughly (0: 256 for frames, 1000 for detections)",
            )
            .maximum(1_000_000)
            .default_value(defaults.max_length)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("expiry")
            .nick("Expiry")
            .blurb("Time after its capture in milliseconds at which a frame is no longer wanted")
            .minimum(1)
            .maximum(3_600_000)
            .default_value(defaults.expiry)
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("leaky", defaults.leaky)
            .nick("Leaky")
            .blurb("What is dropped while Redis or the workers are slower than the stream")
            .mutable_ready()
            .build(),
        glib::ParamSpecBoolean::builder("wait-for-credit")
            .nick("Wait for credit")
            .blurb(
                "Hold the stream after a frame until another may be published, for one second at most: for a leaky queue \
                 before scaling and encoding, which then keeps the newest picture",
            )
            .default_value(defaults.wait_for_credit)
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("worker-id")
            .nick("Worker id")
            .blurb("Name of this worker in the predictions it writes")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("trace-sampler")
            .nick("Trace sampler")
            .blurb(
                "Which frames begin a trace: `always_on`, `always_off`, `traceidratio:` and a probability, or `every:` \
                 and milliseconds; NULL: none",
            )
            .mutable_ready()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb("Counts of buffers by what became of them")
            .read_only()
            .build(),
    ];
    Address::properties().into_iter().chain(own).collect()
}

impl GstObjectImpl for RedisStreamSink {}

impl ElementImpl for RedisStreamSink {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Redis stream sink",
                "Sink/Network",
                "Publishes frames, or what was found in them, to a Redis stream",
                "The Sightline developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let template = gst::PadTemplate::new(
                "sink",
                gst::PadDirection::Sink,
                gst::PadPresence::Always,
                &gst::Caps::new_any(),
            );
            template.into_iter().collect()
        });
        &TEMPLATES
    }

    /// Connected in PAUSED and PLAYING: what is set in READY counts.
    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::ReadyToPaused {
            self.start()?;
        }
        let result = self.parent_change_state(transition);
        let ends = transition == gst::StateChange::PausedToReady;
        if ends || (result.is_err() && transition == gst::StateChange::ReadyToPaused) {
            // The task ends with it.
            lock(&self.state).started = None;
        }
        result
    }
}

impl BaseSinkImpl for RedisStreamSink {
    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let side = |name: &str| {
            let side = caps.structure(0)?.get::<i32>(name).ok()?;
            u32::try_from(side).ok()
        };
        let size = side("width").zip(side("height"));
        lock(&self.state).size = size;
        self.parent_set_caps(caps)
    }

    fn render(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let started = self.started()?;
        let item = match started.settings.payload {
            Payload::Frame => Item::Frame(self.frame(&started, buffer)?),
            Payload::Detections => Item::Answer(Box::new(self.answer(&started, buffer)?)),
        };
        self.hand_over(&started, item)
    }

    fn event(&self, event: gst::Event) -> bool {
        if event.type_() == gst::EventType::Eos {
            self.drain();
        }
        self.parent_event(event)
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        if let Ok(started) = self.started() {
            started.slot.interrupt(true);
        }
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        if let Ok(started) = self.started() {
            started.slot.interrupt(false);
        }
        Ok(())
    }
}
