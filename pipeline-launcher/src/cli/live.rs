//! How a pipeline in the foreground is doing: one line that is renewed on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write};

use sightline_protocol::rpc::Waiting;

use crate::control::{Progress, Stats};

/// A log has a line for every so many reports, which come each second.
const LOGGED: usize = 10;

pub struct Live {
    is_terminal: bool,
    reports: usize,
    /// True while the terminal's last line is ours to renew.
    open: bool,
}

impl Live {
    pub fn new() -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            reports: 0,
            open: false,
        }
    }

    pub fn show(&mut self, progress: &Progress) {
        let text = line(progress);
        if self.is_terminal {
            let text: String = text.chars().take(width()).collect();
            eprint!("\r\x1b[2K{text}");
            self.open = std::io::stderr().flush().is_ok();
        } else if self.reports.is_multiple_of(LOGGED) {
            eprintln!("{text}");
        }
        self.reports += 1;
    }

    /// Something that stays, below what is there.
    pub fn say(&mut self, text: &str) {
        self.close();
        eprintln!("{text}");
    }

    /// Leaves the line as it is.
    pub fn close(&mut self) {
        if std::mem::take(&mut self.open) {
            eprintln!();
        }
    }
}

/// What fits on a line of the terminal: one that wraps could not be renewed.
fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    let columns = size.ok().map(|size| usize::from(size.ws_col));
    columns
        .filter(|columns| *columns > 1)
        .map_or(79, |columns| columns - 1)
}

/// `24.9 frames/s, 1204 in all | detect: inference 7.9 ms, p99 12.1 ms | frames: 3 dropped`
fn line(progress: &Progress) -> String {
    let mut parts = vec![format!(
        "{:.1} frames/s, {} in all",
        progress.rate, progress.frames_out
    )];
    parts.extend(progress.waiting.as_ref().map(|waiting| words(waiting).to_owned()));
    if let Some(held) = &progress.held {
        parts.push(format!(
            "{}: busy with a frame for {} ms",
            held.element, held.for_ms
        ));
    }
    let elements = progress.stats.iter();
    parts.extend(elements.filter_map(|(name, stats)| Some(format!("{name}: {}", of_element(stats)?))));
    parts.join(" | ")
}

fn words(waiting: &Waiting) -> &'static str {
    match waiting {
        Waiting::Peer => "waits for its peer",
        Waiting::Frames => "nothing comes in",
        Waiting::Keyframe => "waits for a keyframe",
        Waiting::Paused => "does not play yet",
        Waiting::Sink => "waits for its sink",
        Waiting::Dropped => "drops all that comes in",
    }
}

/// What people want to know of an element, if there is anything.
fn of_element(stats: &Stats) -> Option<String> {
    let number = |name: &str| stats.get(name).and_then(serde_json::Value::as_u64);
    let ms = |name: &str| number(name).map(|us| format!("{:.1} ms", us as f64 / 1000.0));
    let mut parts = Vec::new();
    if let (Some(usual), Some(slow)) = (ms("p50-infer-us"), ms("p99-infer-us")) {
        parts.push(format!("inference {usual}, p99 {slow}"));
    }
    parts.extend(number("detections").map(|detections| format!("{detections} detections")));
    let dropped: u64 = stats
        .iter()
        .filter(|(name, _)| name.starts_with("dropped"))
        .filter_map(|(_, value)| value.as_u64())
        .sum();
    for (count, what) in [
        (dropped, "dropped"),
        (number("skipped").unwrap_or(0), "skipped"),
        (number("reconnects").unwrap_or(0), "reconnects"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stats(fields: &[(&str, u64)]) -> Stats {
        fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect()
    }

    #[test]
    fn a_line_says_how_it_goes() {
        let mut progress = Progress {
            frames_out: 1204,
            rate: 24.94,
            ..Progress::default()
        };
        let detect = [
            ("p50-infer-us", 7_900),
            ("p99-infer-us", 12_100),
            ("skipped", 0),
            ("detections", 9),
        ];
        let frames = [
            ("dropped-redis", 1),
            ("dropped-replaced", 2),
            ("published", 7),
            ("reconnects", 1),
        ];
        progress.stats.insert("detect".to_owned(), stats(&detect));
        progress.stats.insert("frames".to_owned(), stats(&frames));
        progress
            .stats
            .insert("quiet".to_owned(), stats(&[("published", 7)]));
        assert_eq!(
            line(&progress),
            "24.9 frames/s, 1204 in all | detect: inference 7.9 ms, p99 12.1 ms, 9 detections \
             | frames: 3 dropped, 1 reconnects"
        );
    }

    #[test]
    fn a_line_says_why_nothing_moves() {
        let progress = Progress {
            waiting: Some(Waiting::Frames),
            ..Progress::default()
        };
        assert_eq!(line(&progress), "0.0 frames/s, 0 in all | nothing comes in");
    }
}
