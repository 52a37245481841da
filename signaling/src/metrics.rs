//! What signaling counts, for `/metrics`.

use sightline_protocol::rest::SessionState;
use sightline_service::metrics::{self, Metric};
use warp::http::header::CONTENT_TYPE;
use warp::reply::{Reply, Response};

use crate::rest::fresh;
use crate::{MAX_CONNECTIONS, Services};

const SESSIONS: Metric = Metric::gauge(
    "sightline_sessions",
    &["state"],
    "Sessions that are listed, by state; those that ended stay for ten minutes, the last 256 of them",
);
const ENDED: Metric = Metric::counter(
    "sightline_sessions_ended_total",
    &["state"],
    "Sessions that ended: `completed`, `error` or `aborted`",
);
const CONNECTIONS: Metric = Metric::gauge(
    "sightline_connections_open",
    &[],
    "WebSockets, and followers of predictions",
);
const DELIVERED: Metric = Metric::counter(
    "sightline_predictions_delivered_total",
    &["way"],
    "Predictions that were given to a client, by `websocket` or as `events`",
);
const DROPPED: Metric = Metric::counter(
    "sightline_predictions_dropped_total",
    &["reason"],
    "Predictions that were not: older than the last (`late`), `slow-client`, `no-session`, `malformed`",
);

pub(crate) const ALL: [Metric; 5] = [SESSIONS, ENDED, CONNECTIONS, DELIVERED, DROPPED];

const STATES: [(SessionState, &str); 5] = [
    (SessionState::Queued, "queued"),
    (SessionState::Running, "running"),
    (SessionState::Completed, "completed"),
    (SessionState::Error, "error"),
    (SessionState::Aborted, "aborted"),
];

pub(crate) fn ended(state: SessionState) {
    let known = STATES.iter().find(|(known, _)| *known == state);
    if let Some((_, word)) = known {
        ::metrics::counter!(ENDED.name, "state" => *word).increment(1);
    }
}

pub(crate) fn delivered(way: &'static str) {
    ::metrics::counter!(DELIVERED.name, "way" => way).increment(1);
}

pub(crate) fn dropped(reason: &'static str, count: u64) {
    ::metrics::counter!(DROPPED.name, "reason" => reason).increment(count);
}

/// `GET /metrics`
pub(crate) fn answer(services: &Services) -> Response {
    for (state, word) in STATES {
        ::metrics::gauge!(SESSIONS.name, "state" => word).set(services.book.count(state) as f64);
    }
    let open = MAX_CONNECTIONS.saturating_sub(services.connections.available_permits());
    ::metrics::gauge!(CONNECTIONS.name).set(open as f64);
    fresh(warp::reply::with_header(
        metrics::render(),
        CONTENT_TYPE,
        metrics::MEDIA_TYPE,
    ))
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_what_is_counted() {
        let page = include_str!("../../docs/metrics.md");
        let rows: Vec<_> = ALL.iter().map(Metric::row).collect();
        assert_eq!(metrics::rows(page, "signaling"), rows);
    }
}
