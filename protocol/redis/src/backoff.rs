//! How long to wait before trying again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const CAP: Duration = Duration::from_secs(2);

/// Delays between attempts: each twice as long as the one before up to a cap, the second half of each left to chance
/// so that many clients of one Redis do not come back in step.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    pub fn new() -> Self {
        Self { next: FIRST }
    }

    /// How long to wait now.
    pub fn step(&mut self) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(CAP);
        full.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// To be called after proof of health, not merely after a connection.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_cap_and_start_again() {
        let mut backoff = Backoff::new();
        assert!((FIRST / 2..=FIRST).contains(&backoff.step()));
        for _ in 0..100 {
            assert!(backoff.step() <= CAP);
        }
        assert!(backoff.step() >= CAP / 2);
        backoff.reset();
        assert!(backoff.step() <= FIRST);
    }
}
