//! The bridge for workers of v1: they write the stream `predictions` only, so we publish what they write on
//! the channel of its session. Entries with `v` were published by their worker already.
//!
//! Signaling does so always, a launcher while it has sessions of v1's signaling, which does not.
//!
//! All read as one consumer group, so each entry is published once. They read without
//! acknowledgement (`NOACK`): a prediction that was lost in a crash is of no use a second later, and nothing
//! is left pending.

use std::time::Duration;

use redis::streams::{StreamId, StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands, RedisResult, Value};
use sightline_protocol::keys::{self, BRIDGE_GROUP, PREDICTIONS};
use sightline_protocol::prediction::{PredictionHeader, fields_to_json};
use sightline_redis::{Backoff, Connection, Server};
use tokio_util::sync::CancellationToken;

const BLOCK: Duration = Duration::from_secs(2);
const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);
const COUNT: usize = 100;

/// Bridges until `shutdown`, whatever becomes of Redis. `consumer` is a name of its own for each process.
pub async fn run(redis: Server, consumer: String, shutdown: CancellationToken) {
    let mut backoff = Backoff::new();
    loop {
        let Some(Err(error)) = shutdown
            .run_until_cancelled(bridge(&redis, &consumer, &mut backoff))
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
    if let Err(error) = leave(&redis, &consumer).await {
        tracing::debug!(%error, "the bridge's consumer stays in its group");
    }
}

async fn bridge(
    redis: &Server,
    consumer: &str,
    backoff: &mut Backoff,
) -> anyhow::Result<std::convert::Infallible> {
    // Of its own: a blocking read would stall everything else on it.
    let mut reader = redis.connect(BLOCK + COMMAND_TIMEOUT).await?;
    let mut writer = redis.connect(COMMAND_TIMEOUT).await?;
    let options = StreamReadOptions::default()
        .group(BRIDGE_GROUP, consumer)
        .noack()
        .count(COUNT)
        .block(BLOCK.as_millis() as usize);
    loop {
        let read = reader.xread_options::<_, _, Option<StreamReadReply>>(&[PREDICTIONS], &[">"], &options);
        match read.await {
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
            Err(error) => return Err(error.into()),
        }
    }
}

async fn publish(writer: &mut Connection, entries: impl Iterator<Item = StreamId>) -> RedisResult<()> {
    let mut pipe = redis::pipe();
    for (session, json) in entries.filter_map(to_publish) {
        pipe.publish(keys::predictions_channel(&session), json).ignore();
    }
    if pipe.is_empty() {
        return Ok(());
    }
    pipe.query_async(writer).await
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

async fn create_group(connection: &mut Connection) -> RedisResult<()> {
    let created: RedisResult<()> = connection
        .xgroup_create_mkstream(PREDICTIONS, BRIDGE_GROUP, "$")
        .await;
    match created {
        // Another process was faster.
        Err(error) if error.code() == Some("BUSYGROUP") => Ok(()),
        other => other,
    }
}

async fn leave(redis: &Server, consumer: &str) -> anyhow::Result<()> {
    let mut connection = redis.connect(COMMAND_TIMEOUT).await?;
    Ok(connection
        .xgroup_delconsumer(PREDICTIONS, BRIDGE_GROUP, consumer)
        .await?)
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
