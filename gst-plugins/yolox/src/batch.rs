//! Several threads with one frame each, and one model that takes several frames at a time.
//!
//! There is no thread of its own: whoever finds that a batch can start runs the model for all that are in it.
//! A batch starts as soon as a model is free and the batch is full, or all members that are there have put in a
//! frame, or a frame in it has waited for its time. Nobody waits for a member that is not there: one that does not
//! play (its frames may be held further on), has put in no frame yet, has said that it pauses, or was missing when
//! a batch last ran for want of time.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// What runs a batch.
pub trait Runner: Send {
    /// One frame's input.
    type Row: Send;
    /// The output of a batch.
    type Output: Send + Sync;

    fn run(&mut self, rows: &[Self::Row]) -> Result<Self::Output, String>;
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("cancelled")]
    Cancelled,
    #[error("{0}")]
    Run(Arc<str>),
}

/// What came of one frame.
#[derive(Debug)]
pub struct Finished<R: Runner> {
    /// The frame's input, for its owner to use again.
    pub row: R::Row,
    /// The output of the whole batch.
    pub output: Arc<R::Output>,
    /// Which frame of the batch this is, and how many there were.
    pub index: usize,
    pub size: usize,
    /// Time until the model started, and in the model.
    pub wait: Duration,
    pub run: Duration,
}

type Outcome<R> = Result<Finished<R>, BatchError>;

/// A frame that waits.
struct Frame<R: Runner> {
    member: u64,
    /// Frames are numbered in the order they came.
    ticket: u64,
    row: R::Row,
    since: Instant,
    deadline: Instant,
}

/// One of the threads.
struct Member<R: Runner> {
    /// The frame whose result it waits for.
    ticket: Option<u64>,
    outcome: Option<Outcome<R>>,
    /// Whether others wait for it.
    is_present: bool,
    is_playing: bool,
    is_cancelled: bool,
}

struct Shared<R: Runner> {
    /// Those that do not run. With more than one, a batch is made ready while the one before still runs.
    runners: Vec<R>,
    /// The first come first.
    waiting: Vec<Frame<R>>,
    members: BTreeMap<u64, Member<R>>,
    next: u64,
}

impl<R: Runner> Shared<R> {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn put(&mut self, member: u64, row: R::Row, timeout: Duration) {
        let ticket = self.number();
        let since = Instant::now();
        self.waiting.push(Frame {
            member,
            ticket,
            row,
            since,
            deadline: since + timeout,
        });
        if let Some(member) = self.members.get_mut(&member) {
            member.ticket = Some(ticket);
            member.is_present = member.is_playing && !member.is_cancelled;
        }
    }

    /// Until when the first `size` frames wait for others; `None`: no longer.
    fn until(&self, size: usize, now: Instant) -> Option<Instant> {
        let is_expected = |(id, member): (&u64, &Member<R>)| {
            member.is_present && !self.waiting.iter().any(|frame| frame.member == *id)
        };
        if self.waiting.len() >= size || !self.members.iter().any(is_expected) {
            return None;
        }
        let deadline = self.waiting.iter().map(|frame| frame.deadline).min();
        deadline.filter(|deadline| *deadline > now)
    }

    /// Whether a member's frame is among the next `size`.
    fn is_next(&self, member: u64, size: usize) -> bool {
        self.waiting.iter().take(size).any(|frame| frame.member == member)
    }

    /// Takes a batch. Members that are missing in it will not be waited for until they come back.
    fn take(&mut self, size: usize) -> Vec<Frame<R>> {
        let size = size.min(self.waiting.len());
        let batch: Vec<_> = self.waiting.drain(..size).collect();
        if self.waiting.is_empty() {
            for (id, member) in &mut self.members {
                member.is_present &= batch.iter().any(|frame| frame.member == *id);
            }
        }
        batch
    }

    /// Gives a frame's outcome to its member, unless that has gone or given the frame up.
    fn give(&mut self, member: u64, ticket: u64, outcome: Outcome<R>) {
        if let Some(member) = self.members.get_mut(&member)
            && member.ticket == Some(ticket)
        {
            member.outcome = Some(outcome);
        }
    }

    /// A member's outcome, if its wait is over.
    fn outcome(&mut self, id: u64) -> Option<Outcome<R>> {
        let Some(member) = self.members.get_mut(&id) else {
            return Some(Err(BatchError::Cancelled));
        };
        let outcome = match member.outcome.take() {
            _ if member.is_cancelled => Err(BatchError::Cancelled),
            outcome => outcome?,
        };
        member.ticket = None;
        self.waiting.retain(|frame| frame.member != id);
        Some(outcome)
    }
}

/// Collects frames into batches of at most `size`.
pub struct Batcher<R: Runner> {
    shared: Mutex<Shared<R>>,
    changed: Condvar,
    size: usize,
}

impl<R: Runner> Batcher<R> {
    pub fn new(runners: Vec<R>, size: usize) -> Arc<Self> {
        let shared = Shared {
            runners,
            waiting: Vec::new(),
            members: BTreeMap::new(),
            next: 0,
        };
        Arc::new(Self {
            shared: Mutex::new(shared),
            changed: Condvar::new(),
            size: size.max(1),
        })
    }

    pub fn join(self: &Arc<Self>) -> Membership<R> {
        let mut shared = self.lock();
        let id = shared.number();
        let member = Member {
            ticket: None,
            outcome: None,
            is_present: false,
            is_playing: false,
            is_cancelled: false,
        };
        shared.members.insert(id, member);
        drop(shared);
        Membership {
            batcher: self.clone(),
            id,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared<R>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &self,
        shared: MutexGuard<'a, Shared<R>>,
        time: Option<Duration>,
    ) -> MutexGuard<'a, Shared<R>> {
        match time {
            Some(time) => {
                let result = self.changed.wait_timeout(shared, time);
                result.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.changed.wait(shared).unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Runs the model for the next batch. The lock is not held meanwhile.
    fn run(&self, mut shared: MutexGuard<'_, Shared<R>>, mut runner: R) {
        let batch = shared.take(self.size);
        let is_more_to_do = !shared.runners.is_empty() && !shared.waiting.is_empty();
        drop(shared);
        if is_more_to_do {
            self.changed.notify_all();
        }
        let (rows, frames): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|frame| (frame.row, (frame.member, frame.ticket, frame.since)))
            .unzip();
        let start = Instant::now();
        // Whatever happens, the others must hear of it.
        let result = catch_unwind(AssertUnwindSafe(|| runner.run(&rows)))
            .unwrap_or_else(|_| Err("the model's run panicked".into()));
        let (run, size) = (start.elapsed(), rows.len());
        let result = result.map(Arc::new).map_err(|why| BatchError::Run(why.into()));

        let mut shared = self.lock();
        shared.runners.push(runner);
        for (index, (row, (member, ticket, since))) in rows.into_iter().zip(frames).enumerate() {
            let outcome = result.clone().map(|output| Finished {
                row,
                output,
                index,
                size,
                wait: start - since,
                run,
            });
            shared.give(member, ticket, outcome);
        }
        self.changed.notify_all();
    }
}

/// A thread's place among those that share a model. Other threads may end its waits.
pub struct Membership<R: Runner> {
    batcher: Arc<Batcher<R>>,
    id: u64,
}

impl<R: Runner> Membership<R> {
    /// Puts a frame in and waits for its outcome. The batch waits for others at most for `timeout`.
    pub fn infer(&self, row: R::Row, timeout: Duration) -> Outcome<R> {
        let batcher = &self.batcher;
        let mut shared = batcher.lock();
        shared.put(self.id, row, timeout);
        loop {
            if let Some(outcome) = shared.outcome(self.id) {
                return outcome;
            }
            let mut wait = None;
            if !shared.runners.is_empty() && shared.is_next(self.id, batcher.size) {
                let now = Instant::now();
                wait = shared.until(batcher.size, now).map(|until| until - now);
                if wait.is_none()
                    && let Some(runner) = shared.runners.pop()
                {
                    batcher.run(shared, runner);
                    shared = batcher.lock();
                    continue;
                }
            }
            shared = batcher.wait(shared, wait);
        }
    }

    /// Changes what the others know of this member, and wakes all.
    fn change(&self, change: impl FnOnce(&mut Member<R>)) {
        if let Some(member) = self.batcher.lock().members.get_mut(&self.id) {
            change(member);
        }
        self.batcher.changed.notify_all();
    }

    /// Ends a wait at once, and refuses frames until `resume`.
    pub fn cancel(&self) {
        self.batcher
            .lock()
            .waiting
            .retain(|frame| frame.member != self.id);
        self.change(|member| {
            member.is_cancelled = true;
            member.is_present = false;
        });
    }

    pub fn resume(&self) {
        self.change(|member| member.is_cancelled = false);
    }

    /// Says whether it plays; others wait for it only then.
    pub fn play(&self, is_playing: bool) {
        self.change(|member| {
            member.is_playing = is_playing;
            member.is_present &= is_playing;
        });
    }

    /// Says that no frame will come for a while.
    pub fn pause(&self) {
        self.change(|member| member.is_present = false);
    }
}

impl<R: Runner> Drop for Membership<R> {
    fn drop(&mut self) {
        self.batcher.lock().members.remove(&self.id);
        self.batcher.changed.notify_all();
    }
}
