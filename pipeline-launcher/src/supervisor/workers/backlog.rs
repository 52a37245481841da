//! How long frames have been waiting for a worker.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::streams::StreamRangeReply;

const ANSWER: Duration = Duration::from_secs(1);

/// Looks at one stream, again and again.
#[derive(Debug)]
pub(super) struct Backlog {
    client: redis::Client,
    stream: String,
    connection: Option<MultiplexedConnection>,
}

impl Backlog {
    pub(super) fn new(client: redis::Client, stream: String) -> Self {
        Self {
            client,
            stream,
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

    async fn ask(&mut self) -> redis::RedisResult<Duration> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => empty.insert(self.client.get_multiplexed_async_connection().await?),
        };
        // Redis wrote the ids, so its clock tells their age.
        let ((seconds, micros), entries): ((u64, u64), StreamRangeReply) = redis::pipe()
            .cmd("TIME")
            .cmd("XRANGE")
            .arg(&self.stream)
            .arg("-")
            .arg("+")
            .arg("COUNT")
            .arg(1)
            .query_async(connection)
            .await?;
        let now_ms = seconds * 1000 + micros / 1000;
        let written = entries.ids.first().and_then(|entry| milliseconds(&entry.id));
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
