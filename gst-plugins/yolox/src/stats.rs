//! What the element counts.

use std::time::Duration;

use crate::detector::Times;

/// The last and the mean of a duration.
#[derive(Debug, Clone, Copy, Default)]
struct Meter {
    last: Duration,
    total: Duration,
}

impl Meter {
    fn add(&mut self, value: Duration) {
        self.last = value;
        self.total += value;
    }

    fn last_us(&self) -> u64 {
        u64::try_from(self.last.as_micros()).unwrap_or(u64::MAX)
    }

    fn mean_us(&self, count: u64) -> u64 {
        let mean = self.total.as_micros() / u128::from(count.max(1));
        u64::try_from(mean).unwrap_or(u64::MAX)
    }
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Stats {
    inferred: u64,
    skipped: u64,
    detections: u64,
    preprocess: Meter,
    infer: Meter,
    postprocess: Meter,
}

impl Stats {
    /// A frame passed without inference.
    pub fn skip(&mut self) {
        self.skipped += 1;
    }

    pub fn infer(&mut self, detections: usize, times: &Times) {
        self.inferred += 1;
        self.detections += detections as u64;
        self.preprocess.add(times.preprocess);
        self.infer.add(times.infer);
        self.postprocess.add(times.postprocess);
    }

    pub fn to_structure(self) -> gst::Structure {
        let mut structure = gst::Structure::builder("application/x-yoloxdetect-stats")
            .field("frames", self.inferred + self.skipped)
            .field("inferred", self.inferred)
            .field("skipped", self.skipped)
            .field("detections", self.detections)
            .build();
        let meters = [
            ("preprocess", self.preprocess),
            ("infer", self.infer),
            ("postprocess", self.postprocess),
        ];
        for (stage, meter) in meters {
            structure.set(format!("last-{stage}-us"), meter.last_us());
            structure.set(format!("mean-{stage}-us"), meter.mean_us(self.inferred));
        }
        structure
    }
}
