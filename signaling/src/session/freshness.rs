//! Which predictions are news.

use sightline_protocol::prediction::PredictionHeader;

/// Lets only predictions through that are newer than the last one.
///
/// Workers run side by side, so answers overtake each other; a box of an older frame must not replace that
/// of a newer one.
#[derive(Debug, Default)]
pub(crate) struct Freshness {
    /// Sequence number and RTP timestamp of the last one.
    last: Option<(Option<u64>, u32)>,
}

impl Freshness {
    pub(crate) fn admit(&mut self, header: &PredictionHeader) -> bool {
        let newer = match self.last {
            None => true,
            Some((Some(last), _)) if header.seq.is_some() => header.seq > Some(last),
            // A v1 worker copies only the timestamp. RTP timestamps wrap: newer is what lies less than half
            // the range ahead.
            Some((_, last)) => (1..1 << 31).contains(&header.timestamp.wrapping_sub(last)),
        };
        if newer {
            self.last = Some((header.seq, header.timestamp));
        }
        newer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(seq: Option<u64>, timestamp: u32) -> PredictionHeader {
        PredictionHeader {
            participant_id: "a".into(),
            timestamp,
            seq,
            captured: None,
            v1: seq.is_none(),
        }
    }

    #[test]
    fn sequence_numbers_decide_where_there_are_any() {
        let mut freshness = Freshness::default();
        let admitted: Vec<_> = [0, 2, 1, 2, 3]
            .into_iter()
            .map(|seq| freshness.admit(&header(Some(seq), 0)))
            .collect();
        assert_eq!(admitted, [true, true, false, false, true]);
    }

    #[test]
    fn timestamps_wrap() {
        let mut freshness = Freshness::default();
        let admitted: Vec<_> = [u32::MAX - 3000, u32::MAX - 3000, 0, u32::MAX - 3000, 3000]
            .into_iter()
            .map(|timestamp| freshness.admit(&header(None, timestamp)))
            .collect();
        assert_eq!(admitted, [true, false, true, false, true]);
    }

    #[test]
    fn workers_of_both_kinds_may_share_a_session() {
        let mut freshness = Freshness::default();
        assert!(freshness.admit(&header(Some(7), 3000)));
        assert!(!freshness.admit(&header(None, 3000)));
        assert!(freshness.admit(&header(None, 6000)));
        assert!(!freshness.admit(&header(Some(8), 6000)));
        assert!(freshness.admit(&header(Some(9), 9000)));
    }
}
