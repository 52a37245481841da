//! Counts over all processes, from what each reports since its own start.

use std::collections::BTreeMap;

use sightline_protocol::rpc::Drops;

use super::exits::Role;
use crate::control::{Progress, Stats};
use crate::metrics::{DROPPED, FRAMES, INFERRED};

/// Names in our elements' `stats`, and what the frames were dropped for.
const DROPS: [(&str, &str); 4] = [
    ("dead-lettered", "dead-lettered"),
    ("dropped-expired", "expired"),
    ("dropped-redis", "redis"),
    ("dropped-replaced", "replaced"),
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
    Inferred,
    Dropped(&'static str),
}

/// What of one process is counted already.
#[derive(Debug)]
pub(super) struct Tally {
    role: Role,
    counted: BTreeMap<What, u64>,
}

impl Tally {
    pub(super) fn new(role: Role) -> Self {
        Self {
            role,
            counted: BTreeMap::new(),
        }
    }

    pub(super) fn take(&mut self, progress: &Progress) {
        let role = self.role.name();
        for (what, count) in self.news(progress) {
            let counter = match what {
                What::In => metrics::counter!(FRAMES.name, "role" => role, "direction" => "in"),
                What::Out => metrics::counter!(FRAMES.name, "role" => role, "direction" => "out"),
                What::Inferred => metrics::counter!(INFERRED.name),
                What::Dropped(reason) => {
                    metrics::counter!(DROPPED.name, "role" => role, "reason" => reason)
                }
            };
            counter.increment(count);
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

fn totals(progress: &Progress) -> BTreeMap<What, u64> {
    let mut totals = BTreeMap::from([(What::In, progress.frames_in), (What::Out, progress.frames_out)]);
    let mut add = |what, stats: &Stats, name: &str| {
        if let Some(count) = stats.get(name).and_then(serde_json::Value::as_u64) {
            let total: &mut u64 = totals.entry(what).or_default();
            *total = total.saturating_add(count);
        }
    };
    for stats in progress.stats.values() {
        // Of objecttrack's frames, `inferred` are those that somebody else has inferred.
        if stats.contains_key("execution-provider") {
            add(What::Inferred, stats, "inferred");
        }
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
        let mut tally = Tally::new(Role::Session);
        let stats = json!({
            "detect": { "execution-provider": "cpu", "inferred": 4 },
            "track": { "inferred": 9 },
            "one": { "dropped-expired": 2, "in-flight": 7 },
            "two": { "dropped-expired": 3 },
        });
        assert_eq!(
            tally.news(&progress(10, stats.clone())),
            [
                (What::In, 0),
                (What::Out, 10),
                (What::Inferred, 4),
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
