//! What launchers ask of us.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use sightline_inventa::{Answer, Handler, unknown_command};
use sightline_protocol::inventa::Request;
use sightline_protocol::rpc::{Done, SUCCEEDED, SessionCandidate, SessionEvent, SessionPhase, method};
use sightline_protocol::{ErrorId, Failure};

use crate::hub::Hub;
use crate::session::Event;

pub(crate) fn handler(hub: Arc<Hub>) -> impl Handler {
    // Delivering never waits, so neither does an answer.
    move |request: Request| std::future::ready(answer(&hub, &request))
}

fn answer(hub: &Hub, request: &Request) -> Answer {
    match request.method.as_str() {
        method::SESSION_EVENT => {
            let event: SessionEvent = argument(request)?;
            if let Some(exit) = event.exit {
                hub.exited(&event.session, exit, event.progress.unwrap_or_default().dropped);
            }
            let known = hub.deliver(
                &event.session,
                Event::Phase {
                    session: event.session.clone(),
                    phase: event.state,
                    reason: event.reason,
                },
            );
            done(known, &event.session)
        }
        method::SESSION_CANDIDATE => {
            let SessionCandidate { session, candidate } = argument(request)?;
            let event = Event::Candidate {
                session: session.clone(),
                candidate,
            };
            done(hub.deliver(&session, event), &session)
        }
        method::MB_ICE_CONN_STATE_CHANGE => v1_state(hub, request),
        other => Err(unknown_command(other)),
    }
}

/// v1's bridge tells all signaling services at once, so not to know the session is no error.
fn v1_state(hub: &Hub, request: &Request) -> Answer {
    let [session, new, ..] = &request.args[..] else {
        let words = "`mb-ice-conn-state-change` takes a session id, the new and the old state";
        return Err(Failure::new(ErrorId::BadMessage, words).to_string());
    };
    let (phase, reason) = match new.as_str() {
        "checking" => (SessionPhase::Connecting, None),
        "connected" | "completed" => (SessionPhase::Connected, None),
        "closed" => (SessionPhase::Ended, None),
        "failed" => {
            let words = "no network path between browser and server was found, or it was lost";
            (
                SessionPhase::Failed,
                Some(Failure::new(ErrorId::SessionFailed, words)),
            )
        }
        // `new` and `disconnected` pass by.
        _ => return Ok(vec![SUCCEEDED.into()]),
    };
    let event = Event::Phase {
        session: session.clone(),
        phase,
        reason,
    };
    hub.deliver(session, event);
    Ok(vec![SUCCEEDED.into()])
}

fn argument<T: DeserializeOwned>(request: &Request) -> Result<T, String> {
    let text = request.args.first().map_or("", String::as_str);
    serde_json::from_str(text).map_err(|error| {
        Failure::new(
            ErrorId::BadMessage,
            format!("the argument of `{}` cannot be read: {error}", request.method),
        )
        .to_string()
    })
}

fn done(known: bool, session: &str) -> Answer {
    if known {
        let value = serde_json::to_string(&Done {}).map_err(|error| error.to_string())?;
        Ok(vec![value])
    } else {
        let words = format!("no session here has the id `{session}`");
        Err(Failure::new(ErrorId::UnknownSession, words).to_string())
    }
}
