/**
 * SECTION:element-redisvideosrc
 *
 * Gives a session's encoded picture, as `redisvideosink` publishes it, to one of those who watch it. Each reads the
 * stream `video:<session>` alone: any number can watch, on any number of hosts, and who is slow hurts nobody.
 *
 * It begins with a keyframe: one of the newest few frames if there is one, else the writer is asked for one. So it is
 * after a loss, and when an element downstream asks for one (a peer's PLI). PTS keep the distances that they have in
 * the writer's pipeline.
 *
 * It ends when the writer ends. A stream that is missing for `timeout` is an error.
 *
 * ## Example: watch a picture that is published in the same program
 * ```bash
 * gst-launch-1.0 videotestsrc is-live=true num-buffers=60 ! video/x-raw,framerate=30/1 ! vp8enc deadline=1 ! \
 *     redisvideosink session=me \
 *     redisvideosrc session=me num-buffers=30 ! vp8dec ! videoconvert ! fakesink
 * ```
 */
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use glib::prelude::*;
use glib::subclass::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_src::CreateSuccess;
use gst_base::subclass::prelude::*;
use gst_video::UpstreamForceKeyUnitEvent;
use sightline_protocol::is_session_id;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::follower::{Frame, Item};
use super::timeline::Timeline;
use super::watcher::{self, Config, Reporters, Shared};
use crate::address::Address;
use crate::connection::{Error, Reporter};
use crate::slot::Stop;
use crate::video::caps;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "redisvideosrc",
        gst::DebugColorFlags::empty(),
        Some("Reads encoded video from a Redis stream"),
    )
});

#[derive(Debug, Clone)]
struct Settings {
    address: Address,
    session: Option<String>,
    timeout: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: Address::default(),
            session: None,
            timeout: 5000,
        }
    }
}

/// What lives from `start()` to `stop()`.
struct Started {
    caps: Option<gst::Caps>,
    timeline: Timeline,
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
pub struct RedisVideoSrc {
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RedisVideoSrc {
    fn connect(&self, address: &Address, config: Config) -> Result<(), Error> {
        let server = address.server()?;
        let shared = Arc::new(Shared::default());
        let cancelled = CancellationToken::new();
        let tasks = cancelled.clone().drop_guard();
        gst::debug!(CAT, imp = self, "Connecting to {server}");
        let reporter = |kind| Reporter::new(&*self.obj(), *CAT, kind);
        let reporters = Reporters {
            read: reporter(gst::ResourceError::Read),
            not_found: reporter(gst::ResourceError::NotFound),
        };
        watcher::start_and_wait(server, config, shared.clone(), reporters, cancelled)?;
        *lock(&self.state) = State {
            started: Some(Started {
                caps: None,
                timeline: Timeline::default(),
                _tasks: tasks,
            }),
            shared,
        };
        Ok(())
    }

    fn shared(&self) -> Arc<Shared> {
        lock(&self.state).shared.clone()
    }

    fn buffer(&self, frame: Frame) -> Result<gst::Buffer, gst::FlowError> {
        let now = self.obj().current_running_time().unwrap_or_default();
        let (pts, new_caps) = {
            let mut state = lock(&self.state);
            let started = state.started.as_mut().ok_or(gst::FlowError::Flushing)?;
            let new = started.caps.as_ref() != Some(&frame.caps);
            started.caps = Some(frame.caps.clone());
            (started.timeline.place(frame.pts, now.nseconds()), new)
        };
        if new_caps && self.obj().set_caps(&frame.caps).is_err() {
            return Err(gst::FlowError::NotNegotiated);
        }
        let mut buffer = gst::Buffer::from_mut_slice(frame.data);
        let writable = buffer.make_mut();
        writable.set_pts(gst::ClockTime::from_nseconds(pts));
        if !frame.key {
            writable.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        if frame.discont {
            writable.set_flags(gst::BufferFlags::DISCONT);
        }
        Ok(buffer)
    }

    fn stats(&self) -> gst::Structure {
        let shared = self.shared();
        let stats = &shared.stats;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        gst::Structure::builder("application/x-redisvideosrc-stats")
            .field("received", get(&stats.received))
            .field("pushed", get(&stats.pushed))
            .field("skipped", get(&stats.skipped))
            .field("dropped-late", get(&stats.dropped_late))
            .field("malformed", get(&stats.malformed))
            .field("keyframe-requests", get(&stats.keyframe_requests))
            .field("reconnects", get(&stats.link.reconnects))
            .build()
    }
}

#[glib::object_subclass]
impl ObjectSubclass for RedisVideoSrc {
    const NAME: &'static str = "GstRedisVideoSrc";
    type Type = super::RedisVideoSrc;
    type ParentType = gst_base::PushSrc;
}

impl ObjectImpl for RedisVideoSrc {
    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        element.set_live(true);
        element.set_format(gst::Format::Time);
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
            "timeout" => settings.timeout = value.get().unwrap_or(settings.timeout),
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
            "timeout" => settings.timeout.to_value(),
            _ => pspec.default_value().clone(),
        }
    }
}

fn properties() -> Vec<glib::ParamSpec> {
    let defaults = Settings::default();
    let own = vec![
        glib::ParamSpecString::builder("session")
            .nick("Session id")
            .blurb("Session whose picture is watched; it is read from the stream `video:<session>`")
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("timeout")
            .nick("Timeout")
            .blurb("Time in milliseconds for which the session's stream may be missing")
            .minimum(100)
            .maximum(3_600_000)
            .default_value(defaults.timeout)
            .mutable_ready()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb("Counts of entries by what became of them")
            .read_only()
            .build(),
    ];
    Address::properties().into_iter().chain(own).collect()
}

impl GstObjectImpl for RedisVideoSrc {}

impl ElementImpl for RedisVideoSrc {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Redis video source",
                "Source/Network",
                "Gives a session's encoded picture to one of those who watch it",
                "The Sightline developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let template = gst::PadTemplate::new(
                "src",
                gst::PadDirection::Src,
                gst::PadPresence::Always,
                &caps::template(),
            );
            template.into_iter().collect()
        });
        &TEMPLATES
    }
}

impl BaseSrcImpl for RedisVideoSrc {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let Some(session) = settings.session.filter(|id| is_session_id(id)) else {
            return Err(gst::error_msg!(
                gst::ResourceError::Settings,
                ("`session` is unset or no session's id: 1 to 128 letters, digits, `-`, `_`, `.` or `:`")
            ));
        };
        let config = Config {
            session,
            timeout: Duration::from_millis(settings.timeout.into()),
        };
        self.connect(&settings.address, config).map_err(|error| {
            let kind = if error.is_setting() {
                gst::ResourceError::Settings
            } else {
                gst::ResourceError::OpenRead
            };
            gst::error_msg!(kind, ("{error}"))
        })
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        // The tasks end with it.
        lock(&self.state).started = None;
        Ok(())
    }

    fn is_seekable(&self) -> bool {
        false
    }

    /// The form is the first frame's.
    fn negotiate(&self) -> Result<(), gst::LoggableError> {
        Ok(())
    }

    fn event(&self, event: &gst::Event) -> bool {
        if UpstreamForceKeyUnitEvent::parse(event).is_ok() {
            self.shared().wishes.add();
            return true;
        }
        self.parent_event(event)
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        self.shared().slot.interrupt(true);
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        self.shared().slot.interrupt(false);
        Ok(())
    }
}

impl PushSrcImpl for RedisVideoSrc {
    fn create(&self, _buffer: Option<&mut gst::BufferRef>) -> Result<CreateSuccess, gst::FlowError> {
        let shared = self.shared();
        let item = shared.slot.get().map_err(|stop| match stop {
            Stop::Interrupted | Stop::TimedOut => gst::FlowError::Flushing,
            // The task has posted why.
            Stop::Failed(_) => gst::FlowError::Error,
        })?;
        match item {
            Item::Frame(frame) => {
                let buffer = self.buffer(frame)?;
                shared.stats.pushed.fetch_add(1, Ordering::Relaxed);
                Ok(CreateSuccess::NewBuffer(buffer))
            }
            Item::End => Err(gst::FlowError::Eos),
        }
    }
}
