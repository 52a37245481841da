/**
 * SECTION:element-redisvideosink
 *
 * Publishes a session's encoded picture to the Redis stream `video:<session>`, once for all who watch it with
 * `redisvideosrc`, on this host or others.
 *
 * The streaming thread never waits for Redis. If a frame is lost, nothing is published until the next keyframe, and
 * the encoder is asked for one. So it is when somebody begins to watch; at most twice a second in all.
 *
 * The stream holds the last `max-length` frames, and vanishes 10 seconds after its writer has died.
 *
 * ## Example: a picture to watch
 * ```bash
 * gst-launch-1.0 videotestsrc is-live=true num-buffers=60 ! video/x-raw,framerate=30/1 ! \
 *     vp8enc deadline=1 ! redisvideosink session=me
 * ```
 */
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use glib::prelude::*;
use glib::subclass::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use gst_video::UpstreamForceKeyUnitEvent;
use sightline_protocol::is_session_id;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::writer::{self, Config, Frame, Item, Shared};
use crate::address::Address;
use crate::connection::{Error, Reporter};
use crate::video::caps;

/// Frames that may wait for Redis: a second of them.
const QUEUED: usize = 30;
/// At the end, the longest wait for what was accepted to be written.
const END_TIMEOUT: Duration = Duration::from_millis(500);

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "redisvideosink",
        gst::DebugColorFlags::empty(),
        Some("Publishes encoded video to a Redis stream"),
    )
});

#[derive(Debug, Clone)]
struct Settings {
    address: Address,
    session: Option<String>,
    max_length: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: Address::default(),
            session: None,
            max_length: 120,
        }
    }
}

/// What lives from READY to READY.
struct Started {
    items: mpsc::Sender<Item>,
    next_seq: u64,
    caps: Option<Arc<str>>,
    /// Closed when all is written.
    finished: Receiver<()>,
    /// Its end ends the tasks.
    _tasks: DropGuard,
}

#[derive(Default)]
struct State {
    started: Option<Started>,
    /// Outlives the tasks, to be read after the end.
    shared: Arc<Shared>,
}

/// Neither lock is taken while the other is held.
#[derive(Default)]
pub struct RedisVideoSink {
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RedisVideoSink {
    fn start(&self) -> Result<(), gst::StateChangeError> {
        let settings = lock(&self.settings).clone();
        let fail = |kind: gst::ResourceError, text: &str| {
            gst::element_imp_error!(self, kind, ("{text}"));
            gst::StateChangeError
        };
        let Some(session) = settings.session.clone().filter(|id| is_session_id(id)) else {
            let text =
                "`session` is unset or no session's id: 1 to 128 letters, digits, `-`, `_`, `.` or `:`";
            return Err(fail(gst::ResourceError::Settings, text));
        };
        let config = Config {
            session,
            max_length: settings.max_length,
        };
        self.connect(&settings.address, config).map_err(|error| {
            let kind = if error.is_setting() {
                gst::ResourceError::Settings
            } else {
                gst::ResourceError::OpenWrite
            };
            fail(kind, &error.to_string())
        })
    }

    fn connect(&self, address: &Address, config: Config) -> Result<(), Error> {
        let server = address.server()?;
        let (items, receiver) = mpsc::channel(QUEUED);
        let shared = Arc::new(Shared::default());
        let cancelled = CancellationToken::new();
        let tasks = cancelled.clone().drop_guard();
        gst::debug!(CAT, imp = self, "Connecting to {server}");
        let element = self.obj().downgrade();
        let request_keyframe = move || {
            // Not in this thread: what upstream does with the event may take its time.
            let element = element.upgrade();
            element.inspect(|element| element.call_async(request_keyframe));
        };
        let finished = writer::start_and_wait(
            server,
            config,
            receiver,
            shared.clone(),
            Reporter::new(&*self.obj(), *CAT, gst::ResourceError::Write),
            request_keyframe,
            cancelled,
        )?;
        *lock(&self.state) = State {
            started: Some(Started {
                items,
                next_seq: 0,
                caps: None,
                finished,
                _tasks: tasks,
            }),
            shared,
        };
        Ok(())
    }

    /// Lets the tasks write what they have and the end, but not for long.
    fn stop(&self) {
        let Some(started) = lock(&self.state).started.take() else {
            return;
        };
        let Started {
            items,
            finished,
            _tasks,
            ..
        } = started;
        // No more will come: the tasks write what they have, and end.
        drop(items);
        if finished.recv_timeout(END_TIMEOUT) == Err(RecvTimeoutError::Timeout) {
            gst::element_imp_warning!(
                self,
                gst::ResourceError::Write,
                ("Redis does not take the video's end; who watches is told when the stream expires")
            );
        }
    }

    fn running_time(&self, buffer: &gst::BufferRef) -> Option<gst::ClockTime> {
        let segment = self.obj().segment();
        let segment = segment.downcast_ref::<gst::ClockTime>()?;
        segment.to_running_time(buffer.pts()?)
    }

    fn stats(&self) -> gst::Structure {
        let shared = lock(&self.state).shared.clone();
        let stats = &shared.stats;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        gst::Structure::builder("application/x-redisvideosink-stats")
            .field("accepted", get(&stats.accepted))
            .field("published", get(&stats.published))
            .field("dropped", get(&stats.dropped))
            .field("keyframe-requests", get(&stats.keyframe_requests))
            .field("reconnects", get(&stats.link.reconnects))
            .build()
    }
}

fn request_keyframe(element: &super::RedisVideoSink) {
    let event = UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
    let heard = element
        .static_pad("sink")
        .is_some_and(|pad| pad.push_event(event));
    if !heard {
        gst::debug!(CAT, obj = element, "Nothing upstream makes keyframes on request");
    }
}

#[glib::object_subclass]
impl ObjectSubclass for RedisVideoSink {
    const NAME: &'static str = "GstRedisVideoSink";
    type Type = super::RedisVideoSink;
    type ParentType = gst_base::BaseSink;
}

impl ObjectImpl for RedisVideoSink {
    fn constructed(&self) {
        self.parent_constructed();
        // Frames are wanted as soon as they are there, and no other sink waits for this one.
        self.obj().set_sync(false);
        self.obj().set_async(false);
    }

    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = lock(&self.settings);
        if settings.address.set(pspec.name(), value) {
            return;
        }
        match pspec.name() {
            "session" => settings.session = value.get().ok().flatten(),
            // GObject has checked the type.
            "max-length" => settings.max_length = value.get().unwrap_or(settings.max_length),
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
            "session" => settings.session.to_value(),
            "max-length" => settings.max_length.to_value(),
            _ => pspec.default_value().clone(),
        }
    }
}

fn properties() -> Vec<glib::ParamSpec> {
    let defaults = Settings::default();
    let own = vec![
        glib::ParamSpecString::builder("session")
            .nick("Session id")
            .blurb("Session whose picture it is; it is written to the stream `video:<session>`")
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("max-length")
            .nick("Max length")
            .blurb("Frames after which the stream is trimmed, roughly")
            .minimum(10)
            .maximum(10_000)
            .default_value(defaults.max_length)
            .mutable_ready()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb("Counts of frames by what became of them")
            .read_only()
            .build(),
    ];
    Address::properties().into_iter().chain(own).collect()
}

impl GstObjectImpl for RedisVideoSink {}

impl ElementImpl for RedisVideoSink {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Redis video sink",
                "Sink/Network",
                "Publishes a session's encoded picture for all who watch it",
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
                &caps::template(),
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
            self.stop();
        }
        result
    }
}

impl BaseSinkImpl for RedisVideoSink {
    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        if let Some(started) = &mut lock(&self.state).started {
            started.caps = caps::to_text(caps).map(Arc::from);
        }
        self.parent_set_caps(caps)
    }

    fn render(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let pts = self
            .running_time(buffer)
            .or_else(|| self.obj().current_running_time());
        let data = buffer.clone().into_mapped_buffer_readable().map_err(|_| {
            gst::element_imp_error!(
                self,
                gst::ResourceError::Read,
                ("Cannot map a buffer for reading")
            );
            gst::FlowError::Error
        })?;
        let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let mut state = lock(&self.state);
        let State { started, shared } = &mut *state;
        let started = started.as_mut().ok_or(gst::FlowError::Flushing)?;
        let frame = Frame {
            seq: started.next_seq,
            pts: pts.unwrap_or_default().nseconds(),
            caps: started.caps.clone().filter(|_| key),
            data,
        };
        started.next_seq += 1;
        shared.stats.accepted.fetch_add(1, Ordering::Relaxed);
        match started.items.try_send(Item::Frame(frame)) {
            Ok(()) => Ok(gst::FlowSuccess::Ok),
            // The number that is missing tells the task what may follow.
            Err(TrySendError::Full(_)) => {
                shared.stats.dropped.fetch_add(1, Ordering::Relaxed);
                shared.wishes.add();
                Ok(gst::FlowSuccess::Ok)
            }
            // The task has posted why.
            Err(TrySendError::Closed(_)) => Err(gst::FlowError::Error),
        }
    }

    fn event(&self, event: gst::Event) -> bool {
        if event.type_() == gst::EventType::Eos
            && let Some(started) = &lock(&self.state).started
            && started.items.try_send(Item::End).is_err()
        {
            gst::debug!(CAT, imp = self, "The end is written when the element stops");
        }
        self.parent_event(event)
    }
}
