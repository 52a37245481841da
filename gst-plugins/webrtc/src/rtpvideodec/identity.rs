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

/// What has become of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    /// True of a frame's first packet.
    pub is_first: bool,
    pub pts: u64,
}

#[derive(Debug, Default)]
pub struct Arrivals {
    frames: VecDeque<Arrival>,
    /// Of the newest frame.
    last_pts: Option<u64>,
}

impl Arrivals {
    /// Notes a packet; only a frame's first counts. Says whether it is that, and the presentation time that the packet must have.
    ///
    /// Frames that came in one burst may have the same time. Each gets one of its own, some nanoseconds later: a decoder that leaves
    /// one out would otherwise hand its name to the next.
    pub fn note(&mut self, arrival: Arrival) -> Noted {
        if let Some(known) = self
            .frames
            .iter()
            .find(|known| known.timestamp == arrival.timestamp)
        {
            return Noted {
                is_first: false,
                pts: known.pts,
            };
        }
        let later_than_all = self.last_pts.map_or(0, |last| last + 1);
        let is_tied =
            self.last_pts == Some(arrival.pts) || self.frames.iter().any(|known| known.pts == arrival.pts);
        let pts = if is_tied { later_than_all } else { arrival.pts };
        if self.frames.len() == KEPT {
            self.frames.pop_front();
        }
        self.last_pts = Some(pts);
        self.frames.push_back(Arrival { pts, ..arrival });
        Noted { is_first: true, pts }
    }

    /// The frame that is presented at `pts`; older ones are forgotten.
    pub fn take(&mut self, pts: u64) -> Option<Arrival> {
        let index = self
            .frames
            .iter()
            .position(|arrival| arrival.pts == pts)
            .or_else(|| {
                // A decoder may have rounded: the last that is not later.
                self.frames.iter().rposition(|arrival| arrival.pts <= pts)
            })?;
        let arrival = self.frames[index];
        self.frames.drain(..=index);
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
    fn frames_of_one_burst_are_told_apart_when_the_decoder_leaves_some_out() {
        let mut arrivals = Arrivals::default();
        let times: Vec<u64> = (0..4)
            .map(|index| arrivals.note(arrival(index * 3000, 500)).pts)
            .collect();
        assert_eq!(times, [500, 501, 502, 503]);
        let second_packet = arrivals.note(arrival(3000, 500));
        assert_eq!(
            second_packet,
            Noted {
                is_first: false,
                pts: 501
            }
        );
        assert_eq!(arrivals.take(502).map(|found| found.timestamp), Some(6000));
        assert_eq!(arrivals.take(503).map(|found| found.timestamp), Some(9000));
        // Taken ones are forgotten, their times are not.
        assert_eq!(arrivals.note(arrival(12_000, 503)).pts, 504);
        // What the next burst begins with keeps its own.
        assert_eq!(arrivals.note(arrival(15_000, 900)).pts, 900);
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
