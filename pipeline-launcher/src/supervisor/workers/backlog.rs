//! How long frames have been waiting for a worker.

use std::time::Duration;

use redis::streams::StreamRangeReply;
use sightline_service::redis::{Connection, Server};

const ANSWER: Duration = Duration::from_secs(1);

/// Looks at the streams that workers read, again and again.
pub(super) struct Backlog {
    redis: Server,
    streams: Vec<String>,
    connection: Option<Connection>,
}

impl Backlog {
    pub(super) fn new(redis: Server, streams: Vec<String>) -> Self {
        Self {
            redis,
            streams,
            connection: None,
        }
    }

    /// The age of the oldest frame that no worker has answered; zero if there is none. None while Redis is away.
    pub(super) async fn oldest(&mut self) -> Option<Duration> {
        let oldest = tokio::time::timeout(ANSWER, self.ask()).await;
        match oldest {
            Ok(Ok(age)) => Some(age),
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

    async fn ask(&mut self) -> anyhow::Result<Duration> {
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
        }
        let oldest: Vec<StreamRangeReply> = pipe.query_async(connection).await?;
        let written = oldest
            .iter()
            .filter_map(|reply| milliseconds(&reply.ids.first()?.id))
            .min();
        Ok(Duration::from_millis(
            written.map_or(0, |written| now_ms.saturating_sub(written)),
        ))
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
