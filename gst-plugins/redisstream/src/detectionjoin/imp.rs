/**
 * SECTION:element-detectionjoin
 *
 * Gives frames the detections that workers found in them: with `redisstreamsink` the remote twin of `yoloxdetect`.
 *
 * The same frames go, by a `tee`, to a `redisstreamsink` with the same `participant-id` and to this element. Here each
 * waits, in order, until its own answer comes from Redis, and leaves with the detections attached as by `yoloxdetect`. A
 * frame that was not published, because the workers were busy, does not wait: the numbers of the answers tell. A frame
 * whose answer does not come leaves after `max-wait` without detections; so a lost answer costs one frame's boxes, never
 * the stream.
 *
 * A frame is known by its frame meta's timestamp, if an element before the `tee` has attached one, else by its PTS; of
 * frames with one timestamp the running time decides. Both branches must leave these as they are.
 *
 * `max-wait` is added to the pipeline's latency, so a sink that synchronises shows frames evenly and none is late. The
 * first frame after a start or a flush waits 50 ms at most: sinks need it to begin. While Redis is away, frames pass at
 * once.
 *
 * ## Example: worker and session in one pipeline, every frame is looked at
 * ```bash
 * gst-launch-1.0 \
 *   videotestsrc is-live=true num-buffers=30 ! video/x-raw,width=320,height=320,framerate=10/1 ! tee name=frames \
 *   frames. ! queue ! jpegenc ! redisstreamsink participant-id=me leaky=no expiry=30000 \
 *   frames. ! queue ! detectionjoin participant-id=me ! overlay ! videoconvert ! fakesink sync=true \
 *   redisstreamsrc num-buffers=30 ! jpegdec ! yoloxdetect model=blobs.onnx ! \
 *   redisstreamsink payload=detections async=false
 * ```
 */
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use glib::prelude::*;
use glib::subclass::prelude::*;
use gst::prelude::*;
use gst::subclass::prelude::*;
use sightline_gst_common::{FrameMeta, add_detection};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::CAT;
use super::answer::Answer;
use super::line::{Fate, Identity};
use super::queue::Queue;
use super::remote::{self, Session};
use crate::address::Address;
use crate::connection::{Error, Reporter};
use crate::identity::rtp_timestamp;
use crate::publisher::check_session;

#[derive(Debug, Clone)]
struct Settings {
    address: Address,
    participant_id: Option<String>,
    max_wait: gst::ClockTime,
    max_frames: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: Address::default(),
            participant_id: None,
            max_wait: gst::ClockTime::from_mseconds(200),
            max_frames: 32,
        }
    }
}

/// What keeps its place among what flows through.
enum Item {
    Frame { buffer: gst::Buffer, size: (u32, u32) },
    Event(gst::Event),
}

/// What lives from READY to READY.
struct Started {
    settings: Settings,
    queue: Arc<Queue<Item, Answer>>,
    wanted: Session,
}

#[derive(Default)]
struct State {
    /// Stays after the end, for its counts.
    started: Option<Arc<Started>>,
    /// Its end ends the task that listens to Redis.
    task: Option<DropGuard>,
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    /// Width and height that the caps give.
    size: (u32, u32),
    /// Whose frames come.
    session: String,
}

/// Neither lock is taken while the other is held.
pub struct DetectionJoin {
    sink: gst::Pad,
    src: gst::Pad,
    settings: Mutex<Settings>,
    state: Mutex<State>,
    /// Nothing follows by which those before the element would learn of an error.
    ended: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The streaming thread: everything goes into the queue.
impl DetectionJoin {
    fn started(&self) -> Result<Arc<Started>, gst::FlowError> {
        lock(&self.state).started.clone().ok_or(gst::FlowError::Flushing)
    }

    fn chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let started = self.started()?;
        let identity = self.identify(&started, &buffer)?;
        if identity.is_none() {
            gst::debug!(CAT, imp = self, "No PTS and no frame meta: {buffer:?}");
        }
        let size = lock(&self.state).size;
        started.queue.put_frame(Item::Frame { buffer, size }, identity)?;
        Ok(gst::FlowSuccess::Ok)
    }

    /// Names a frame as `redisstreamsink` does.
    fn identify(
        &self,
        started: &Started,
        buffer: &gst::BufferRef,
    ) -> Result<Option<Identity>, gst::FlowError> {
        let header = FrameMeta::read(buffer).map(|meta| meta.header);
        let timestamp = match &header {
            Some(header) => Some(header.timestamp),
            None => buffer.pts().map(|pts| rtp_timestamp(Some(pts))),
        };
        let session = header.map(|header| header.participant_id);
        let session = session.filter(|id| !id.is_empty());
        let session = session.or_else(|| started.settings.participant_id.clone());
        self.enter(started, session.unwrap_or_default())?;
        let state = lock(&self.state);
        let running_time = || state.segment.as_ref()?.to_running_time(buffer.pts()?);
        Ok(timestamp.map(|timestamp| Identity {
            timestamp,
            pts: running_time().map(gst::ClockTime::nseconds),
        }))
    }

    /// Sees to it that the session's answers are listened for.
    fn enter(&self, started: &Started, session: String) -> Result<(), gst::FlowError> {
        if lock(&self.state).session == session && !session.is_empty() {
            return Ok(());
        }
        if session.is_empty() {
            gst::element_imp_error!(
                self,
                gst::ResourceError::Settings,
                ("The frame belongs to no session: set `participant-id`, to the same as that of the `redisstreamsink`")
            );
            return Err(gst::FlowError::Error);
        }
        if let Err(error) = check_session(&session) {
            gst::element_imp_error!(
                self,
                gst::ResourceError::Settings,
                ("The session id cannot be used: {error}")
            );
            return Err(gst::FlowError::Error);
        }
        started.wanted.send_if_modified(|wanted| {
            let other = *wanted != session;
            wanted.clone_from(&session);
            other
        });
        lock(&self.state).session = session;
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        let Ok(started) = self.started() else { return false };
        match event.view() {
            gst::EventView::FlushStart(_) => {
                let passed = self.src.push_event(event);
                started.queue.flush();
                return passed;
            }
            gst::EventView::FlushStop(_) => {
                let passed = self.src.push_event(event);
                lock(&self.state).segment = None;
                self.ended.store(false, Ordering::Relaxed);
                self.keep_sticky(started.queue.open());
                return passed;
            }
            gst::EventView::StreamStart(_) => {
                self.ended.store(false, Ordering::Relaxed);
                started.queue.renew();
            }
            gst::EventView::Caps(caps) => lock(&self.state).size = frame_size(caps.caps()),
            gst::EventView::Segment(segment) => {
                lock(&self.state).segment = segment.segment().downcast_ref().cloned();
            }
            gst::EventView::Eos(_) => self.ended.store(true, Ordering::Relaxed),
            _ if !event.is_serialized() => return self.src.push_event(event),
            _ => {}
        }
        self.put_event(&started, event)
    }

    fn put_event(&self, started: &Started, event: gst::Event) -> bool {
        let Err(error) = started.queue.put(Item::Event(event.clone())) else {
            return true;
        };
        if event.type_() == gst::EventType::Eos {
            self.fail_at_the_end(error);
            return false;
        }
        // The next buffer's error says more.
        self.keep_sticky([Item::Event(event.clone())]);
        event.is_sticky()
    }

    /// What follows must not miss caps that were dropped on the way.
    fn keep_sticky(&self, items: impl IntoIterator<Item = Item>) {
        for item in items {
            let Item::Event(event) = item else { continue };
            let passing = matches!(event.type_(), gst::EventType::Eos | gst::EventType::Segment);
            if event.is_sticky()
                && !passing
                && let Err(error) = self.src.store_sticky_event(&event)
            {
                gst::debug!(CAT, imp = self, "Lost an event: {error:?}");
            }
        }
    }

    fn sink_query(&self, query: &mut gst::QueryRef) -> bool {
        if !query.is_serialized() {
            return gst::Pad::query_default(&self.sink, Some(&*self.obj()), query);
        }
        // It is about what follows all that is here.
        let drained = self.started().is_ok_and(|started| started.queue.drain().is_ok());
        drained && self.src.peer_query(query)
    }

    fn sink_activate(&self, active: bool) {
        if !active && let Ok(started) = self.started() {
            started.queue.flush();
        }
    }
}

/// The source pad's task: what may leave goes out.
impl DetectionJoin {
    fn src_activate(&self, active: bool) -> Result<(), gst::LoggableError> {
        let started = self
            .started()
            .map_err(|_| gst::loggable_error!(CAT, "The element is not started"))?;
        if active {
            drop(started.queue.open());
            let element = self.obj().downgrade();
            self.src.start_task(move || {
                if let Some(element) = element.upgrade() {
                    element.imp().step();
                }
            })?;
        } else {
            started.queue.close();
            self.src.stop_task()?;
        }
        Ok(())
    }

    fn step(&self) {
        let taken = self
            .started()
            .ok()
            .and_then(|started| Some((started.queue.take()?, started)));
        let Some(((item, fate, ticket), started)) = taken else {
            // Fails only while the task is ended anyway.
            drop(self.src.pause_task());
            return;
        };
        let result = match item {
            Item::Event(event) => {
                self.src.push_event(event);
                Ok(())
            }
            Item::Frame { buffer, size } => {
                let buffer = self.finish(buffer, size, fate);
                self.src.push(buffer).map(drop)
            }
        };
        self.keep_sticky(started.queue.done(ticket, result));
        if let Err(error) = result
            && self.ended.load(Ordering::Relaxed)
        {
            self.fail_at_the_end(error);
        }
    }

    fn finish(&self, mut buffer: gst::Buffer, size: (u32, u32), fate: Fate<Answer>) -> gst::Buffer {
        gst::trace!(CAT, imp = self, "Leaves as {fate:?}: {buffer:?}");
        let Fate::Joined(answer) = fate else { return buffer };
        let writable = buffer.make_mut();
        if let Err(error) = answer.inference.attach(writable) {
            gst::warning!(CAT, imp = self, "Cannot attach the inference meta: {error}");
        }
        for detection in answer.detections(size) {
            add_detection(writable, &detection, size);
        }
        buffer
    }

    fn fail_at_the_end(&self, error: gst::FlowError) {
        if !matches!(error, gst::FlowError::Flushing | gst::FlowError::Eos) {
            gst::element_imp_error!(
                self,
                gst::StreamError::Failed,
                ("The elements after this one stopped: {error}")
            );
        }
    }

    fn src_query(&self, query: &mut gst::QueryRef) -> bool {
        let gst::QueryViewMut::Latency(latency) = query.view_mut() else {
            return gst::Pad::query_default(&self.src, Some(&*self.obj()), query);
        };
        let mut upstream = gst::query::Latency::new();
        if !self.sink.peer_query(&mut upstream) {
            return false;
        }
        let (live, min, max) = upstream.result();
        let wait = lock(&self.settings).max_wait;
        latency.set(
            live,
            min.saturating_add(wait),
            max.map(|max| max.saturating_add(wait)),
        );
        true
    }
}

impl DetectionJoin {
    fn connect(&self, settings: Settings) -> Result<(), Error> {
        let server = settings.address.server()?;
        let queue = Arc::new(Queue::new(
            Duration::from_nanos(settings.max_wait.nseconds()),
            usize::try_from(settings.max_frames).unwrap_or(usize::MAX),
        ));
        let cancelled = CancellationToken::new();
        let task = cancelled.clone().drop_guard();
        gst::debug!(CAT, imp = self, "Connecting to {server}");
        let wanted = remote::start_and_wait(
            server,
            settings.participant_id.clone(),
            queue.clone(),
            Reporter::new(&*self.obj(), *CAT, gst::ResourceError::Read),
            cancelled,
        )?;
        self.ended.store(false, Ordering::Relaxed);
        *lock(&self.state) = State {
            started: Some(Arc::new(Started {
                settings,
                queue,
                wanted,
            })),
            task: Some(task),
            ..Default::default()
        };
        Ok(())
    }

    fn start(&self) -> Result<(), gst::StateChangeError> {
        let settings = lock(&self.settings).clone();
        if let Some(error) = settings
            .participant_id
            .as_deref()
            .and_then(|id| check_session(id).err())
        {
            gst::element_imp_error!(
                self,
                gst::ResourceError::Settings,
                ("`participant-id` cannot be used: {error}")
            );
            return Err(gst::StateChangeError);
        }
        self.connect(settings).map_err(|error| {
            gst::error!(CAT, imp = self, "{error}");
            if error.is_setting() {
                gst::element_imp_error!(self, gst::ResourceError::Settings, ("{error}"));
            } else {
                gst::element_imp_error!(self, gst::ResourceError::OpenRead, ("{error}"));
            }
            gst::StateChangeError
        })
    }

    fn set_running(&self, running: bool) {
        if let Ok(started) = self.started() {
            started.queue.set_running(running);
        }
    }

    fn stats(&self) -> gst::Structure {
        let started = lock(&self.state).started.clone();
        let (counts, waiting) = started.map(|started| started.queue.counts()).unwrap_or_default();
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        gst::Structure::builder("application/x-detectionjoin-stats")
            .field("in", counts.received)
            .field("out", counts.left())
            .field("waiting", waiting as u64)
            .field("joined", counts.joined)
            .field("timed-out", counts.timed_out)
            .field("superseded", counts.superseded)
            .field("disconnected", counts.disconnected)
            .field("prerolled", counts.prerolled)
            .field("unidentified", counts.unidentified)
            .field("flushed", counts.flushed)
            .field("late-answers", counts.late_answers)
            .field("unknown-answers", counts.unknown_answers)
            .field("answer-delay-mean", nanos(counts.delay_mean()))
            .field("answer-delay-max", nanos(counts.delay_max))
            .build()
    }
}

fn frame_size(caps: &gst::CapsRef) -> (u32, u32) {
    let side = |name: &str| {
        let side = caps.structure(0)?.get::<i32>(name).ok()?;
        u32::try_from(side).ok()
    };
    (side("width").unwrap_or(0), side("height").unwrap_or(0))
}

#[glib::object_subclass]
impl ObjectSubclass for DetectionJoin {
    const NAME: &'static str = "GstDetectionJoin";
    type Type = super::DetectionJoin;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let template = |name| class.pad_template(name).expect("`pad_templates` makes both");
        let sink = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |join| join.chain(buffer),
                )
            })
            .event_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |join| join.sink_event(event))
            })
            .query_function(|_, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |join| join.sink_query(query))
            })
            .activatemode_function(|_, parent, _, active| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::loggable_error!(CAT, "Panicked while activating")),
                    |join| {
                        join.sink_activate(active);
                        Ok(())
                    },
                )
            })
            .flags(gst::PadFlags::PROXY_CAPS)
            .build();
        let src = gst::Pad::builder_from_template(&template("src"))
            .query_function(|_, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |join| join.src_query(query))
            })
            .activatemode_function(|_, parent, _, active| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::loggable_error!(CAT, "Panicked while activating")),
                    |join| join.src_activate(active),
                )
            })
            .flags(gst::PadFlags::PROXY_CAPS)
            .build();
        Self {
            sink,
            src,
            settings: Mutex::default(),
            state: Mutex::default(),
            ended: AtomicBool::new(false),
        }
    }
}

impl ObjectImpl for DetectionJoin {
    fn constructed(&self) {
        self.parent_constructed();
        for pad in [&self.sink, &self.src] {
            // Fails only if there is one of that name.
            drop(self.obj().add_pad(pad));
        }
    }

    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let text = || value.get::<Option<String>>().ok().flatten();
        let mut settings = lock(&self.settings);
        if settings.address.set(pspec.name(), value) {
            return;
        }
        match pspec.name() {
            "participant-id" => settings.participant_id = text().filter(|id| !id.is_empty()),
            "max-wait" => settings.max_wait = gst::ClockTime::from_nseconds(value.get().unwrap_or(0)),
            "max-frames" => settings.max_frames = value.get().unwrap_or(1),
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
            "participant-id" => settings.participant_id.to_value(),
            "max-wait" => settings.max_wait.nseconds().to_value(),
            "max-frames" => settings.max_frames.to_value(),
            _ => pspec.default_value().clone(),
        }
    }
}

fn properties() -> Vec<glib::ParamSpec> {
    let defaults = Settings::default();
    let own = vec![
        glib::ParamSpecString::builder("participant-id")
            .nick("Participant id")
            .blurb(
                "Session of the frames whose frame meta names none: the same as that of the redisstreamsink \
                 that publishes them",
            )
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt64::builder("max-wait")
            .nick("Max wait")
            .blurb("Longest time in nanoseconds that a frame waits for its detections (0: it takes what is there)")
            .maximum(60_000_000_000)
            .default_value(defaults.max_wait.nseconds())
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("max-frames")
            .nick("Max frames")
            .blurb("Frames that may wait; while so many do, the stream before this element is held back")
            .minimum(1)
            .maximum(1024)
            .default_value(defaults.max_frames)
            .mutable_ready()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb("Counts of frames by how they left, of answers that fitted none, and how long answers took in nanoseconds")
            .read_only()
            .build(),
    ];
    Address::properties().into_iter().chain(own).collect()
}

impl GstObjectImpl for DetectionJoin {}

impl ElementImpl for DetectionJoin {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Detection join",
                "Filter/Analyzer/Video",
                "Gives frames the detections that workers found in them",
                "The Sightline developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst::Caps::builder("video/x-raw").any_features().build();
            let pads = [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)];
            pads.into_iter()
                .filter_map(|(name, direction)| {
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).ok()
                })
                .collect()
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::ReadyToPaused => self.start()?,
            gst::StateChange::PausedToPlaying => self.set_running(true),
            gst::StateChange::PlayingToPaused => self.set_running(false),
            _ => {}
        }
        let result = self.parent_change_state(transition);
        let failed = result.is_err() && transition == gst::StateChange::ReadyToPaused;
        if failed || transition == gst::StateChange::PausedToReady {
            lock(&self.state).task = None;
        }
        result
    }
}
