/**
 * SECTION:element-redisstreamsrc
 *
 * Reads frames from one or several Redis streams, as one consumer of a group: each frame goes to one worker.
 *
 * A frame that has expired is acknowledged and deleted unseen. An entry that cannot be a frame, or whose JPEG is
 * too large, is described in `dead-letter-stream` and deleted. So is every entry that a worker read and did not
 * finish within `reclaim-idle`: it may have killed that worker, and it is late. `redisstreamsink
 * payload=detections` finishes a frame.
 *
 * Frames carry their identity as a frame meta. Their PTS is the running time at which they were read.
 *
 * ## Example: a worker, beside a session that feeds it
 * ```bash
 * gst-launch-1.0 \
 *     videotestsrc num-buffers=20 ! video/x-raw,width=320,height=320 ! jpegenc ! \
 *     redisstreamsink participant-id=me leaky=no expiry=60000 \
 *     redisstreamsrc num-buffers=20 ! jpegdec ! yoloxdetect model=blobs.onnx ! \
 *     redisstreamsink payload=detections async=false
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
use sightline_gst_common::{Entry, FrameMeta};
use sightline_protocol::keys;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::address::{Address, default_shards};
use crate::connection::{Error, Reporter};
use crate::entry::{AgeLimits, Frame};
use crate::reader::{self, Config, Stats};
use crate::slot::{Slot, Stop};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "redisstreamsrc",
        gst::DebugColorFlags::empty(),
        Some("Reads from a Redis stream"),
    )
});

#[derive(Debug, Clone)]
struct Settings {
    address: Address,
    stream: String,
    shards: u32,
    group: String,
    consumer: String,
    count: u32,
    max_age: u32,
    reclaim_idle: u32,
    dead_letter_stream: String,
    caps: gst::Caps,
}

impl Default for Settings {
    fn default() -> Self {
        let host = hostname::get().unwrap_or_default();
        Self {
            address: Address::default(),
            stream: keys::IMAGES.to_owned(),
            shards: default_shards(),
            group: keys::IMAGES_GROUP.to_owned(),
            consumer: format!(
                "{}-{}-{:08x}",
                host.to_string_lossy(),
                std::process::id(),
                rand::random::<u32>()
            ),
            count: 1,
            max_age: 0,
            reclaim_idle: 2000,
            dead_letter_stream: keys::IMAGES_DEAD.to_owned(),
            caps: gst::Caps::new_empty_simple("image/jpeg"),
        }
    }
}

impl Settings {
    /// The streams, in the order they are written, each with its shards.
    fn streams(&self) -> Vec<String> {
        keys::streams(&self.stream, self.shards)
    }

    fn config(&self) -> Config {
        Config {
            streams: self.streams(),
            group: self.group.clone(),
            consumer: self.consumer.clone(),
            count: self.count,
            limits: AgeLimits {
                max_age: Duration::from_millis(self.max_age.into()),
                reclaim_idle: Duration::from_millis(self.reclaim_idle.into()),
            },
            dead_letters: self.dead_letter_stream.clone(),
        }
    }
}

/// What lives from `start()` to `stop()`.
struct Started {
    group: String,
    slot: Arc<Slot<Frame>>,
    /// Its end ends the tasks.
    _tasks: DropGuard,
}

#[derive(Default)]
struct State {
    started: Option<Arc<Started>>,
    /// Outlives the tasks, to be read after the end.
    stats: Arc<Stats>,
}

/// Neither lock is taken while the other is held.
#[derive(Default)]
pub struct RedisStreamSrc {
    settings: Mutex<Settings>,
    state: Mutex<State>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RedisStreamSrc {
    fn connect(&self, settings: &Settings) -> Result<(), Error> {
        let server = settings.address.server()?;
        let slot = Arc::new(Slot::default());
        let stats = Arc::new(Stats::default());
        let cancelled = CancellationToken::new();
        let tasks = cancelled.clone().drop_guard();
        gst::debug!(CAT, imp = self, "Connecting to {server} as {}", settings.consumer);
        reader::start_and_wait(
            server,
            settings.config(),
            slot.clone(),
            stats.clone(),
            self.reporter(),
            cancelled,
        )?;
        *lock(&self.state) = State {
            started: Some(Arc::new(Started {
                group: settings.group.clone(),
                slot,
                _tasks: tasks,
            })),
            stats,
        };
        Ok(())
    }

    fn started(&self) -> Option<Arc<Started>> {
        lock(&self.state).started.clone()
    }

    fn reporter(&self) -> Reporter {
        Reporter::new(&*self.obj(), *CAT, gst::ResourceError::Read)
    }

    fn buffer(&self, frame: Frame, group: &str) -> Result<gst::Buffer, gst::FlowError> {
        let Frame { header, mut entry } = frame;
        let mut buffer = gst::Buffer::from_mut_slice(entry.take_img());
        let meta = FrameMeta {
            header,
            entry: Some(Entry {
                stream: entry.stream,
                id: entry.id,
                group: group.to_owned(),
            }),
            read_at: Some(entry.read_at),
        };
        meta.attach(buffer.make_mut()).map_err(|error| {
            gst::element_imp_error!(
                self,
                gst::CoreError::Failed,
                ("Cannot attach a frame's identity: {error}")
            );
            gst::FlowError::Error
        })?;
        Ok(buffer)
    }

    fn stats(&self) -> gst::Structure {
        let stats = lock(&self.state).stats.clone();
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        gst::Structure::builder("application/x-redisstreamsrc-stats")
            .field("received", get(&stats.received))
            .field("pushed", get(&stats.pushed))
            .field("dropped-expired", get(&stats.dropped_expired))
            .field("dead-lettered", get(&stats.dead_lettered))
            .field("reclaimed", get(&stats.reclaimed))
            .field("reconnects", get(&stats.link.reconnects))
            .build()
    }
}

#[glib::object_subclass]
impl ObjectSubclass for RedisStreamSrc {
    const NAME: &'static str = "GstRedisStreamSrc";
    type Type = super::RedisStreamSrc;
    type ParentType = gst_base::PushSrc;
}

impl ObjectImpl for RedisStreamSrc {
    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        element.set_live(true);
        element.set_do_timestamp(true);
        element.set_format(gst::Format::Time);
    }

    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        // NULL means the default again.
        let text = |default: fn(Settings) -> String| {
            let text = value.get::<Option<String>>().ok().flatten();
            text.unwrap_or_else(|| default(Settings::default()))
        };
        let number = || value.get::<u32>().unwrap_or_default();
        let mut settings = lock(&self.settings);
        if settings.address.set(pspec.name(), value) {
            return;
        }
        match pspec.name() {
            "stream" => settings.stream = text(|defaults| defaults.stream),
            "shards" => settings.shards = number(),
            "group" => settings.group = text(|defaults| defaults.group),
            "consumer" => settings.consumer = text(|defaults| defaults.consumer),
            "count" => settings.count = number(),
            "max-age" => settings.max_age = number(),
            "reclaim-idle" => settings.reclaim_idle = number(),
            "dead-letter-stream" => {
                settings.dead_letter_stream = text(|defaults| defaults.dead_letter_stream)
            }
            "caps" => {
                let caps = value.get::<Option<gst::Caps>>().ok().flatten();
                settings.caps = caps.unwrap_or_else(|| Settings::default().caps);
            }
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
            "group" => settings.group.to_value(),
            "consumer" => settings.consumer.to_value(),
            "count" => settings.count.to_value(),
            "max-age" => settings.max_age.to_value(),
            "reclaim-idle" => settings.reclaim_idle.to_value(),
            "dead-letter-stream" => settings.dead_letter_stream.to_value(),
            "caps" => settings.caps.to_value(),
            _ => pspec.default_value().clone(),
        }
    }
}

fn properties() -> Vec<glib::ParamSpec> {
    let defaults = Settings::default();
    let own = vec![
        glib::ParamSpecString::builder("stream")
            .nick("Stream")
            .blurb("Key of the stream to read, or several keys with commas between them")
            .default_value(Some(defaults.stream.as_str()))
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("shards")
            .nick("Shards")
            .blurb(
                "Shards of each stream that are read as well, STREAM:{0}, STREAM:{1}, … (0: none); the environment's \
                 SIGHTLINE_SHARDS where it is set",
            )
            .maximum(keys::MAX_SHARDS)
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("group")
            .nick("Group")
            .blurb("Consumer group that shares the frames; created if it is not there")
            .default_value(Some(defaults.group.as_str()))
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("consumer")
            .nick("Consumer")
            .blurb("Name in the group, unique to this element; by default HOST-PROCESS-RANDOM")
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("count")
            .nick("Count")
            .blurb("Entries that a read may bring, per stream; 1 shares frames most fairly among workers")
            .minimum(1)
            .maximum(64)
            .default_value(defaults.count)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("max-age")
            .nick("Max age")
            .blurb("Time since publication in milliseconds after which a frame is dropped even if it names no expiry (0: none)")
            .maximum(3_600_000)
            .default_value(defaults.max_age)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("reclaim-idle")
            .nick("Reclaim idle")
            .blurb("Time in milliseconds after which an entry that was read and not finished counts as abandoned")
            .minimum(100)
            .maximum(3_600_000)
            .default_value(defaults.reclaim_idle)
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("dead-letter-stream")
            .nick("Dead-letter stream")
            .blurb("Key of the stream that describes what could not be processed")
            .default_value(Some(defaults.dead_letter_stream.as_str()))
            .mutable_ready()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Caps>("caps")
            .nick("Caps")
            .blurb("Caps of the frames; NULL: image/jpeg")
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

impl GstObjectImpl for RedisStreamSrc {}

impl ElementImpl for RedisStreamSrc {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Redis stream source",
                "Source/Network",
                "Reads frames from Redis streams as one consumer of a group",
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
                &gst::Caps::new_any(),
            );
            template.into_iter().collect()
        });
        &TEMPLATES
    }
}

impl BaseSrcImpl for RedisStreamSrc {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        if settings.streams().is_empty() {
            return Err(gst::error_msg!(
                gst::ResourceError::Settings,
                ("`stream` is empty: name at least one stream")
            ));
        }
        self.connect(&settings).map_err(|error| {
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

    fn caps(&self, filter: Option<&gst::Caps>) -> Option<gst::Caps> {
        let caps = lock(&self.settings).caps.clone();
        Some(match filter {
            Some(filter) => filter.intersect_with_mode(&caps, gst::CapsIntersectMode::First),
            None => caps,
        })
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        if let Some(started) = self.started() {
            started.slot.interrupt(true);
        }
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        if let Some(started) = self.started() {
            started.slot.interrupt(false);
        }
        Ok(())
    }
}

impl PushSrcImpl for RedisStreamSrc {
    fn create(&self, _buffer: Option<&mut gst::BufferRef>) -> Result<CreateSuccess, gst::FlowError> {
        let started = self.started().ok_or(gst::FlowError::Flushing)?;
        let frame = started.slot.get().map_err(|stop| match stop {
            Stop::Interrupted | Stop::TimedOut => gst::FlowError::Flushing,
            // The task has posted why.
            Stop::Failed(_) => gst::FlowError::Error,
        })?;
        let buffer = self.buffer(frame, &started.group)?;
        lock(&self.state).stats.pushed.fetch_add(1, Ordering::Relaxed);
        Ok(CreateSuccess::NewBuffer(buffer))
    }
}
