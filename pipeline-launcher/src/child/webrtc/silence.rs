//! Whether the peer still sends: webrtcbin (before 1.24) keeps a peer that was killed for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gst::prelude::*;

/// When the last packet of the peer came: RTP, RTCP or DTLS, for libnice keeps STUN to itself.
#[derive(Debug, Clone)]
pub(super) struct Ear {
    start: Instant,
    /// Milliseconds since the start.
    heard: Arc<AtomicU64>,
}

impl Ear {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            heard: Arc::default(),
        }
    }

    /// To be told of each element that is added to the pipeline.
    pub(super) fn listen(&self, element: &gst::Element) {
        let receives = element
            .factory()
            .is_some_and(|factory| factory.name() == "nicesrc");
        let Some(pad) = element.static_pad("src").filter(|_| receives) else {
            return;
        };
        let ear = self.clone();
        let packets = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(packets, move |_, _| {
            ear.hear();
            gst::PadProbeReturn::Ok
        });
    }

    fn hear(&self) {
        let ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(ms, Ordering::Relaxed);
    }

    pub(super) fn silent_for(&self, now: Instant) -> Duration {
        let heard = self.start + Duration::from_millis(self.heard.load(Ordering::Relaxed));
        now.saturating_duration_since(heard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_measured_from_the_last_packet() {
        gst::init().unwrap();
        let ear = Ear::new();
        let later = ear.start + Duration::from_secs(7);
        assert_eq!(ear.silent_for(later), Duration::from_secs(7));
        ear.heard.store(5000, Ordering::Relaxed);
        assert_eq!(ear.silent_for(later), Duration::from_secs(2));
        assert_eq!(ear.silent_for(ear.start), Duration::ZERO);
    }
}
