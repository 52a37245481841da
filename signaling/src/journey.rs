//! A prediction's last metres: when its frame was where, told by the entry itself, until a client has it.

use serde_json::Value;
use sightline_protocol::unix_micros;

use crate::{metrics, traces};

/// Unix times in microseconds, each by the clock of whoever wrote it down.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journey {
    captured: Option<u64>,
    /// When the client's connection took it up.
    taken_up: u64,
    /// Of a sampled frame: all that its trace is made of.
    traced: Option<Box<traces::Times>>,
}

impl Journey {
    /// Begins now, for a prediction that has just come.
    pub(crate) fn of(entry: &Value) -> Self {
        let number = |name: &str| entry.get(name)?.as_str()?.parse::<u64>().ok();
        Self {
            captured: number("captured"),
            taken_up: unix_micros(),
            traced: traces::Times::of(entry).map(Box::new),
        }
    }

    /// A client has it.
    pub(crate) fn delivered(&self, way: &'static str) {
        metrics::delivered(way);
        let Some(captured) = self.captured else { return };
        let now = unix_micros();
        metrics::end_to_end(way, now.saturating_sub(captured));
        if let Some(times) = &self.traced {
            traces::export(times, captured, self.taken_up, now);
        }
    }
}
