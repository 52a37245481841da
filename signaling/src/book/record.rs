//! One session's life in figures. Events and times (Unix, microseconds) come in from outside.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;
use sightline_protocol::prediction::PredictionHeader;
use sightline_protocol::rest::{SessionState, SessionView};
use sightline_protocol::rpc::{Drops, Exit, SessionPhase};
use sightline_protocol::{ErrorId, Failure};

use crate::hub::About;
use crate::journey::Journey;
use crate::session::Freshness;

/// Predictions that are kept for a follower who comes back.
const MAX_PAST: usize = 64;
/// The rate is that of so long.
const RATE_WINDOW_US: u64 = 5_000_000;
/// What a new latency weighs against those before.
const SMOOTHING: f64 = 0.1;
/// Where a prediction says how long a worker took.
const STAGES: [&str; 4] = ["decode_us", "preprocess_us", "infer_us", "postprocess_us"];

/// A prediction as followers get it.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// Of the session's predictions, from 1.
    pub(crate) number: u64,
    /// The entry as JSON.
    pub(crate) json: Arc<str>,
    pub(crate) journey: Journey,
}

pub(super) struct Record {
    view: SessionView,
    /// Somebody asked for the end.
    stopping: bool,
    freshness: Freshness,
    last_frame_us: Option<u64>,
    arrivals: VecDeque<u64>,
    /// By the process that runs; what those before it dropped is in the view.
    dropping: Drops,
    late: u64,
    past: VecDeque<Told>,
}

impl Record {
    pub(super) fn relocate(&mut self, launcher: String) {
        self.view.launcher = launcher;
    }

    pub(super) fn renew(&mut self) {
        self.freshness = Freshness::default();
    }

    pub(super) fn new(about: &About, pipeline: String, now: u64) -> Self {
        Self {
            view: SessionView {
                id: about.session.clone(),
                tenant: about.tenant.to_string(),
                pipeline,
                launcher: about.launcher.to_string(),
                state: SessionState::Queued,
                created_us: now,
                started_us: None,
                first_frame_us: None,
                ended_us: None,
                frames: 0,
                dropped: Drops::new(),
                fps: None,
                latency_ms: None,
                restarts: 0,
                last_error: None,
                exit: None,
            },
            stopping: false,
            freshness: Freshness::default(),
            last_frame_us: None,
            arrivals: VecDeque::new(),
            dropping: Drops::new(),
            late: 0,
            past: VecDeque::new(),
        }
    }

    pub(super) fn phase(&mut self, phase: SessionPhase, reason: Option<Failure>, now: u64) {
        if self.view.state.is_final() {
            return;
        }
        match phase {
            // After a failure: its process counts frames and time anew.
            SessionPhase::Starting => {
                self.view.state = SessionState::Queued;
                self.view.restarts += 1;
                self.view.last_error = reason;
                self.renew();
            }
            SessionPhase::Connecting => {}
            SessionPhase::Connected => self.runs(now),
            SessionPhase::Ended => {
                let state = match reason {
                    _ if self.stopping => SessionState::Aborted,
                    Some(reason) if reason.id == ErrorId::ServerStopping => {
                        self.view.last_error = Some(reason);
                        SessionState::Aborted
                    }
                    _ => SessionState::Completed,
                };
                self.end(state, now);
            }
            SessionPhase::Failed => {
                self.view.last_error = reason;
                self.end(SessionState::Error, now);
            }
        }
    }

    /// How its process ended, and what it had dropped.
    pub(super) fn exited(&mut self, exit: Exit, dropped: Drops) {
        self.view.exit = Some(exit);
        self.dropping.clear();
        add(&mut self.view.dropped, &dropped);
    }

    /// What its process has dropped so far.
    pub(super) fn dropped(&mut self, dropped: Drops) {
        if !self.view.state.is_final() {
            self.dropping = dropped;
        }
    }

    pub(super) fn lost(&mut self, now: u64) {
        if !self.view.state.is_final() {
            let words = format!(
                "the launcher `{}` that ran this session is gone",
                self.view.launcher
            );
            self.view.last_error = Some(Failure::new(ErrorId::NoLauncher, words));
            self.end(SessionState::Error, now);
        }
    }

    /// The end that comes is by request.
    pub(super) fn stopping(&mut self) {
        self.stopping = true;
    }

    pub(super) fn abort(&mut self, now: u64) {
        if !self.view.state.is_final() {
            self.end(SessionState::Aborted, now);
        }
    }

    /// Its client has left, unless it had ended before.
    pub(super) fn close(&mut self, now: u64) {
        if !self.view.state.is_final() {
            self.end(SessionState::Completed, now);
        }
    }

    /// Counts a prediction, and gives it back for the followers if it is news.
    pub(super) fn prediction(&mut self, header: &PredictionHeader, entry: &Value, now: u64) -> Option<Told> {
        if self.view.state == SessionState::Aborted {
            return None;
        }
        if !self.freshness.admit(header) {
            self.late += 1;
            return None;
        }
        if self.view.state == SessionState::Queued {
            self.runs(now);
        }
        self.view.frames += 1;
        self.view.first_frame_us.get_or_insert(now);
        self.last_frame_us = Some(now);
        self.arrivals.push_back(now);
        self.forget_arrivals(now);
        if let Some(latency) = latency_ms(header, entry, now) {
            let smooth = |before: f64| before + SMOOTHING * (latency - before);
            self.view.latency_ms = Some(self.view.latency_ms.map_or(latency, smooth));
        }
        let told = Told {
            number: self.view.frames,
            json: entry.to_string().into(),
            journey: Journey::of(entry),
        };
        if self.past.len() >= MAX_PAST {
            self.past.pop_front();
        }
        self.past.push_back(told.clone());
        Some(told)
    }

    /// The kept predictions after number `after`; without it none: a new follower wants the news.
    pub(super) fn past(&self, after: Option<u64>) -> Vec<Told> {
        let wanted = |told: &&Told| after.is_some_and(|after| told.number > after);
        self.past.iter().filter(wanted).cloned().collect()
    }

    pub(super) fn state(&self) -> SessionState {
        self.view.state
    }

    pub(super) fn ended_us(&self) -> Option<u64> {
        self.view.ended_us
    }

    pub(super) fn view(&self, now: u64) -> SessionView {
        let rounded = |value: f64| (value * 100.0).round() / 100.0;
        let mut dropped = self.view.dropped.clone();
        add(&mut dropped, &self.dropping);
        dropped.insert("late".to_owned(), self.late);
        SessionView {
            dropped,
            fps: self.fps(now).map(rounded),
            latency_ms: self.view.latency_ms.map(rounded),
            ..self.view.clone()
        }
    }

    fn fps(&self, now: u64) -> Option<f64> {
        let rate =
            |count: u64, from: u64, to: u64| (to > from).then(|| count as f64 * 1e6 / (to - from) as f64);
        if self.view.state.is_final() {
            let (first, last) = (self.view.first_frame_us?, self.last_frame_us?);
            return rate(self.view.frames - 1, first, last);
        }
        let recent = || {
            self.arrivals
                .iter()
                .filter(|at| now.saturating_sub(**at) < RATE_WINDOW_US)
        };
        match recent().next() {
            // From the oldest until now, so that the rate falls when nothing comes.
            Some(first) => rate(recent().count() as u64 - 1, *first, now),
            None => self.view.first_frame_us.map(|_| 0.0),
        }
    }

    fn runs(&mut self, now: u64) {
        self.view.state = SessionState::Running;
        self.view.started_us.get_or_insert(now);
    }

    fn end(&mut self, state: SessionState, now: u64) {
        self.view.state = state;
        self.view.ended_us = Some(now);
        self.arrivals.clear();
    }

    fn forget_arrivals(&mut self, now: u64) {
        while self
            .arrivals
            .front()
            .is_some_and(|at| now.saturating_sub(*at) >= RATE_WINDOW_US)
        {
            self.arrivals.pop_front();
        }
    }
}

fn add(total: &mut Drops, more: &Drops) {
    for (reason, count) in more {
        let sum = total.entry(reason.clone()).or_default();
        *sum = sum.saturating_add(*count);
    }
}

/// How old the frame was; where nobody noted its capture, how long its worker took.
fn latency_ms(header: &PredictionHeader, entry: &Value, now: u64) -> Option<f64> {
    let micros = match header.captured {
        Some(captured) => now.saturating_sub(captured),
        None => {
            let stages: Vec<u64> = STAGES
                .iter()
                .filter_map(|stage| entry.get(*stage)?.as_str()?.parse().ok())
                .collect();
            if stages.is_empty() {
                return None;
            }
            stages.into_iter().fold(0, u64::saturating_add)
        }
    };
    Some(micros as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECOND: u64 = 1_000_000;

    fn record() -> Record {
        let about = About {
            session: "a".into(),
            tenant: "t".into(),
            launcher: sightline_protocol::inventa::ServiceName::new("mb", "x"),
        };
        Record::new(&about, "uri-detect".into(), 0)
    }

    fn header(seq: u64, captured: Option<u64>) -> PredictionHeader {
        PredictionHeader {
            participant_id: "a".into(),
            timestamp: 0,
            seq: Some(seq),
            captured,
            v1: false,
        }
    }

    fn failure(id: ErrorId) -> Option<Failure> {
        Some(Failure::new(id, "words"))
    }

    #[test]
    fn a_stream_that_ends_is_completed() {
        let mut record = record();
        assert_eq!(record.view(0).state, SessionState::Queued);
        record.phase(SessionPhase::Connected, None, SECOND);
        for seq in 0..11 {
            record.prediction(&header(seq, None), &json!({}), 2 * SECOND + seq * SECOND / 10);
        }
        let view = record.view(3 * SECOND);
        assert_eq!(
            (view.state, view.frames, view.fps),
            (SessionState::Running, 11, Some(10.0))
        );
        record.phase(SessionPhase::Ended, failure(ErrorId::SessionEnded), 9 * SECOND);
        let view = record.view(99 * SECOND);
        assert_eq!((view.state, view.fps), (SessionState::Completed, Some(10.0)));
        assert_eq!(
            (view.started_us, view.first_frame_us, view.ended_us),
            (Some(SECOND), Some(2 * SECOND), Some(9 * SECOND))
        );
        assert_eq!(view.last_error, None);
    }

    #[test]
    fn the_rate_falls_when_nothing_comes() {
        let mut record = record();
        assert_eq!(record.view(0).fps, None);
        for seq in 0..5 {
            record.prediction(&header(seq, None), &json!({}), seq * SECOND);
        }
        assert_eq!(record.view(4 * SECOND).fps, Some(1.0));
        assert!(record.view(8 * SECOND).fps < Some(0.5));
        assert_eq!(record.view(60 * SECOND).fps, Some(0.0));
    }

    #[test]
    fn each_end_has_its_state_and_the_first_one_counts() {
        let ended = |act: &dyn Fn(&mut Record)| {
            let mut record = record();
            record.phase(SessionPhase::Connected, None, 1);
            act(&mut record);
            record.phase(SessionPhase::Failed, failure(ErrorId::Internal), 9);
            let view = record.view(9);
            (view.state, view.last_error.map(|failure| failure.id))
        };
        assert_eq!(ended(&|record| record.abort(2)), (SessionState::Aborted, None));
        let stopped = |record: &mut Record| {
            record.stopping();
            record.phase(SessionPhase::Ended, None, 2);
        };
        assert_eq!(ended(&stopped), (SessionState::Aborted, None));
        assert_eq!(ended(&|record| record.close(2)), (SessionState::Completed, None));
        assert_eq!(
            ended(&|record| record.lost(2)),
            (SessionState::Error, Some(ErrorId::NoLauncher))
        );
        assert_eq!(
            ended(&|record| record.phase(SessionPhase::Failed, failure(ErrorId::SessionFailed), 2)),
            (SessionState::Error, Some(ErrorId::SessionFailed))
        );
        assert_eq!(
            ended(&|record| record.phase(SessionPhase::Ended, failure(ErrorId::ServerStopping), 2)),
            (SessionState::Aborted, Some(ErrorId::ServerStopping))
        );
    }

    #[test]
    fn a_restart_begins_anew_to_count_and_keeps_its_reason() {
        let mut record = record();
        assert!(record.prediction(&header(100, None), &json!({}), 1).is_some());
        record.exited(Exit::Killed { signal: 9 }, Drops::new());
        record.phase(SessionPhase::Starting, failure(ErrorId::SessionFailed), 2);
        let view = record.view(2);
        assert_eq!(view.exit, Some(Exit::Killed { signal: 9 }));
        assert_eq!((view.state, view.restarts), (SessionState::Queued, 1));
        assert!(view.last_error.is_some());
        let told = record.prediction(&header(0, None), &json!({}), 3).unwrap();
        assert_eq!((told.number, record.view(3).state), (2, SessionState::Running));
    }

    #[test]
    fn drops_are_added_up_over_restarts() {
        let drops = |replaced| Drops::from([("replaced".to_owned(), replaced)]);
        let seen = |record: &Record| record.view(9).dropped["replaced"];
        let mut record = record();
        assert_eq!(record.view(0).dropped, Drops::from([("late".to_owned(), 0)]));
        record.dropped(drops(3));
        record.dropped(drops(5));
        assert_eq!(seen(&record), 5);
        record.exited(Exit::Failed { code: 1 }, drops(6));
        record.phase(SessionPhase::Starting, None, 2);
        assert_eq!(seen(&record), 6);
        record.dropped(drops(2));
        assert_eq!(seen(&record), 8);
        record.phase(SessionPhase::Ended, None, 3);
        record.dropped(drops(9));
        assert_eq!(seen(&record), 8, "an answer that comes late");
    }

    #[test]
    fn latency_is_the_frames_age_or_the_workers_time() {
        let mut record = record();
        record.prediction(&header(0, Some(SECOND)), &json!({}), SECOND + 40_000);
        assert_eq!(record.view(SECOND).latency_ms, Some(40.0));
        let entry = json!({"preprocess_us": "2000", "infer_us": "8000"});
        assert_eq!(latency_ms(&header(0, None), &entry, 7), Some(10.0));
        assert_eq!(latency_ms(&header(0, None), &json!({"infer_us": 3}), 7), None);
    }

    #[test]
    fn the_past_is_bounded_and_asked_for_by_number() {
        let mut record = record();
        for seq in 0..100 {
            record.prediction(&header(seq, None), &json!({"seq": seq.to_string()}), seq);
        }
        assert!(record.past(None).is_empty());
        assert_eq!(record.past(Some(0)).len(), MAX_PAST);
        let past = record.past(Some(98));
        assert_eq!(past[0].number, 99);
        assert_eq!(&*past[1].json, r#"{"seq":"99"}"#);
    }
}
