//! How a frame is named where no element before has named it: the same on the way to the workers and back.

use sightline_protocol::unix_micros;

/// A PTS in the 90 kHz clock of RTP video; without a PTS, the time of day in it.
pub(crate) fn rtp_timestamp(pts: Option<gst::ClockTime>) -> u32 {
    let nanos = pts.map_or_else(|| u128::from(unix_micros()) * 1000, |pts| pts.nseconds().into());
    // Wraps, as RTP timestamps do.
    (nanos * 90_000 / 1_000_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_run_at_90_khz_and_wrap() {
        let at = |seconds| rtp_timestamp(Some(gst::ClockTime::from_seconds(seconds)));
        assert_eq!(at(1), 90_000);
        assert_eq!(at(47_722), 47_722_u64.wrapping_mul(90_000) as u32);
    }
}
