//! The table itself: launchers, their workers, their sessions.

use std::fmt::Write;

use sightline_protocol::unix_micros;

use super::{Launcher, printable};
use crate::status::{Quantiles, QueueStatus, SessionStatus, Status, WorkerStatus};

pub(super) fn render(launchers: &[Launcher]) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    writeln!(text, "{}\n", summary(launchers)).ok();
    let rows = launchers.iter().map(launcher_row);
    let heads = ["LAUNCHER", "HOST", "SESSIONS", "WORKERS", "VERSION", ""];
    text.push_str(&columns(&heads, rows));
    let known = || {
        let told = |launcher: &Launcher| launcher.status.clone();
        launchers.iter().filter_map(told)
    };
    let workers: Vec<_> = known().flat_map(|status| status.workers).collect();
    if !workers.is_empty() {
        let heads = [
            "WORKER",
            "MODEL",
            "STATE",
            "/S",
            "P50 MS",
            "P95 MS",
            "QUEUE P95",
            "FRAMES",
            "EXPIRED",
            "",
        ];
        text.push('\n');
        text.push_str(&columns(&heads, workers.iter().map(worker_row)));
    }
    let sessions: Vec<_> = known().flat_map(|status| status.sessions).collect();
    if !sessions.is_empty() {
        let heads = ["SESSION", "PIPELINE", "STATE", "AGE", "/S", "FRAMES", "MIB", ""];
        let now = unix_micros();
        text.push('\n');
        text.push_str(&columns(
            &heads,
            sessions.iter().map(|session| session_row(session, now)),
        ));
    }
    text
}

/// `2 launchers, 3 sessions, 2 workers, 24.9 inferences/s, 1 frame in the queue, the oldest for 12 ms`
fn summary(launchers: &[Launcher]) -> String {
    if launchers.is_empty() {
        return "no launcher is known to this Redis: does one run, with the same REDIS_URL?".to_owned();
    }
    let sum = |of: fn(&Launcher) -> u64| launchers.iter().map(of).sum::<u64>();
    let known: Vec<&Status> = launchers
        .iter()
        .filter_map(|launcher| launcher.status.as_ref())
        .collect();
    let rate: f64 = known
        .iter()
        .flat_map(|status| &status.workers)
        .map(|worker| worker.figures.inferences_per_second)
        .sum();
    let queue = known.iter().find_map(|status| status.queue);
    let waiting = match queue {
        Some(QueueStatus { length: 0, .. }) => "nothing waits".to_owned(),
        Some(QueueStatus { length, age_ms }) => {
            format!(
                "{} in the queue, the oldest for {age_ms} ms",
                many(length, "frame")
            )
        }
        None => "the queue is not known".to_owned(),
    };
    format!(
        "{}, {}, {}, {rate:.1} inferences/s, {waiting}",
        many(launchers.len() as u64, "launcher"),
        many(sum(|launcher| launcher.sessions), "session"),
        many(sum(|launcher| launcher.workers), "worker"),
    )
}

fn many(count: u64, what: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {what}{ending}")
}

fn launcher_row(launcher: &Launcher) -> Vec<String> {
    let remark = launcher.unreachable.clone().unwrap_or_default();
    let trouble = launcher.worker_trouble.clone();
    vec![
        launcher.launcher.clone(),
        launcher.host.clone(),
        format!("{}/{}", launcher.sessions, launcher.max_sessions),
        launcher.workers.to_string(),
        launcher.version.clone(),
        printable(if trouble.is_empty() { &remark } else { &trouble }),
    ]
}

fn worker_row(worker: &WorkerStatus) -> Vec<String> {
    let figures = &worker.figures;
    let ms = |quantiles: Option<Quantiles>, of: fn(Quantiles) -> f64| {
        quantiles.map_or_else(|| "-".to_owned(), |quantiles| format!("{:.1}", of(quantiles)))
    };
    let state = match (worker.running, worker.trouble.is_empty()) {
        (true, _) => "running",
        (false, true) => "starting",
        (false, false) => "down",
    };
    vec![
        printable(&worker.worker),
        printable(&worker.model),
        state.to_owned(),
        format!("{:.1}", figures.inferences_per_second),
        ms(figures.inference_ms, |quantiles| quantiles.p50),
        ms(figures.inference_ms, |quantiles| quantiles.p95),
        ms(figures.queue_ms, |quantiles| quantiles.p95),
        figures.frames.to_string(),
        worker.expired.to_string(),
        printable(&worker.trouble),
    ]
}

fn session_row(session: &SessionStatus, now: u64) -> Vec<String> {
    // Their words in JSON are those that people know too.
    let word = |value: serde_json::Result<serde_json::Value>| match value {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    };
    vec![
        printable(&session.session),
        printable(&session.pipeline),
        word(serde_json::to_value(session.state)),
        age(now.saturating_sub(session.started_us) / 1_000_000),
        format!("{:.1}", session.frame_rate),
        session.frames.to_string(),
        (session.memory_bytes >> 20).to_string(),
        session
            .waiting
            .map(|waiting| format!("waits: {}", word(serde_json::to_value(waiting))))
            .unwrap_or_default(),
    ]
}

/// `7s`, `3m07s`, `2h03m`
fn age(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    }
}

/// Numbers end, words begin at the same place.
fn columns(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows.collect();
    let is_number = |text: &str| text == "-" || text.parse::<f64>().is_ok();
    let mut text = String::new();
    let all =
        std::iter::once(heads.iter().map(|head| (*head).to_owned()).collect()).chain(rows.iter().cloned());
    for row in all {
        let row: Vec<String> = row;
        let mut line = String::new();
        for (place, cell) in row.iter().enumerate() {
            let column = || rows.iter().filter_map(|row| row.get(place));
            let head = heads.get(place).copied().unwrap_or_default();
            let width = column().map(|cell| cell.chars().count());
            let width = width.chain([head.chars().count()]).max().unwrap_or(0);
            let gap = if place == 0 { "" } else { "  " };
            if rows.is_empty() || !column().all(|cell| is_number(cell)) {
                write!(line, "{gap}{cell:width$}").ok();
            } else {
                write!(line, "{gap}{cell:>width$}").ok();
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use sightline_protocol::rpc::SessionPhase;

    use super::*;
    use crate::status::Figures;

    #[test]
    fn a_table_says_who_does_what() {
        let worker = WorkerStatus {
            worker: "a-0".into(),
            model: "blobs".into(),
            running: true,
            figures: Figures {
                frames: 1204,
                inferences_per_second: 24.94,
                inference_ms: Some(Quantiles { p50: 7.9, p95: 12.1 }),
                queue_ms: None,
            },
            ..WorkerStatus::default()
        };
        let session = SessionStatus {
            session: "0f8fad5b".into(),
            pipeline: "webrtc-detect".into(),
            state: SessionPhase::Connected,
            started_us: unix_micros() - 67_000_000,
            frames: 2000,
            frame_rate: 30.0,
            waiting: None,
            memory_bytes: 90 << 20,
        };
        let near = Launcher {
            launcher: "a".into(),
            host: "here".into(),
            version: "0.1.0".into(),
            sessions: 1,
            max_sessions: 32,
            workers: 1,
            status: Some(Status {
                sessions: vec![session],
                max_sessions: 32,
                workers: vec![worker],
                queue: Some(QueueStatus {
                    length: 2,
                    age_ms: 12,
                }),
            }),
            ..Launcher::default()
        };
        let far = Launcher {
            launcher: "bb".into(),
            unreachable: Some("127.0.0.1:9001 cannot be reached\x1b[2J".into()),
            ..Launcher::default()
        };
        let text = render(&[near, far]);
        let expected = "\
2 launchers, 1 session, 1 worker, 24.9 inferences/s, 2 frames in the queue, the oldest for 12 ms

LAUNCHER  HOST  SESSIONS  WORKERS  VERSION
a         here  1/32            1  0.1.0
bb              0/0             0           127.0.0.1:9001 cannot be reached[2J

WORKER  MODEL  STATE      /S  P50 MS  P95 MS  QUEUE P95  FRAMES  EXPIRED
a-0     blobs  running  24.9     7.9    12.1          -    1204        0

SESSION   PIPELINE       STATE      AGE      /S  FRAMES  MIB
0f8fad5b  webrtc-detect  connected  1m07s  30.0    2000   90
";
        assert_eq!(text, expected);
        assert!(render(&[]).contains("no launcher is known"));
    }

    #[test]
    fn ages_are_short() {
        assert_eq!([age(7), age(187), age(7_400)], ["7s", "3m07s", "2h03m"]);
    }
}
