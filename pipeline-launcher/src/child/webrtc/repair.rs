//! What was lost is asked for again (RFC 4585, RFC 4588), and waited for as long as that takes.

use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;

use crate::description::WebRtc;

/// Bytes per second that RTCP may take. By default it is 5 % of what the peer sends, and from it follows how long requests wait
/// for each other: with that of a small picture they came after the frame was given up.
const RTCP_BYTES_PER_SEC: f64 = 60_000.0;
/// Between reports, each of which carries the requests of its time; they take 2 kB/s. The default is 5 s.
const RTCP_INTERVAL: gst::ClockTime = gst::ClockTime::from_mseconds(50);
/// A packet that has not come is asked for again after this. By default that is a round trip and more, and a request that is
/// lost itself costs the frame; a packet that comes twice costs less.
const ASK_AGAIN_MS: i32 = 60;
/// A loss is noticed so much later, by the next frame.
const NOTICE_MS: u64 = 40;
/// So much more when that was not enough: packets that are late for other reasons, a request that was lost itself.
const GROW_MS: u32 = 50;
/// Looks without a loss before the delay shrinks, and by how much it then does each time.
const QUIET_LOOKS: u32 = 20;
const SHRINK_MS: u32 = 10;

/// Sets up what receives inside webrtcbin, and its delay.
#[derive(Debug, Clone)]
pub(super) struct Repair {
    buffers: Arc<Mutex<Vec<glib::WeakRef<gst::Element>>>>,
    delay: Arc<Mutex<Delay>>,
}

impl Repair {
    pub(super) fn prepare(webrtc: &gst::Element, settings: &WebRtc) -> Self {
        let rtpbin = webrtc.downcast_ref().and_then(|bin| super::find(bin, "rtpbin"));
        match rtpbin {
            // webrtcbin does it only for a stream whose SSRC it knows when the first packet comes.
            Some(rtpbin) => rtpbin.set_property("do-retransmission", true),
            None => tracing::warn!("webrtcbin has no rtpbin: lost packets may not be asked for again"),
        }
        Self {
            buffers: Arc::default(),
            delay: Arc::new(Mutex::new(Delay::new(
                settings.latency_ms,
                settings.max_latency_ms,
            ))),
        }
    }

    /// To be told of each element that is added to the pipeline.
    pub(super) fn equip(&self, element: &gst::Element) {
        match element
            .factory()
            .as_ref()
            .map(|factory| factory.name())
            .as_deref()
        {
            Some("rtpsession") => {
                element.set_property("rtcp-fraction", RTCP_BYTES_PER_SEC);
                element.set_property("rtcp-min-interval", RTCP_INTERVAL.nseconds());
            }
            Some("rtpjitterbuffer") => {
                // In order, packets never wait: the first need not either.
                element.set_property("rtx-retry-timeout", ASK_AGAIN_MS);
                element.set_property("faststart-min-packets", 1u32);
                let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
                buffers.push(element.downgrade());
            }
            _ => {}
        }
    }

    /// To be called every half second.
    pub(super) fn look(&self, webrtc: &gst::Element) {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        buffers.retain(|buffer| buffer.upgrade().is_some());
        let mut seen = Seen::default();
        for buffer in buffers.iter().filter_map(glib::WeakRef::upgrade) {
            let stats = buffer.property::<gst::Structure>("stats");
            let count = |name| stats.get::<u64>(name).unwrap_or(0);
            seen.lost += count("num-lost") + count("num-late");
            seen.repaired += count("rtx-success-count");
            seen.repair_ms = seen.repair_ms.max(count("rtx-rtt") / 1_000_000);
        }
        let mut delay = self.delay.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ms) = delay.look(seen) {
            tracing::debug!(ms, ?seen, "the jitterbuffer's delay changes");
            webrtc.set_property("latency", ms);
        }
    }
}

/// What the jitterbuffers have counted since they began.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// Packets that never came, or too late.
    lost: u64,
    /// Packets that came when they were asked for.
    repaired: u64,
    /// From a request to its packet, on average; 0: unknown.
    repair_ms: u64,
}

/// How long packets are held back: long enough to ask twice for one that is missing, if packets are lost all the same.
#[derive(Debug)]
struct Delay {
    least: u32,
    most: u32,
    now: u32,
    last: Seen,
    quiet: u32,
}

impl Delay {
    fn new(least: u32, most: u32) -> Self {
        Self {
            least,
            most: most.max(least),
            now: least,
            last: Seen::default(),
            quiet: 0,
        }
    }

    /// The new delay in milliseconds, if it changes.
    fn look(&mut self, seen: Seen) -> Option<u32> {
        let last = std::mem::replace(&mut self.last, seen);
        let (lost, repaired) = (seen.lost > last.lost, seen.repaired > last.repaired);
        self.quiet = if lost || repaired {
            0
        } else {
            self.quiet.saturating_add(1)
        };
        let before = self.now;
        if lost && seen.repair_ms > 0 {
            let twice = u32::try_from(2 * seen.repair_ms + NOTICE_MS).unwrap_or(u32::MAX);
            let more = self.now.saturating_add(GROW_MS);
            self.now = self.now.max(twice.max(more).min(self.most));
        } else if self.quiet > QUIET_LOOKS {
            self.now = self.now.saturating_sub(SHRINK_MS).max(self.least);
        }
        (self.now != before).then_some(self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(lost: u64, repaired: u64, repair_ms: u64) -> Seen {
        Seen {
            lost,
            repaired,
            repair_ms,
        }
    }

    #[test]
    fn losses_that_could_be_mended_raise_the_delay_up_to_its_bound() {
        let mut delay = Delay::new(50, 400);
        assert_eq!(delay.look(seen(0, 3, 20)), None, "mended in time");
        assert_eq!(delay.look(seen(1, 4, 120)), Some(280));
        assert_eq!(delay.look(seen(1, 5, 150)), None, "nothing was lost since");
        assert_eq!(delay.look(seen(2, 5, 110)), Some(330), "it was not enough");
        assert_eq!(delay.look(seen(3, 5, 500)), Some(400));
    }

    #[test]
    fn a_peer_that_sends_nothing_again_is_not_waited_for() {
        let mut delay = Delay::new(50, 400);
        assert_eq!(delay.look(seen(100, 0, 0)), None);
    }

    #[test]
    fn the_delay_shrinks_when_nothing_is_lost_for_long() {
        let mut delay = Delay::new(50, 400);
        assert_eq!(delay.look(seen(1, 1, 20)), Some(100));
        for _ in 0..QUIET_LOOKS {
            assert_eq!(delay.look(seen(1, 1, 20)), None);
        }
        assert_eq!(delay.look(seen(1, 1, 20)), Some(90));
        assert_eq!(delay.look(seen(1, 2, 20)), None, "it is needed");
        for _ in 0..2 * QUIET_LOOKS {
            delay.look(seen(1, 2, 20));
        }
        assert_eq!(delay.now, 50);
    }

    #[test]
    fn a_bound_below_the_delay_keeps_it() {
        let mut delay = Delay::new(200, 100);
        assert_eq!(delay.look(seen(9, 9, 300)), None);
    }
}
