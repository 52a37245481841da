//! One connection: its frames become events, the session's actions become frames and calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt};
use sightline_protocol::rpc::PipelineKind;
use sightline_protocol::ws::{ClockAnswer, ServerMessage};
use sightline_protocol::{Failure, unix_micros};
use tokio::sync::mpsc;
use warp::ws::{Message, WebSocket};

use crate::auth::Caller;
use crate::hub::{About, Inbox};
use crate::journey::Journey;
use crate::launchers::Need;
use crate::outbox::Outbox;
use crate::session::{Action, Event, Session};
use crate::{Services, traces};

/// Events that may wait for one connection.
const MAX_EVENTS: usize = 256;
/// How long the client may take over its part of the goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

/// `caller` is who has shown a token already, or anybody where none is asked for; `traceparent`: the trace context that the client
/// came with.
pub(crate) async fn run(
    socket: WebSocket,
    services: Arc<Services>,
    caller: Option<Caller>,
    traceparent: Option<String>,
) {
    let id = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
    tracing::debug!(connection = id, "connected");
    let (sink, mut frames) = socket.split();
    let outbox = Arc::new(Outbox::default());
    let mut writer = tokio::spawn({
        let outbox = Arc::clone(&outbox);
        async move { outbox.drain(sink).await }
    });
    let (inbox, mut events) = mpsc::channel(MAX_EVENTS);
    let connection = Connection {
        services: Arc::clone(&services),
        outbox: Arc::clone(&outbox),
        inbox,
        traceparent,
    };
    let (mut session, greeting) = Session::new(
        Arc::clone(&services.settings),
        id,
        caller,
        session_id,
        Instant::now(),
    );
    connection.perform(greeting);

    while !session.is_closed() {
        let event = tokio::select! {
            () = services.shutdown.cancelled() => Event::Shutdown,
            () = outbox.broken() => Event::Gone,
            frame = frames.next() => frame_event(frame),
            Some(event) = events.recv() => event,
            () = tokio::time::sleep_until(session.deadline().into()) => Event::Tick,
        };
        connection.perform(session.handle(event, Instant::now()));
    }
    // An offer that was still on its way finds its session gone, and has its pipeline stopped.
    events.close();
    while let Some(event) = events.recv().await {
        connection.perform(session.handle(event, Instant::now()));
    }

    outbox.end(None);
    let goodbye = async {
        tokio::join!(&mut writer, discard(&mut frames)).0.ok();
    };
    if tokio::time::timeout(GOODBYE, goodbye).await.is_err() {
        writer.abort();
    }
    tracing::debug!(
        connection = id,
        dropped_predictions = outbox.dropped(),
        "disconnected"
    );
}

/// 128 bits from a cryptographically secure generator: who knows it may hear of the session.
pub(crate) fn session_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn frame_event(frame: Option<Result<Message, warp::Error>>) -> Event {
    match frame {
        Some(Ok(message)) if message.is_close() => Event::Gone,
        Some(Ok(message)) if message.is_text() => match message.to_str() {
            Ok(text) => Event::Message(text.to_owned()),
            Err(()) => Event::NotText,
        },
        Some(Ok(message)) if message.is_binary() => Event::NotText,
        Some(Ok(_)) => Event::Heard,
        Some(Err(error)) if is_too_long(&error) => Event::TooLong,
        Some(Err(_)) | None => Event::Gone,
    }
}

/// warp hides the error's type, but not its words.
fn is_too_long(error: &warp::Error) -> bool {
    error.to_string().contains("too long")
}

/// Reads on until the client has closed: if data were left unread, the kernel would reset the connection,
/// and our last words would be lost.
async fn discard(frames: &mut (impl Stream<Item = Result<Message, warp::Error>> + Unpin)) {
    while let Some(Ok(_)) = frames.next().await {}
}

struct Connection {
    services: Arc<Services>,
    outbox: Arc<Outbox>,
    inbox: Inbox,
    traceparent: Option<String>,
}

impl Connection {
    fn perform(&self, actions: Vec<Action>) {
        for action in actions {
            self.perform_one(action);
        }
    }

    fn perform_one(&self, action: Action) {
        match action {
            Action::Send(message) => self.send(&message),
            Action::SendClock { t0 } => self.send(&ServerMessage::Stats(ClockAnswer {
                t0,
                server_time_us: unix_micros(),
            })),
            Action::Ping => self.outbox.send(Message::ping(Vec::new())),
            Action::Close { code, reason } => self.outbox.end(Some(Message::close_with(code, reason))),
            Action::Open {
                session,
                tenant,
                pipeline,
                placement,
            } => {
                tracing::info!(session, launcher = %placement.launcher, "session starts");
                self.services.predictions.subscribe(&session);
                traces::link(&session, self.traceparent.as_deref());
                let about = About {
                    session,
                    tenant,
                    launcher: placement.launcher,
                };
                self.services.hub.open(about, pipeline, self.inbox.clone());
            }
            Action::Shut { session } => {
                tracing::info!(session, "session ended");
                self.services.hub.shut(&session);
                self.services.predictions.unsubscribe(&session);
            }
            call => self.call(call),
        }
    }

    fn send(&self, message: &ServerMessage) {
        let text = match serde_json::to_string(message) {
            Ok(text) => Message::text(text),
            Err(error) => {
                tracing::error!(%error, "a message cannot be written as JSON");
                return;
            }
        };
        if let ServerMessage::Prediction(entry) = message {
            self.outbox.send_prediction(text, Journey::of(entry));
        } else {
            self.outbox.send(text);
        }
    }

    /// Starts what takes time; its outcome comes back as an event.
    fn call(&self, action: Action) {
        let services = Arc::clone(&self.services);
        let inbox = self.inbox.clone();
        self.services.tasks.spawn(async move {
            let launchers = &services.launchers;
            match action {
                Action::Place {
                    session,
                    tenant,
                    pipeline,
                    client_offers,
                } => {
                    let result = match services.may_start(&tenant).await {
                        Ok(()) => launchers.place(need(&pipeline, client_offers)).await,
                        Err(failure) => Err(failure),
                    };
                    report(&session, result.as_ref().err());
                    inbox.send(Event::Placed { session, result }).await.ok();
                }
                Action::Start { mut placement, start } => {
                    let result = loop {
                        let result = launchers.start(&placement, &start).await;
                        let Err(refusal) = &result else { break result };
                        let need = need(&start.pipeline, start.offer.is_some());
                        let next = launchers.instead_of(&placement, refusal, need);
                        let Some(next) = next.await else { break result };
                        services.hub.relocate(&start.session, next.launcher.clone());
                        placement = next;
                    };
                    report(&start.session, result.as_ref().err());
                    let event = Event::Offer {
                        session: start.session,
                        placement,
                        result,
                    };
                    // The client may have left meanwhile: then nobody else will stop it.
                    if let Err(mpsc::error::SendError(Event::Offer {
                        session,
                        placement,
                        result: Ok(_),
                    })) = inbox.send(event).await
                    {
                        report(
                            &session,
                            launchers.stop(&placement, session.clone()).await.as_ref().err(),
                        );
                    }
                }
                Action::Accept {
                    placement,
                    session,
                    sdp,
                } => {
                    let result = launchers.accept(&placement, &session, &sdp).await;
                    report(&session, result.as_ref().err());
                    inbox.send(Event::Accepted { session, result }).await.ok();
                }
                Action::Candidate {
                    placement,
                    session,
                    candidate,
                } => {
                    let result = launchers.candidate(&placement, session.clone(), candidate).await;
                    report(&session, result.as_ref().err());
                }
                Action::Stop { placement, session } => {
                    let result = launchers.stop(&placement, session.clone()).await;
                    report(&session, result.as_ref().err());
                }
                _ => {}
            }
        });
    }
}

fn need(pipeline: &str, client_offers: bool) -> Need<'_> {
    Need {
        pipeline,
        kind: PipelineKind::Session,
        client_offers,
    }
}

fn report(session: &str, failure: Option<&Failure>) {
    if let Some(failure) = failure {
        // The words may quote what a client sent.
        tracing::info!(session, reason = %failure.id, "refused");
        tracing::debug!(session, "{}", failure.message);
    }
}
