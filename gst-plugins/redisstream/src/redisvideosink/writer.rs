//! The sink's tasks: one writes the frames, one hears who wishes for a keyframe, one asks the encoder.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::Pipeline;
use sightline_protocol::video::DATA;
use sightline_protocol::{VideoFrame, keys};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::connection::{self, Error, Link, LinkState, Reporter, Server, Severity};
use crate::publisher::RESPONSE_TIMEOUT;
use crate::subscription;
use crate::video::{Continuity, WISH_INTERVAL, Wishes};

/// So long the stream outlives a writer that died.
const LIFE: Duration = Duration::from_secs(10);
/// A writer without frames keeps its stream alive.
const REFRESH: Duration = Duration::from_secs(3);
/// So long the stream's end can be read.
const AFTERLIFE: Duration = Duration::from_secs(2);

/// What the streaming thread hands over.
pub(crate) enum Item {
    Frame(Frame),
    End,
}

pub(crate) struct Frame {
    pub(crate) seq: u64,
    pub(crate) pts: u64,
    /// With every keyframe, the form of the data.
    pub(crate) caps: Option<Arc<str>>,
    pub(crate) data: gst::MappedBuffer<gst::buffer::Readable>,
}

#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) session: String,
    pub(crate) max_length: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) accepted: AtomicU64,
    pub(crate) published: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) keyframe_requests: AtomicU64,
    pub(crate) link: Arc<LinkState>,
}

/// What the streaming thread and the tasks share.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) stats: Stats,
    pub(crate) wishes: Wishes,
}

struct Writer {
    stream: String,
    max_length: u32,
    items: mpsc::Receiver<Item>,
    link: Link,
    continuity: Continuity,
    shared: Arc<Shared>,
    reporter: Reporter,
    ended: bool,
}

/// The element must stop; the bus knows why.
struct Failed;

/// Connects, once and quickly, and starts the tasks. They end when there will be no more items; then what comes back
/// is closed.
pub(crate) fn start_and_wait(
    server: Server,
    config: Config,
    items: mpsc::Receiver<Item>,
    shared: Arc<Shared>,
    reporter: Reporter,
    request_keyframe: impl Fn() + Send + 'static,
    cancelled: CancellationToken,
) -> Result<std::sync::mpsc::Receiver<()>, Error> {
    let (running, finished) = std::sync::mpsc::channel();
    connection::wait(async move {
        let connection = server.connect(RESPONSE_TIMEOUT).await?;
        let channel = keys::video_keyframe_channel(&config.session);
        let pubsub = server.subscribe(&channel).await?;
        let link = Link::new(
            server.clone(),
            connection,
            RESPONSE_TIMEOUT,
            shared.stats.link.clone(),
            reporter.clone(),
        );
        let writer = Writer {
            stream: keys::video_stream(&config.session),
            max_length: config.max_length,
            items,
            link,
            continuity: Continuity::default(),
            shared: shared.clone(),
            reporter: reporter.clone(),
            ended: false,
        };
        let wished = shared.clone();
        let listen = subscription::listen(server, channel, pubsub, reporter, move || wished.wishes.add());
        let tasks = async move {
            tokio::select! {
                () = writer.run() => {}
                () = listen => {}
                () = grant(&shared, request_keyframe) => {}
            }
        };
        connection::spawn(async move {
            cancelled.run_until_cancelled(tasks).await;
            drop(running);
        })
    })?;
    Ok(finished)
}

/// Passes wishes for a keyframe to the encoder.
async fn grant(shared: &Shared, request_keyframe: impl Fn()) {
    loop {
        shared.wishes.next().await;
        request_keyframe();
        shared.stats.keyframe_requests.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(WISH_INTERVAL).await;
    }
}

impl Writer {
    async fn run(mut self) {
        let mut refresh = interval(REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let written = tokio::select! {
                biased;
                item = self.items.recv() => match item {
                    Some(Item::Frame(frame)) => self.publish(frame).await,
                    Some(Item::End) => self.end().await,
                    None => break,
                },
                _ = refresh.tick() => self.refresh().await,
            };
            if written.is_err() {
                return;
            }
        }
        if !self.ended {
            // Refused or not: this is the end.
            drop(self.end().await);
        }
    }

    async fn publish(&mut self, frame: Frame) -> Result<(), Failed> {
        let Frame { seq, pts, caps, data } = frame;
        let key = caps.is_some();
        if !self.continuity.admits(seq, key) {
            self.dropped();
            return Ok(());
        }
        if key {
            self.shared.wishes.fulfilled();
        }
        let header = VideoFrame {
            seq,
            pts,
            key,
            caps: caps.as_deref(),
        };
        let mut pipeline = connection::pipe();
        let command = self.add(&mut pipeline);
        for (name, value) in header.fields() {
            command.arg(name).arg(value);
        }
        command.arg(DATA).arg(data.as_slice());
        self.live(&mut pipeline, LIFE);
        self.ended = false;
        if self.write(&pipeline).await? {
            self.shared.stats.published.fetch_add(1, Ordering::Relaxed);
        } else {
            self.continuity.broken();
            self.dropped();
        }
        Ok(())
    }

    /// What follows waits for a keyframe.
    fn dropped(&self) {
        self.shared.stats.dropped.fetch_add(1, Ordering::Relaxed);
        self.shared.wishes.add();
    }

    async fn refresh(&mut self) -> Result<(), Failed> {
        if self.ended {
            return Ok(());
        }
        let mut pipeline = connection::pipe();
        self.live(&mut pipeline, LIFE);
        self.write(&pipeline).await.map(drop)
    }

    async fn end(&mut self) -> Result<(), Failed> {
        let mut pipeline = connection::pipe();
        let command = self.add(&mut pipeline);
        for (name, value) in VideoFrame::end() {
            command.arg(name).arg(value);
        }
        self.live(&mut pipeline, AFTERLIFE);
        self.ended = true;
        self.continuity.broken();
        self.write(&pipeline).await.map(drop)
    }

    fn add<'a>(&self, pipeline: &'a mut Pipeline) -> &'a mut Pipeline {
        pipeline
            .cmd("XADD")
            .arg(&self.stream)
            .arg("MAXLEN")
            .arg("~")
            .arg(self.max_length)
            .arg("*")
    }

    fn live(&self, pipeline: &mut Pipeline, life: Duration) {
        pipeline
            .cmd("PEXPIRE")
            .arg(&self.stream)
            .arg(life.as_millis() as u64);
    }

    /// Writes once: what is late is of no use. False if it was not, or perhaps not, written.
    async fn write(&mut self, pipeline: &Pipeline) -> Result<bool, Failed> {
        let mut connection = self.link.connection().await;
        let Err(failed) = connection::execute(&mut connection, pipeline).await else {
            self.link.healthy();
            return Ok(true);
        };
        match Severity::of(&failed.error) {
            Severity::Lost => {
                self.link.lost(&failed.error);
                Ok(false)
            }
            Severity::Full => {
                self.link.healthy();
                self.reporter.warn(format_args!(
                    "Redis at {} is full and takes nothing into `{}`: give it more `maxmemory`, or write less",
                    self.link.server(),
                    self.stream,
                ));
                Ok(false)
            }
            Severity::NoGroup | Severity::Permanent => {
                self.reporter
                    .fail(self.link.server().refused(&failed.to_string()));
                Err(Failed)
            }
        }
    }
}
