//! A session's predictions as Server-Sent Events.
//!
//! Events are numbered from 1, so that a client who comes back with `Last-Event-ID` gets what it missed, as far as that
//! is kept. A client that is too slow loses the oldest, and is told how many.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use serde_json::json;
use sightline_protocol::{ErrorId, Failure};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use warp::http::StatusCode;
use warp::reply::{Reply, Response};
use warp::sse::Event;

use super::problem::Refusal;
use super::request::Request;
use super::{fresh, sessions};
use crate::Services;
use crate::auth::Caller;
use crate::book::{News, Told};
use crate::limits::Held;
use crate::metrics;

pub(super) const MEDIA_TYPE: &str = "text/event-stream";

struct Follower {
    caller: Caller,
    services: Arc<Services>,
    session: String,
    pending: VecDeque<Event>,
    /// None when all is told.
    news: Option<broadcast::Receiver<News>>,
    /// One of the connections that the server may have.
    _permit: OwnedSemaphorePermit,
    /// One of those that its address and its tenant may have.
    _held: (Held<IpAddr>, Held<Arc<str>>),
}

pub(super) fn predictions(
    services: &Arc<Services>,
    caller: &Caller,
    session: &str,
    request: &Request,
) -> Result<Response, Refusal> {
    let after = request
        .header("last-event-id")
        .and_then(|number| number.parse::<u64>().ok());
    let following = services
        .book
        .follow(caller, session, after)
        .ok_or_else(|| sessions::unknown(session))?;
    let seen = sessions::view(services, caller, session)?;
    // The end itself was the last event that the client got: 204 tells it to come no more.
    if following.news.is_none() && after.is_some_and(|after| after > seen.frames) {
        return Ok(fresh(StatusCode::NO_CONTENT));
    }
    let permit = Arc::clone(&services.connections)
        .try_acquire_owned()
        .map_err(|_| Failure::new(ErrorId::TooManySessions, "too many connections; try again later"))?;
    let held = (
        services.limits.connection(request.client)?,
        services.limits.follower(caller.tenant())?,
    );
    let mut follower = Follower {
        caller: caller.clone(),
        services: Arc::clone(services),
        session: session.to_owned(),
        pending: following.past.iter().map(prediction).collect(),
        news: following.news,
        _permit: permit,
        _held: held,
    };
    if follower.news.is_none() {
        follower.over();
    }
    let events = stream::unfold(follower, |mut follower| async {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    let events = events.take_until(services.shutdown.clone().cancelled_owned());
    let events = warp::sse::keep_alive().stream(Box::pin(events));
    Ok(warp::sse::reply(events).into_response())
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            match self.news.as_mut()?.recv().await {
                Ok(News::Prediction(told)) => {
                    told.journey.delivered("events");
                    self.pending.push_back(prediction(&told));
                }
                Err(RecvError::Lagged(count)) => {
                    metrics::dropped("slow-client", count);
                    let lost = json!({ "count": count });
                    self.pending
                        .push_back(Event::default().event("dropped").data(lost.to_string()));
                }
                Ok(News::Over) | Err(RecvError::Closed) => self.over(),
            }
        }
    }

    /// The last event: the session as it ended.
    fn over(&mut self) {
        self.news = None;
        if let Some(view) = self.services.book.view(&self.caller, &self.session) {
            let data = serde_json::to_string(&view).unwrap_or_default();
            let number = view.frames + 1;
            self.pending
                .push_back(Event::default().id(number.to_string()).event("end").data(data));
        }
    }
}

fn prediction(told: &Told) -> Event {
    Event::default()
        .id(told.number.to_string())
        .event("prediction")
        .data(&*told.json)
}
