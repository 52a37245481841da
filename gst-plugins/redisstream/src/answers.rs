//! Listens for the answers to a session's frames: the sink for its credits, the join for its boxes.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::aio::PubSub;
use sightline_protocol::keys;
use sightline_protocol::prediction::PredictionHeader;
use sightline_redis::{Backoff, Subscription};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::connection::{Error, Reporter, Server};

/// More answers than this at once are for nobody's frames.
const QUEUED: usize = 256;
/// A longer message is no prediction.
const LONGEST_MESSAGE: usize = 1 << 20;

/// A prediction as it came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) header: PredictionHeader,
    /// All of its fields.
    pub(crate) fields: BTreeMap<String, String>,
}

/// The end of those who wait for answers: what has come, and a way to say whose answers are wanted.
pub(crate) struct Answers {
    pub(crate) received: mpsc::Receiver<Received>,
    /// Whose answers are wanted; empty: nobody's.
    pub(crate) session: watch::Sender<String>,
    /// Whose answers cannot be missed now; empty: nobody's.
    pub(crate) listening_to: watch::Receiver<String>,
}

impl Answers {
    /// Asks for a session's answers and waits, not for ever, until none can be missed.
    pub(crate) async fn listen(&mut self, session: &str) {
        self.session.send_if_modified(|wanted| {
            let other = wanted != session;
            session.clone_into(wanted);
            other
        });
        let ready = self.listening_to.wait_for(|current| current == session);
        // Late or never: then the first credits come back by time, and a warning has said why.
        drop(timeout(Duration::from_secs(1), ready).await);
    }
}

/// Makes the two ends; the second must be run as a task. It begins with a session whose channel is subscribed to, if
/// there is one.
pub(crate) fn answers(
    server: Server,
    subscribed: Option<(String, PubSub)>,
    reporter: Reporter,
) -> (Answers, impl Future<Output = ()>) {
    let (sender, received) = mpsc::channel(QUEUED);
    let first = subscribed.as_ref().map(|(session, _)| session.clone());
    let (session, session_receiver) = watch::channel(first.unwrap_or_default());
    let (listening, listening_to) = watch::channel(String::new());
    let listener = Listener {
        server,
        subscribed,
        reporter,
        sender,
        session: session_receiver,
        listening,
        backoff: Backoff::default(),
    };
    let answers = Answers {
        received,
        session,
        listening_to,
    };
    (answers, listener.run())
}

struct Listener {
    server: Server,
    subscribed: Option<(String, PubSub)>,
    reporter: Reporter,
    sender: mpsc::Sender<Received>,
    session: watch::Receiver<String>,
    listening: watch::Sender<String>,
    backoff: Backoff,
}

/// Why the listening ended.
enum End {
    OtherSession,
    /// Nobody waits for answers any more.
    Finished,
    Lost,
}

impl Listener {
    async fn run(mut self) {
        loop {
            let session = self.session.borrow_and_update().clone();
            if session.is_empty() {
                if self.session.changed().await.is_err() {
                    return;
                }
                continue;
            }
            match self.subscribe(&session).await {
                Ok(pubsub) => {
                    self.listening.send_replace(session);
                    let end = self.forward(pubsub).await;
                    self.listening.send_replace(String::new());
                    match end {
                        End::OtherSession => continue,
                        End::Finished => return,
                        End::Lost => self.reporter.warn(format_args!(
                            "Lost the connection to Redis at {} that brings the answers; trying again",
                            self.server
                        )),
                    }
                }
                Err(error) => self.reporter.warn(format_args!("{error}; trying again")),
            }
            tokio::time::sleep(self.backoff.step()).await;
        }
    }

    async fn subscribe(&mut self, session: &str) -> Result<PubSub, Error> {
        match self.subscribed.take() {
            Some((subscribed, pubsub)) if subscribed == session => Ok(pubsub),
            // Its own connection: one that listens may do nothing else.
            _ => self.server.subscribe(&keys::predictions_channel(session)).await,
        }
    }

    /// Passes answers on until the connection ends or another session is wanted.
    async fn forward(&mut self, pubsub: PubSub) -> End {
        let mut subscription = Subscription::new(pubsub);
        loop {
            tokio::select! {
                changed = self.session.changed() => {
                    return if changed.is_ok() { End::OtherSession } else { End::Finished };
                }
                message = subscription.next(&mut self.backoff) => {
                    let Some(message) = message else { return End::Lost };
                    if let Some(received) = parse(message.get_payload_bytes()) {
                        // Full: the one who waits hangs, and does without.
                        drop(self.sender.try_send(received));
                    }
                }
            }
        }
    }
}

/// Reads a prediction's JSON; what is none is ignored.
fn parse(payload: &[u8]) -> Option<Received> {
    if payload.len() > LONGEST_MESSAGE {
        return None;
    }
    let object: BTreeMap<String, serde_json::Value> = serde_json::from_slice(payload).ok()?;
    let fields: BTreeMap<String, String> = object
        .into_iter()
        .filter_map(|(name, value)| match value {
            serde_json::Value::String(text) => Some((name, text)),
            _ => None,
        })
        .collect();
    let pairs = fields
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let header = PredictionHeader::parse(pairs).ok()?;
    Some(Received { header, fields })
}

#[cfg(test)]
mod tests {
    use sightline_protocol::Prediction;

    use super::*;

    #[test]
    fn predictions_are_read_and_garbage_is_not() {
        let prediction = Prediction {
            participant_id: "a".into(),
            timestamp: 7,
            seq: Some(3),
            ..Default::default()
        };
        let Received { header, fields } = parse(prediction.to_json().as_bytes()).unwrap();
        assert_eq!((header.timestamp, header.seq), (7, Some(3)));
        assert_eq!(fields, prediction.fields().into_iter().collect());
        assert_eq!(parse(b"[]"), None);
        assert_eq!(parse(br#"{"participantId": 7}"#), None);
        let worker = Some("w".repeat(LONGEST_MESSAGE));
        let long = Prediction { worker, ..prediction };
        assert_eq!(parse(long.to_json().as_bytes()), None);
    }
}
