//! Hands one item at a time between a streaming thread and a task.
//!
//! The thread blocks on a condition variable, so that `unlock()` can end its wait at once; the task awaits. In a
//! sink the thread gives and the task takes; in a source it is the other way round.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

pub(crate) struct Slot<T> {
    state: Mutex<State<T>>,
    thread: Condvar,
    task: Notify,
}

struct State<T> {
    item: Option<T>,
    /// The task works on what it took.
    busy: bool,
    /// The thread waits for an item.
    wanted: bool,
    /// The task would begin with an item at once.
    open: bool,
    interrupted: bool,
    failure: Option<String>,
}

/// Why a thread's wait ended without what it waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    Interrupted,
    TimedOut,
    /// The task has given up, and this is why.
    Failed(String),
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                item: None,
                busy: false,
                wanted: false,
                open: false,
                interrupted: false,
                failure: None,
            }),
            thread: Condvar::new(),
            task: Notify::new(),
        }
    }
}

impl<T> State<T> {
    fn check(&self) -> Result<(), Stop> {
        match &self.failure {
            Some(failure) => Err(Stop::Failed(failure.clone())),
            None if self.interrupted => Err(Stop::Interrupted),
            None => Ok(()),
        }
    }
}

/// For the streaming thread.
impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleep<'a>(&self, guard: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.thread.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an item in and returns the one it replaces. Never waits.
    pub(crate) fn replace(&self, item: T) -> Result<Option<T>, Stop> {
        let mut state = self.lock();
        if let Some(failure) = &state.failure {
            return Err(Stop::Failed(failure.clone()));
        }
        let replaced = state.item.replace(item);
        self.task.notify_one();
        Ok(replaced)
    }

    /// Puts an item in, or returns it if there is one already. Never waits.
    pub(crate) fn offer(&self, item: T) -> Result<Option<T>, Stop> {
        let mut state = self.lock();
        if let Some(failure) = &state.failure {
            return Err(Stop::Failed(failure.clone()));
        }
        if state.item.is_some() {
            return Ok(Some(item));
        }
        state.item = Some(item);
        self.task.notify_one();
        Ok(None)
    }

    /// Puts an item in as soon as there is room. An item that could not be put in comes back.
    pub(crate) fn put(&self, item: T) -> Result<(), (T, Stop)> {
        let mut state = self.lock();
        loop {
            if let Err(stop) = state.check() {
                return Err((item, stop));
            }
            if state.item.is_none() {
                state.item = Some(item);
                self.task.notify_one();
                return Ok(());
            }
            state = self.sleep(state);
        }
    }

    /// Waits until all that was put in is done with.
    pub(crate) fn drain(&self, deadline: Instant) -> Result<(), Stop> {
        let mut state = self.lock();
        loop {
            if state.item.is_none() && !state.busy {
                return Ok(());
            }
            state.check()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Stop::TimedOut);
            }
            let woken = self.thread.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the task would begin with another item at once, or somebody interrupts, or it has been too long.
    pub(crate) fn await_open(&self, deadline: Instant) {
        let mut state = self.lock();
        while !(state.open && state.item.is_none()) && state.check().is_ok() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let woken = self.thread.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How many items were put in and are not done with.
    pub(crate) fn unfinished(&self) -> u64 {
        let state = self.lock();
        u64::from(state.item.is_some()) + u64::from(state.busy)
    }

    /// Waits for an item of the task.
    pub(crate) fn get(&self) -> Result<T, Stop> {
        let mut state = self.lock();
        loop {
            if let Err(stop) = state.check() {
                state.wanted = false;
                return Err(stop);
            }
            if let Some(item) = state.item.take() {
                state.wanted = false;
                return Ok(item);
            }
            state.wanted = true;
            self.task.notify_one();
            state = self.sleep(state);
        }
    }

    /// Ends the thread's waiting, now and until it is allowed again.
    pub(crate) fn interrupt(&self, interrupted: bool) {
        self.lock().interrupted = interrupted;
        self.thread.notify_all();
    }
}

/// For the task.
impl<T> Slot<T> {
    /// Waits until there is an item.
    pub(crate) async fn filled(&self) {
        while self.lock().item.is_none() {
            self.task.notified().await;
        }
    }

    /// Takes the item to work on it, until [`Slot::done`].
    pub(crate) fn take(&self) -> Option<T> {
        let mut state = self.lock();
        let item = state.item.take()?;
        state.busy = true;
        state.open = false;
        self.thread.notify_all();
        Some(item)
    }

    /// Says whether it would begin with an item at once.
    pub(crate) fn open(&self, open: bool) {
        self.lock().open = open;
        if open {
            self.thread.notify_all();
        }
    }

    pub(crate) fn done(&self) {
        self.lock().busy = false;
        self.thread.notify_all();
    }

    /// Waits until the thread waits for an item.
    pub(crate) async fn wanted(&self) {
        while !self.lock().wanted {
            self.task.notified().await;
        }
    }

    /// Gives the thread an item, or returns it if the thread's wait has been interrupted.
    pub(crate) fn give(&self, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if !state.wanted {
            return Err(item);
        }
        state.item = Some(item);
        state.wanted = false;
        self.thread.notify_all();
        Ok(())
    }

    /// Gives up: the thread learns why at its next call.
    pub(crate) fn fail(&self, failure: String) {
        self.lock().failure = Some(failure);
        self.thread.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn newest_wins_or_oldest_stays() {
        let slot = Slot::default();
        assert_eq!(slot.replace(1), Ok(None));
        assert_eq!(slot.replace(2), Ok(Some(1)));
        assert_eq!(slot.offer(3), Ok(Some(3)));
        assert_eq!(slot.take(), Some(2));
        assert_eq!(slot.unfinished(), 1);
        slot.done();
        assert_eq!(slot.unfinished(), 0);
    }

    #[test]
    fn an_interrupt_ends_waits_and_gives_the_item_back() {
        let slot = Arc::new(Slot::default());
        slot.put(1).unwrap();
        let waiting = {
            let slot = slot.clone();
            std::thread::spawn(move || slot.put(2))
        };
        slot.interrupt(true);
        assert_eq!(waiting.join().unwrap(), Err((2, Stop::Interrupted)));
        slot.interrupt(false);
        assert_eq!(slot.take(), Some(1));
        slot.put(2).unwrap();
    }

    #[test]
    fn draining_waits_for_the_item_in_work() {
        let slot = Slot::default();
        slot.put(1).unwrap();
        slot.take();
        let soon = Instant::now() + Duration::from_millis(20);
        assert_eq!(slot.drain(soon), Err(Stop::TimedOut));
        slot.done();
        assert_eq!(slot.drain(soon), Ok(()));
    }

    #[test]
    fn who_waits_for_an_open_slot_goes_on_when_it_opens() {
        let slot = Arc::new(Slot::default());
        let soon = || Instant::now() + Duration::from_millis(20);
        let late = Instant::now() + Duration::from_secs(60);
        slot.await_open(soon());
        let waiting = {
            let slot = slot.clone();
            std::thread::spawn(move || slot.await_open(late))
        };
        slot.open(true);
        waiting.join().unwrap();
        slot.put(1).unwrap();
        slot.take();
        slot.done();
        slot.await_open(soon());
        assert!(!slot.lock().open, "what was taken has closed it");
        slot.interrupt(true);
        slot.await_open(late);
        assert!(Instant::now() < late);
    }

    #[tokio::test]
    async fn an_item_is_given_only_to_who_waits() {
        let slot = Arc::new(Slot::default());
        let getter = || {
            let slot = slot.clone();
            tokio::task::spawn_blocking(move || slot.get())
        };
        let waiting = getter();
        slot.wanted().await;
        slot.interrupt(true);
        assert_eq!(waiting.await.unwrap(), Err(Stop::Interrupted));
        assert_eq!(slot.give(7), Err(7));
        slot.interrupt(false);
        let waiting = getter();
        slot.wanted().await;
        assert_eq!(slot.give(7), Ok(()));
        assert_eq!(waiting.await.unwrap(), Ok(7));
        slot.fail("broken".into());
        assert_eq!(getter().await.unwrap(), Err(Stop::Failed("broken".into())));
    }
}
