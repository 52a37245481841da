//! What a process's detectors did in the last seconds, told from what they did since their start.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sightline_service::histogram::Histogram;

use crate::control::StageTimes;
use crate::status::{Figures, Quantiles};

/// So many reports, which come each second.
const REPORTS: usize = 10;

#[derive(Debug, Default, Clone)]
pub struct Recent {
    known: BTreeMap<String, StageTimes>,
    /// Queue and inference of each report.
    reports: VecDeque<(Histogram, Histogram)>,
}

impl Recent {
    pub fn take(&mut self, stages: &BTreeMap<String, StageTimes>) {
        let (mut queue, mut total) = (Histogram::default(), Histogram::default());
        for (model, times) in stages {
            let before = self.known.entry(model.clone()).or_default();
            queue.add(&times.queue.since(&before.queue));
            total.add(&times.total.since(&before.total));
            *before = times.clone();
        }
        if self.reports.len() >= REPORTS {
            self.reports.pop_front();
        }
        self.reports.push_back((queue, total));
    }

    pub fn figures(&self) -> Figures {
        let (mut queue, mut total) = (Histogram::default(), Histogram::default());
        for (more_queue, more_total) in &self.reports {
            queue.add(more_queue);
            total.add(more_total);
        }
        Figures {
            frames: self.known.values().map(|times| times.total.count()).sum(),
            inferences_per_second: total.count() as f64 / self.reports.len().max(1) as f64,
            inference_ms: quantiles(&total),
            queue_ms: quantiles(&queue),
        }
    }
}

fn quantiles(times: &Histogram) -> Option<Quantiles> {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Some(Quantiles {
        p50: ms(times.quantile(0.5)?),
        p95: ms(times.quantile(0.95)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_seconds_count() {
        let mut recent = Recent::default();
        let mut times = StageTimes::default();
        let mut second = |frames: u64, us: u64| {
            (0..frames).for_each(|_| times.total.observe(us));
            recent.take(&BTreeMap::from([("m".to_owned(), times.clone())]));
            recent.figures()
        };
        assert_eq!(second(0, 0), Figures::default());
        let mut figures = Figures::default();
        for _ in 0..20 {
            figures = second(5, 400_000);
        }
        assert_eq!(figures.inferences_per_second, 5.0);
        for _ in 0..10 {
            figures = second(20, 9_000);
        }
        assert_eq!((figures.frames, figures.inferences_per_second), (300, 20.0));
        let quantiles = figures.inference_ms.unwrap();
        assert!(quantiles.p50 > 5.0 && quantiles.p95 <= 10.0, "{quantiles:?}");
        assert_eq!(figures.queue_ms, None);
    }
}
