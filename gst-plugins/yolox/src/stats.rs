//! What the element counts.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::detector::Times;
use crate::provider::Provider;

/// Times are told apart to two digits, up to a minute.
const LONGEST_US: u64 = 60_000_000;
const DIGITS: u8 = 2;

/// How long a stage took, in microseconds.
struct Meter {
    last: u64,
    /// Absent only if the constants above are nonsense.
    histogram: Option<Histogram<u32>>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            last: 0,
            histogram: Histogram::new_with_max(LONGEST_US, DIGITS).ok(),
        }
    }
}

impl Meter {
    fn add(&mut self, time: Duration) {
        self.last = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(self.last);
        }
    }

    fn set(&self, structure: &mut gst::StructureRef, stage: &str) {
        structure.set(format!("last-{stage}-us"), self.last);
        let Some(histogram) = &self.histogram else {
            return;
        };
        structure.set(format!("mean-{stage}-us"), histogram.mean().round() as u64);
        for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
            structure.set(
                format!("{name}-{stage}-us"),
                histogram.value_at_quantile(quantile),
            );
        }
        structure.set(format!("max-{stage}-us"), histogram.max());
    }
}

/// Why a frame was passed on without inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// It was not its turn.
    Interval,
    /// It holds nothing, said its flag.
    Gap,
    /// It would have come late.
    Qos,
}

const SKIPS: [(Skip, &str); 3] = [
    (Skip::Interval, "skipped-interval"),
    (Skip::Gap, "skipped-gap"),
    (Skip::Qos, "skipped-qos"),
];

#[derive(Default)]
pub struct Stats {
    provider: Option<Provider>,
    inferred: u64,
    skipped: [u64; SKIPS.len()],
    detections: u64,
    /// Frames in all batches that a frame of this element was in.
    batched: u64,
    preprocess: Meter,
    wait: Meter,
    infer: Meter,
    postprocess: Meter,
}

impl Stats {
    /// Of a model that runs on `provider`.
    pub fn new(provider: Provider) -> Self {
        Self {
            provider: Some(provider),
            ..Self::default()
        }
    }

    pub fn skip(&mut self, why: Skip) {
        for ((skip, _), count) in SKIPS.iter().zip(&mut self.skipped) {
            *count += u64::from(*skip == why);
        }
    }

    pub fn infer(&mut self, detections: usize, times: &Times) {
        self.inferred += 1;
        self.detections += detections as u64;
        self.batched += times.batch as u64;
        self.preprocess.add(times.preprocess);
        self.wait.add(times.wait);
        self.infer.add(times.infer);
        self.postprocess.add(times.postprocess);
    }

    /// Numbers of frames that were inferred, and that came too late for it.
    pub fn processed_and_late(&self) -> (u64, u64) {
        let late = SKIPS
            .iter()
            .zip(self.skipped)
            .find(|((skip, _), _)| *skip == Skip::Qos);
        (self.inferred, late.map_or(0, |(_, count)| count))
    }

    pub fn to_structure(&self) -> gst::Structure {
        let skipped: u64 = self.skipped.iter().sum();
        let mut structure = gst::Structure::builder("application/x-yoloxdetect-stats")
            .field("execution-provider", self.provider.map_or("", Provider::name))
            .field("frames", self.inferred + skipped)
            .field("inferred", self.inferred)
            .field("skipped", skipped)
            .field("detections", self.detections)
            .field(
                "mean-batch-size",
                self.batched as f64 / self.inferred.max(1) as f64,
            )
            .build();
        for ((_, name), count) in SKIPS.iter().zip(self.skipped) {
            structure.set(*name, count);
        }
        let meters = [
            ("preprocess", &self.preprocess),
            ("wait", &self.wait),
            ("infer", &self.infer),
            ("postprocess", &self.postprocess),
        ];
        for (stage, meter) in meters {
            meter.set(&mut structure, stage);
        }
        structure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_counts() {
        gst::init().unwrap();
        let mut stats = Stats::new(Provider::Cpu);
        for ms in 1..=100 {
            let times = Times {
                infer: Duration::from_millis(ms),
                batch: 1 + (ms % 2) as usize,
                ..Times::default()
            };
            stats.infer(2, &times);
        }
        stats.skip(Skip::Gap);
        stats.skip(Skip::Qos);
        stats.skip(Skip::Qos);
        assert_eq!(stats.processed_and_late(), (100, 2));
        let structure = stats.to_structure();
        let count = |field: &str| structure.get::<u64>(field).unwrap();
        assert_eq!(
            (count("frames"), count("inferred"), count("skipped")),
            (103, 100, 3)
        );
        let skips = ["skipped-interval", "skipped-gap", "skipped-qos"].map(count);
        assert_eq!((skips, count("detections")), ([0, 1, 2], 200));
        assert_eq!(structure.get("mean-batch-size"), Ok(1.5));
        assert_eq!(structure.get("execution-provider"), Ok("cpu"));
        for (field, expected) in [
            ("last", 100_000.0),
            ("mean", 50_500.0),
            ("p50", 50_000.0),
            ("p90", 90_000.0),
            ("p99", 99_000.0),
            ("max", 100_000.0),
        ] {
            let value = count(&format!("{field}-infer-us")) as f64;
            assert!((value / expected - 1.0).abs() < 0.02, "{field}: {value}");
        }
    }
}
