//! The source's tasks: one reads the stream, one asks its writer for keyframes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::{RedisError, Value};
use sightline_protocol::frame::published_micros;
use sightline_protocol::{keys, unix_micros};
use tokio_util::sync::CancellationToken;

use super::follower::{Follower, Item};
use crate::connection::{self, Error, Link, LinkState, Reporter, Server, Severity};
use crate::entry::{self, RawEntry};
use crate::slot::Slot;
use crate::video::{WISH_INTERVAL, Wishes};

/// How long Redis holds a read that finds nothing.
const BLOCK: Duration = Duration::from_secs(1);
/// Longer than [`BLOCK`]; a Redis that is silent for this long is dead.
const READ_TIMEOUT: Duration = Duration::from_secs(3);
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);
/// A keyframe that is among so many newest frames is near enough to begin with; else a new one is asked for, because
/// all between would come at once and late.
const JOIN_WITHIN: usize = 8;
/// Frames that a read may bring.
const COUNT: usize = 60;
/// Who is so far behind, or has as many frames before him as a read may bring, jumps to the newest.
const FARTHEST_BEHIND: Duration = Duration::from_millis(500);
/// Where a stream begins.
const BEGINNING: &str = "0-0";

#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) session: String,
    /// How long the stream may be missing.
    pub(crate) timeout: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) received: AtomicU64,
    pub(crate) pushed: AtomicU64,
    pub(crate) skipped: AtomicU64,
    pub(crate) dropped_late: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) keyframe_requests: AtomicU64,
    pub(crate) link: Arc<LinkState>,
}

/// What the streaming thread and the tasks share.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) slot: Slot<Item>,
    pub(crate) wishes: Wishes,
    pub(crate) stats: Stats,
}

/// Where the tasks tell what they met.
pub(crate) struct Reporters {
    pub(crate) read: Reporter,
    pub(crate) not_found: Reporter,
}

struct Watcher {
    config: Config,
    stream: String,
    /// For this task alone: a waiting read stops all that is sent after it.
    link: Link,
    shared: Arc<Shared>,
    reporters: Reporters,
    /// Id of the entry that was read last; none: to begin at the newest keyframe.
    position: Option<String>,
    queue: VecDeque<RawEntry>,
    follower: Follower,
    missing_since: Option<Instant>,
}

/// The element must stop; the slot and the bus know why.
struct Failed;

/// Connects, once and quickly, and starts the tasks.
pub(crate) fn start_and_wait(
    server: Server,
    config: Config,
    shared: Arc<Shared>,
    reporters: Reporters,
    cancelled: CancellationToken,
) -> Result<(), Error> {
    connection::wait(async move {
        let (reading, writing) =
            tokio::try_join!(server.connect(READ_TIMEOUT), server.connect(WRITE_TIMEOUT))?;
        let reporter = reporters.read.clone();
        let asking = Link::new(
            server.clone(),
            writing,
            WRITE_TIMEOUT,
            Arc::default(),
            reporter.clone(),
        );
        let asking = ask(
            keys::video_keyframe_channel(&config.session),
            asking,
            shared.clone(),
        );
        // Reconnects are counted once, by the reading connection.
        let state = shared.stats.link.clone();
        let watcher = Watcher {
            stream: keys::video_stream(&config.session),
            config,
            link: Link::new(server, reading, READ_TIMEOUT, state, reporter),
            shared,
            reporters,
            position: None,
            queue: VecDeque::new(),
            follower: Follower::default(),
            missing_since: None,
        };
        connection::spawn(async move {
            let tasks = async { tokio::join!(watcher.run(), asking) };
            cancelled.run_until_cancelled(tasks).await;
        })
    })
}

/// Passes wishes for a keyframe to the writer.
async fn ask(channel: String, mut link: Link, shared: Arc<Shared>) {
    loop {
        shared.wishes.next().await;
        let mut connection = link.connection().await;
        let mut pipeline = connection::pipe();
        pipeline.cmd("PUBLISH").arg(&channel).arg("1");
        match connection::execute(&mut connection, &pipeline).await {
            Ok(()) => {
                link.healthy();
                shared.stats.keyframe_requests.fetch_add(1, Ordering::Relaxed);
            }
            Err(failed) if Severity::of(&failed.error) == Severity::Lost => link.lost(&failed.error),
            // Then one comes when the encoder thinks fit.
            Err(failed) => link.warn(&failed.to_string()),
        }
        tokio::time::sleep(WISH_INTERVAL).await;
    }
}

impl Watcher {
    async fn run(mut self) {
        let mut next = None;
        loop {
            // Only on demand: who pauses is not to be shown the past.
            self.shared.slot.wanted().await;
            let item = match next.take() {
                Some(item) => item,
                None => match self.next().await {
                    Ok(item) => item,
                    Err(Failed) => return,
                },
            };
            next = self.shared.slot.give(item).err();
        }
    }

    async fn next(&mut self) -> Result<Item, Failed> {
        loop {
            while let Some(mut entry) = self.queue.pop_front() {
                if let Some(item) = self.judge(&mut entry) {
                    return Ok(item);
                }
            }
            self.read().await?;
        }
    }

    fn judge(&mut self, entry: &mut RawEntry) -> Option<Item> {
        let Shared { stats, wishes, .. } = &*self.shared;
        match self.follower.follow(entry) {
            Ok(Some(item)) => {
                if matches!(&item, Item::Frame(frame) if frame.key) {
                    wishes.fulfilled();
                }
                return Some(item);
            }
            Ok(None) => drop(stats.skipped.fetch_add(1, Ordering::Relaxed)),
            Err(error) => {
                stats.malformed.fetch_add(1, Ordering::Relaxed);
                self.reporters.read.warn(format_args!(
                    "Entry {} of `{}` is no frame: {error}",
                    entry.id, self.stream
                ));
            }
        }
        wishes.add();
        None
    }

    async fn read(&mut self) -> Result<(), Failed> {
        let mut connection = self.link.connection().await;
        let block = BLOCK.min(self.config.timeout);
        let command = match &self.position {
            None => {
                let mut command = redis::cmd("XREVRANGE");
                command.arg(&self.stream).arg("+").arg("-");
                command.arg("COUNT").arg(JOIN_WITHIN);
                command
            }
            Some(id) => {
                let mut command = redis::cmd("XREAD");
                command.arg("COUNT").arg(COUNT);
                command.arg("BLOCK").arg(block.as_millis() as u64);
                command.arg("STREAMS").arg(&self.stream).arg(id);
                command
            }
        };
        match command.query_async::<Value>(&mut connection).await {
            Ok(reply) => {
                self.link.healthy();
                if self.position.is_none() {
                    self.join(entry::entries(&self.stream, reply, unix_micros()));
                    return Ok(());
                }
                match entry::streams(reply, unix_micros()) {
                    nothing if nothing.is_empty() => self.check_stream().await,
                    entries => {
                        self.take(entries);
                        Ok(())
                    }
                }
            }
            Err(error) => self.mishap(error).await,
        }
    }

    /// Begins at the newest keyframe, if it is among these newest entries, the newest of them first.
    fn join(&mut self, mut entries: Vec<RawEntry>) {
        self.count(entries.len());
        let newest = entries.first().map(|entry| entry.id.clone());
        self.position = Some(newest.unwrap_or_else(|| BEGINNING.to_owned()));
        let begins = |entry: &RawEntry| entry.field("key") == b"1" || entry.field("end") == b"1";
        match entries.iter().position(begins) {
            Some(start) => {
                entries.truncate(start + 1);
                self.queue.extend(entries.into_iter().rev());
            }
            None if entries.is_empty() => {}
            None => self.shared.wishes.add(),
        }
    }

    fn take(&mut self, entries: Vec<RawEntry>) {
        self.missing_since = None;
        self.count(entries.len());
        if entries.len() >= COUNT || span(&entries) > FARTHEST_BEHIND {
            let late = entries.len() as u64;
            self.shared.stats.dropped_late.fetch_add(late, Ordering::Relaxed);
            self.follower.jump();
            self.position = None;
            return;
        }
        self.position = entries.last().map(|entry| entry.id.clone());
        self.queue.extend(entries);
    }

    fn count(&self, entries: usize) {
        let received = &self.shared.stats.received;
        received.fetch_add(entries as u64, Ordering::Relaxed);
    }

    /// Nothing came: is there anything that may come?
    async fn check_stream(&mut self) -> Result<(), Failed> {
        let mut connection = self.link.connection().await;
        let exists = redis::cmd("EXISTS")
            .arg(&self.stream)
            .query_async::<bool>(&mut connection)
            .await;
        match exists {
            Ok(true) => self.missing_since = None,
            Ok(false) => {
                let since = *self.missing_since.get_or_insert_with(Instant::now);
                if since.elapsed() + BLOCK.min(self.config.timeout) >= self.config.timeout {
                    return Err(self.fail(&self.reporters.not_found, self.missing_text()));
                }
            }
            Err(error) => return self.mishap(error).await,
        }
        Ok(())
    }

    fn missing_text(&self) -> String {
        let Self { stream, config, .. } = self;
        let (session, server) = (&config.session, self.link.server());
        format!(
            "There is no picture of the session `{session}` to watch: Redis at {server} has no `{stream}`. The session \
             has ended or failed, sends no video, or its pipeline has no redisvideosink"
        )
    }

    async fn mishap(&mut self, error: RedisError) -> Result<(), Failed> {
        let cause = format!("cannot read `{}`: {}", self.stream, connection::describe(&error));
        match Severity::of(&error) {
            Severity::Lost => {
                self.link.lost(&error);
                Ok(())
            }
            Severity::Full | Severity::NoGroup => {
                self.link.warn(&cause);
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                Ok(())
            }
            Severity::Permanent => {
                let text = self.link.server().refused(&cause).to_string();
                Err(self.fail(&self.reporters.read, text))
            }
        }
    }

    fn fail(&self, reporter: &Reporter, text: String) -> Failed {
        // In this order: what the streaming thread then posts says nothing.
        reporter.fail(&text);
        self.shared.slot.fail(text);
        Failed
    }
}

/// The time between the first and the last of them, by Redis's clock.
fn span(entries: &[RawEntry]) -> Duration {
    let micros = |entry: Option<&RawEntry>| published_micros(&entry?.id);
    let ends = micros(entries.first()).zip(micros(entries.last()));
    ends.map_or(Duration::ZERO, |(first, last)| {
        Duration::from_micros(last.saturating_sub(first))
    })
}
