//! What sessions and workers use: processors, and frames a second.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sightline_service::usage;
use tokio_util::sync::CancellationToken;

use super::admission::Queue;
use super::resources;
use super::sessions::Sessions;
use super::workers::Board;

/// Over so long everything is averaged.
pub(super) const WINDOW: Duration = Duration::from_secs(5);
const SAMPLE: Duration = Duration::from_secs(1);

/// What is used at the moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    pub sessions: usize,
    /// Processors that are busy with sessions, on average.
    pub busy: f64,
    pub cores: f64,
    pub memory_left: Option<u64>,
    /// Of the sessions, those whose frames workers answer.
    pub served: usize,
    /// Of the sessions, those whose frames wait for too long.
    pub crowded: usize,
    /// Workers of this launcher that run.
    pub workers: usize,
    /// Processor time of these for a frame; zero if they had none.
    pub inference: Duration,
    /// Frames that they infer for each that the sessions have answered: less where others' workers help, more where other
    /// launchers' sessions are served too.
    pub share: f64,
}

/// How fast a number of each process grows, over the last seconds.
#[derive(Debug, Default)]
struct Rate {
    known: BTreeMap<u32, u64>,
    /// When each sample was taken, and the growth since the one before.
    samples: VecDeque<(Instant, u64)>,
}

impl Rate {
    /// `totals`: the number of each process since its start.
    fn take(&mut self, totals: BTreeMap<u32, u64>, now: Instant) {
        let since = |(pid, total): (&u32, &u64)| match self.known.get(pid) {
            Some(before) => total.saturating_sub(*before),
            // A spare process has been busy before it became a session's.
            None => 0,
        };
        let sum = totals.iter().map(since).sum();
        self.known = totals;
        self.samples.push_back((now, sum));
        while self
            .samples
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) > WINDOW)
        {
            self.samples.pop_front();
        }
    }

    fn a_second(&self) -> f64 {
        let (Some((first, _)), Some((last, _))) = (self.samples.front(), self.samples.back()) else {
            return 0.0;
        };
        let time = last.duration_since(*first).as_secs_f64();
        // What the first sample counts came before it.
        let sum: u64 = self.samples.iter().skip(1).map(|(_, growth)| *growth).sum();
        if time > 0.0 { sum as f64 / time } else { 0.0 }
    }
}

/// Processes of one kind.
#[derive(Debug, Default)]
struct Processes {
    cpu_us: Rate,
    frames: Rate,
}

impl Processes {
    /// `frames`: those that each process has had inferred, or has inferred.
    fn take(&mut self, frames: BTreeMap<u32, u64>, now: Instant) {
        let used = |pid: &u32| Some((*pid, u64::try_from(usage::cpu_of(*pid)?.as_micros()).ok()?));
        self.cpu_us.take(frames.keys().filter_map(used).collect(), now);
        self.frames.take(frames, now);
    }

    fn cpu_for_a_frame(&self) -> Duration {
        let us = self.cpu_us.a_second() / self.frames.a_second();
        Duration::try_from_secs_f64(us / 1e6).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct Watched {
    sessions: Processes,
    workers: Processes,
}

/// Measures, until it is dropped.
#[derive(Debug, Default)]
pub struct Monitor(Mutex<Watched>);

impl Monitor {
    pub fn load(&self, queues: impl Iterator<Item = Queue>) -> Load {
        let watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (sessions, workers) = (&watched.sessions, &watched.workers);
        let share = workers.frames.a_second() / sessions.frames.a_second();
        let mut load = Load {
            sessions: 0,
            served: 0,
            crowded: 0,
            busy: sessions.cpu_us.a_second() / 1e6,
            cores: resources::cores(),
            memory_left: resources::memory_left(),
            workers: workers.frames.known.len(),
            inference: workers.cpu_for_a_frame(),
            share: if share.is_finite() { share } else { 1.0 },
        };
        for queue in queues {
            load.sessions += 1;
            load.served += usize::from(queue.is_served);
            load.crowded += usize::from(queue.is_long);
        }
        load
    }

    pub async fn watch(
        self: Arc<Self>,
        sessions: Arc<Sessions>,
        workers: Arc<Board>,
        shutdown: CancellationToken,
    ) {
        let mut ticks = tokio::time::interval(SAMPLE);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let (sessions, workers, now) = (sessions.answered(), workers.answered(), Instant::now());
            let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            watched.sessions.take(sessions, now);
            watched.workers.take(workers, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_an_average_over_the_last_seconds() {
        let (mut rate, begun) = (Rate::default(), Instant::now());
        let mut now = begun;
        let mut second = |rate: &mut Rate, totals: &[(u32, u64)]| {
            now += Duration::from_secs(1);
            rate.take(totals.iter().copied().collect(), now);
            rate.a_second()
        };
        assert_eq!(second(&mut rate, &[(7, 90_000)]), 0.0);
        assert!((second(&mut rate, &[(7, 90_500)]) - 500.0).abs() < 1e-9);
        assert!((second(&mut rate, &[(7, 91_000), (8, 5_000)]) - 500.0).abs() < 1e-9);
        assert!((second(&mut rate, &[(8, 5_500)]) - 500.0).abs() < 1e-9);
        for _ in 0..6 {
            second(&mut rate, &[]);
        }
        assert_eq!(second(&mut rate, &[]), 0.0);
    }

    #[test]
    fn without_frames_an_inference_costs_nothing() {
        let mut own = Processes::default();
        let (pid, now) = (std::process::id(), Instant::now());
        for seconds in 0..3 {
            own.take(BTreeMap::from([(pid, 9)]), now + Duration::from_secs(seconds));
        }
        assert_eq!(own.cpu_for_a_frame(), Duration::ZERO);
        assert_eq!(
            Monitor::default().load(std::iter::empty()).inference,
            Duration::ZERO
        );
    }
}
