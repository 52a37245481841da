//! Quality of service: which frames would come too late to be worth an inference.

/// What the sink last said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Qos {
    /// Running time that frames must be later than to come in time.
    earliest: Option<gst::ClockTime>,
    proportion: f64,
}

impl Default for Qos {
    fn default() -> Self {
        Self {
            earliest: None,
            proportion: 1.0,
        }
    }
}

impl Qos {
    pub(super) fn update(&mut self, event: &gst::event::Qos) {
        let (_, proportion, diff, timestamp) = event.get();
        self.proportion = proportion;
        // A sink that waits for frames is early by more than the stream is old.
        self.earliest = timestamp.map(|timestamp| {
            let nseconds = timestamp.nseconds().saturating_add_signed(diff);
            gst::ClockTime::try_from(nseconds).unwrap_or(gst::ClockTime::MAX)
        });
    }

    /// By how many nanoseconds a frame of this running time is late, and the proportion; `None` if it is in time.
    pub(super) fn lateness(&self, running_time: gst::ClockTime) -> Option<(i64, f64)> {
        let late = self.earliest?.checked_sub(running_time)?;
        Some((
            i64::try_from(late.nseconds()).unwrap_or(i64::MAX),
            self.proportion,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(diff: i64, timestamp: u64) -> gst::Event {
        let timestamp = gst::ClockTime::from_mseconds(timestamp);
        gst::event::Qos::new(gst::QOSType::Underflow, 1.5, diff * 1_000_000, timestamp)
    }

    #[test]
    fn frames_up_to_the_sinks_time_are_late() {
        gst::init().unwrap();
        let mut qos = Qos::default();
        let mut after = |diff, timestamp, running_time| {
            let event = event(diff, timestamp);
            let gst::EventView::Qos(event) = event.view() else {
                unreachable!()
            };
            qos.update(event);
            qos.lateness(gst::ClockTime::from_mseconds(running_time))
        };
        assert_eq!(after(50, 100, 120), Some((30_000_000, 1.5)));
        assert_eq!(after(50, 100, 150), Some((0, 1.5)));
        assert_eq!(after(50, 100, 151), None);
        assert_eq!(after(-20, 100, 90), None, "the sink waits for it");
        assert_eq!(
            after(i64::MAX / 1_000_000, u64::MAX / 2_000_000, 5).map(|late| late.1),
            Some(1.5)
        );
        assert_eq!(Qos::default().lateness(gst::ClockTime::ZERO), None);
    }
}
