//! How much of something may happen: messages of a client, starts of sessions.

use std::time::{Duration, Instant};

/// A token bucket: `burst` at once, `per_second` in the long run.
#[derive(Debug)]
pub(crate) struct Bucket {
    burst: f64,
    per_second: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    pub(crate) fn new(burst: u32, per_second: u32, now: Instant) -> Self {
        Self {
            burst: burst.into(),
            per_second: per_second.into(),
            tokens: burst.into(),
            filled: now,
        }
    }

    /// Takes one token; false if there is none.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.tokens = self.filled_by(now);
        self.filled = now;
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }

    /// Nobody has taken any for long.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.filled_by(now) >= self.burst
    }

    fn filled_by(&self, now: Instant) -> f64 {
        let gained = now.saturating_duration_since(self.filled).as_secs_f64() * self.per_second;
        (self.tokens + gained).min(self.burst)
    }

    /// How long until there is a token, if none is taken.
    pub(crate) fn wait(&self) -> Duration {
        Duration::from_secs_f64((1.0 - self.tokens).max(0.0) / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_a_second() {
        let start = Instant::now();
        let mut bucket = Bucket::new(30, 1, start);
        assert_eq!((0..40).filter(|_| bucket.take(start)).count(), 30);
        assert!(!bucket.take(start + Duration::from_millis(900)));
        assert!(bucket.wait() > Duration::ZERO && bucket.wait() < Duration::from_millis(200));
        assert!(bucket.take(start + Duration::from_millis(1100)));
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..40).filter(|_| bucket.take(later)).count(), 30);
    }
}
