//! Whose turn it is: which of its streams a reader asks next.

use std::time::Instant;

use sightline_redis::Backoff;

/// Streams by their place among all. Each is asked as often as the others, unless it rests after a failure.
pub(crate) struct Turns {
    streams: Vec<Stream>,
    /// Who is asked first.
    first: usize,
    /// Who had something last.
    fruitful: usize,
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
            fruitful: 0,
        }
    }

    /// Those to ask now, in their order.
    pub(crate) fn due(&self, now: Instant) -> Vec<usize> {
        let rests = |turn: &usize| self.streams[*turn].rests_until.is_some_and(|until| now < until);
        let (before, after) = (0..self.first, self.first..self.streams.len());
        after.chain(before).filter(|turn| !rests(turn)).collect()
    }

    /// The one of these that is likeliest to have something soon: live frames come where the last one came.
    pub(crate) fn likeliest(&self, due: &[usize]) -> Option<usize> {
        let fruitful = due.iter().find(|turn| **turn == self.fruitful);
        fruitful.or(due.first()).copied()
    }

    /// These have answered, and one of them had something, perhaps: the others come before it the next time.
    pub(crate) fn answered(&mut self, turns: &[usize], fruitful: Option<usize>) {
        for turn in turns {
            self.streams[*turn] = Stream::default();
        }
        if let Some(fruitful) = fruitful {
            self.fruitful = fruitful;
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_had_something_comes_last() {
        let now = Instant::now();
        let mut turns = Turns::new(3);
        assert_eq!(turns.due(now), [0, 1, 2]);
        turns.answered(&[0], None);
        turns.answered(&[1], Some(1));
        assert_eq!(turns.due(now), [2, 0, 1]);
        assert_eq!(turns.likeliest(&[2, 0, 1]), Some(1));
        turns.answered(&[2], Some(2));
        assert_eq!(turns.due(now), [0, 1, 2]);
    }

    #[test]
    fn busy_streams_are_asked_equally_often() {
        let mut turns = Turns::new(4);
        let mut served = [0; 4];
        for _ in 0..400 {
            let turn = turns.due(Instant::now())[0];
            served[turn] += 1;
            turns.answered(&[turn], Some(turn));
        }
        assert_eq!(served, [100; 4]);
    }

    #[test]
    fn who_failed_rests_and_the_others_go_on() {
        let now = Instant::now();
        let mut turns = Turns::new(2);
        turns.answered(&[0], Some(0));
        turns.failed(&[0], now);
        assert_eq!(turns.due(now), [1]);
        assert_eq!(turns.likeliest(&[1]), Some(1));
        assert_eq!(turns.likeliest(&[]), None);
        assert_eq!(turns.due(now + Duration::from_secs(1)), [1, 0]);
    }
}
