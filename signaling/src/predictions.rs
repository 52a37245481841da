//! Results on their way from Redis to the session that they belong to.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::StreamExt;
use redis::Msg;
use redis::aio::PubSub;
use serde_json::Value;
use sightline_inventa::connection::{Backoff, COMMAND_TIMEOUT, bounded};
use sightline_protocol::prediction::PredictionHeader;
use sightline_protocol::{keys, unix_micros};
use sightline_service::redis::{Error, Server};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::hub::Hub;
use crate::metrics;
use crate::session::Event;

const PING_EVERY: std::time::Duration = std::time::Duration::from_secs(5);

/// Subscribes to the channels of the sessions that are ours, on one connection.
pub(crate) struct Predictions {
    // One command for each beginning and end of a session: the connections bound it.
    commands: mpsc::UnboundedSender<Command>,
}

enum Command {
    Subscribe(String),
    Unsubscribe(String),
}

impl Predictions {
    pub(crate) async fn start(
        redis: Server,
        hub: Arc<Hub>,
        shutdown: CancellationToken,
        tasks: &TaskTracker,
    ) -> Result<Self, Error> {
        let pubsub = redis.subscribe_all(&[]).await?;
        let (commands, receiver) = mpsc::unbounded_channel();
        let reader = Reader {
            redis,
            hub,
            commands: receiver,
            channels: HashSet::new(),
        };
        tasks.spawn(async move {
            shutdown.run_until_cancelled(reader.run(pubsub)).await;
        });
        Ok(Self { commands })
    }

    pub(crate) fn subscribe(&self, session: &str) {
        self.tell(Command::Subscribe(keys::predictions_channel(session)));
    }

    pub(crate) fn unsubscribe(&self, session: &str) {
        self.tell(Command::Unsubscribe(keys::predictions_channel(session)));
    }

    fn tell(&self, command: Command) {
        // The reader is gone only when the server stops.
        self.commands.send(command).ok();
    }
}

struct Reader {
    redis: Server,
    hub: Arc<Hub>,
    commands: mpsc::UnboundedReceiver<Command>,
    /// What should be subscribed, whatever becomes of the connection.
    channels: HashSet<String>,
}

impl Reader {
    async fn run(mut self, first: PubSub) {
        let mut backoff = Backoff::new();
        let mut pubsub = Some(first);
        loop {
            if let Some(pubsub) = pubsub.take() {
                let error = self.read(pubsub, &mut backoff).await;
                tracing::warn!(%error, "lost the connection that brings predictions; connecting again");
            }
            tokio::time::sleep(backoff.step()).await;
            match self.connect().await {
                Ok(new) => {
                    metrics::reconnected();
                    tracing::info!("predictions come again");
                    pubsub = Some(new);
                }
                Err(error) => tracing::debug!(%error, "Redis is still away"),
            }
        }
    }

    async fn connect(&mut self) -> Result<PubSub, Error> {
        while let Ok(command) = self.commands.try_recv() {
            self.note(command);
        }
        let channels: Vec<&str> = self.channels.iter().map(String::as_str).collect();
        self.redis.subscribe_all(&channels).await
    }

    fn note(&mut self, command: Command) {
        match command {
            Command::Subscribe(channel) => self.channels.insert(channel),
            Command::Unsubscribe(channel) => self.channels.remove(&channel),
        };
    }

    /// Hands predictions on until the connection is lost; returns why.
    async fn read(&mut self, pubsub: PubSub, backoff: &mut Backoff) -> redis::RedisError {
        let (mut sink, mut messages) = pubsub.split();
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                message = messages.next() => match message {
                    Some(message) => {
                        self.deliver(&message);
                        Ok(())
                    }
                    None => Err((redis::ErrorKind::Io, "closed by Redis").into()),
                },
                Some(command) = self.commands.recv() => {
                    let change = match &command {
                        Command::Subscribe(channel) => (channel.clone(), true),
                        Command::Unsubscribe(channel) => (channel.clone(), false),
                    };
                    self.note(command);
                    match change {
                        (channel, true) => bounded(COMMAND_TIMEOUT, sink.subscribe(channel)).await,
                        (channel, false) => bounded(COMMAND_TIMEOUT, sink.unsubscribe(channel)).await,
                    }
                }
                _ = ping.tick() => {
                    let alive = bounded(COMMAND_TIMEOUT, sink.ping::<redis::Value>()).await;
                    alive.map(|_| backoff.reset())
                }
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    fn deliver(&self, message: &Msg) {
        let Some((header, entry)) = parse(message.get_payload_bytes()) else {
            metrics::dropped("malformed", 1);
            tracing::debug!(
                channel = message.get_channel_name(),
                "ignored a malformed prediction"
            );
            return;
        };
        let answered = entry["answered"].as_str().and_then(|at| at.parse::<u64>().ok());
        if let Some(answered) = answered {
            metrics::returned(unix_micros().saturating_sub(answered));
        }
        // The channel says whose it is; an entry that says otherwise is not handed on.
        let session = header.participant_id.clone();
        let its_own = keys::predictions_channel(&session) == message.get_channel_name();
        if !its_own || !self.hub.deliver(&session, Event::Prediction { header, entry }) {
            metrics::dropped("no-session", 1);
        }
    }
}

/// Reads a prediction: a JSON object in which every value is a string.
fn parse(payload: &[u8]) -> Option<(PredictionHeader, Value)> {
    let entry: Value = serde_json::from_slice(payload).ok()?;
    let fields: Option<Vec<(&[u8], &[u8])>> = entry
        .as_object()?
        .iter()
        .map(|(name, value)| Some((name.as_bytes(), value.as_str()?.as_bytes())))
        .collect();
    let header = PredictionHeader::parse(fields?).ok()?;
    Some((header, entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_of_strings_are_predictions() {
        let (header, entry) = parse(br#"{"participantId":"a","timestamp":"9","pcount":"0"}"#).unwrap();
        assert_eq!((header.participant_id.as_str(), header.timestamp), ("a", 9));
        assert_eq!(entry["pcount"], "0");
        for bad in [
            r#"{"participantId":"a","timestamp":9}"#,
            r#"{"participantId":"a"}"#,
            r#"["participantId"]"#,
            "",
            "\u{fffd}",
        ] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
