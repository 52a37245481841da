//! Medians of repeated runs.

use std::time::{Duration, Instant};

/// How many runs exactly: for a simulator of processors that counts instructions, where time means nothing.
const RUNS: &str = "SIGHTLINE_BENCH_RUNS";

/// The median time of a run in milliseconds, over about `time` and at least three runs, after one that is not counted.
pub fn median_ms(time: Duration, mut run: impl FnMut()) -> f64 {
    run();
    let wanted: Option<usize> = std::env::var(RUNS).ok().and_then(|runs| runs.parse().ok());
    let start = Instant::now();
    let mut times = Vec::new();
    while wanted.map_or(times.len() < 3 || start.elapsed() < time, |runs| {
        times.len() < runs.max(1)
    }) {
        let start = Instant::now();
        run();
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}
