//! Whether one more session may start: by number, by the processors that sessions use, by the memory left, and by how long
//! the sessions' frames wait for workers.
//!
//! Only the sessions' own use of processors counts: workers take what is there, and what else runs on the machine is not ours to
//! judge. Where too little is left for the workers, wherever they are, frames wait for them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sightline_protocol::{ErrorId, Failure};
use sightline_service::usage;
use tokio_util::sync::CancellationToken;

use super::resources;
use super::sessions::Sessions;
use crate::control::{Progress, Stats};
use crate::metrics;

/// Over so long the processor time is averaged.
const WINDOW: Duration = Duration::from_secs(5);
const SAMPLE: Duration = Duration::from_secs(1);

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

/// What sessions use at the moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    pub sessions: usize,
    /// Processors that are busy with sessions, on average.
    pub busy: f64,
    pub cores: f64,
    pub memory_left: Option<u64>,
    /// Of the sessions, those whose frames wait for too long.
    pub crowded: usize,
}

/// What of a slow worker's time a frame may wait without being late: with two workers, of six other sessions.
const INFERENCES: u64 = 3;

/// Whether a session's frames wait too long for workers, from what its pipeline says each second.
#[derive(Debug, Clone, Copy, Default)]
pub struct Queue {
    answered: u64,
    is_long: bool,
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
        self.is_long = answered > self.answered && queue > longest && !max.is_zero();
        self.answered = answered;
    }

    pub fn is_long(self) -> bool {
        self.is_long
    }
}

impl Admission {
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

/// The processor time of processes, over the last seconds.
#[derive(Debug, Default)]
struct Usage {
    known: BTreeMap<u32, Duration>,
    /// When each sample was taken, and what was used since the one before.
    samples: VecDeque<(Instant, Duration)>,
}

impl Usage {
    /// `used`: what each process has used in its life.
    fn take(&mut self, used: BTreeMap<u32, Duration>, now: Instant) {
        let since = |(pid, used): (&u32, &Duration)| match self.known.get(pid) {
            Some(before) => used.saturating_sub(*before),
            // A spare process has been busy before it became a session's.
            None => Duration::ZERO,
        };
        let sum = used.iter().map(since).sum();
        self.known = used;
        self.samples.push_back((now, sum));
        while self
            .samples
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) > WINDOW)
        {
            self.samples.pop_front();
        }
    }

    /// Processors that were busy, on average.
    fn busy(&self) -> f64 {
        let (Some((first, _)), Some((last, _))) = (self.samples.front(), self.samples.back()) else {
            return 0.0;
        };
        let time = last.duration_since(*first).as_secs_f64();
        // What the first sample counts was used before it.
        let used: Duration = self.samples.iter().skip(1).map(|(_, used)| *used).sum();
        if time > 0.0 {
            used.as_secs_f64() / time
        } else {
            0.0
        }
    }
}

/// Measures, until it is dropped.
#[derive(Debug, Default)]
pub struct Monitor(Mutex<Usage>);

impl Monitor {
    pub fn load(&self, sessions: usize, crowded: usize) -> Load {
        Load {
            sessions,
            crowded,
            busy: self.0.lock().unwrap_or_else(PoisonError::into_inner).busy(),
            cores: resources::cores(),
            memory_left: resources::memory_left(),
        }
    }

    pub async fn watch(self: Arc<Self>, sessions: Arc<Sessions>, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(SAMPLE);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let pids = sessions.pids();
            let used = pids
                .into_iter()
                .filter_map(|pid| Some((pid, usage::cpu_of(pid)?)))
                .collect();
            let mut usage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            usage.take(used, Instant::now());
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
        crowded: 1,
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
            queue.is_long()
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
    fn usage_is_an_average_over_the_last_seconds() {
        let (mut usage, begun) = (Usage::default(), Instant::now());
        let mut now = begun;
        let mut second = |usage: &mut Usage, ms: &[(u32, u64)]| {
            now += Duration::from_secs(1);
            let used = ms
                .iter()
                .map(|(pid, ms)| (*pid, Duration::from_millis(*ms)))
                .collect();
            usage.take(used, now);
            usage.busy()
        };
        assert_eq!(second(&mut usage, &[(7, 90_000)]), 0.0);
        assert!((second(&mut usage, &[(7, 90_500)]) - 0.5).abs() < 1e-9);
        assert!((second(&mut usage, &[(7, 91_000), (8, 5_000)]) - 0.5).abs() < 1e-9);
        assert!((second(&mut usage, &[(8, 5_500)]) - 0.5).abs() < 1e-9);
        for _ in 0..6 {
            second(&mut usage, &[]);
        }
        assert_eq!(second(&mut usage, &[]), 0.0);
    }
}
