//! What signaling counts, for `/metrics`.

use sightline_protocol::rest::SessionState;
use sightline_service::metrics::{self, BUILD_INFO, CPU, MEMORY, Metric, REDIS_UP};
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

const RETURN: Metric = Metric::histogram(
    "sightline_return_seconds",
    &[],
    "From a worker's answer to its arrival here; both hosts' clocks count",
);
const END_TO_END: Metric = Metric::histogram(
    "sightline_end_to_end_seconds",
    &["way"],
    "From a frame's capture to the sending of its prediction, where its capture was noted; both hosts' clocks count",
);
const RECONNECTS: Metric = Metric::counter(
    "sightline_redis_reconnects_total",
    &["role"],
    "Connections to Redis that were lost and made again: those that bring predictions (`daemon`)",
);

pub(crate) const ALL: [Metric; 12] = [
    BUILD_INFO,
    CPU,
    MEMORY,
    REDIS_UP,
    SESSIONS,
    ENDED,
    CONNECTIONS,
    DELIVERED,
    DROPPED,
    RETURN,
    END_TO_END,
    RECONNECTS,
];

/// From here on what is counted is kept. Series whose labels are known are there at once, as 0: Prometheus would not see
/// the first step of one that begins later.
pub(crate) fn begin() {
    metrics::install(&ALL);
    metrics::introduce(env!("CARGO_PKG_VERSION"));
    for way in ["websocket", "events"] {
        ::metrics::counter!(DELIVERED.name, "way" => way).increment(0);
    }
    for reason in ["late", "slow-client", "no-session", "malformed"] {
        dropped(reason, 0);
    }
    for state in ["completed", "error", "aborted"] {
        ::metrics::counter!(ENDED.name, "state" => state).increment(0);
    }
    ::metrics::counter!(RECONNECTS.name, "role" => "daemon").increment(0);
}

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

pub(crate) fn returned(us: u64) {
    metrics::observe(&RETURN, &[], us);
}

pub(crate) fn end_to_end(way: &'static str, us: u64) {
    metrics::observe(&END_TO_END, &[way], us);
}

pub(crate) fn reconnected() {
    ::metrics::counter!(RECONNECTS.name, "role" => "daemon").increment(1);
}

/// `GET /metrics`
pub(crate) async fn answer(services: &Services) -> Response {
    let up = services.tenants.ping().await.is_ok();
    ::metrics::gauge!(REDIS_UP.name).set(f64::from(u8::from(up)));
    metrics::note_usage(&services.cpu);
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
