//! The worker pipelines of this launcher: as many of each as there is work for, each kept running.
//!
//! | step | module |
//! |---|---|
//! | when a worker is started again, and when not | [`budget`] |
//! | one worker, from start to drained end | [`keeper`] |
//! | how long frames wait | [`backlog`] |
//! | how many workers that calls for | [`scaling`] |
//! | starting and draining them | [`pool`] |

pub mod backlog;
pub(super) mod budget;
mod keeper;
mod pool;
mod scaling;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::exits::Exits;
use super::health::Limits;
use super::recent::Recent;
use super::spare::Spares;
use crate::description::{Resolved, Restart};
use crate::registration::Registration;
use crate::status::WorkerStatus;
pub use pool::run;

/// What the workers of one pipeline have in common.
#[derive(Debug)]
pub struct Plan {
    pub pipeline: Resolved,
    pub restart: Restart,
    pub replicas: RangeInclusive<usize>,
    pub model: String,
    /// The streams whose frames they take.
    pub streams: Vec<String>,
    pub spares: Arc<Spares>,
    pub registration: Registration,
    pub limits: Limits,
    pub max_open_files: u64,
    pub exits: Arc<Exits>,
    pub board: Arc<Board>,
}

/// How each worker of this launcher is.
#[derive(Debug, Default)]
pub struct Board(Mutex<BTreeMap<String, Status>>);

#[derive(Debug, Clone, Default)]
struct Status {
    running: bool,
    pid: u32,
    /// Frames that the process has answered.
    answered: u64,
    /// Its budget of restarts is used up.
    rests: bool,
    /// Ends one after the other, none of which came after a while of work.
    crashes: usize,
    /// What it said before its last end.
    reason: String,
    model: String,
    /// Frames that it found too old.
    drops: u64,
    recent: Recent,
}

/// One end may be an accident; from here on it is a habit.
const KEEPS_CRASHING: usize = 2;

impl Board {
    fn workers(&self) -> MutexGuard<'_, BTreeMap<String, Status>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, worker: &str, write: impl FnOnce(&mut Status)) {
        write(self.workers().entry(worker.to_owned()).or_default());
    }

    fn remove(&self, worker: &str) {
        self.workers().remove(worker);
    }

    /// Frames that a worker's life so far has dropped as too old, over all workers of that pipeline.
    fn drops(&self, workers: &[String]) -> u64 {
        let board = self.workers();
        let known = workers.iter().filter_map(|worker| board.get(worker));
        known.map(|status| status.drops).sum()
    }

    /// How many frames the process of each that runs has answered.
    pub fn answered(&self) -> BTreeMap<u32, u64> {
        let workers = self.workers();
        let running = workers.values().filter(|status| status.running);
        running.map(|status| (status.pid, status.answered)).collect()
    }

    pub fn running(&self) -> usize {
        self.workers().values().filter(|status| status.running).count()
    }

    pub fn resting(&self) -> usize {
        self.workers().values().filter(|status| status.rests).count()
    }

    pub fn wanted(&self) -> usize {
        self.workers().len()
    }

    /// Each worker, for people.
    pub fn list(&self) -> Vec<WorkerStatus> {
        let workers = self.workers();
        let told = |(worker, status): (&String, &Status)| WorkerStatus {
            worker: worker.clone(),
            model: status.model.clone(),
            running: status.running,
            trouble: if status.running {
                String::new()
            } else {
                status.reason.clone()
            },
            expired: status.drops,
            figures: status.recent.figures(),
        };
        workers.iter().map(told).collect()
    }

    /// Why workers do not stay up, if so.
    pub fn trouble(&self) -> Option<String> {
        let workers = self.workers();
        let mut down = workers
            .values()
            .filter(|status| !status.running && status.crashes >= KEEPS_CRASHING);
        down.next().map(|status| status.reason.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_what_keeps_a_worker_from_running() {
        let board = Board::default();
        let crash = |status: &mut Status| {
            status.running = false;
            status.crashes += 1;
            status.reason = "no library".into();
        };
        board.note("a", crash);
        assert_eq!(board.trouble(), None);
        board.note("a", crash);
        board.note("b", |status| status.running = true);
        assert_eq!((board.running(), board.trouble()), (1, Some("no library".into())));
        board.note("a", |status| status.running = true);
        assert_eq!(board.trouble(), None);
    }
}
