//! What a launcher counts, for `/metrics`.

use sightline_protocol::{ErrorId, Failure};
use sightline_service::metrics::Metric;

use crate::supervisor::exits::Role;
use crate::supervisor::process::Exit;

pub const SESSIONS: Metric = Metric::gauge("sightline_sessions_running", &[], "Sessions that run here");
pub const MAX_SESSIONS: Metric = Metric::gauge("sightline_sessions_max", &[], "Sessions that may run here");
pub const WORKERS: Metric = Metric::gauge("sightline_workers_running", &[], "Workers that take frames");
pub const STARTED: Metric = Metric::counter(
    "sightline_sessions_started_total",
    &[],
    "Sessions that were started",
);
pub const REFUSED: Metric = Metric::counter(
    "sightline_sessions_refused_total",
    &["reason"],
    "Sessions that were not started: `sessions`, `processors`, `memory` or `ports` if that is exhausted, else an error's id",
);
pub const EXITS: Metric = Metric::counter(
    "sightline_process_exits_total",
    &["role", "exit"],
    "Pipelines' processes that ended, of sessions and workers, by the kind of end",
);
pub const RESTARTS: Metric = Metric::counter(
    "sightline_process_restarts_total",
    &["role", "exit"],
    "Pipelines that were started again, by the kind of end before",
);
pub const FRAMES: Metric = Metric::counter(
    "sightline_frames_total",
    &["role", "direction"],
    "Buffers that left pipelines' sources (`in`) and reached their sinks (`out`)",
);
pub const DROPPED: Metric = Metric::counter(
    "sightline_frames_dropped_total",
    &["role", "reason"],
    "Frames that an element gave up: `replaced` by a newer one, `expired`, `redis` was away, `dead-lettered`",
);
pub const INFERRED: Metric = Metric::counter(
    "inference_frame_count",
    &[],
    "Frames that were inferred, by sessions and workers (v1's name)",
);
pub const PIPELINES: Metric = Metric::gauge(
    "sightline_pipelines_known",
    &[],
    "Pipelines that can be asked for",
);
pub const PIPELINES_REFUSED: Metric = Metric::gauge(
    "sightline_pipelines_refused",
    &[],
    "Pipelines' files that are not used as they are",
);
pub const RELOADS: Metric = Metric::counter(
    "sightline_reloads_total",
    &["result"],
    "Pipelines' files that were new, changed or removed, and taken (`ok`) or not (`failed`)",
);

pub const ALL: [Metric; 13] = [
    SESSIONS,
    MAX_SESSIONS,
    WORKERS,
    STARTED,
    REFUSED,
    EXITS,
    RESTARTS,
    FRAMES,
    DROPPED,
    INFERRED,
    PIPELINES,
    PIPELINES_REFUSED,
    RELOADS,
];

/// Counts a session that was not started. What is exhausted counts for itself, by [`refused_for`].
pub fn refused(failure: &Failure) {
    if failure.id != ErrorId::TooManySessions {
        refused_for(failure.id.as_str());
    }
}

pub fn refused_for(reason: &'static str) {
    ::metrics::counter!(REFUSED.name, "reason" => reason).increment(1);
}

pub fn exited(role: Role, exit: Exit) {
    ::metrics::counter!(EXITS.name, "role" => role.name(), "exit" => exit.kind()).increment(1);
}

pub fn restarted(role: Role, exit: Exit) {
    ::metrics::counter!(RESTARTS.name, "role" => role.name(), "exit" => exit.kind()).increment(1);
}

pub fn reloaded(ok: bool) {
    let result = if ok { "ok" } else { "failed" };
    ::metrics::counter!(RELOADS.name, "result" => result).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_what_is_counted() {
        let page = include_str!("../../docs/metrics.md");
        let rows: Vec<_> = ALL.iter().map(Metric::row).collect();
        assert_eq!(sightline_service::metrics::rows(page, "pipeline-launcher"), rows);
    }
}
