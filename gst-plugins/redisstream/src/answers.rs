//! Listens for the answers to a session's frames.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::PubSub;
use sightline_protocol::keys;
use sightline_protocol::prediction::PredictionHeader;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::connection::{CONNECT_TIMEOUT, Reporter, Server};

/// A silent channel and a dead one look alike: so often the connection is tried.
const PING_INTERVAL: Duration = Duration::from_secs(3);
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// More answers than this at once are for nobody's frames.
const QUEUED: usize = 256;

/// The publisher's end: what was answered, and a way to say whose answers are wanted.
pub(crate) struct Answers {
    pub(crate) received: mpsc::Receiver<PredictionHeader>,
    session: watch::Sender<String>,
    listening_to: watch::Receiver<String>,
}

impl Answers {
    /// Asks for a session's answers and waits, not for ever, until none can be missed.
    pub(crate) async fn listen(&mut self, session: &str) {
        self.session.send_replace(session.to_owned());
        let ready = self.listening_to.wait_for(|current| current == session);
        // Late or never: then the first credits come back by time, and a warning has said why.
        drop(timeout(Duration::from_secs(1), ready).await);
    }
}

/// Makes the two ends; the second must be run as a task.
pub(crate) fn answers(server: Server, reporter: Reporter) -> (Answers, impl Future<Output = ()>) {
    let (sender, received) = mpsc::channel(QUEUED);
    let (session, session_receiver) = watch::channel(String::new());
    let (listening, listening_to) = watch::channel(String::new());
    let listener = Listener {
        server,
        reporter,
        sender,
        session: session_receiver,
        listening,
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
    reporter: Reporter,
    sender: mpsc::Sender<PredictionHeader>,
    session: watch::Receiver<String>,
    listening: watch::Sender<String>,
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
            // Its own connection: one that listens may do nothing else.
            match self.server.subscribe(&keys::predictions_channel(&session)).await {
                Ok(pubsub) => {
                    self.listening.send_replace(session);
                    self.forward(pubsub).await;
                    self.listening.send_replace(String::new());
                }
                Err(error) => self.reporter.warn(format_args!("{error}; trying again")),
            }
            match self.session.has_changed() {
                Ok(true) => {}
                Ok(false) => tokio::time::sleep(RETRY_DELAY).await,
                Err(_) => return,
            }
        }
    }

    /// Passes answers on until the connection ends or another session is wanted.
    async fn forward(&mut self, pubsub: PubSub) {
        let (mut sink, mut messages) = pubsub.split();
        let mut ping = interval(PING_INTERVAL);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = self.session.changed() => return,
                _ = ping.tick() => {
                    let alive = timeout(CONNECT_TIMEOUT, sink.ping::<redis::Value>()).await;
                    if !matches!(alive, Ok(Ok(_))) {
                        return;
                    }
                }
                message = messages.next() => {
                    let Some(message) = message else { return };
                    if let Some(header) = parse(message.get_payload_bytes()) {
                        // Full: the publisher hangs, and its credits expire.
                        drop(self.sender.try_send(header));
                    }
                }
            }
        }
    }
}

/// Reads a prediction's JSON; what is none is ignored.
fn parse(payload: &[u8]) -> Option<PredictionHeader> {
    let object: HashMap<String, serde_json::Value> = serde_json::from_slice(payload).ok()?;
    let fields = object
        .iter()
        .filter_map(|(name, value)| Some((name.as_bytes(), value.as_str()?.as_bytes())));
    PredictionHeader::parse(fields).ok()
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
        let header = parse(prediction.to_json().as_bytes()).unwrap();
        assert_eq!((header.timestamp, header.seq), (7, Some(3)));
        assert_eq!(parse(b"[]"), None);
        assert_eq!(parse(br#"{"participantId": 7}"#), None);
    }
}
