//! The element's task: brings what Redis says to the queue.

use std::sync::Arc;

use sightline_protocol::keys;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
use super::queue::Queue;
use crate::answers::{self, Answers, Received};
use crate::connection::{self, Error, Reporter, Server};
use crate::publisher::RESPONSE_TIMEOUT;

/// Says whose answers are wanted.
pub(super) type Session = watch::Sender<String>;

/// Connects, once and quickly, and listens from then on until it is cancelled. If the session is known no answer to
/// it is missed.
pub(super) fn start_and_wait<T: Send + 'static>(
    server: Server,
    session: Option<String>,
    queue: Arc<Queue<T, Answer>>,
    reporter: Reporter,
    cancelled: CancellationToken,
) -> Result<Session, Error> {
    connection::wait(async move {
        let subscribed = match session {
            Some(session) => {
                let pubsub = server.subscribe(&keys::predictions_channel(&session)).await?;
                Some((session, pubsub))
            }
            None => {
                server.connect(RESPONSE_TIMEOUT).await?;
                None
            }
        };
        let (answers, listener) = answers::answers(server, subscribed, reporter);
        let session = answers.session.clone();
        connection::spawn(async move {
            let both = async { tokio::join!(listener, pass_on(answers, &queue)) };
            cancelled.run_until_cancelled(both).await;
        })?;
        Ok(session)
    })
}

async fn pass_on<T>(mut answers: Answers, queue: &Queue<T, Answer>) {
    loop {
        tokio::select! {
            received = answers.received.recv() => {
                let Some(received) = received else { return };
                let expected = *answers.session.borrow() == received.header.participant_id;
                hear(queue, expected, &received);
            }
            changed = answers.listening_to.changed() => {
                if changed.is_err() {
                    return;
                }
                let listening = !answers.listening_to.borrow_and_update().is_empty();
                queue.set_listening(listening);
            }
        }
    }
}

fn hear<T>(queue: &Queue<T, Answer>, expected: bool, received: &Received) {
    match Answer::read(received) {
        Ok((heard, answer)) if expected => queue.answer(heard, answer),
        Ok(_) => queue.note_unknown_answer(),
        Err(error) => {
            gst::warning!(super::CAT, "An answer cannot be used: {error}");
            queue.note_unknown_answer();
        }
    }
}
