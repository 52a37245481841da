//! `detectionjoin` against a real Redis and a worker that keeps to a script.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gst::prelude::*;
use redis::Commands;
use rustix::process::Signal;
use sightline_gst_common::{FrameMeta, InferenceMeta, detections};
use sightline_protocol::prediction::Timings;
use sightline_protocol::{Detection, FrameHeader, Prediction};
use support::*;

const CAPS: &str = "video/x-raw,format=GRAY8,width=64,height=48,framerate=0/1";
const SIZE: (u32, u32) = (64, 48);
/// No test waits so long: what leaves has another reason.
const FOR_EVER: &str = "max-wait=60000000000";

/// A pipeline of frames that are joined with the answers to a session.
struct Join {
    pipeline: Pipeline,
    input: Input,
    output: gst_app::AppSink,
}

impl Join {
    fn play(redis: &Redis, properties: &str) -> Self {
        Self::of(Pipeline::play(redis, &Self::launch(properties)))
    }

    fn launch(properties: &str) -> String {
        format!(
            "appsrc name=in is-live=true format=time caps={CAPS} ! detectionjoin name=join participant-id=abc {properties}
             ! appsink name=out sync=false"
        )
    }

    fn of(pipeline: Pipeline) -> Self {
        let join = Self::unprimed(pipeline);
        join.prime();
        join
    }

    /// The first frame does not wait: it is not for the tests.
    fn prime(&self) {
        self.input.push(buffer(0));
        self.expect(0, &[]);
        assert_eq!(self.stats(["in", "prerolled"]), [1, 1]);
    }

    fn unprimed(pipeline: Pipeline) -> Self {
        Self {
            input: Input::of(&pipeline),
            output: pipeline.element("out").downcast().unwrap(),
            pipeline,
        }
    }

    /// Sends frames of those numbers in, 10 ms apart, and waits until they are there.
    fn push(&self, frames: impl IntoIterator<Item = u64>) {
        let before = self.stat("in");
        let mut sent = 0;
        for frame in frames {
            self.input.push(buffer(frame));
            sent += 1;
        }
        wait_for("the frames to arrive", || self.stat("in") == before + sent);
    }

    fn stat(&self, field: &str) -> u64 {
        self.pipeline.stat("join", field)
    }

    fn stats<const N: usize>(&self, fields: [&str; N]) -> [u64; N] {
        fields.map(|field| self.stat(field))
    }

    /// The next frame to leave, if one does: its number and its labels.
    fn try_pull(&self, timeout: Duration) -> Option<(u64, Vec<String>)> {
        let timeout = gst::ClockTime::from_mseconds(timeout.as_millis() as u64);
        let sample = self.output.try_pull_sample(timeout)?;
        let buffer = sample.buffer().unwrap();
        let labels = detections(buffer, SIZE).into_iter().map(|found| found.label);
        Some((buffer.pts().unwrap().mseconds() / 10, labels.collect()))
    }

    fn pull(&self) -> (u64, Vec<String>) {
        self.try_pull(PATIENCE).expect("no frame left")
    }

    fn expect(&self, frame: u64, labels: &[&str]) {
        assert_eq!(
            self.pull(),
            (frame, labels.iter().map(|&label| label.into()).collect())
        );
    }

    fn expect_none(&self) {
        assert_eq!(self.try_pull(Duration::from_millis(50)), None);
    }
}

fn buffer(frame: u64) -> gst::Buffer {
    let mut buffer = gst::Buffer::with_size((SIZE.0 * SIZE.1) as usize).unwrap();
    let pts = gst::ClockTime::from_mseconds(frame * 10);
    buffer.get_mut().unwrap().set_pts(pts);
    buffer
}

/// A worker's answer to the frame of that number, the `seq`th that was published: one object named after both.
fn prediction(frame: u64, seq: u64) -> Prediction {
    Prediction {
        participant_id: "abc".into(),
        timestamp: u32::try_from(frame * 900).unwrap(),
        detections: vec![Detection {
            label: format!("f{frame}"),
            class_id: 1,
            score: 0.5,
            bbox: [0.25, 0.5, 0.5, 0.25],
            track_id: None,
        }],
        picture: (32, 24),
        seq: Some(seq),
        pts: Some(frame * 10_000_000),
        model: Some("m".into()),
        timings: Timings {
            preprocess_us: Some(1),
            infer_us: Some(2),
            postprocess_us: Some(3),
            ..Default::default()
        },
        ..Default::default()
    }
}

struct Worker(redis::Connection);

impl Worker {
    fn of(redis: &Redis) -> Self {
        Self(redis.connect())
    }

    fn say(&mut self, session: &str, text: &str) {
        let heard: usize = self.0.publish(format!("predictions:{session}"), text).unwrap();
        assert_eq!(heard, 1, "the element listens");
    }

    fn answer(&mut self, frame: u64, seq: u64) {
        let prediction = prediction(frame, seq);
        self.say(&prediction.participant_id, &prediction.to_json());
    }

    fn answer_v1(&mut self, frame: u64) {
        let fields = [
            ("participantId", "abc".to_owned()),
            ("timestamp", (frame * 900).to_string()),
            ("pcount", "1".to_owned()),
            ("res", "24".to_owned()),
            ("p0", format!("v{frame}|0.5|8;12;24;18")),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        self.say("abc", &sightline_protocol::prediction::fields_to_json(fields));
    }
}

#[test]
fn a_frame_leaves_with_what_its_answer_says() {
    let redis = Redis::start();
    let join = Join::play(&redis, FOR_EVER);
    join.push(0..1);
    join.expect_none();
    Worker::of(&redis).answer(0, 0);
    let sample = join.output.pull_sample().unwrap();
    let buffer = sample.buffer().unwrap();
    let found = detections(buffer, SIZE);
    assert_eq!(found, prediction(0, 0).detections);
    let meta = buffer.meta::<gst_video::VideoRegionOfInterestMeta>().unwrap();
    assert_eq!(meta.rect(), (16, 24, 32, 12));
    let inference = InferenceMeta::read(buffer).unwrap();
    let times = (
        inference.preprocess_us,
        inference.infer_us,
        inference.postprocess_us,
    );
    assert_eq!((inference.model.as_str(), times), ("m", (1, 2, 3)));
    assert_eq!(join.stats(["in", "out", "joined", "waiting"]), [2, 2, 1, 0]);
    assert!(join.stat("answer-delay-mean") > 0);
}

#[test]
fn answers_find_their_frames_in_whatever_order_they_come() {
    let redis = Redis::start();
    let mut worker = Worker::of(&redis);
    let join = Join::play(&redis, FOR_EVER);
    join.push(0..6);
    for frame in [3, 1, 1, 0, 5] {
        worker.answer(frame, frame);
    }
    join.expect(0, &["f0"]);
    join.expect(1, &["f1"]);
    join.expect_none();
    worker.answer(2, 2);
    join.expect(2, &["f2"]);
    join.expect(3, &["f3"]);
    worker.answer(4, 4);
    join.expect(4, &["f4"]);
    join.expect(5, &["f5"]);
    assert_eq!(join.stats(["joined", "unknown-answers"]), [6, 1]);
}

#[test]
fn garbage_and_the_answers_of_others_change_nothing() {
    let redis = Redis::start();
    let mut worker = Worker::of(&redis);
    let join = Join::play(&redis, FOR_EVER);
    join.push(0..1);
    for garbage in ["", "{", "[]", "{}", r#"{"participantId":"abc"}"#, "\u{0}"] {
        worker.say("abc", garbage);
    }
    let other = Prediction {
        participant_id: "other".into(),
        ..prediction(0, 0)
    };
    worker.say("abc", &other.to_json());
    let mut broken: BTreeMap<String, String> = prediction(0, 0).fields().into_iter().collect();
    for detections in [
        "[{}]",
        r#"[{"label":"\u0000","class_id":1,"score":1,"box":[0,0,1,1]}]"#,
    ] {
        broken.insert("detections".into(), detections.into());
        worker.say(
            "abc",
            &sightline_protocol::prediction::fields_to_json(broken.clone()),
        );
    }
    wait_for("the answers", || join.stat("unknown-answers") == 3);
    join.expect_none();
    worker.answer(0, 0);
    join.expect(0, &["f0"]);
    join.pipeline.no_error();
}

#[test]
fn a_lost_answer_costs_one_frames_boxes() {
    let redis = Redis::start();
    let mut worker = Worker::of(&redis);
    let join = Join::play(&redis, "max-wait=300000000");
    join.push(0..3);
    worker.answer(0, 0);
    worker.answer(2, 2);
    join.expect(0, &["f0"]);
    join.expect(1, &[]);
    join.expect(2, &["f2"]);
    worker.answer(1, 1);
    wait_for("the late answer", || join.stat("late-answers") == 1);
    assert_eq!(join.stats(["joined", "timed-out"]), [2, 1]);
    assert!(join.stat("answer-delay-max") >= 300_000_000);
}

#[test]
fn frames_that_were_not_published_do_not_wait() {
    let redis = Redis::start();
    let mut worker = Worker::of(&redis);
    let join = Join::play(&redis, FOR_EVER);
    join.push(0..9);
    worker.answer(2, 0);
    join.expect(0, &[]);
    join.expect(1, &[]);
    join.expect(2, &["f2"]);
    worker.answer(8, 2);
    join.expect_none();
    worker.answer(5, 1);
    for frame in 3..9 {
        let label = format!("f{frame}");
        let labels: &[&str] = if [5, 8].contains(&frame) { &[&label] } else { &[] };
        join.expect(frame, labels);
    }
    assert_eq!(join.stats(["joined", "superseded"]), [3, 6]);
}

#[test]
fn v1_workers_answer_with_a_timestamp_alone() {
    let redis = Redis::start();
    let mut worker = Worker::of(&redis);
    let join = Join::play(&redis, FOR_EVER);
    join.push(0..3);
    worker.answer_v1(1);
    join.expect(0, &[]);
    let sample = join.output.pull_sample().unwrap();
    let found = detections(sample.buffer().unwrap(), SIZE);
    assert_eq!(
        (found[0].label.as_str(), found[0].bbox),
        ("v1", [0.25, 0.5, 0.5, 0.25])
    );
    join.expect_none();
}

#[test]
fn a_frame_takes_an_answer_that_is_there_before_it() {
    let redis = Redis::start();
    let mut worker = Worker::of(&redis);
    let join = Join::play(&redis, "max-wait=0");
    join.push(0..1);
    join.expect(0, &[]);
    worker.answer(2, 0);
    worker.answer(0, 1);
    wait_for("both answers", || join.stat("late-answers") == 1);
    join.push(1..3);
    join.expect(1, &[]);
    join.expect(2, &["f2"]);
}

#[test]
fn a_frame_meta_names_frame_and_session() {
    let redis = Redis::start();
    let mut worker = Worker::of(&redis);
    let join = Join::play(&redis, FOR_EVER);
    let named = |frame: u64, session: &str, timestamp| {
        let mut buffer = buffer(frame);
        let meta = FrameMeta {
            header: FrameHeader {
                participant_id: session.into(),
                timestamp,
                ..Default::default()
            },
            ..Default::default()
        };
        meta.attach(buffer.get_mut().unwrap()).unwrap();
        buffer
    };
    join.input.push(named(0, "", 77));
    let answer = |session: &str, timestamp| Prediction {
        participant_id: session.into(),
        timestamp,
        pts: None,
        ..prediction(0, 0)
    };
    worker.say("abc", &answer("abc", 77).to_json());
    join.expect(0, &["f0"]);

    join.input.push(named(1, "other", 5));
    wait_for("the other session", || {
        let listeners: (String, u64) = redis::cmd("PUBSUB")
            .arg(&["NUMSUB", "predictions:other"])
            .query(&mut worker.0)
            .unwrap();
        listeners.1 == 1
    });
    // While it changed over, the frame may have left; the next ones wait.
    worker.say("other", &answer("other", 5).to_json());
    assert_eq!(join.pull().0, 1);
    wait_for("the connection", || {
        join.input.push(named(2, "other", 6));
        join.try_pull(Duration::from_millis(100)).is_none()
    });
    worker.say("other", &answer("other", 6).to_json());
    join.expect(2, &["f0"]);
}

#[test]
fn sessions_do_not_mix() {
    let redis = Redis::start();
    let mut worker = Worker::of(&redis);
    let joins = ["one", "two"].map(|session| {
        let launch = Join::launch(FOR_EVER).replace("=abc", &format!("={session}"));
        (session, Join::of(Pipeline::play(&redis, &launch)))
    });
    for (session, join) in &joins {
        join.push(0..1);
        join.expect_none();
        let mut answer = Prediction {
            participant_id: (*session).into(),
            ..prediction(0, 0)
        };
        answer.detections[0].label = (*session).into();
        worker.say(session, &answer.to_json());
        join.expect(0, &[session]);
        assert_eq!(join.stat("unknown-answers"), 0);
    }
}

/// Records what comes to an element's pad.
fn record(pipeline: &Pipeline) -> Arc<Mutex<Vec<String>>> {
    let record = Arc::new(Mutex::new(Vec::new()));
    let pad = pipeline.element("out").static_pad("sink").unwrap();
    let writer = record.clone();
    let kinds =
        gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::EVENT_FLUSH | gst::PadProbeType::BUFFER;
    pad.add_probe(kinds, move |_, info| {
        let text = match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => {
                let labels: Vec<_> = detections(buffer, SIZE)
                    .into_iter()
                    .map(|found| found.label)
                    .collect();
                format!("frame {}", labels.join(" "))
            }
            Some(gst::PadProbeData::Event(event)) => match event.view() {
                gst::EventView::Caps(caps) => {
                    let caps = caps.caps().structure(0).unwrap();
                    let width: i32 = caps.get("width").unwrap();
                    format!("caps {width}")
                }
                gst::EventView::CustomDownstream(event) => event.structure().unwrap().name().to_string(),
                _ => event.type_().name().to_string(),
            },
            _ => return gst::PadProbeReturn::Ok,
        };
        writer.lock().unwrap().push(text);
        gst::PadProbeReturn::Ok
    });
    record
}

#[test]
fn events_and_new_caps_keep_their_place_and_the_end_comes_last() {
    let redis = Redis::start();
    let mut worker = Worker::of(&redis);
    let pipeline = Pipeline::parse(&redis.url(), &Join::launch(FOR_EVER));
    let record = record(&pipeline);
    pipeline.set_state(gst::State::Playing).unwrap();
    let join = Join::of(pipeline);
    join.push(0..2);
    let custom = gst::event::CustomDownstream::new(gst::Structure::new_empty("between"));
    let source = join.pipeline.element("in");
    assert!(source.send_event(custom));
    join.push(2..3);
    let caps: gst::Caps = CAPS.replace("width=64", "width=32").parse().unwrap();
    source.set_property("caps", caps);
    join.push(3..4);
    join.input.end();
    for frame in (0..4).rev() {
        worker.answer(frame, frame);
    }
    for _ in 0..4 {
        join.pull();
    }
    join.pipeline.message(gst::MessageType::Eos);
    let expected = [
        "stream-start",
        "caps 64",
        "segment",
        "frame ",
        "frame f0",
        "frame f1",
        "between",
        "frame f2",
        "caps 32",
        "frame f3",
        "eos",
    ];
    assert_eq!(*record.lock().unwrap(), expected);
}

#[test]
fn the_end_of_the_stream_waits_no_longer_than_its_frames() {
    let redis = Redis::start();
    let join = Join::play(&redis, "max-wait=200000000");
    join.push(0..3);
    join.input.end();
    for frame in 0..3 {
        join.expect(frame, &[]);
    }
    join.pipeline.message(gst::MessageType::Eos);
    assert_eq!(join.stats(["timed-out", "out"]), [3, 4]);
}

#[test]
fn a_flush_drops_what_waits_and_what_follows_is_not_mistaken() {
    let redis = Redis::start();
    let mut worker = Worker::of(&redis);
    let pipeline = Pipeline::parse(&redis.url(), &Join::launch(FOR_EVER));
    let record = record(&pipeline);
    pipeline.set_state(gst::State::Playing).unwrap();
    let join = Join::of(pipeline);
    let old = sightline_protocol::unix_micros();
    join.push(0..2);
    // These wait behind the frames, and caps are not to be lost with them.
    let caps: gst::Caps = CAPS.replace("width=64", "width=32").parse().unwrap();
    join.pipeline.element("in").set_property("caps", caps);
    join.push(2..3);

    let pad = join.pipeline.element("join").static_pad("sink").unwrap();
    assert!(pad.send_event(gst::event::FlushStart::new()));
    assert!(pad.send_event(gst::event::FlushStop::new(true)));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    assert!(pad.send_event(gst::event::Segment::new(&segment)));
    assert_eq!(join.stats(["flushed", "waiting"]), [3, 0]);
    join.push(0..2);
    join.expect(0, &[]);
    let stale = Prediction {
        captured: Some(old),
        ..prediction(1, 0)
    };
    worker.say("abc", &stale.to_json());
    wait_for("the stale answer", || join.stat("unknown-answers") == 1);
    join.expect_none();
    worker.answer(1, 3);
    join.expect(1, &["f1"]);
    let expected = [
        "stream-start",
        "caps 64",
        "segment",
        "frame ",
        "flush-start",
        "flush-stop",
        "caps 32",
        "segment",
        "frame ",
        "frame f1",
    ];
    assert_eq!(*record.lock().unwrap(), expected);
}

#[test]
fn a_sink_that_wants_a_frame_to_begin_gets_the_first() {
    let redis = Redis::start();
    let launch = Join::launch(FOR_EVER)
        .replace("is-live=true", "")
        .replace("join ", "join max-frames=64 ");
    let join = Join::unprimed(Pipeline::play(&redis, &launch));
    join.push(0..40);
    join.expect(0, &[]);
    let (done, _, _) = join.pipeline.state(gst::ClockTime::from_seconds(20));
    assert_eq!(done, Ok(gst::StateChangeSuccess::Success));
    // On a stalled machine the sink may play so much earlier that more have left.
    let mut worker = Worker::of(&redis);
    for frame in 1..40 {
        worker.answer(frame, frame);
    }
    wait_for("all to leave", || join.stat("out") == 40);
    let left = join.stats(["prerolled", "joined"]);
    assert_eq!(left.iter().sum::<u64>(), 40);
    assert!((1..20).contains(&left[0]), "{left:?}");
}

#[test]
fn so_many_frames_wait_and_no_more() {
    let redis = Redis::start();
    let mut worker = Worker::of(&redis);
    let join = Join::play(&redis, &format!("{FOR_EVER} max-frames=2"));
    for frame in 0..6 {
        join.input.push(buffer(frame));
    }
    wait_for("the first frames", || join.stat("waiting") == 2);
    join.expect_none();
    assert_eq!(join.stat("in"), 3);
    for frame in 0..6 {
        worker.answer(frame, frame);
        join.expect(frame, &[&format!("f{frame}")]);
    }
}

#[test]
fn what_comes_after_fails_and_what_comes_before_learns_it() {
    let redis = Redis::start();
    let launch = Join::launch("max-wait=0").replace(
        "! appsink name=out",
        "! identity name=after error-after=2 ! fakesink",
    );
    let pipeline = Pipeline::play(&redis, &launch);
    let input = Input::of(&pipeline);
    for frame in 0..3 {
        input.push(buffer(frame));
    }
    let source = || pipeline.message(gst::MessageType::Error).src().unwrap().name();
    assert_eq!(source(), "after");
    // The error comes back with one of the next frames.
    let bus = pipeline.bus().unwrap();
    let mut frame = 3;
    let mut error = None;
    wait_for("the error", || {
        input.push(buffer(frame));
        frame += 1;
        error = bus.timed_pop_filtered(gst::ClockTime::from_mseconds(10), &[gst::MessageType::Error]);
        error.is_some()
    });
    assert_eq!(error.unwrap().src().unwrap().name(), "in");

    let pipeline = Pipeline::play(&redis, &launch.replace("max-wait=0", "max-wait=100000000"));
    let input = Input::of(&pipeline);
    for frame in 0..3 {
        input.push(buffer(frame));
    }
    input.end();
    let source = || pipeline.message(gst::MessageType::Error).src().unwrap().name();
    assert_eq!(source(), "after");
    // Nothing follows with which it could come back.
    assert_eq!(source(), "join");
}

#[test]
fn the_wait_is_part_of_the_latency() {
    let redis = Redis::start();
    let launch = "videotestsrc is-live=true ! video/x-raw,framerate=10/1
        ! detectionjoin name=join participant-id=abc max-wait=70000000 ! fakesink sync=true";
    let pipeline = Pipeline::play(&redis, launch);
    wait_for("the source to know its frame rate", || {
        let pad = pipeline.element("join").static_pad("sink").unwrap();
        pad.peer_query(&mut gst::query::Latency::new())
    });
    let latency = |pad: &str| {
        let mut query = gst::query::Latency::new();
        let element = pipeline.element("join");
        match pad {
            "src" => assert!(element.static_pad("src").unwrap().query(&mut query)),
            _ => assert!(element.static_pad("sink").unwrap().peer_query(&mut query)),
        }
        query.result()
    };
    let (live, min, max) = latency("sink");
    let wait = gst::ClockTime::from_mseconds(70);
    assert!(live);
    assert_eq!(latency("src"), (true, min + wait, max.map(|max| max + wait)));
}

#[test]
fn without_a_redis_it_fails_at_once_and_says_where_and_why() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("unix://{}?pass=secret", dir.path().join("none").display());
    let fail = |url: &str, launch: &str| {
        let pipeline = Pipeline::parse(url, launch);
        let start = Instant::now();
        assert!(pipeline.set_state(gst::State::Playing).is_err());
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        pipeline.error()
    };
    for launch in [
        "fakesrc ! capsfilter caps=video/x-raw ! detectionjoin ! fakesink",
        "fakesrc ! capsfilter caps=video/x-raw ! detectionjoin participant-id=abc ! fakesink",
    ] {
        let error = fail(&url, launch);
        assert!(error.matches(gst::ResourceError::OpenRead), "{error:?}");
        let text = error.message();
        assert!(
            text.contains(dir.path().to_str().unwrap()) && !text.contains("secret"),
            "{text}"
        );
        assert!(text.contains("is Redis running there?"), "{text}");
        let error = fail("localhost:6379", launch);
        assert!(error.matches(gst::ResourceError::Settings), "{error:?}");
    }
    let redis = Redis::start();
    redis.signal(Signal::STOP);
    let error = fail(
        &redis.url(),
        "fakesrc ! capsfilter caps=video/x-raw ! detectionjoin ! fakesink",
    );
    assert!(error.message().contains("no answer within 2 s"), "{error}");
}

#[test]
fn frames_of_no_session_are_an_error_that_says_so() {
    let redis = Redis::start();
    let launch = Join::launch("").replace("participant-id=abc", "");
    let join = Join::unprimed(Pipeline::play(&redis, &launch));
    join.input.push(buffer(0));
    let error = join.pipeline.error();
    assert!(error.matches(gst::ResourceError::Settings), "{error:?}");
    assert!(error.message().contains("participant-id"), "{error}");

    let launch = Join::launch("").replace("=abc", r#"="a b""#);
    let pipeline = Pipeline::parse(&redis.url(), &launch);
    assert!(pipeline.set_state(gst::State::Playing).is_err());
    let error = pipeline.error();
    assert!(error.matches(gst::ResourceError::Settings), "{error:?}");
    assert!(error.message().contains("letters, digits"), "{error}");
}

#[test]
fn while_redis_is_away_frames_pass_and_when_it_is_back_they_are_joined() {
    let mut redis = Redis::start();
    let join = Join::play(&redis, FOR_EVER);
    join.push(0..1);
    redis.kill();
    join.expect(0, &[]);
    join.push(1..5);
    for frame in 1..5 {
        join.expect(frame, &[]);
    }
    assert_eq!(join.stat("disconnected"), 5);
    redis.restart();
    let mut frame = 5;
    wait_for("frames to wait again", || {
        join.push(frame..frame + 1);
        frame += 1;
        join.try_pull(Duration::from_millis(50)).is_none()
    });
    Worker::of(&redis).answer(frame - 1, 0);
    let last = frame - 1;
    join.expect(last, &[&format!("f{last}")]);
    assert!(join.pipeline.warning().contains("trying again"));
    join.pipeline.no_error();
}

#[test]
fn the_end_comes_at_once_whatever_redis_does_and_frees_everything() {
    for signal in [Signal::CONT, Signal::KILL, Signal::STOP] {
        let redis = Redis::start();
        let join = Join::play(&redis, &format!("{FOR_EVER} max-frames=2"));
        for frame in 0..5 {
            join.input.push(buffer(frame));
        }
        wait_for("frames to wait", || join.stat("in") >= 2);
        redis.signal(signal);
        let start = Instant::now();
        join.pipeline.set_state(gst::State::Null).unwrap();
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        let element = join.pipeline.element("join").downgrade();
        drop(join);
        wait_for("the element to be freed", || element.upgrade().is_none());
    }
}

#[test]
fn it_can_be_stopped_and_started_again() {
    let redis = Redis::start();
    let mut worker = Worker::of(&redis);
    let join = Join::play(&redis, FOR_EVER);
    for _ in 0..3 {
        join.push(0..2);
        worker.answer(0, 0);
        join.expect(0, &["f0"]);
        join.pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(join.stats(["in", "joined", "waiting"]), [3, 1, 0]);
        // On the way down the pipeline is paused.
        assert_eq!(join.stats(["flushed", "prerolled"]).iter().sum::<u64>(), 2);
        wait_for("the listener to end", || {
            let listeners: (String, u64) = redis::cmd("PUBSUB")
                .arg(&["NUMSUB", "predictions:abc"])
                .query(&mut worker.0)
                .unwrap();
            listeners.1 == 0
        });
        join.pipeline.set_state(gst::State::Playing).unwrap();
        join.prime();
    }
}

#[test]
fn properties_are_read_back_and_out_of_range_refused() {
    init();
    let join = gst::ElementFactory::make("detectionjoin").build().unwrap();
    for (name, text) in [
        ("url", "redis://other:1"),
        ("tls-ca-file", "/ca.pem"),
        ("tls-cert-file", "/cert.pem"),
        ("tls-key-file", "/key.pem"),
        ("participant-id", "abc"),
        ("max-wait", "0"),
        ("max-wait", "60000000000"),
        ("max-frames", "1024"),
    ] {
        join.set_property_from_str(name, text);
        let value = join.property_value(name);
        let read = match value.get::<String>() {
            Ok(text) => text,
            Err(_) => value.serialize().unwrap().to_string(),
        };
        assert_eq!(read, text, "{name}");
    }
    let refused = |set: &dyn Fn()| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(set)).expect_err("it was taken");
    };
    refused(&|| join.set_property("max-wait", 60_000_000_001_u64));
    refused(&|| join.set_property("max-frames", 0_u32));
    refused(&|| join.set_property("max-frames", 1025_u32));
    assert_eq!(join.property::<u32>("max-frames"), 1024);
    for property in join.list_properties() {
        let own = property.owner_type() == join.type_();
        assert!(
            !own || property.blurb().is_some_and(|blurb| blurb.len() > 10),
            "{}",
            property.name()
        );
    }
}
