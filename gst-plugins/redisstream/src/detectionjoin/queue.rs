//! The line, shared by three: the streaming thread puts in, the task of the source pad takes out, Redis answers.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sightline_protocol::unix_micros;

use super::line::{Counts, Fate, Heard, Identity, Line, Next};

pub(super) struct Queue<T, A> {
    state: Mutex<State<T, A>>,
    changed: Condvar,
}

struct State<T, A> {
    line: Line<T, A>,
    max_frames: usize,
    /// What those who put in are told.
    flow: Result<(), gst::FlowError>,
    /// The taker is to end.
    closed: bool,
    /// The taker works on what it took.
    busy: bool,
    /// Counts flushes: what became of something taken before one says nothing about what follows.
    epoch: u64,
}

/// For what was taken; [`Queue::done`] asks for it.
pub(super) struct Ticket {
    epoch: u64,
}

impl<T, A> Queue<T, A> {
    /// It takes nothing until it is opened.
    pub(super) fn new(max_wait: Duration, max_frames: usize) -> Self {
        Self {
            state: Mutex::new(State {
                line: Line::new(max_wait, unix_micros()),
                max_frames,
                flow: Err(gst::FlowError::Flushing),
                closed: false,
                busy: false,
                epoch: 0,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T, A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleep<'a>(&self, state: MutexGuard<'a, State<T, A>>) -> MutexGuard<'a, State<T, A>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn sleep_until<'a>(
        &self,
        state: MutexGuard<'a, State<T, A>>,
        time: Instant,
    ) -> MutexGuard<'a, State<T, A>> {
        let left = time.saturating_duration_since(Instant::now());
        let (state, _) = self
            .changed
            .wait_timeout(state, left)
            .unwrap_or_else(PoisonError::into_inner);
        state
    }

    fn change<R>(&self, change: impl FnOnce(&mut State<T, A>) -> R) -> R {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Puts a frame in as soon as there is room.
    pub(super) fn put_frame(&self, item: T, identity: Option<Identity>) -> Result<(), gst::FlowError> {
        let mut state = self.lock();
        loop {
            state.flow?;
            if state.line.waiting() < state.max_frames {
                break;
            }
            state = self.sleep(state);
        }
        state.line.push_frame(item, identity, Instant::now());
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Puts in what is no frame.
    pub(super) fn put(&self, item: T) -> Result<(), gst::FlowError> {
        let mut state = self.lock();
        state.flow?;
        state.line.push(item);
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Waits until all that was put in has left and been dealt with.
    pub(super) fn drain(&self) -> Result<(), gst::FlowError> {
        let mut state = self.lock();
        loop {
            state.flow?;
            if state.line.is_empty() && !state.busy {
                return Ok(());
            }
            state = self.sleep(state);
        }
    }

    /// Waits for something to leave; nothing comes when the queue is closed.
    pub(super) fn take(&self) -> Option<(T, Fate<A>, Ticket)> {
        let mut state = self.lock();
        while !state.closed {
            let next = match state.flow {
                Ok(()) => state.line.next(Instant::now()),
                Err(_) => Next::Empty,
            };
            state = match next {
                Next::Leaves(item, fate) => {
                    state.busy = true;
                    let ticket = Ticket { epoch: state.epoch };
                    drop(state);
                    self.changed.notify_all();
                    return Some((item, fate, ticket));
                }
                Next::WaitsUntil(time) => self.sleep_until(state, time),
                Next::Empty => self.sleep(state),
            };
        }
        None
    }

    /// What became of something taken: an error is told to those who put in. Then nothing more leaves, and what is
    /// no frame comes back.
    pub(super) fn done(&self, ticket: Ticket, result: Result<(), gst::FlowError>) -> Vec<T> {
        self.change(|state| {
            state.busy = false;
            if state.epoch != ticket.epoch || result.is_ok() || state.flow.is_err() {
                return Vec::new();
            }
            state.flow = result;
            state.line.clear(unix_micros())
        })
    }

    /// Opens, or opens again after a flush. All frames are dropped, and what is no frame comes back.
    pub(super) fn open(&self) -> Vec<T> {
        self.change(|state| {
            state.flow = Ok(());
            state.closed = false;
            state.line.clear(unix_micros())
        })
    }

    /// A new stream begins: the end of the one before does not count any more.
    pub(super) fn renew(&self) {
        self.change(|state| {
            if state.flow == Err(gst::FlowError::Eos) {
                state.flow = Ok(());
            }
        });
    }

    /// Ends all waiting and refuses what comes, until it is opened again.
    pub(super) fn flush(&self) {
        self.change(State::flush);
    }

    /// Drops everything, ends all waiting, and the taker ends.
    pub(super) fn close(&self) {
        let rest = self.change(|state| {
            state.flush();
            state.closed = true;
            state.line.clear(unix_micros())
        });
        drop(rest);
    }

    pub(super) fn answer(&self, heard: Heard, answer: A) {
        self.change(|state| state.line.answer(heard, answer, Instant::now()));
    }

    pub(super) fn note_unknown_answer(&self) {
        self.lock().line.note_unknown_answer();
    }

    pub(super) fn set_listening(&self, listening: bool) {
        self.change(|state| state.line.set_listening(listening));
    }

    pub(super) fn set_running(&self, running: bool) {
        self.change(|state| state.line.set_running(running, Instant::now()));
    }

    /// What happened so far, and how many frames wait.
    pub(super) fn counts(&self) -> (Counts, usize) {
        let state = self.lock();
        (state.line.counts(), state.line.waiting())
    }
}

impl<T, A> State<T, A> {
    fn flush(&mut self) {
        self.flow = Err(gst::FlowError::Flushing);
        self.epoch += 1;
    }
}
