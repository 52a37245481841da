//! Whether one more session may start: by number, by the processors that sessions use, by the memory left, by how long
//! the sessions' frames wait for workers, and by how long they would wait then.
//!
//! A limit for the sessions' own use of processors and none for the workers': those take what is there, and what else runs on the
//! machine is not ours to judge. Where too little is left for the workers, wherever they are, frames wait for them.

use std::time::Duration;

use sightline_protocol::{ErrorId, Failure};

use super::load::{Load, WINDOW};
use crate::control::{Progress, Stats};
use crate::metrics;

/// In so many seconds a session may have ended; nobody knows.
pub const A_SESSIONS_END: u32 = 15;
/// In so many seconds other programs may have given memory back.
const MEMORY_IS_FREED: u32 = 10;
const WORKERS_ARE_FREE: u32 = 5;

/// When a launcher takes no more sessions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Admission {
    pub max_sessions: usize,
    /// Of the processors that this machine or container has; 0: no limit.
    pub max_cpu_percent: f64,
    pub min_free_memory_bytes: u64,
    /// Zero: no limit.
    pub max_queue: Duration,
}

/// What of a slow worker's time a frame may wait without being late: with two workers, of six other sessions.
const INFERENCES: u64 = 3;

/// How a session's frames fare with workers, from what its pipeline says each second.
#[derive(Debug, Clone, Copy, Default)]
pub struct Queue {
    /// Frames that workers have answered.
    pub answered: u64,
    /// Whether they answered any since the last report.
    pub is_served: bool,
    /// Whether frames wait too long.
    pub is_long: bool,
}

impl Queue {
    pub fn take(&mut self, progress: &Progress, max: Duration) {
        let number = |stats: &Stats, name: &str| stats.get(name).and_then(serde_json::Value::as_u64);
        let sinks = progress.stats.values();
        let busiest = sinks.max_by_key(|stats| number(stats, "queue-us"));
        let get = |name| busiest.and_then(|stats| number(stats, name)).unwrap_or_default();
        let (answered, queue, inference) = (get("answered"), get("queue-us"), get("inference-us"));
        let longest = u64::try_from(max.as_micros())
            .unwrap_or(u64::MAX)
            .max(INFERENCES * inference);
        // Without answers nothing is known; other words tell of missing workers.
        self.is_served = answered > self.answered;
        self.is_long = self.is_served && queue > longest && !max.is_zero();
        self.answered = answered;
    }
}

impl Admission {
    /// How long frames would wait if that is too long. Each session has one frame in flight; when workers are busy all the
    /// time, a frame waits until those of all others are inferred, with the processors that the sessions leave.
    fn wait_with_one_more(&self, load: &Load) -> Option<Duration> {
        if load.served == 0 || load.inference.is_zero() || self.max_queue.is_zero() {
            return None;
        }
        let sessions = load.sessions as f64;
        let percent = if self.max_cpu_percent > 0.0 {
            self.max_cpu_percent
        } else {
            100.0
        };
        let left = load.cores * percent / 100.0 - load.busy * (sessions + 1.0) / sessions;
        let cycle = load.inference.as_secs_f64() * (load.served as f64 + 1.0) * load.share
            / left.min(load.workers as f64).max(0.01);
        let wait = Duration::try_from_secs_f64(cycle)
            .unwrap_or(Duration::MAX)
            .saturating_sub(load.inference);
        (wait > self.max_queue.max(load.inference * INFERENCES as u32)).then_some(wait)
    }

    /// A refusal says what is exhausted, and what an operator can do.
    pub fn admit(&self, load: &Load) -> Result<(), Failure> {
        let full = |what, seconds: u32, words: String| {
            metrics::refused_for(what);
            Err(Failure::new(ErrorId::TooManySessions, words).again_in(seconds))
        };
        if load.sessions >= self.max_sessions {
            let words = format!(
                "this launcher runs its {} sessions; try again later",
                load.sessions
            );
            return full("sessions", A_SESSIONS_END, words);
        }
        let percent = 100.0 * load.busy / load.cores.max(f64::MIN_POSITIVE);
        if self.max_cpu_percent > 0.0 && percent >= self.max_cpu_percent {
            let words = format!(
                "this launcher's sessions use {percent:.0} % of its {:.1} processors, and {:.0} % is its limit; \
                 try again later, or add a launcher",
                load.cores, self.max_cpu_percent
            );
            let seconds = u32::try_from(WINDOW.as_secs()).unwrap_or(u32::MAX);
            return full("processors", seconds, words);
        }
        if 2 * load.crowded > load.sessions {
            let words = format!(
                "frames of {} of this launcher's {} sessions wait longer than {} ms for a worker; try again later, or add \
                 workers",
                load.crowded,
                load.sessions,
                self.max_queue.as_millis()
            );
            return full("workers", WORKERS_ARE_FREE, words);
        }
        if let Some(wait) = self.wait_with_one_more(load) {
            let words = format!(
                "with one more session frames would wait {} ms for this launcher's workers, and {} ms is its limit; try again \
                 later, or add workers",
                wait.as_millis(),
                self.max_queue.as_millis()
            );
            return full("workers", WORKERS_ARE_FREE, words);
        }
        match load.memory_left {
            Some(left) if left < self.min_free_memory_bytes => full(
                "memory",
                MEMORY_IS_FREED,
                format!(
                    "this launcher's machine has {} MiB of memory left, and keeps {}; try again later, or add a \
                     launcher",
                    left >> 20,
                    self.min_free_memory_bytes >> 20
                ),
            ),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADMISSION: Admission = Admission {
        max_sessions: 4,
        max_cpu_percent: 90.0,
        min_free_memory_bytes: 256 << 20,
        max_queue: Duration::from_millis(60),
    };
    const IDLE: Load = Load {
        sessions: 3,
        busy: 0.1,
        cores: 2.0,
        memory_left: Some(1 << 30),
        served: 0,
        crowded: 1,
        workers: 2,
        inference: Duration::ZERO,
        share: 1.0,
    };

    #[test]
    fn what_is_exhausted_is_said() {
        assert_eq!(ADMISSION.admit(&IDLE), Ok(()));
        assert_eq!(ADMISSION.admit(&Load { busy: 1.79, ..IDLE }), Ok(()));
        for (load, words, again) in [
            (Load { sessions: 4, ..IDLE }, "runs its 4 sessions", 15),
            (Load { busy: 1.8, ..IDLE }, "use 90 % of its 2.0 processors", 5),
            (
                Load { crowded: 2, ..IDLE },
                "frames of 2 of this launcher's 3 sessions wait longer than 60 ms",
                5,
            ),
            (
                Load {
                    memory_left: Some(100 << 20),
                    ..IDLE
                },
                "has 100 MiB of memory left",
                10,
            ),
        ] {
            let failure = ADMISSION.admit(&load).unwrap_err();
            assert_eq!(
                (failure.id, failure.retry_after_secs),
                (ErrorId::TooManySessions, Some(again))
            );
            assert!(failure.message.contains(words), "{failure}");
        }
        let unlimited = Admission {
            max_cpu_percent: 0.0,
            ..ADMISSION
        };
        assert_eq!(
            unlimited.admit(&Load {
                busy: 9.0,
                memory_left: None,
                ..IDLE
            }),
            Ok(())
        );
    }

    #[test]
    fn a_queue_is_long_by_the_time_and_by_inferences() {
        let mut queue = Queue::default();
        let mut answered = 0;
        let mut take = |queue_ms: u64, inference_ms: u64, more: u64, max_ms: u64| {
            answered += more;
            let stats = serde_json::json!({
                "frames": { "answered": answered, "queue-us": queue_ms * 1000, "inference-us": inference_ms * 1000 },
                "detections": { "published": 3 },
            });
            let progress = Progress {
                stats: serde_json::from_value(stats).unwrap(),
                ..Progress::default()
            };
            queue.take(&progress, Duration::from_millis(max_ms));
            queue.is_long
        };
        assert!(!take(59, 12, 5, 60));
        assert!(take(61, 12, 5, 60));
        assert!(!take(61, 12, 0, 60), "nobody answers: the numbers are old");
        assert!(!take(2000, 800, 5, 60), "a large model is slow by itself");
        assert!(take(2500, 800, 5, 60));
        assert!(!take(2500, 12, 5, 0), "no limit");
        assert!(!take(0, 0, 5, 60), "v1 workers do not say");
    }

    #[test]
    fn a_session_too_many_for_the_workers_is_foreseen() {
        // As measured: a session takes a tenth of a core, and its inferences 17 ms each.
        let load = |sessions: usize| Load {
            sessions,
            busy: 0.1 * sessions as f64,
            served: sessions,
            crowded: 0,
            inference: Duration::from_millis(17),
            ..IDLE
        };
        let rule = Admission {
            max_sessions: 100,
            max_queue: Duration::from_millis(90),
            ..ADMISSION
        };
        let most =
            |load: &dyn Fn(usize) -> Load| (0..50).find(|sessions| rule.admit(&load(*sessions)).is_err());
        assert_eq!(most(&load), Some(6));
        let failure = rule.admit(&load(6)).unwrap_err();
        assert!(failure.message.contains("frames would wait 91 ms"), "{failure}");
        // Other hosts' workers answer two of three frames; other hosts' sessions take half of our workers' time.
        assert!(
            most(&|sessions| Load {
                share: 1.0 / 3.0,
                ..load(sessions)
            }) > Some(9)
        );
        assert!(
            most(&|sessions| Load {
                share: 2.0,
                ..load(sessions)
            }) < Some(5)
        );
        // One worker cannot use two processors.
        let cheap = |workers| {
            move |sessions| Load {
                busy: 0.0,
                workers,
                ..load(sessions)
            }
        };
        assert_eq!((most(&cheap(2)), most(&cheap(1))), (Some(11), Some(6)));
        // A large model is slow by itself, and a first session always comes in.
        let slow = |sessions| Load {
            inference: Duration::from_secs(1),
            ..load(sessions)
        };
        assert_eq!(most(&slow), Some(5));
        let full = Load { busy: 1.7, ..load(1) };
        assert!(rule.admit(&full).is_err(), "nothing would be left for workers");
    }
}
