//! What a launcher counts, for `/metrics`.

use sightline_protocol::{ErrorId, Failure};
use sightline_service::metrics::{self as service_metrics, BUILD_INFO, CPU, MEMORY, Metric, REDIS_UP};

use crate::supervisor::exits::Role;
use crate::supervisor::process::Exit;
use crate::supervisor::tally::DROPS;

pub const SESSIONS: Metric = Metric::gauge("sightline_sessions_running", &[], "Sessions that run here");
pub const MAX_SESSIONS: Metric = Metric::gauge("sightline_sessions_max", &[], "Sessions that may run here");
pub const WORKERS: Metric = Metric::gauge("sightline_workers_running", &[], "Workers that take frames");
pub const WORKERS_WANTED: Metric = Metric::gauge(
    "sightline_workers_wanted",
    &[],
    "Workers that should take frames: those that run, start, wait for their restart or rest",
);
pub const WORKERS_RESTING: Metric = Metric::gauge(
    "sightline_workers_resting",
    &[],
    "Workers that kept crashing until their budget of restarts was used up",
);
pub const QUEUE_LENGTH: Metric = Metric::gauge(
    "sightline_queue_length",
    &[],
    "Frames in the streams that workers here read, waiting or being looked at; every launcher of one Redis tells the same",
);
pub const QUEUE_AGE: Metric = Metric::gauge(
    "sightline_queue_age_seconds",
    &[],
    "Age of the oldest of them; 0 if there is none",
);
pub const STARTED: Metric = Metric::counter(
    "sightline_sessions_started_total",
    &[],
    "Sessions that were started",
);
pub const REFUSED: Metric = Metric::counter(
    "sightline_sessions_refused_total",
    &["reason"],
    "Sessions that were not started: `sessions`, `processors`, `memory`, `ports` or `workers` if that is exhausted, else an error's id",
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
    &["role", "pipeline", "model", "worker"],
    "Frames that were inferred (v1's name); `worker` is empty for a session's own inference",
);
pub const INFERENCE_TIME: Metric = Metric::histogram(
    "inference_time",
    &["pipeline", "model"],
    "Seconds from a frame's pixels to its detections (v1's name): the three stages below together",
);
pub const QUEUE: Metric = Metric::histogram(
    "sightline_queue_seconds",
    &["pipeline", "model"],
    "From a frame's entry in Redis to a worker's reading it",
);
pub const DECODE: Metric = Metric::histogram(
    "sightline_decode_seconds",
    &["pipeline", "model"],
    "From there to the start of inference, the JPEG decoder's time among it",
);
pub const PREPROCESS: Metric = Metric::histogram(
    "sightline_preprocess_seconds",
    &["pipeline", "model"],
    "From pixels to the model's input",
);
pub const INFERENCE: Metric = Metric::histogram(
    "sightline_inference_seconds",
    &["pipeline", "model"],
    "Inside the model",
);
pub const POSTPROCESS: Metric = Metric::histogram(
    "sightline_postprocess_seconds",
    &["pipeline", "model"],
    "From the model's output to detections",
);
pub const RECONNECTS: Metric = Metric::counter(
    "sightline_redis_reconnects_total",
    &["role"],
    "Connections to Redis that were lost and made again, by pipelines' elements",
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

pub const ALL: [Metric; 28] = [
    BUILD_INFO,
    CPU,
    MEMORY,
    REDIS_UP,
    SESSIONS,
    MAX_SESSIONS,
    WORKERS,
    WORKERS_WANTED,
    WORKERS_RESTING,
    QUEUE_LENGTH,
    QUEUE_AGE,
    STARTED,
    REFUSED,
    EXITS,
    RESTARTS,
    FRAMES,
    DROPPED,
    INFERRED,
    INFERENCE_TIME,
    QUEUE,
    DECODE,
    PREPROCESS,
    INFERENCE,
    POSTPROCESS,
    RECONNECTS,
    PIPELINES,
    PIPELINES_REFUSED,
    RELOADS,
];

/// From here on what is counted is kept. Series whose labels are known are there at once, as 0: Prometheus would not see
/// the first step of one that begins later.
pub fn begin() {
    service_metrics::install(&ALL);
    service_metrics::introduce(env!("CARGO_PKG_VERSION"));
    for role in [Role::Session, Role::Worker].map(Role::name) {
        for exit in Exit::KINDS {
            ::metrics::counter!(EXITS.name, "role" => role, "exit" => exit).increment(0);
            ::metrics::counter!(RESTARTS.name, "role" => role, "exit" => exit).increment(0);
        }
        for direction in ["in", "out"] {
            ::metrics::counter!(FRAMES.name, "role" => role, "direction" => direction).increment(0);
        }
        for (_, reason) in DROPS {
            ::metrics::counter!(DROPPED.name, "role" => role, "reason" => reason).increment(0);
        }
        ::metrics::counter!(RECONNECTS.name, "role" => role).increment(0);
    }
    for reason in ["sessions", "processors", "memory", "ports", "workers"] {
        ::metrics::counter!(REFUSED.name, "reason" => reason).increment(0);
    }
    for result in ["ok", "failed"] {
        ::metrics::counter!(RELOADS.name, "result" => result).increment(0);
    }
}

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
