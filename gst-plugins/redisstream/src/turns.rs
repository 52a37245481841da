//! Whose turn it is: which of its streams a reader asks next.

use std::time::{Duration, Instant};

use sightline_redis::Backoff;

/// Between two rounds in which nobody had anything, while frames come.
const PAUSE: Duration = Duration::from_millis(4);
/// The same when none has come for a while.
const PAUSE_AT_REST: Duration = Duration::from_millis(50);
const REST_AFTER: Duration = Duration::from_secs(1);

/// Streams by their place among all. Each is asked as often as the others, unless it rests after a failure.
pub(crate) struct Turns {
    streams: Vec<Stream>,
    /// Who is asked first.
    first: usize,
    /// When one had something last.
    fruitful: Option<Instant>,
}

#[derive(Default)]
struct Stream {
    backoff: Backoff,
    rests_until: Option<Instant>,
}

impl Turns {
    pub(crate) fn new(streams: usize) -> Self {
        Self {
            streams: (0..streams).map(|_| Stream::default()).collect(),
            first: 0,
            fruitful: None,
        }
    }

    /// Those to ask now, in their order.
    pub(crate) fn due(&self, now: Instant) -> Vec<usize> {
        let rests = |turn: &usize| self.streams[*turn].rests_until.is_some_and(|until| now < until);
        let (before, after) = (0..self.first, self.first..self.streams.len());
        after.chain(before).filter(|turn| !rests(turn)).collect()
    }

    /// How long to wait before all are asked again, where no read can wait.
    pub(crate) fn pause(&self, now: Instant) -> Duration {
        let lively = |at: Instant| now.saturating_duration_since(at) < REST_AFTER;
        if self.fruitful.is_some_and(lively) {
            PAUSE
        } else {
            PAUSE_AT_REST
        }
    }

    /// These have answered, and one of them had something, perhaps: the others come before it the next time.
    pub(crate) fn answered(&mut self, turns: &[usize], fruitful: Option<usize>, now: Instant) {
        for turn in turns {
            self.streams[*turn] = Stream::default();
        }
        if let Some(fruitful) = fruitful {
            self.fruitful = Some(now);
            self.first = (fruitful + 1) % self.streams.len().max(1);
        }
    }

    /// These have failed, and rest for a while.
    pub(crate) fn failed(&mut self, turns: &[usize], now: Instant) {
        for turn in turns {
            let stream = &mut self.streams[*turn];
            stream.rests_until = Some(now + stream.backoff.step());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_had_something_comes_last() {
        let now = Instant::now();
        let mut turns = Turns::new(3);
        assert_eq!(turns.due(now), [0, 1, 2]);
        turns.answered(&[0], None, now);
        turns.answered(&[1], Some(1), now);
        assert_eq!(turns.due(now), [2, 0, 1]);
        turns.answered(&[2], Some(2), now);
        assert_eq!(turns.due(now), [0, 1, 2]);
    }

    #[test]
    fn busy_streams_are_asked_equally_often() {
        let now = Instant::now();
        let mut turns = Turns::new(4);
        let mut served = [0; 4];
        for _ in 0..400 {
            let turn = turns.due(now)[0];
            served[turn] += 1;
            turns.answered(&[turn], Some(turn), now);
        }
        assert_eq!(served, [100; 4]);
    }

    #[test]
    fn who_failed_rests_and_the_others_go_on() {
        let now = Instant::now();
        let mut turns = Turns::new(2);
        turns.failed(&[0], now);
        assert_eq!(turns.due(now), [1]);
        assert_eq!(turns.due(now + Duration::from_secs(1)), [0, 1]);
    }

    #[test]
    fn looks_are_rarer_when_nothing_comes() {
        let now = Instant::now();
        let mut turns = Turns::new(2);
        assert_eq!(turns.pause(now), PAUSE_AT_REST);
        turns.answered(&[1], Some(1), now);
        turns.answered(&[0], None, now + PAUSE);
        assert_eq!(turns.pause(now + PAUSE), PAUSE);
        assert_eq!(turns.pause(now + REST_AFTER), PAUSE_AT_REST);
    }
}
