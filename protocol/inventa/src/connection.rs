//! Connections to Redis that fail fast at first and come back later.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig, PubSub};
use redis::{Client, RedisResult};

pub use sightline_redis::{Backoff, CONNECT_TIMEOUT, bounded};

/// How long a command may take that is not meant to block.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);

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
