//! Metrics in Prometheus' text form. Each is a row of a table that code, `/metrics` and `docs/metrics.md` share.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

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
}

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

    /// The row in `docs/metrics.md`.
    pub fn row(&self) -> String {
        let kind = match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
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
        }
    }
}

/// What was counted so far, as Prometheus reads it.
pub fn render() -> String {
    HANDLE.get().map(PrometheusHandle::render).unwrap_or_default()
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

    const TABLE: [Metric; 2] = [
        Metric::counter("sightline_tests_total", &[], "Tests that ran"),
        Metric::gauge("sightline_tests_waiting", &["kind"], "Tests that wait"),
    ];

    #[test]
    fn what_is_counted_is_rendered_with_its_help() {
        install(&TABLE);
        assert!(render().contains("sightline_tests_total 0"), "{}", render());
        metrics::counter!(TABLE[0].name).increment(2);
        metrics::gauge!(TABLE[1].name, "kind" => "slow").set(3.0);
        let text = render();
        for line in [
            "# HELP sightline_tests_total Tests that ran",
            "# TYPE sightline_tests_total counter",
            "sightline_tests_total 2",
            "sightline_tests_waiting{kind=\"slow\"} 3",
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
