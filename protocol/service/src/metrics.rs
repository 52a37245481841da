//! Metrics in Prometheus' text form. Each is a row of a table that code, `/metrics` and `docs/metrics.md` share.
//!
//! Counts and gauges are those of the crate `metrics`. Histograms are our own: a process's are reported to its launcher,
//! which adds them up, buckets and sums alike, and that crate takes single values only. So are seconds, of which its
//! counters know whole ones.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::histogram::Histogram;
use crate::usage;

/// What `/metrics` declares itself as.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric: `sightline_<what>_<unit>`, or a name of v1's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    /// Few values each: no session's id is one.
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    /// Of times, in seconds.
    Histogram,
    /// A counter of time.
    Seconds,
}

/// Each daemon has one: its labels tell release and host, to be joined with its other metrics by `instance`.
pub const BUILD_INFO: Metric = Metric::gauge(
    "sightline_build_info",
    &["version", "host"],
    "Always 1; its labels tell the release and the host",
);
pub const CPU: Metric = Metric::seconds(
    "sightline_process_cpu_seconds_total",
    &["role"],
    "Processor time that processes have used: of this daemon (`daemon`), of sessions and workers",
);
pub const MEMORY: Metric = Metric::gauge(
    "sightline_process_memory_bytes",
    &["role"],
    "Memory, resident and swapped out, of the processes that run, by the same roles",
);
pub const REDIS_UP: Metric = Metric::gauge(
    "sightline_redis_up",
    &[],
    "1 if Redis has answered just now, else 0",
);

/// The role of the daemon's own process.
const DAEMON: &str = "daemon";

impl Metric {
    pub const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Counter,
            labels,
            help,
        }
    }

    pub const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self {
            kind: Kind::Gauge,
            ..Self::counter(name, labels, help)
        }
    }

    pub const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self {
            kind: Kind::Histogram,
            ..Self::counter(name, labels, help)
        }
    }

    pub const fn seconds(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self {
            kind: Kind::Seconds,
            ..Self::counter(name, labels, help)
        }
    }

    /// One of its series, by the values of its labels in their order.
    fn series(&self, values: &[&str]) -> String {
        let pairs: Vec<_> = self
            .labels
            .iter()
            .zip(values)
            .map(|(label, value)| format!("{label}=\"{}\"", escape(value)))
            .collect();
        pairs.join(",")
    }

    /// The row in `docs/metrics.md`.
    pub fn row(&self) -> String {
        let kind = match self.kind {
            Kind::Counter | Kind::Seconds => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<_> = self.labels.iter().map(|label| format!("`{label}`")).collect();
        format!(
            "| `{}` | {kind} | {} | {} |",
            self.name,
            labels.join(", "),
            self.help
        )
    }
}

fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// What a series of ours has come to.
#[derive(Debug, Clone)]
enum Value {
    Times(Histogram),
    Seconds(Duration),
}

/// A metric of our own, and its series by their labels.
struct Family {
    metric: Metric,
    series: BTreeMap<String, Value>,
}

impl Family {
    fn new(metric: &Metric) -> Self {
        Self {
            metric: *metric,
            series: BTreeMap::new(),
        }
    }
}

/// By name.
static OWN: Mutex<BTreeMap<&'static str, Family>> = Mutex::new(BTreeMap::new());

fn own() -> MutexGuard<'static, BTreeMap<&'static str, Family>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Changes one of a metric's series; `values` are those of the labels, in their order.
fn change(metric: &Metric, values: &[&str], empty: Value, change: impl FnOnce(&mut Value)) {
    let mut own = own();
    let family = own.entry(metric.name).or_insert_with(|| Family::new(metric));
    change(family.series.entry(metric.series(values)).or_insert(empty));
}

/// Adds times that somebody else has observed; `values` are those of the labels, in their order.
pub fn add(metric: &Metric, values: &[&str], times: &Histogram) {
    change(metric, values, Value::Times(Histogram::default()), |value| {
        if let Value::Times(sum) = value {
            sum.add(times);
        }
    });
}

pub fn observe(metric: &Metric, values: &[&str], us: u64) {
    let mut times = Histogram::default();
    times.observe(us);
    add(metric, values, &times);
}

pub fn add_seconds(metric: &Metric, values: &[&str], time: Duration) {
    change(metric, values, Value::Seconds(Duration::ZERO), |value| {
        if let Value::Seconds(sum) = value {
            *sum = sum.saturating_add(time);
        }
    });
}

fn render_own(text: &mut String) {
    // Writing to a String cannot fail.
    for Family { metric, series } in own().values() {
        let kind = match metric.kind {
            Kind::Histogram => "histogram",
            _ => "counter",
        };
        writeln!(text, "# HELP {} {}", metric.name, metric.help).ok();
        writeln!(text, "# TYPE {} {kind}", metric.name).ok();
        for (labels, value) in series {
            match value {
                Value::Times(times) => times.render(metric.name, labels, text),
                Value::Seconds(time) => {
                    writeln!(text, "{}{{{labels}}} {}", metric.name, time.as_secs_f64()).ok();
                }
            }
        }
        writeln!(text).ok();
    }
}

/// Notes what this daemon's own process uses; `known` is the processor time that was noted before.
pub fn note_usage(known: &Mutex<Duration>) {
    let me = std::process::id();
    if let Some(used) = usage::cpu_of(me) {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        add_seconds(&CPU, &[DAEMON], used.saturating_sub(*known));
        *known = used.max(*known);
    }
    if let Some(memory) = usage::memory_of(me) {
        metrics::gauge!(MEMORY.name, "role" => DAEMON).set(memory as f64);
    }
}

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// From here on what is counted is kept. Counters without labels are there at once, as 0.
pub fn install(table: &[Metric]) {
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("somebody else counts: /metrics stays empty");
        }
        handle
    });
    for metric in table {
        match metric.kind {
            Kind::Counter => {
                metrics::describe_counter!(metric.name, metric.help);
                if metric.labels.is_empty() {
                    metrics::counter!(metric.name).increment(0);
                }
            }
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram | Kind::Seconds => {
                own().entry(metric.name).or_insert_with(|| Family::new(metric));
            }
        }
    }
}

/// Tells the release and the host, as [`BUILD_INFO`].
pub fn introduce(version: &'static str) {
    metrics::gauge!(BUILD_INFO.name, "version" => version, "host" => crate::host()).set(1.0);
}

/// What was counted so far, as Prometheus reads it.
pub fn render() -> String {
    let mut text = HANDLE.get().map(PrometheusHandle::render).unwrap_or_default();
    render_own(&mut text);
    text
}

/// The rows of a page that are about metrics: for a test that it says the same as the code.
pub fn rows<'p>(page: &'p str, heading: &str) -> Vec<&'p str> {
    let section = page.split("\n## ").find(|section| section.starts_with(heading));
    let lines = section.unwrap_or_default().lines();
    lines.filter(|line| line.starts_with("| `")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: [Metric; 4] = [
        Metric::counter("sightline_tests_total", &[], "Tests that ran"),
        Metric::gauge("sightline_tests_waiting", &["kind"], "Tests that wait"),
        Metric::histogram("sightline_test_seconds", &["kind"], "How long tests took"),
        Metric::seconds("sightline_tests_cpu_seconds_total", &["kind"], "Time of tests"),
    ];

    #[test]
    fn what_is_counted_is_rendered_with_its_help() {
        install(&TABLE);
        assert!(render().contains("sightline_tests_total 0"), "{}", render());
        metrics::counter!(TABLE[0].name).increment(2);
        metrics::gauge!(TABLE[1].name, "kind" => "slow").set(3.0);
        observe(&TABLE[2], &["a \"b\"\n\\"], 20_000);
        observe(&TABLE[2], &["a \"b\"\n\\"], 30_000);
        add_seconds(&TABLE[3], &["slow"], Duration::from_millis(1500));
        let text = render();
        for line in [
            "# HELP sightline_tests_total Tests that ran",
            "# TYPE sightline_tests_total counter",
            "sightline_tests_total 2",
            "sightline_tests_waiting{kind=\"slow\"} 3",
            "# TYPE sightline_test_seconds histogram",
            "sightline_test_seconds_sum{kind=\"a \\\"b\\\"\\n\\\\\"} 0.05",
            "sightline_test_seconds_bucket{kind=\"a \\\"b\\\"\\n\\\\\",le=\"0.02\"} 1",
            "# TYPE sightline_tests_cpu_seconds_total counter",
            "sightline_tests_cpu_seconds_total{kind=\"slow\"} 1.5",
        ] {
            assert!(text.lines().any(|has| has == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_page_has_its_rows_by_heading() {
        let page = "# M\n\n## a\n\n| metric |\n|---|\n| `x` |\n\n## b\n\n| `y` |\n";
        assert_eq!(rows(page, "a"), ["| `x` |"]);
        assert_eq!(rows(page, "b"), ["| `y` |"]);
        assert_eq!(
            TABLE[1].row(),
            "| `sightline_tests_waiting` | gauge | `kind` | Tests that wait |"
        );
    }
}
