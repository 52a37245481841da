//! The bridge for workers of v1: they write the stream `predictions` only, so we publish what they write on
//! the channel of its session. Entries with `v` were published by their worker already.
//!
//! All signaling services read as one consumer group, so each entry is published once. They read without
//! acknowledgement (`NOACK`): a prediction that was lost in a crash is of no use a second later, and nothing
//! is left pending.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::streams::{StreamId, StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands, AsyncConnectionConfig, RedisResult, Value};
use sightline_inventa::connection::{Backoff, COMMAND_TIMEOUT, CONNECT_TIMEOUT, bounded};
use sightline_protocol::keys::{self, BRIDGE_GROUP, PREDICTIONS};
use sightline_protocol::prediction::{PredictionHeader, fields_to_json};
use tokio_util::sync::CancellationToken;

const BLOCK: Duration = Duration::from_secs(2);
const COUNT: usize = 100;

/// Bridges until `shutdown`, whatever becomes of Redis.
pub(crate) async fn run(client: redis::Client, consumer: String, shutdown: CancellationToken) {
    let mut backoff = Backoff::new();
    loop {
        let Some(Err(error)) = shutdown
            .run_until_cancelled(bridge(&client, &consumer, &mut backoff))
            .await
        else {
            break;
        };
        tracing::warn!(%error, "the bridge for v1 workers lost Redis; connecting again");
        if shutdown
            .run_until_cancelled(tokio::time::sleep(backoff.step()))
            .await
            .is_none()
        {
            break;
        }
    }
    if let Err(error) = leave(&client, &consumer).await {
        tracing::debug!(%error, "the bridge's consumer stays in its group");
    }
}

async fn bridge(
    client: &redis::Client,
    consumer: &str,
    backoff: &mut Backoff,
) -> RedisResult<std::convert::Infallible> {
    let mut reader = connect(client).await?;
    let mut writer = connect(client).await?;
    let options = StreamReadOptions::default()
        .group(BRIDGE_GROUP, consumer)
        .noack()
        .count(COUNT)
        .block(BLOCK.as_millis() as usize);
    loop {
        let read = reader.xread_options::<_, _, Option<StreamReadReply>>(&[PREDICTIONS], &[">"], &options);
        match bounded(BLOCK + COMMAND_TIMEOUT, read).await {
            Ok(reply) => {
                backoff.reset();
                let entries = reply
                    .into_iter()
                    .flat_map(|reply| reply.keys)
                    .flat_map(|key| key.ids);
                publish(&mut writer, entries).await?;
            }
            // At first, and after Redis has lost its data.
            Err(error) if error.code() == Some("NOGROUP") => create_group(&mut writer).await?,
            Err(error) => return Err(error),
        }
    }
}

async fn publish(
    writer: &mut MultiplexedConnection,
    entries: impl Iterator<Item = StreamId>,
) -> RedisResult<()> {
    let mut pipe = redis::pipe();
    for (session, json) in entries.filter_map(to_publish) {
        pipe.publish(keys::predictions_channel(&session), json).ignore();
    }
    if pipe.is_empty() {
        return Ok(());
    }
    bounded(COMMAND_TIMEOUT, pipe.query_async(writer)).await
}

/// The session and the JSON of an entry that its worker has not published.
fn to_publish(entry: StreamId) -> Option<(String, String)> {
    let fields: Vec<(String, String)> = entry
        .map
        .into_iter()
        .filter_map(|(name, value)| match value {
            Value::BulkString(bytes) => Some((name, String::from_utf8(bytes).ok()?)),
            Value::SimpleString(text) => Some((name, text)),
            _ => None,
        })
        .collect();
    let pairs = fields
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    match PredictionHeader::parse(pairs) {
        Ok(header) if header.v1 => Some((header.participant_id, fields_to_json(fields))),
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(id = entry.id, %error, "ignored a malformed prediction");
            None
        }
    }
}

/// A connection of our own: a blocking read would stall everything else on it.
async fn connect(client: &redis::Client) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        // The default one is shorter than the block, and would lose what comes after it.
        .set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await
}

async fn create_group(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    let created: RedisResult<()> = bounded(
        COMMAND_TIMEOUT,
        connection.xgroup_create_mkstream(PREDICTIONS, BRIDGE_GROUP, "$"),
    )
    .await;
    match created {
        // Another signaling service was faster.
        Err(error) if error.code() == Some("BUSYGROUP") => Ok(()),
        other => other,
    }
}

async fn leave(client: &redis::Client, consumer: &str) -> RedisResult<()> {
    let mut connection = connect(client).await?;
    bounded(
        COMMAND_TIMEOUT,
        connection.xgroup_delconsumer(PREDICTIONS, BRIDGE_GROUP, consumer),
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(fields: &[(&str, &str)]) -> StreamId {
        StreamId {
            id: "1-0".into(),
            map: fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Value::BulkString(value.as_bytes().to_vec())))
                .collect(),
            ..Default::default()
        }
    }

    #[test]
    fn only_entries_of_v1_workers_are_published() {
        let v1 = [
            ("participantId", "a"),
            ("timestamp", "9"),
            ("pcount", "1"),
            ("res", "100"),
        ];
        let (session, json) = to_publish(entry(&v1)).unwrap();
        assert_eq!(session, "a");
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["res"], "100");

        let ours = [("participantId", "a"), ("timestamp", "9"), ("v", "1")];
        assert_eq!(to_publish(entry(&ours)), None);
        assert_eq!(
            to_publish(entry(&[("participantId", "a\r\nb"), ("timestamp", "9")])),
            None
        );
        assert_eq!(to_publish(entry(&[])), None);
    }
}
