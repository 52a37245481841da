//! Which frame may follow which: a decoder that misses one is shown nothing before the next keyframe.

/// The same rule at both ends, so that neither a write that failed nor an entry that was trimmed is ever decoded over.
#[derive(Debug, Default)]
pub(crate) struct Continuity {
    /// The only number that a frame may have that is no keyframe; none: it must be one.
    next: Option<u64>,
}

impl Continuity {
    /// True if the frame can be decoded after those that were admitted before.
    pub(crate) fn admits(&mut self, seq: u64, key: bool) -> bool {
        let admitted = key || self.next == Some(seq);
        self.next = seq.checked_add(1).filter(|_| admitted);
        admitted
    }

    /// The frame that was admitted last has not arrived.
    pub(crate) fn broken(&mut self) {
        self.next = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_gap_only_a_keyframe_is_admitted() {
        let mut continuity = Continuity::default();
        assert!(!continuity.admits(0, false));
        assert!(continuity.admits(1, true));
        assert!(continuity.admits(2, false));
        assert!(!continuity.admits(4, false));
        assert!(!continuity.admits(5, false), "4 was not shown");
        assert!(continuity.admits(9, true));
        continuity.broken();
        assert!(!continuity.admits(10, false));
    }

    #[test]
    fn one_frame_twice_is_not_admitted() {
        let mut continuity = Continuity::default();
        assert!(continuity.admits(3, true));
        assert!(!continuity.admits(3, false));
        assert!(continuity.admits(u64::MAX, true));
        assert!(!continuity.admits(0, false));
    }
}
