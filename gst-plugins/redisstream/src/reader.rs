//! The source's task: reads one frame after the other as one consumer of a group.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::{Pipeline, RedisError, Value};
use sightline_protocol::unix_micros;
use tokio_util::sync::CancellationToken;

use crate::connection::{self, Connection, Error, Link, LinkState, Reporter, Server, Severity};
use crate::entry::{self, AgeLimits, DeadReason, Frame, RawEntry, Verdict};
use crate::reclaim::Reclaimer;
use crate::slot::Slot;
use crate::turns::Turns;

/// How long Redis holds a read that finds nothing.
const BLOCK: Duration = Duration::from_secs(1);
/// Longer than [`BLOCK`], or the reply of a read that waited would be thrown away and its entries with it. A Redis
/// that is silent for this long is dead.
const READ_TIMEOUT: Duration = Duration::from_secs(3);
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// So many streams are named in a message.
const NAMED: usize = 3;
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) streams: Vec<String>,
    pub(crate) group: String,
    pub(crate) consumer: String,
    /// Entries a read may bring, per stream.
    pub(crate) count: u32,
    pub(crate) limits: AgeLimits,
    pub(crate) dead_letters: String,
}

#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) received: AtomicU64,
    pub(crate) pushed: AtomicU64,
    pub(crate) dropped_expired: AtomicU64,
    pub(crate) dead_lettered: AtomicU64,
    pub(crate) reclaimed: AtomicU64,
    pub(crate) link: Arc<LinkState>,
}

struct Reader {
    config: Arc<Config>,
    slot: Arc<Slot<Frame>>,
    /// For this task alone: a waiting read stops all that is sent after it.
    link: Link,
    turns: Turns,
    queue: VecDeque<RawEntry>,
    stats: Arc<Stats>,
    reporter: Reporter,
}

impl Config {
    fn describe(&self, streams: &[impl AsRef<str>], error: &RedisError) -> String {
        let named: Vec<&str> = streams.iter().take(NAMED).map(AsRef::as_ref).collect();
        let others = match streams.len() - named.len() {
            0 => String::new(),
            others => format!(" and {others} others"),
        };
        format!(
            "cannot read `{}`{others} as group `{}`: {}",
            named.join("`, `"),
            self.group,
            connection::describe(error)
        )
    }
}

/// The element must stop; the slot and the bus know why.
struct Failed;

/// Connects, once and quickly, sees to the consumer groups, and starts the tasks.
pub(crate) fn start_and_wait(
    server: Server,
    config: Config,
    slot: Arc<Slot<Frame>>,
    stats: Arc<Stats>,
    reporter: Reporter,
    cancelled: CancellationToken,
) -> Result<(), Error> {
    connection::wait(async move {
        let config = Arc::new(config);
        let (mut reading, writing) =
            tokio::try_join!(server.connect(READ_TIMEOUT), server.connect(WRITE_TIMEOUT))?;
        create_groups(&mut reading, &config.group, &config.streams)
            .await
            .map_err(|error| server.refused(&config.describe(&config.streams, &error)))?;
        let reading = Link::new(
            server.clone(),
            reading,
            READ_TIMEOUT,
            stats.link.clone(),
            reporter.clone(),
        );
        // Counted once, by the reading connection.
        let writing = Link::new(server, writing, WRITE_TIMEOUT, Arc::default(), reporter.clone());
        let reclaimer = Reclaimer::new(config.clone(), writing, stats.clone(), reporter.clone());
        let turns = Turns::new(config.streams.len());
        let reader = Reader {
            config,
            slot,
            link: reading,
            turns,
            queue: VecDeque::new(),
            stats,
            reporter,
        };
        connection::spawn(async move {
            let tasks = async { tokio::join!(reader.run(), reclaimer.run()) };
            cancelled.run_until_cancelled(tasks).await;
        })
    })
}

impl Reader {
    async fn run(mut self) {
        loop {
            // Only on demand: an entry that waits here would be missing elsewhere.
            self.slot.wanted().await;
            let Ok(frame) = self.next().await else { return };
            if let Err(frame) = self.slot.give(frame) {
                self.queue.push_front(frame.entry);
            }
        }
    }

    /// The next frame that is fit to be looked at.
    async fn next(&mut self) -> Result<Frame, Failed> {
        loop {
            while let Some(entry) = self.queue.pop_front() {
                let mut pipeline = connection::pipe();
                match entry.judge(unix_micros(), self.config.limits) {
                    Verdict::Push(header) => return Ok(Frame { header, entry }),
                    Verdict::Expired => {
                        entry.finish(&mut pipeline, &self.config.group);
                        self.stats.dropped_expired.fetch_add(1, Ordering::Relaxed);
                    }
                    Verdict::Dead(reason) => {
                        entry.bury(
                            &mut pipeline,
                            &self.config.group,
                            &self.config.dead_letters,
                            &reason,
                        );
                        self.stats.dead_lettered.fetch_add(1, Ordering::Relaxed);
                        self.reporter
                            .warn(dead_letter_text(&entry, &self.config, &reason));
                    }
                }
                self.write(&pipeline).await?;
            }
            self.read().await?;
        }
    }

    /// Brings entries of one stream into the queue, or none after a while.
    ///
    /// While there is work, a read asks one stream after the other and does not wait, so that it never brings more than
    /// is wanted here and now; only when all are empty it waits for all of them.
    async fn read(&mut self) -> Result<(), Failed> {
        let due = self.turns.due(Instant::now());
        let streams = self.config.streams.len();
        if streams > 1 {
            for &turn in &due {
                if self.ask(&[turn], None).await? {
                    return Ok(());
                }
            }
        }
        if !self.link.server().is_cluster() {
            self.ask(&due, Some(BLOCK)).await?;
            return Ok(());
        }
        // In a cluster no read can wait for several.
        match due[..] {
            [turn] if streams == 1 => drop(self.ask(&[turn], Some(BLOCK)).await?),
            _ => tokio::time::sleep(self.turns.pause(Instant::now())).await,
        }
        Ok(())
    }

    /// Asks streams for entries; whether there were any.
    async fn ask(&mut self, turns: &[usize], block: Option<Duration>) -> Result<bool, Failed> {
        let mut connection = self.link.connection().await;
        let config = self.config.clone();
        let streams: Vec<&str> = turns.iter().map(|turn| &*config.streams[*turn]).collect();
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(&config.group).arg(&config.consumer);
        command.arg("COUNT").arg(config.count);
        if let Some(block) = block {
            command.arg("BLOCK").arg(block.as_millis() as u64);
        }
        command.arg("STREAMS").arg(&streams);
        for _ in &streams {
            command.arg(">");
        }
        let error = match command.query_async::<Value>(&mut connection).await {
            Ok(reply) => {
                self.link.healthy();
                let entries = entry::streams(reply, unix_micros());
                let received = &self.stats.received;
                received.fetch_add(entries.len() as u64, Ordering::Relaxed);
                let last = entries.last().map(|entry| &entry.stream);
                let fruitful = last.and_then(|name| config.streams.iter().position(|stream| stream == name));
                self.turns.answered(turns, fruitful, Instant::now());
                self.queue.extend(entries);
                return Ok(fruitful.is_some());
            }
            Err(error) if Severity::of(&error) == Severity::NoGroup => {
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                match create_groups(&mut connection, &config.group, &streams).await {
                    Ok(()) => return Ok(false),
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        if self.link.server().is_cluster() {
            // The others may be on nodes that live.
            self.turns.failed(turns, Instant::now());
        }
        let cause = config.describe(&streams, &error);
        self.mishap(&error, cause).await?;
        Ok(false)
    }

    /// Finishes entries. What cannot be written now stays pending and is reclaimed.
    async fn write(&mut self, pipeline: &Pipeline) -> Result<(), Failed> {
        let mut connection = self.link.connection().await;
        match connection::execute(&mut connection, pipeline).await {
            Ok(()) => Ok(()),
            Err(failed) => self.mishap(&failed.error, failed.to_string()).await,
        }
    }

    async fn mishap(&mut self, error: &RedisError, cause: String) -> Result<(), Failed> {
        match Severity::of(error) {
            Severity::Lost => {
                self.link.lost(error);
                Ok(())
            }
            Severity::Full | Severity::NoGroup => {
                self.reporter.warn(self.link.server().refused(&cause));
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                Ok(())
            }
            Severity::Permanent => {
                let text = self.link.server().refused(&cause).to_string();
                // In this order: what the streaming thread then posts says nothing.
                self.reporter.fail(&text);
                self.slot.fail(text);
                Err(Failed)
            }
        }
    }
}

/// Creates the streams and the group on each of them, where they are not there yet.
///
/// The group begins at the stream's beginning: what lies there is expired and is deleted in passing, so that the
/// stream's length is the backlog. Beginning at its end would leave frames that nobody ever removes.
///
/// In a cluster, what cannot be reached now is left to be met in reading, unless it is everything.
async fn create_groups(
    connection: &mut Connection,
    group: &str,
    streams: &[impl AsRef<str>],
) -> Result<(), RedisError> {
    let mut unreachable = Vec::new();
    for stream in streams {
        let created = redis::cmd("XGROUP")
            .arg("CREATE")
            .arg(stream.as_ref())
            .arg(group)
            .arg("0")
            .arg("MKSTREAM")
            .query_async::<()>(connection)
            .await;
        match created {
            Ok(()) => {}
            Err(error) if error.code() == Some("BUSYGROUP") => {}
            Err(error) if connection.is_cluster() && Severity::of(&error) == Severity::Lost => {
                unreachable.push(error);
            }
            Err(error) => return Err(error),
        }
    }
    match unreachable.pop() {
        Some(error) if unreachable.len() + 1 == streams.len() => Err(error),
        _ => Ok(()),
    }
}

pub(crate) fn dead_letter_text(entry: &RawEntry, config: &Config, reason: &DeadReason) -> String {
    format!(
        "Entry {} of `{}` cannot be processed: {reason}. It is described in `{}`",
        entry.id, entry.stream, config.dead_letters
    )
}
