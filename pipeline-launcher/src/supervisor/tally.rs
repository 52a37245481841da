//! Counts over all processes, from what each reports since its own start.

use std::collections::BTreeMap;
use std::time::Duration;

use sightline_service::metrics as service_metrics;

use sightline_protocol::rpc::Drops;

use super::exits::Role;
use crate::control::{Progress, StageTimes, Stats};
use crate::metrics::{
    DECODE, DROPPED, FRAMES, INFERENCE, INFERENCE_TIME, INFERRED, POSTPROCESS, PREPROCESS, QUEUE, RECONNECTS,
};

/// Names in our elements' `stats`, and what the frames were dropped for.
pub const DROPS: [(&str, &str); 5] = [
    ("dead-lettered", "dead-lettered"),
    ("dropped-expired", "expired"),
    ("dropped-redis", "redis"),
    ("dropped-replaced", "replaced"),
    // Of a leaky queue, whose element before it was quicker than the one behind it.
    ("leaked", "replaced"),
];

/// What a session's element says of frames that were given to workers, and for which no answer came in time.
const UNANSWERED: (&str, &str) = ("expired-credits", "unanswered");

/// The frames that came to nothing in one process, by reason.
pub(super) fn drops(progress: &Progress) -> Drops {
    let mut drops = Drops::new();
    for stats in progress.stats.values() {
        for (name, reason) in DROPS.into_iter().chain([UNANSWERED]) {
            if let Some(count) = stats.get(name).and_then(serde_json::Value::as_u64) {
                let total = drops.entry(reason.to_owned()).or_default();
                *total = total.saturating_add(count);
            }
        }
    }
    drops
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    In,
    Out,
    Reconnects,
    Dropped(&'static str),
}

/// What a process is for: the labels of what it counts.
#[derive(Debug, Clone)]
pub struct Purpose {
    pub role: Role,
    pub pipeline: String,
    /// Empty of a session: there is no end of their names.
    pub worker: String,
}

/// What of one process is counted already.
#[derive(Debug)]
pub(super) struct Tally {
    purpose: Purpose,
    counted: BTreeMap<What, u64>,
    stages: BTreeMap<String, StageTimes>,
    cpu: Duration,
    memory: u64,
}

impl Tally {
    pub(super) fn new(purpose: Purpose) -> Self {
        Self {
            purpose,
            counted: BTreeMap::new(),
            stages: BTreeMap::new(),
            cpu: Duration::ZERO,
            memory: 0,
        }
    }

    /// What the process has used in its life, and has now, as far as that is known.
    pub(super) fn used(&mut self, cpu: Option<Duration>, memory: Option<u64>) {
        let role = self.purpose.role.name();
        if let Some(cpu) = cpu {
            let news = cpu.saturating_sub(self.cpu);
            service_metrics::add_seconds(&service_metrics::CPU, &[role], news);
            self.cpu = cpu.max(self.cpu);
        }
        if let Some(memory) = memory {
            let change = memory as f64 - self.memory as f64;
            metrics::gauge!(service_metrics::MEMORY.name, "role" => role).increment(change);
            self.memory = memory;
        }
    }

    pub(super) fn take(&mut self, progress: &Progress) {
        self.take_stages(&progress.stages);
        let role = self.purpose.role.name();
        for (what, count) in self.news(progress) {
            let counter = match what {
                What::In => metrics::counter!(FRAMES.name, "role" => role, "direction" => "in"),
                What::Out => metrics::counter!(FRAMES.name, "role" => role, "direction" => "out"),
                What::Reconnects => metrics::counter!(RECONNECTS.name, "role" => role),
                What::Dropped(reason) => {
                    metrics::counter!(DROPPED.name, "role" => role, "reason" => reason)
                }
            };
            counter.increment(count);
        }
    }

    fn take_stages(&mut self, stages: &BTreeMap<String, StageTimes>) {
        for (model, times) in stages {
            let before = self.stages.entry(model.clone()).or_default();
            let labels = [self.purpose.pipeline.as_str(), model.as_str()];
            for (metric, times, before) in [
                (&QUEUE, &times.queue, &before.queue),
                (&DECODE, &times.decode, &before.decode),
                (&PREPROCESS, &times.preprocess, &before.preprocess),
                (&INFERENCE, &times.inference, &before.inference),
                (&POSTPROCESS, &times.postprocess, &before.postprocess),
                (&INFERENCE_TIME, &times.total, &before.total),
            ] {
                // Where the session itself infers, nothing is ever queued.
                if times.count() > 0 {
                    service_metrics::add(metric, &labels, &times.since(before));
                }
            }
            let inferred = metrics::counter!(
                INFERRED.name,
                "role" => self.purpose.role.name(),
                "pipeline" => self.purpose.pipeline.clone(),
                "model" => model.clone(),
                "worker" => self.purpose.worker.clone(),
            );
            inferred.increment(times.total.since(&before.total).count());
            *before = times.clone();
        }
    }

    /// What has come since the last report.
    fn news(&mut self, progress: &Progress) -> Vec<(What, u64)> {
        let mut news = Vec::new();
        for (what, total) in totals(progress) {
            let counted = self.counted.entry(what).or_default();
            news.push((what, total.saturating_sub(*counted)));
            *counted = total.max(*counted);
        }
        news
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        // The process has no memory any more; what it has counted stays.
        self.used(None, Some(0));
    }
}

fn totals(progress: &Progress) -> BTreeMap<What, u64> {
    let mut totals = BTreeMap::from([(What::In, progress.frames_in), (What::Out, progress.frames_out)]);
    let mut add = |what, stats: &Stats, name: &str| {
        if let Some(count) = stats.get(name).and_then(serde_json::Value::as_u64) {
            let total: &mut u64 = totals.entry(what).or_default();
            *total = total.saturating_add(count);
        }
    };
    for stats in progress.stats.values() {
        add(What::Reconnects, stats, "reconnects");
        for (name, reason) in DROPS {
            add(What::Dropped(reason), stats, name);
        }
    }
    totals
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn progress(frames_out: u64, stats: serde_json::Value) -> Progress {
        Progress {
            frames_out,
            stats: serde_json::from_value(stats).unwrap(),
            ..Progress::default()
        }
    }

    fn session() -> Purpose {
        Purpose {
            role: Role::Session,
            pipeline: "p".into(),
            worker: String::new(),
        }
    }

    #[test]
    fn the_end_of_a_process_takes_no_counts_along_and_its_successor_starts_from_nothing() {
        service_metrics::install(&crate::metrics::ALL);
        let mut purpose = session();
        purpose.pipeline = "only-here".into();
        let report = |frames: u64| {
            let mut times = StageTimes::default();
            (0..frames).for_each(|_| times.inference.observe(9_000));
            (0..frames).for_each(|_| times.total.observe(9_500));
            Progress {
                stages: BTreeMap::from([("m".to_owned(), times)]),
                ..Progress::default()
            }
        };
        let mut first = Tally::new(purpose.clone());
        first.used(Some(Duration::from_secs(1)), Some(1 << 20));
        first.take(&report(3));
        first.take(&report(5));
        drop(first);
        let mut second = Tally::new(purpose);
        second.take(&report(2));
        let text = service_metrics::render();
        for line in [
            "sightline_inference_seconds_count{pipeline=\"only-here\",model=\"m\"} 7",
            "sightline_inference_seconds_sum{pipeline=\"only-here\",model=\"m\"} 0.063",
            "sightline_inference_seconds_bucket{pipeline=\"only-here\",model=\"m\",le=\"0.005\"} 0",
            "sightline_inference_seconds_bucket{pipeline=\"only-here\",model=\"m\",le=\"0.01\"} 7",
            "inference_time_count{pipeline=\"only-here\",model=\"m\"} 7",
            "inference_frame_count{role=\"session\",pipeline=\"only-here\",model=\"m\",worker=\"\"} 7",
            "sightline_process_memory_bytes{role=\"session\"} 0",
        ] {
            assert!(text.lines().any(|has| has == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn drops_are_those_of_all_elements() {
        let stats = json!({
            "frames": { "dropped-replaced": 3, "dropped-redis": 0, "expired-credits": 2, "published": 9 },
            "more": { "dropped-replaced": 1 },
            "odd": { "dropped-replaced": "many" },
        });
        let expected = [("redis", 0), ("replaced", 4), ("unanswered", 2)];
        let expected: Drops = expected.map(|(reason, count)| (reason.to_owned(), count)).into();
        assert_eq!(drops(&progress(0, stats)), expected);
    }

    #[test]
    fn only_what_is_new_is_counted() {
        let mut tally = Tally::new(session());
        let stats = json!({
            "join": { "reconnects": 4 },
            "one": { "dropped-expired": 2, "in-flight": 7 },
            "two": { "dropped-expired": 3 },
        });
        assert_eq!(
            tally.news(&progress(10, stats.clone())),
            [
                (What::In, 0),
                (What::Out, 10),
                (What::Reconnects, 4),
                (What::Dropped("expired"), 5)
            ]
        );
        // An element that is gone takes its count along; none is counted twice when it comes back.
        assert_eq!(
            tally.news(&progress(12, json!({}))),
            [(What::In, 0), (What::Out, 2)]
        );
        assert!(
            tally
                .news(&progress(12, stats))
                .iter()
                .all(|(_, count)| *count == 0)
        );
    }
}
