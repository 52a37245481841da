//! Frames waiting in order for their answers. No threads, no clock, no Redis: events and times in, departures out.
//!
//! A frame leaves when all before it have left and its fate is known: it was answered, it cannot be answered any
//! more, or it has waited long enough. That a frame was never published is learnt from the answers: published frames
//! of a session are numbered without gaps, so between the frames of two successive numbers none was published.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Frames that have left are remembered for answers that come late.
const REMEMBERED: usize = 256;
/// So long a frame waits while sinks may need it to begin. Not shorter: a sink plays a little earlier than this element.
const PREROLL_WAIT: Duration = Duration::from_millis(50);
/// Answers that may be ahead of their frames.
const MAX_EARLY: usize = 64;

/// What names a frame here and in its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    /// RTP timestamp.
    pub(super) timestamp: u32,
    /// Running time in nanoseconds.
    pub(super) pts: Option<u64>,
}

/// What an answer says about its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) identity: Identity,
    /// The frame's number among the session's published ones; v1 workers do not know it.
    pub(super) seq: Option<u64>,
    /// Unix time in microseconds at which the frame was captured.
    pub(super) captured: Option<u64>,
}

/// Why something leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate<A> {
    /// No frame: it only keeps its place.
    Passed,
    Joined(A),
    TimedOut,
    /// Answers to other frames show that none comes for this one.
    Superseded,
    /// No answer can come: Redis is away.
    Disconnected,
    /// Sinks wait for a frame before they play, `redisstreamsink` too: nothing is published yet.
    Prerolled,
    /// Nothing says which frame it is.
    Unidentified,
}

/// What is next to leave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<T, A> {
    Leaves(T, Fate<A>),
    WaitsUntil(Instant),
    Empty,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) received: u64,
    /// Left, by reason.
    pub(super) joined: u64,
    pub(super) timed_out: u64,
    pub(super) superseded: u64,
    pub(super) disconnected: u64,
    pub(super) prerolled: u64,
    pub(super) unidentified: u64,
    /// Dropped by a flush.
    pub(super) flushed: u64,
    /// Answers for frames that had left.
    pub(super) late_answers: u64,
    /// Answers for no frame that was here, and second ones.
    pub(super) unknown_answers: u64,
    /// Answers that named a frame of ours, late ones too, and how long after the frame they came.
    pub(super) answers: u32,
    pub(super) delay_sum: Duration,
    pub(super) delay_max: Duration,
}

impl Counts {
    pub(super) fn left(&self) -> u64 {
        self.joined
            + self.timed_out
            + self.superseded
            + self.disconnected
            + self.prerolled
            + self.unidentified
    }

    pub(super) fn delay_mean(&self) -> Duration {
        self.delay_sum.checked_div(self.answers).unwrap_or_default()
    }

    fn note_delay(&mut self, delay: Duration) {
        self.answers = self.answers.saturating_add(1);
        self.delay_sum += delay;
        self.delay_max = self.delay_max.max(delay);
    }
}

#[derive(Debug)]
struct Frame<A> {
    identity: Option<Identity>,
    since: Instant,
    answered: bool,
    /// Known from its answer.
    seq: Option<u64>,
    /// Taken when it leaves.
    fate: Option<Fate<A>>,
}

/// Whether sinks wait for a first frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Preroll {
    Wanted,
    /// The frame has left, but whoever took it has not come back.
    Given,
    Done,
}

enum Item<T> {
    Frame(T),
    Other(T),
}

pub(super) struct Line<T, A> {
    max_wait: Duration,
    items: VecDeque<Item<T>>,
    /// Of the frames: first those that have left, then one for each among the items.
    frames: VecDeque<Frame<A>>,
    departed: usize,
    early: VecDeque<(Heard, A)>,
    listening: bool,
    running: bool,
    preroll: Preroll,
    /// When it was asked for the first time what is next, since something left.
    asked: Option<Instant>,
    /// Unix time in microseconds: an answer to a frame captured before is not for the frames that follow.
    begun: u64,
    counts: Counts,
}

impl<T, A> Line<T, A> {
    /// Paused at first. `begun`: see [`Self::clear`].
    pub(super) fn new(max_wait: Duration, begun: u64) -> Self {
        Self {
            max_wait,
            items: VecDeque::new(),
            frames: VecDeque::new(),
            departed: 0,
            early: VecDeque::new(),
            listening: true,
            running: false,
            preroll: Preroll::Wanted,
            asked: None,
            begun,
            counts: Counts::default(),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many frames wait.
    pub(super) fn waiting(&self) -> usize {
        self.frames.len() - self.departed
    }

    /// Appends what is no frame.
    pub(super) fn push(&mut self, item: T) {
        self.items.push_back(Item::Other(item));
    }

    /// Appends a frame.
    pub(super) fn push_frame(&mut self, item: T, identity: Option<Identity>, now: Instant) {
        self.forget();
        self.counts.received += 1;
        self.items.push_back(Item::Frame(item));
        self.frames.push_back(Frame {
            identity,
            since: now,
            answered: false,
            seq: None,
            fate: identity.is_none().then_some(Fate::Unidentified),
        });
        if let Some(identity) = identity {
            self.settle_early(identity, now);
        }
    }

    fn forget(&mut self) {
        while self.departed > REMEMBERED {
            self.frames.pop_front();
            self.departed -= 1;
        }
    }

    /// Gives a new frame the answer that was ahead of it; what is not ahead any more was for no frame of ours.
    fn settle_early(&mut self, identity: Identity, now: Instant) {
        let mut index = 0;
        while index < self.early.len() {
            let ahead = self.early[index].0.identity.timestamp;
            if is_newer(ahead, identity.timestamp) {
                index += 1;
            } else if let Some((heard, answer)) = self.early.remove(index) {
                self.answer(heard, answer, now);
            }
        }
    }

    /// Whether answers can come at all.
    pub(super) fn set_listening(&mut self, listening: bool) {
        self.listening = listening;
    }

    /// Whether the pipeline plays. A pause does not count as waiting.
    pub(super) fn set_running(&mut self, running: bool, now: Instant) {
        self.running = running;
        if running {
            self.restart_waiting(now);
        }
    }

    fn restart_waiting(&mut self, now: Instant) {
        for frame in self.frames.range_mut(self.departed..) {
            frame.since = now;
        }
    }

    /// An answer has come.
    pub(super) fn answer(&mut self, heard: Heard, answer: A, now: Instant) {
        let stale = heard.captured.is_some_and(|captured| captured < self.begun);
        match self.find(heard.identity) {
            Some(index) if !stale => self.resolve(index, heard.seq, answer, now),
            None if !stale && self.is_ahead(heard.identity.timestamp) => self.keep_early(heard, answer),
            _ => self.note_unknown_answer(),
        }
    }

    /// An answer has come that cannot be one of ours.
    pub(super) fn note_unknown_answer(&mut self) {
        self.counts.unknown_answers += 1;
    }

    /// The unanswered frame of an identity. Its timestamp names it; a frame that was doubled to keep a frame rate has
    /// the timestamp of the other, and then the running time decides.
    fn find(&self, identity: Identity) -> Option<usize> {
        let same = |frame: &Frame<A>| {
            frame
                .identity
                .filter(|own| own.timestamp == identity.timestamp && !frame.answered)
        };
        let exact = |frame: &Frame<A>| same(frame).is_some_and(|own| own.pts == identity.pts);
        self.frames
            .iter()
            .rposition(exact)
            .or_else(|| self.frames.iter().rposition(|frame| same(frame).is_some()))
    }

    fn is_ahead(&self, timestamp: u32) -> bool {
        let last = self.frames.iter().rev().find_map(|frame| frame.identity);
        last.is_none_or(|last| is_newer(timestamp, last.timestamp))
    }

    fn keep_early(&mut self, heard: Heard, answer: A) {
        if self.early.len() == MAX_EARLY {
            self.early.pop_front();
            self.note_unknown_answer();
        }
        self.early.push_back((heard, answer));
    }

    fn resolve(&mut self, index: usize, seq: Option<u64>, answer: A, now: Instant) {
        let frame = &mut self.frames[index];
        frame.answered = true;
        frame.seq = seq;
        let delay = now.saturating_duration_since(frame.since);
        if index < self.departed {
            self.counts.late_answers += 1;
        } else {
            // Even if it was given up: it is still here.
            frame.fate = Some(Fate::Joined(answer));
        }
        self.counts.note_delay(delay);
        self.supersede_around(index, seq);
    }

    /// Finds frames near an answered one that were not published.
    fn supersede_around(&mut self, index: usize, seq: Option<u64>) {
        let Some(seq) = seq else {
            // v1: whatever comes after this answer is for a later frame.
            return self.supersede(0, index);
        };
        let find = |wanted: u64| self.frames.iter().position(|frame| frame.seq == Some(wanted));
        let before = match seq.checked_sub(1) {
            Some(previous) => find(previous),
            None => Some(0),
        };
        let after = seq.checked_add(1).and_then(find);
        if let Some(before) = before {
            self.supersede(before, index);
        }
        if let Some(after) = after {
            self.supersede(index, after);
        }
    }

    fn supersede(&mut self, from: usize, to: usize) {
        for index in from.max(self.departed)..to {
            self.frames[index].fate.get_or_insert(Fate::Superseded);
        }
    }

    /// Takes what may leave now.
    pub(super) fn next(&mut self, now: Instant) -> Next<T, A> {
        let asked = self.note_asked(now);
        if let Some(until) = self.head_waits_until(asked, now) {
            return Next::WaitsUntil(until);
        }
        let Some(item) = self.items.pop_front() else {
            return Next::Empty;
        };
        self.asked = None;
        match item {
            Item::Frame(item) => Next::Leaves(item, self.depart()),
            Item::Other(item) => Next::Leaves(item, Fate::Passed),
        }
    }

    /// Since when it is asked what is next.
    fn note_asked(&mut self, now: Instant) -> Instant {
        if self.asked.is_none() && self.preroll == Preroll::Given {
            self.preroll = Preroll::Done;
            self.restart_waiting(now);
        }
        *self.asked.get_or_insert(now)
    }

    /// Until when the first in line waits; none: it leaves now, and if it is a frame it is known why.
    fn head_waits_until(&mut self, asked: Instant, now: Instant) -> Option<Instant> {
        if !matches!(self.items.front(), Some(Item::Frame(_))) {
            return None;
        }
        let frame = &mut self.frames[self.departed];
        if frame.fate.is_some() {
            return None;
        }
        let (until, fate) = if !self.running || self.preroll == Preroll::Wanted {
            let wait = PREROLL_WAIT.min(self.max_wait);
            (asked.max(frame.since) + wait, Fate::Prerolled)
        } else if !self.listening {
            (now, Fate::Disconnected)
        } else {
            (frame.since + self.max_wait, Fate::TimedOut)
        };
        if until > now {
            return Some(until);
        }
        frame.fate = Some(fate);
        None
    }

    fn depart(&mut self) -> Fate<A> {
        let fate = self.frames[self.departed].fate.take().unwrap_or(Fate::TimedOut);
        self.departed += 1;
        if self.preroll == Preroll::Wanted {
            self.preroll = Preroll::Given;
        }
        match fate {
            Fate::Passed => {}
            Fate::Joined(_) => self.counts.joined += 1,
            Fate::TimedOut => self.counts.timed_out += 1,
            Fate::Superseded => self.counts.superseded += 1,
            Fate::Prerolled => self.counts.prerolled += 1,
            Fate::Disconnected => self.counts.disconnected += 1,
            Fate::Unidentified => self.counts.unidentified += 1,
        }
        fate
    }

    /// Drops all frames and returns the rest. Only answers to frames captured from `begun` on, in Unix microseconds,
    /// count from here.
    pub(super) fn clear(&mut self, begun: u64) -> Vec<T> {
        self.counts.flushed += self.waiting() as u64;
        let rest = std::mem::take(&mut self.items).into_iter();
        self.frames.clear();
        self.departed = 0;
        self.early.clear();
        self.asked = None;
        self.preroll = Preroll::Wanted;
        self.begun = begun;
        rest.filter_map(|item| match item {
            Item::Frame(_) => None,
            Item::Other(item) => Some(item),
        })
        .collect()
    }
}

/// RTP timestamps wrap.
fn is_newer(timestamp: u32, than: u32) -> bool {
    let ahead = timestamp.wrapping_sub(than);
    ahead != 0 && ahead < 1 << 31
}

#[cfg(test)]
mod tests;
