//! How many workers there should be, told from how long frames wait: no clock and no Redis here.
//!
//! More at once they wait too long, one at a time; fewer only after a long calm, which gets longer each time that it
//! turns out to have been too early.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// Frames that wait longer than this want another worker: a box should be back within a blink.
const LATE: Duration = Duration::from_millis(150);
/// Frames that wait less than this would be served by fewer, perhaps.
const CALM: Duration = Duration::from_millis(50);
/// So long must frames be late: a worker needs about that to start.
const LATE_FOR: Duration = Duration::from_secs(3);
const CALM_FOR: Duration = Duration::from_secs(60);
const LONGEST_CALM: Duration = Duration::from_secs(16 * 60);

/// What was seen at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    /// Age of the oldest frame.
    pub(super) oldest: Duration,
    /// Frames that were too old, since the last sample.
    pub(super) drops: u64,
}

#[derive(Debug)]
pub(super) struct Scaler {
    replicas: RangeInclusive<usize>,
    wanted: usize,
    late_since: Option<Instant>,
    calm_since: Option<Instant>,
    calm_for: Duration,
    /// When the last worker was taken away.
    shrunk: Option<Instant>,
}

impl Scaler {
    pub(super) fn new(replicas: RangeInclusive<usize>) -> Self {
        Self {
            wanted: *replicas.start(),
            replicas,
            late_since: None,
            calm_since: None,
            calm_for: CALM_FOR,
            shrunk: None,
        }
    }

    pub(super) fn wanted(&self) -> usize {
        self.wanted
    }

    pub(super) fn take(&mut self, sample: Sample, now: Instant) {
        let late = sample.oldest >= LATE || sample.drops > 0;
        let calm = sample.oldest <= CALM && sample.drops == 0;
        self.late_since = late.then(|| self.late_since.unwrap_or(now));
        self.calm_since = calm.then(|| self.calm_since.unwrap_or(now));
        let lasted = |since: Option<Instant>| since.map(|since| now.duration_since(since));
        if lasted(self.late_since).is_some_and(|time| time >= LATE_FOR) {
            self.grow(now);
        } else if lasted(self.calm_since).is_some_and(|time| time >= self.calm_for) {
            self.shrink(now);
        }
    }

    fn grow(&mut self, now: Instant) {
        if self.wanted >= *self.replicas.end() {
            return;
        }
        if self
            .shrunk
            .is_some_and(|at| now.duration_since(at) < self.calm_for)
        {
            self.calm_for = (self.calm_for * 2).min(LONGEST_CALM);
        }
        self.wanted += 1;
        self.late_since = None;
    }

    fn shrink(&mut self, now: Instant) {
        if self.wanted <= *self.replicas.start() {
            return;
        }
        self.wanted -= 1;
        self.shrunk = Some(now);
        self.calm_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets a second pass for each of `seconds`, with frames that old.
    fn pass(scaler: &mut Scaler, now: &mut Instant, seconds: u64, oldest_ms: u64, drops: u64) -> usize {
        for _ in 0..seconds {
            *now += Duration::from_secs(1);
            let oldest = Duration::from_millis(oldest_ms);
            scaler.take(Sample { oldest, drops }, *now);
        }
        scaler.wanted()
    }

    #[test]
    fn late_frames_and_drops_call_for_more_up_to_the_limit() {
        let (mut scaler, mut now) = (Scaler::new(1..=3), Instant::now());
        assert_eq!(pass(&mut scaler, &mut now, 2, 400, 0), 1);
        assert_eq!(pass(&mut scaler, &mut now, 2, 400, 0), 2);
        assert_eq!(pass(&mut scaler, &mut now, 4, 10, 5), 3);
        assert_eq!(pass(&mut scaler, &mut now, 100, 400, 5), 3);
    }

    #[test]
    fn a_moment_is_not_enough_and_between_the_two_nothing_changes() {
        let (mut scaler, mut now) = (Scaler::new(1..=3), Instant::now());
        for _ in 0..100 {
            pass(&mut scaler, &mut now, 2, 400, 0);
            assert_eq!(pass(&mut scaler, &mut now, 1, 100, 0), 1);
        }
    }

    #[test]
    fn a_long_calm_takes_one_away_and_never_the_last() {
        let (mut scaler, mut now) = (Scaler::new(1..=3), Instant::now());
        pass(&mut scaler, &mut now, 8, 400, 0);
        assert_eq!(pass(&mut scaler, &mut now, 60, 0, 0), 3);
        assert_eq!(pass(&mut scaler, &mut now, 1, 0, 0), 2);
        assert_eq!(pass(&mut scaler, &mut now, 600, 0, 0), 1);
    }

    #[test]
    fn who_was_missed_is_taken_away_later_the_next_time() {
        let (mut scaler, mut now) = (Scaler::new(1..=2), Instant::now());
        pass(&mut scaler, &mut now, 4, 400, 0);
        assert_eq!(pass(&mut scaler, &mut now, 61, 0, 0), 1);
        assert_eq!(pass(&mut scaler, &mut now, 4, 400, 0), 2);
        assert_eq!(pass(&mut scaler, &mut now, 119, 0, 0), 2);
        assert_eq!(pass(&mut scaler, &mut now, 2, 0, 0), 1);
    }

    #[test]
    fn a_fixed_number_stays() {
        let (mut scaler, mut now) = (Scaler::new(2..=2), Instant::now());
        assert_eq!(pass(&mut scaler, &mut now, 100, 400, 9), 2);
        assert_eq!(pass(&mut scaler, &mut now, 1000, 0, 0), 2);
    }
}
