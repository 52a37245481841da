//! How many frames there are for workers, and how long the oldest has been waiting.

use std::time::Duration;

use redis::streams::StreamRangeReply;
use sightline_service::redis::{Connection, Server};

const ANSWER: Duration = Duration::from_secs(1);

/// Looks at the streams that workers read, again and again.
pub struct Backlog {
    redis: Server,
    streams: Vec<String>,
    connection: Option<Connection>,
}

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    pub length: u64,
    /// Of the oldest frame that no worker has answered; zero if there is none.
    pub age: Duration,
}

impl Backlog {
    pub fn new(redis: Server, streams: Vec<String>) -> Self {
        Self {
            redis,
            streams,
            connection: None,
        }
    }

    /// None while Redis is away.
    pub async fn look(&mut self) -> Option<Queue> {
        match tokio::time::timeout(ANSWER, self.ask()).await {
            Ok(Ok(queue)) => Some(queue),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the backlog is not known");
                self.connection = None;
                None
            }
            Err(_) => {
                self.connection = None;
                None
            }
        }
    }

    async fn ask(&mut self) -> anyhow::Result<Queue> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => empty.insert(self.redis.connect(ANSWER).await?),
        };
        // Redis wrote the ids, so its clock tells their age. (Of a cluster, any node's: clocks are kept in step.)
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(connection).await?;
        let now_ms = seconds * 1000 + micros / 1000;
        let mut pipe = redis::pipe();
        for stream in &self.streams {
            pipe.cmd("XRANGE")
                .arg(stream)
                .arg("-")
                .arg("+")
                .arg("COUNT")
                .arg(1);
            pipe.cmd("XLEN").arg(stream);
        }
        let replies: Vec<redis::Value> = pipe.query_async(connection).await?;
        let (mut length, mut written) = (0, None);
        for reply in replies.chunks_exact(2) {
            let [oldest, entries] = reply else { continue };
            let oldest: StreamRangeReply = redis::from_redis_value(oldest.clone())?;
            length += redis::from_redis_value::<u64>(entries.clone())?;
            let oldest = oldest.ids.first().and_then(|entry| milliseconds(&entry.id));
            written = written.into_iter().chain(oldest).min();
        }
        let age = Duration::from_millis(written.map_or(0, |written| now_ms.saturating_sub(written)));
        Ok(Queue { length, age })
    }
}

/// When an entry was written: `1766480990000-3`.
fn milliseconds(id: &str) -> Option<u64> {
    id.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_time() {
        assert_eq!(milliseconds("1766480990000-3"), Some(1_766_480_990_000));
        assert_eq!(milliseconds("x"), None);
    }
}
