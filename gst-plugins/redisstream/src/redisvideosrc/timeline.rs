//! The writer's time and ours.

/// A frame that comes this much too early or too late shows that the two clocks, or the stream, have jumped.
const LARGEST_DRIFT: u64 = 1_000_000_000;

/// Gives frames our running time, at the distances that they have in the writer's. All in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    /// One moment, in the writer's time and in ours.
    anchor: Option<(u64, u64)>,
    last: u64,
}

impl Timeline {
    /// When the frame of the writer's time `pts`, which came `now`, is to be shown.
    pub(crate) fn place(&mut self, pts: u64, now: u64) -> u64 {
        let due = self
            .anchor
            .and_then(|(theirs, ours)| ours.checked_add(pts.checked_sub(theirs)?));
        let due = due.filter(|due| due.abs_diff(now) <= LARGEST_DRIFT);
        let due = due.unwrap_or_else(|| {
            self.anchor = Some((pts, now));
            now
        });
        self.last = self.last.max(due);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn distances_stay_whenever_frames_come() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.place(5_000 * MS, 20 * MS), 20 * MS);
        assert_eq!(timeline.place(5_033 * MS, 100 * MS), 53 * MS);
        assert_eq!(timeline.place(5_066 * MS, 101 * MS), 86 * MS);
    }

    #[test]
    fn after_a_jump_time_goes_on_from_now_and_never_back() {
        let mut timeline = Timeline::default();
        timeline.place(5_000 * MS, 0);
        assert_eq!(timeline.place(8_000 * MS, 500 * MS), 500 * MS);
        assert_eq!(timeline.place(8_900 * MS, 600 * MS), 1_400 * MS);
        assert_eq!(timeline.place(0, 700 * MS), 1_400 * MS, "another writer, from 0");
        assert_eq!(timeline.place(1_000 * MS, 1_700 * MS), 1_700 * MS);
        assert_eq!(timeline.place(u64::MAX, 1_800 * MS), 1_800 * MS);
    }
}
