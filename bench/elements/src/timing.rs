//! Medians of repeated runs.

use std::time::{Duration, Instant};

/// The median time of a run in milliseconds, over about `time` and at least three runs, after one that is not counted.
pub fn median_ms(time: Duration, mut run: impl FnMut()) -> f64 {
    run();
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < 3 || start.elapsed() < time {
        let start = Instant::now();
        run();
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}
