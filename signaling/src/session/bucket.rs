//! How many messages a client may send.

use std::time::Instant;

/// A token bucket: `BURST` messages at once, `PER_SECOND` in the long run.
///
/// A browser that joins sends its answer and a burst of some twenty candidates.
#[derive(Debug)]
pub(crate) struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    const BURST: f64 = 30.0;
    const PER_SECOND: f64 = 1.0;

    pub(crate) fn new(now: Instant) -> Self {
        Self {
            tokens: Self::BURST,
            filled: now,
        }
    }

    /// Takes one token; false if there is none.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.filled).as_secs_f64() * Self::PER_SECOND;
        self.tokens = (self.tokens + gained).min(Self::BURST);
        self.filled = now;
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_a_second() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        assert_eq!((0..40).filter(|_| bucket.take(start)).count(), 30);
        assert!(!bucket.take(start + Duration::from_millis(900)));
        assert!(bucket.take(start + Duration::from_millis(1100)));
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..40).filter(|_| bucket.take(later)).count(), 30);
    }
}
