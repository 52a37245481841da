//! How many of a session's frames may be published and unanswered.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// After this a frame counts as lost and its credit returns.
pub(crate) const CREDIT_LIFETIME: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Credits {
    /// 0: no limit, and nothing is remembered.
    limit: usize,
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
            outstanding: VecDeque::with_capacity(limit),
        }
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.limit > 0
    }

    pub(crate) fn are_left(&self) -> bool {
        self.limit == 0 || self.outstanding.len() < self.limit
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
    fn without_a_limit_nothing_is_remembered() {
        let mut credits = Credits::new(0);
        for seq in 0..1000 {
            assert!(credits.are_left());
            credits.spend(seq, 0, Instant::now());
        }
        assert_eq!(credits.in_flight(), 0);
    }
}
