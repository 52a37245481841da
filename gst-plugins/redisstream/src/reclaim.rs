//! Reclaims what workers read and never finished: they died, or the frame killed them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::{RedisError, Value};
use sightline_protocol::unix_micros;
use tokio::time::{MissedTickBehavior, interval};

use crate::connection::{self, CommandError, Link, Reporter, Severity};
use crate::entry::{self, DeadReason, RawEntry};
use crate::reader::{Config, Stats, dead_letter_text};

const INTERVAL: Duration = Duration::from_secs(1);
/// Entries claimed in one round trip: they come with their pictures.
const BATCH: usize = 8;
/// Round trips in one interval and stream.
const MAX_ROUNDS: usize = 32;

pub(crate) struct Reclaimer {
    config: Arc<Config>,
    link: Link,
    stats: Arc<Stats>,
    reporter: Reporter,
}

impl Reclaimer {
    pub(crate) fn new(config: Arc<Config>, link: Link, stats: Arc<Stats>, reporter: Reporter) -> Self {
        Self {
            config,
            link,
            stats,
            reporter,
        }
    }

    /// Sweeps for ever. Always, not only at start: trimming and dying workers leave entries at any time.
    pub(crate) async fn run(mut self) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let config = self.config.clone();
        loop {
            ticks.tick().await;
            for stream in &config.streams {
                match self.sweep(stream).await {
                    Ok(()) => self.link.healthy(),
                    Err(failed) => self.mishap(stream, &failed),
                }
            }
        }
    }

    fn mishap(&mut self, stream: &str, failed: &CommandError) {
        match Severity::of(&failed.error) {
            Severity::Lost => self.link.lost(&failed.error),
            // The reader creates the group again.
            Severity::NoGroup => {}
            Severity::Full | Severity::Permanent => {
                let cause = format!("cannot reclaim from `{stream}`: {failed}");
                self.reporter.warn(self.link.server().refused(&cause));
            }
        }
    }

    /// Buries a stream's abandoned entries. They are never looked at again: they are late, and a picture that
    /// killed one worker must not kill the next.
    async fn sweep(&mut self, stream: &str) -> Result<(), CommandError> {
        let mut cursor = "0-0".to_owned();
        for _ in 0..MAX_ROUNDS {
            let (next, claimed) = self.claim(stream, &cursor).await?;
            if !claimed.is_empty() {
                self.bury(&claimed).await?;
            }
            if next == "0-0" {
                break;
            }
            cursor = next;
        }
        Ok(())
    }

    async fn claim(&mut self, stream: &str, cursor: &str) -> Result<(String, Vec<RawEntry>), RedisError> {
        let mut connection = self.link.connection().await;
        let idle = self.config.limits.reclaim_idle.as_millis() as u64;
        let reply: Vec<Value> = redis::cmd("XAUTOCLAIM")
            .arg(stream)
            .arg(&self.config.group)
            .arg(&self.config.consumer)
            .arg(idle)
            .arg(cursor)
            .arg("COUNT")
            .arg(BATCH)
            .query_async(&mut connection)
            .await?;
        // A third part, ids of trimmed entries, needs nothing: Redis has forgotten them by now.
        let mut parts = reply.into_iter();
        let next: String = redis::from_redis_value(parts.next().unwrap_or(Value::Nil))?;
        let claimed = parts.next().unwrap_or(Value::Nil);
        Ok((next, entry::entries(stream, claimed, unix_micros())))
    }

    async fn bury(&mut self, entries: &[RawEntry]) -> Result<(), CommandError> {
        let config = &self.config;
        let mut pipeline = connection::pipe();
        for entry in entries {
            let reason = DeadReason::Reclaimed;
            entry.bury(&mut pipeline, &config.group, &config.dead_letters, &reason);
            self.reporter.warn(dead_letter_text(entry, config, &reason));
        }
        let mut connection = self.link.connection().await;
        connection::execute(&mut connection, &pipeline).await?;
        let count = entries.len() as u64;
        self.stats.reclaimed.fetch_add(count, Ordering::Relaxed);
        self.stats.dead_lettered.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }
}
