//! How long things took, counted in buckets: what processes report, what is added up, and what Prometheus reads.

use std::fmt::Write;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Upper bounds of the buckets in microseconds: from a model's postprocessing to a frame that expires, close together
/// where people begin to notice.
pub const BOUNDS_US: [u64; 17] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 15_000, 20_000, 30_000, 50_000, 75_000, 100_000, 150_000,
    250_000, 500_000, 1_000_000,
];
const BUCKETS: usize = BOUNDS_US.len() + 1;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// By bucket, not cumulative; the last has no bound.
    counts: [u64; BUCKETS],
    sum_us: u64,
}

impl Histogram {
    pub fn observe(&mut self, us: u64) {
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
        self.sum_us = self.sum_us.saturating_add(us);
    }

    pub fn count(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(more);
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// What has come since `before`. A count that is lower than before is taken for no change.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut news = self.clone();
        for (count, known) in news.counts.iter_mut().zip(before.counts) {
            *count = count.saturating_sub(known);
        }
        news.sum_us = news.sum_us.saturating_sub(before.sum_us);
        news
    }

    /// An estimate of a quantile, as Prometheus makes it: evenly spread within a bucket. None if nothing was counted.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let rank = self.count() as f64 * quantile.clamp(0.0, 1.0);
        let mut below = 0_u64;
        let mut from = 0;
        for (count, bound) in self.counts.iter().zip(BOUNDS_US) {
            let reached = below.saturating_add(*count);
            if *count > 0 && reached as f64 >= rank {
                let share = (rank - below as f64) / *count as f64;
                let us = from as f64 + (bound - from) as f64 * share;
                return Some(Duration::from_micros(us.round() as u64));
            }
            (below, from) = (reached, bound);
        }
        // Beyond the last bound nothing more is known.
        (self.count() > 0).then(|| Duration::from_micros(from))
    }

    /// Its lines in Prometheus' text form; `labels` as they stand between the braces.
    pub(crate) fn render(&self, name: &str, labels: &str, text: &mut String) {
        let comma = if labels.is_empty() { "" } else { "," };
        let bounds = BOUNDS_US.iter().map(|bound| (*bound as f64 / 1e6).to_string());
        let mut reached = 0_u64;
        for (count, bound) in self.counts.iter().zip(bounds.chain(["+Inf".to_owned()])) {
            reached = reached.saturating_add(*count);
            // Writing to a String cannot fail.
            writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {reached}").ok();
        }
        let braces = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{labels}}}")
        };
        writeln!(text, "{name}_sum{braces} {}", self.sum_us as f64 / 1e6).ok();
        writeln!(text, "{name}_count{braces} {reached}").ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times_us: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        times_us.iter().for_each(|us| histogram.observe(*us));
        histogram
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut text = String::new();
        of(&[0, 100, 101, 2_000_000]).render("x_seconds", "model=\"m\"", &mut text);
        for line in [
            "x_seconds_bucket{model=\"m\",le=\"0.0001\"} 2",
            "x_seconds_bucket{model=\"m\",le=\"0.00025\"} 3",
            "x_seconds_bucket{model=\"m\",le=\"1\"} 3",
            "x_seconds_bucket{model=\"m\",le=\"+Inf\"} 4",
            "x_seconds_sum{model=\"m\"} 2.000201",
            "x_seconds_count{model=\"m\"} 4",
        ] {
            assert!(text.lines().any(|has| has == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn what_is_reported_adds_up_to_what_was_observed() {
        let (first, second) = (of(&[300, 40_000]), of(&[300, 40_000, 700, u64::MAX]));
        let mut sum = Histogram::default();
        sum.add(&first);
        sum.add(&second.since(&first));
        assert_eq!(sum, second);
        assert_eq!(first.since(&second), Histogram::default());
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let times: Vec<u64> = (1..=100).map(|ms| ms * 1000).collect();
        let histogram = of(&times);
        let ms = |quantile| histogram.quantile(quantile).unwrap().as_secs_f64() * 1e3;
        assert!((ms(0.5) - 50.0).abs() < 1.0 && (ms(0.95) - 95.0).abs() < 1.0);
        assert_eq!(Histogram::default().quantile(0.5), None);
        assert_eq!(of(&[9_000_000]).quantile(0.5), Some(Duration::from_secs(1)));
    }
}
