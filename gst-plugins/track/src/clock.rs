//! How many frames have passed.

use std::num::NonZeroU64;

/// Without a frame rate in the caps, a frame is a thirtieth of a second: the rate ByteTrack's numbers are made for.
const USUAL: NonZeroU64 = NonZeroU64::new(1_000_000_000 / 30).expect("not 0");

/// Counts frames by their presentation timestamps, so that dropped ones count too.
#[derive(Debug)]
pub struct Clock {
    period: NonZeroU64,
    last: Option<u64>,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            period: USUAL,
            last: None,
        }
    }
}

impl Clock {
    /// Takes over the frame rate of the caps, as a fraction; 0 is a variable one.
    pub fn set_rate(&mut self, numerator: i32, denominator: i32) {
        let period = match (u64::try_from(numerator), u64::try_from(denominator)) {
            (Ok(numerator @ 1..), Ok(denominator)) => 1_000_000_000 * denominator / numerator,
            _ => 0,
        };
        self.period = NonZeroU64::new(period).unwrap_or(USUAL);
    }

    /// Frames since the last call, at least 1, for a frame at `pts` nanoseconds. A leap back counts as one forward.
    pub fn tick(&mut self, pts: Option<u64>) -> u64 {
        let Some(pts) = pts else {
            return 1;
        };
        let passed = self.last.replace(pts).map_or(0, |last| pts.abs_diff(last));
        (passed.saturating_add(self.period.get() / 2) / self.period).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_by_their_times() {
        let mut clock = Clock::default();
        clock.set_rate(25, 1);
        let ms = |ms: u64| Some(ms * 1_000_000);
        for (pts, frames) in [
            (ms(1000), 1),
            (ms(1040), 1),
            (ms(1055), 1),
            (ms(1160), 3),
            (None, 1),
            (ms(1160), 1),
            (ms(160), 25),
        ] {
            assert_eq!(clock.tick(pts), frames, "{pts:?}");
        }
        assert!(clock.tick(Some(u64::MAX)) > 1_000_000_000);
        assert!(clock.tick(Some(0)) > 1_000_000_000);
    }

    #[test]
    fn any_rate_is_taken() {
        for (numerator, denominator) in [(0, 1), (-1, 1), (1, 0), (1, -1), (i32::MAX, 1), (1, i32::MAX)] {
            let mut clock = Clock::default();
            clock.set_rate(numerator, denominator);
            clock.tick(Some(0));
            assert!(clock.tick(Some(1_000_000_000)) >= 1);
        }
        let mut clock = Clock::default();
        clock.tick(Some(0));
        assert_eq!(clock.tick(Some(1_000_000_000)), 30);
    }
}
