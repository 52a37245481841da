//! Connections to Redis that fail fast at first and come back later.

use std::future::Future;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig, PubSub};
use redis::{Client, ErrorKind, RedisError, RedisResult};

/// How long a connection attempt may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(2000);
/// How long a command may take that is not meant to block.
pub const COMMAND_TIMEOUT: Duration = Duration::from_millis(2000);

/// A connection for ordinary commands, shared by cloning. Commands sent while Redis is away fail; the first
/// one after its return works again.
pub async fn commands(client: &Client) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(COMMAND_TIMEOUT))
        // The manager tries again with every command, so that no command waits through a long backoff.
        .set_number_of_retries(0);
    bounded(CONNECT_TIMEOUT, client.get_connection_manager_with_config(config)).await
}

/// A connection for subscriptions only.
pub async fn pubsub(client: &Client) -> RedisResult<PubSub> {
    bounded(CONNECT_TIMEOUT, client.get_async_pubsub()).await
}

/// Gives a Redis operation that has no timeout of its own one.
pub async fn bounded<T>(timeout: Duration, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| {
        Err(RedisError::from((
            ErrorKind::Io,
            "Redis does not answer",
            format!("nothing came within {timeout:?}"),
        )))
    })
}

/// Waiting times between attempts: each twice as long as the one before up to a cap, the second half of
/// each left to chance so that many clients of one Redis do not come back in step.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const CAP: Duration = Duration::from_secs(2);

    pub fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// How long to wait now.
    pub fn step(&mut self) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(Self::CAP);
        full / 2 + full.mul_f64(rand::random_range(0.0..0.5))
    }

    /// To be called after proof of health, not merely after a connection.
    pub fn reset(&mut self) {
        self.next = Self::FIRST;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_its_cap_and_starts_again() {
        let mut backoff = Backoff::new();
        let steps: Vec<_> = (0..12).map(|_| backoff.step()).collect();
        assert!(steps[0] <= Backoff::FIRST, "{steps:?}");
        assert!(steps.iter().all(|step| *step <= Backoff::CAP), "{steps:?}");
        assert!(steps[11] >= Backoff::CAP / 2, "{steps:?}");
        backoff.reset();
        assert!(backoff.step() <= Backoff::FIRST);
    }

    #[tokio::test]
    async fn a_silent_redis_is_an_error_in_bounded_time() {
        let never = std::future::pending::<RedisResult<()>>();
        let error = bounded(Duration::from_millis(10), never).await.unwrap_err();
        assert!(error.to_string().contains("does not answer"), "{error}");
    }
}
