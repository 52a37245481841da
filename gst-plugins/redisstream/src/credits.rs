//! How many of a session's frames may be published and unanswered.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// After this a frame counts as lost and its credit returns.
pub(crate) const CREDIT_LIFETIME: Duration = Duration::from_secs(1);
/// A wait for a worker that nobody notices.
const SHORT_WAIT: Duration = Duration::from_millis(10);
/// A wait that is worth avoiding.
const LONG_WAIT: Duration = Duration::from_millis(40);

#[derive(Debug)]
pub(crate) struct Credits {
    /// 0: no limit, and nothing is remembered.
    limit: usize,
    /// Of these, how many are of use at the moment.
    allowed: usize,
    outstanding: VecDeque<Outstanding>,
}

#[derive(Debug)]
struct Outstanding {
    seq: u64,
    timestamp: u32,
    since: Instant,
}

impl Credits {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            allowed: limit,
            outstanding: VecDeque::with_capacity(limit),
        }
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.limit > 0
    }

    pub(crate) fn are_left(&self) -> bool {
        self.limit == 0 || self.outstanding.len() < self.allowed
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.outstanding.len()
    }

    pub(crate) fn spend(&mut self, seq: u64, timestamp: u32, now: Instant) {
        if self.is_limited() {
            self.outstanding.push_back(Outstanding {
                seq,
                timestamp,
                since: now,
            });
        }
    }

    /// A frame was answered, by its sequence number or, by a v1 worker, only its timestamp. False if it was not
    /// outstanding.
    pub(crate) fn answer(&mut self, seq: Option<u64>, timestamp: u32) -> bool {
        let found = self.outstanding.iter().position(|frame| match seq {
            Some(seq) => frame.seq == seq,
            None => frame.timestamp == timestamp,
        });
        found.is_some_and(|index| self.outstanding.remove(index).is_some())
    }

    /// A frame waited so long for a worker, and was so long in inference.
    ///
    /// The second frame in flight is there to bridge the way from an answer to the next frame. Where frames queue for longer than
    /// several inferences, other sessions' frames bridge it, and the second is only older when its turn comes. With two
    /// in flight, workers that have as many sessions, or half as many, as there are of them never see such a queue.
    pub(crate) fn waited(&mut self, queued: Duration, inferred: Duration) {
        if queued > LONG_WAIT.max(inferred * 5 / 2) {
            self.allowed = (self.allowed / 2).max(1).min(self.limit);
        } else if queued < SHORT_WAIT.max(inferred / 2) {
            self.allowed = (self.allowed + 1).min(self.limit);
        }
    }

    /// Takes back the credits that nobody answered in time, and says how many.
    pub(crate) fn expire(&mut self, now: Instant) -> usize {
        let before = self.outstanding.len();
        self.outstanding
            .retain(|frame| now.saturating_duration_since(frame.since) < CREDIT_LIFETIME);
        before - self.outstanding.len()
    }

    /// When the next credit expires.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        Some(self.outstanding.front()?.since + CREDIT_LIFETIME)
    }

    pub(crate) fn clear(&mut self) {
        self.outstanding.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_time_give_credits_back() {
        let start = Instant::now();
        let mut credits = Credits::new(2);
        credits.spend(0, 100, start);
        assert!(credits.are_left());
        credits.spend(1, 200, start + Duration::from_millis(500));
        assert!(!credits.are_left());

        assert!(credits.answer(Some(1), 200), "answers may overtake each other");
        assert!(!credits.answer(Some(1), 200), "an answer counts once");
        assert!(!credits.answer(None, 200));
        assert_eq!(credits.next_expiry(), Some(start + CREDIT_LIFETIME));
        assert_eq!(credits.expire(start + CREDIT_LIFETIME), 1);
        assert_eq!(credits.in_flight(), 0);
    }

    #[test]
    fn a_v1_answer_has_only_a_timestamp() {
        let mut credits = Credits::new(1);
        credits.spend(5, 100, Instant::now());
        assert!(!credits.answer(None, 101));
        assert!(credits.answer(None, 100));
    }

    #[test]
    fn fewer_are_allowed_while_frames_queue() {
        let ms = Duration::from_millis;
        let mut credits = Credits::new(2);
        credits.spend(0, 0, Instant::now());
        credits.waited(ms(30), ms(10));
        assert!(credits.are_left(), "a short queue is no reason");
        credits.waited(ms(200), ms(100));
        assert!(
            credits.are_left(),
            "behind a slow worker's other frame is no crowd"
        );
        credits.waited(ms(60), ms(10));
        assert!(!credits.are_left());
        credits.waited(ms(20), ms(10));
        assert!(!credits.are_left(), "between the two nothing changes");
        credits.waited(ms(4), ms(10));
        assert!(credits.are_left());

        let mut unlimited = Credits::new(0);
        unlimited.waited(ms(900), ms(10));
        assert!(unlimited.are_left());
    }

    #[test]
    fn without_a_limit_nothing_is_remembered() {
        let mut credits = Credits::new(0);
        for seq in 0..1000 {
            assert!(credits.are_left());
            credits.spend(seq, 0, Instant::now());
        }
        assert_eq!(credits.in_flight(), 0);
    }
}
