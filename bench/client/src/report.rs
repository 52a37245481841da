//! Lines of JSON on standard output.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// Who speaks: a session, and how often it has joined.
#[derive(Clone, Copy)]
pub struct Report {
    pub session: usize,
    pub attempt: usize,
    pub summary: bool,
}

impl Report {
    pub fn line(&self, what: &str, fields: Value) {
        let mut line =
            json!({ "session": self.session, "attempt": self.attempt, "at": unix_us(), "what": what });
        if let (Some(line), Value::Object(fields)) = (line.as_object_mut(), fields) {
            line.extend(fields);
        }
        print(&line);
    }

    /// A line that comes with every frame.
    pub fn detail(&self, what: &str, fields: impl FnOnce() -> Value) {
        if !self.summary {
            self.line(what, fields());
        }
    }
}

pub fn print(line: &Value) {
    // Nobody reads any more: nothing is left to do here.
    if writeln!(std::io::stdout().lock(), "{line}").is_err() {
        std::process::exit(0);
    }
}

pub fn unix_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as u64)
}
