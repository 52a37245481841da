//! Remembers which RTP timestamp came with which presentation time, until the decoded frame asks.

use std::collections::VecDeque;

/// Frames that may be inside a decoder at once.
const KEPT: usize = 64;

/// What is known of a frame before it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// RTP timestamp.
    pub timestamp: u32,
    /// Presentation time in nanoseconds.
    pub pts: u64,
    /// Unix time in microseconds at which its first packet came in.
    pub captured: u64,
}

#[derive(Debug, Default)]
pub struct Arrivals(VecDeque<Arrival>);

impl Arrivals {
    /// Notes a packet; only a frame's first counts, and for that it is true.
    pub fn note(&mut self, arrival: Arrival) -> bool {
        if self.0.iter().any(|known| known.timestamp == arrival.timestamp) {
            return false;
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(arrival);
        true
    }

    /// The frame that is presented at `pts`; older ones are forgotten.
    pub fn take(&mut self, pts: u64) -> Option<Arrival> {
        let index = self.0.iter().position(|arrival| arrival.pts == pts).or_else(|| {
            // A decoder may have rounded: the last that is not later.
            self.0.iter().rposition(|arrival| arrival.pts <= pts)
        })?;
        let arrival = self.0[index];
        self.0.drain(..=index);
        Some(arrival)
    }
}

/// The timestamp of an RTP packet (RFC 3550 §5.1).
pub fn rtp_timestamp(packet: &[u8]) -> Option<u32> {
    let bytes = packet.get(4..8)?;
    (packet[0] >> 6 == 2).then(|| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(timestamp: u32, pts: u64) -> Arrival {
        Arrival {
            timestamp,
            pts,
            captured: 0,
        }
    }

    #[test]
    fn each_frame_gets_its_own_timestamp() {
        let mut arrivals = Arrivals::default();
        for index in 0..100 {
            arrivals.note(arrival(index * 3000, u64::from(index) * 33));
            arrivals.note(arrival(index * 3000, u64::from(index) * 33 + 1));
        }
        assert_eq!(
            arrivals.take(99 * 33).map(|found| found.timestamp),
            Some(99 * 3000)
        );
        assert_eq!(arrivals.take(98 * 33), None, "older frames are forgotten");
    }

    #[test]
    fn a_rounded_time_finds_its_frame() {
        let mut arrivals = Arrivals::default();
        arrivals.note(arrival(1, 100));
        arrivals.note(arrival(2, 200));
        assert_eq!(arrivals.take(150).map(|found| found.timestamp), Some(1));
        assert_eq!(arrivals.take(50), None);
    }

    #[test]
    fn packets_that_are_not_rtp_are_ignored() {
        assert_eq!(rtp_timestamp(&[0x80, 96, 0, 1, 0, 0, 0x0b, 0xb8]), Some(3000));
        assert_eq!(rtp_timestamp(&[0x40, 96, 0, 1, 0, 0, 0, 1]), None);
        assert_eq!(rtp_timestamp(&[0x80]), None);
    }
}
