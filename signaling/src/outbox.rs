//! What waits to be sent to one client: bounded, so that a slow reader hurts only itself.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::{Sink, SinkExt};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use warp::ws::Message;

use crate::journey::Journey;
use crate::listen::WRITE_TIMEOUT;
use crate::metrics;

/// A client that lets so many messages other than predictions wait is cut.
const MAX_WAITING: usize = 128;
/// Predictions that wait; a newer one then replaces the oldest.
const MAX_PREDICTIONS: usize = 4;

#[derive(Default)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    wake: Notify,
    broken: CancellationToken,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<Message>,
    predictions: VecDeque<(Message, Journey)>,
    dropped: u64,
    ending: bool,
}

impl Outbox {
    pub(crate) fn send(&self, message: Message) {
        let mut queue = self.queue();
        if queue.messages.len() >= MAX_WAITING {
            self.broken.cancel();
            return;
        }
        queue.messages.push_back(message);
        self.wake.notify_one();
    }

    pub(crate) fn send_prediction(&self, message: Message, journey: Journey) {
        let mut queue = self.queue();
        if queue.predictions.len() >= MAX_PREDICTIONS {
            queue.predictions.pop_front();
            queue.dropped += 1;
            metrics::dropped("slow-client", 1);
        }
        queue.predictions.push_back((message, journey));
        self.wake.notify_one();
    }

    /// Sends this as the last message; predictions are forgotten.
    pub(crate) fn end(&self, message: Option<Message>) {
        let mut queue = self.queue();
        queue.messages.extend(message);
        queue.predictions.clear();
        queue.ending = true;
        self.wake.notify_one();
    }

    /// Waits until the client cannot be reached any more.
    pub(crate) async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Predictions that were replaced by newer ones.
    pub(crate) fn dropped(&self) -> u64 {
        self.queue().dropped
    }

    /// Sends what comes, until [`Outbox::end`] or until the client is lost.
    pub(crate) async fn drain(&self, mut sink: impl Sink<Message> + Unpin) {
        loop {
            let next = {
                let mut queue = self.queue();
                let message = queue.messages.pop_front().map(|message| (message, None));
                let prediction = |(message, journey)| (message, Some(journey));
                let next = message.or_else(|| queue.predictions.pop_front().map(prediction));
                match next {
                    Some(next) => Some(next),
                    None if queue.ending => break,
                    None => None,
                }
            };
            let Some((message, journey)) = next else {
                self.wake.notified().await;
                continue;
            };
            if !matches!(
                tokio::time::timeout(WRITE_TIMEOUT, sink.send(message)).await,
                Ok(Ok(()))
            ) {
                break;
            }
            if let Some(journey) = journey {
                journey.delivered("websocket");
            }
        }
        self.broken.cancel();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::StreamExt;
    use tokio_util::sync::PollSender;

    use super::*;

    fn texts(messages: &[Message]) -> Vec<&str> {
        messages.iter().map(|message| message.to_str().unwrap()).collect()
    }

    /// A client that takes a message whenever the test reads one.
    fn client() -> (PollSender<Message>, tokio::sync::mpsc::Receiver<Message>) {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        (PollSender::new(sender), receiver)
    }

    #[tokio::test]
    async fn the_oldest_predictions_give_way() {
        let outbox = Outbox::default();
        for i in 0..10 {
            outbox.send_prediction(Message::text(format!("p{i}")), Journey::default());
        }
        outbox.send(Message::text("state"));
        let (sink, receiver) = client();
        let received = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let (_, received) = tokio::join!(
            async {
                tokio::select! {
                    () = outbox.drain(sink) => {}
                    () = async {
                        while !outbox.queue().predictions.is_empty() {
                            tokio::task::yield_now().await;
                        }
                        outbox.end(Some(Message::text("bye")));
                        std::future::pending().await
                    } => {}
                }
            },
            received.collect::<Vec<_>>()
        );
        assert_eq!(texts(&received), ["state", "p6", "p7", "p8", "p9", "bye"]);
        assert_eq!(outbox.dropped(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up() {
        let outbox = Arc::new(Outbox::default());
        let (sink, _held) = client();
        let task = tokio::spawn({
            let outbox = Arc::clone(&outbox);
            async move { outbox.drain(sink).await }
        });
        let begun = tokio::time::Instant::now();
        outbox.send(Message::text("fits"));
        outbox.send(Message::text("does not"));
        outbox.broken().await;
        assert!(begun.elapsed() >= WRITE_TIMEOUT);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn too_many_waiting_messages_break_it_at_once() {
        let outbox = Outbox::default();
        for _ in 0..=MAX_WAITING {
            outbox.send(Message::text("x"));
        }
        tokio::time::timeout(std::time::Duration::from_secs(1), outbox.broken())
            .await
            .unwrap();
    }
}
