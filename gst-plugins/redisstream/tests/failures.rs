//! Both elements while Redis is away, silent, or refuses.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use gst::prelude::*;
use rustix::process::Signal;
use support::*;

const SESSION: &str =
    "appsrc name=in format=time caps=image/jpeg ! redisstreamsink name=sink participant-id=abc";
const WORKER: &str =
    "redisstreamsrc name=src ! jpegdec ! videoconvert ! redisstreamsink name=answers payload=detections";

/// Ends a pipeline, which must not wait for Redis.
fn end_quickly(pipeline: &Pipeline) {
    let start = Instant::now();
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

fn fails_fast(url: &str, launch: &str) -> glib::Error {
    let pipeline = Pipeline::parse(url, launch);
    let start = Instant::now();
    assert!(pipeline.set_state(gst::State::Playing).is_err());
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    pipeline.error()
}

#[test]
fn without_a_redis_both_fail_at_once_and_say_where_and_why() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("unix://{}?pass=secret", dir.path().join("none").display());
    for (launch, code) in [
        ("redisstreamsrc ! fakesink", gst::ResourceError::OpenRead),
        ("fakesrc ! redisstreamsink", gst::ResourceError::OpenWrite),
    ] {
        let error = fails_fast(&url, launch);
        assert!(error.matches(code), "{error:?}");
        let text = error.message();
        assert!(text.contains(dir.path().to_str().unwrap()), "{text}");
        assert!(
            text.contains("connection refused: is Redis running there?"),
            "{text}"
        );
        assert!(!text.contains("secret"), "{text}");
    }
    let error = fails_fast("localhost:6379", "redisstreamsrc ! fakesink");
    assert!(error.matches(gst::ResourceError::Settings), "{error:?}");
}

#[test]
fn a_password_that_is_missing_or_wrong_is_named() {
    let redis = Redis::start_with(&["--requirepass", "secret"]);
    let error = fails_fast(&redis.url(), "redisstreamsrc ! fakesink");
    assert!(error.message().contains("asks for a password"), "{error}");
    let error = fails_fast(
        &format!("{}?pass=wrong", redis.url()),
        "redisstreamsrc ! fakesink",
    );
    assert!(
        error
            .message()
            .contains("does not take this user name and password"),
        "{error}"
    );
    assert!(!error.message().contains("wrong"), "{error}");
    let pipeline = Pipeline::parse(
        &format!("{}?pass=secret", redis.url()),
        "redisstreamsrc ! fakesink",
    );
    assert!(pipeline.set_state(gst::State::Playing).is_ok());
}

#[test]
fn a_redis_that_hangs_fails_the_start_in_time() {
    let redis = Redis::start();
    redis.signal(Signal::STOP);
    for launch in ["redisstreamsrc ! fakesink", "fakesrc ! redisstreamsink"] {
        let error = fails_fast(&redis.url(), launch);
        assert!(error.message().contains("no answer within 2 s"), "{error}");
    }
}

#[test]
fn a_port_that_never_answers_fails_the_start_in_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://joe:secret@{}", silent.local_addr().unwrap());
    for launch in ["redisstreamsrc ! fakesink", "fakesrc ! redisstreamsink"] {
        let error = fails_fast(&url, launch);
        let text = error.message();
        assert!(text.contains("no answer within 2 s"), "{text}");
        assert!(text.contains("redis://joe:***@127.0.0.1:"), "{text}");
    }
}

#[test]
fn nothing_is_written_to_a_replica_and_its_promotion_ends_that() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let mut replicate = |host: &str, port: &str| {
        let _: () = redis::cmd("REPLICAOF")
            .arg(host)
            .arg(port)
            .query(&mut connection)
            .unwrap();
    };
    let session = Pipeline::play(&redis, &format!("{SESSION} max-in-flight=0"));
    let input = Input::of(&session);
    input.push_jpeg(0);
    wait_for("the first frame", || session.stat("sink", "published") == 1);
    replicate("127.0.0.1", "1");
    let mut now = 0;
    let mut push_until = |what: &str, field: &str, more_than: u64| {
        wait_for(what, || {
            now += 10;
            input.push_jpeg(now);
            std::thread::sleep(Duration::from_millis(5));
            session.stat("sink", field) > more_than
        });
    };
    push_until("drops", "dropped-redis", 0);
    let warning = session.warning();
    assert!(warning.contains("cannot serve now: READONLY"), "{warning}");
    let error = fails_fast(&redis.url(), "redisstreamsrc group=new ! fakesink");
    assert!(error.message().contains("READONLY"), "{error}");
    replicate("no", "one");
    push_until("frames again", "published", 3);
    session.no_error();
}

#[test]
fn restarts_under_load_are_survived() {
    let mut redis = Redis::start();
    let workers = [Pipeline::play(&redis, WORKER), Pipeline::play(&redis, WORKER)];
    let sessions = [SESSION, &SESSION.replace("abc", "def")].map(|launch| Pipeline::play(&redis, launch));
    let inputs = [Input::of(&sessions[0]), Input::of(&sessions[1])];
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for now in 0.. {
                inputs.iter().for_each(|input| input.push_jpeg(now));
                std::thread::sleep(Duration::from_millis(2));
                if ended.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
            }
        });
        for _ in 0..3 {
            redis.restart();
            let before = [0, 1].map(|index| sessions[index].stat("sink", "answered"));
            wait_for("answers to both sessions", || {
                [0, 1]
                    .iter()
                    .all(|&index| sessions[index].stat("sink", "answered") > before[index] + 5)
            });
        }
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    for pipeline in workers.iter().chain(&sessions) {
        pipeline.no_error();
    }
}

#[test]
fn a_restarted_redis_is_used_again() {
    let mut redis = Redis::start();
    let worker = Pipeline::play(&redis, WORKER);
    let session = Pipeline::play(&redis, SESSION);
    let input = Input::of(&session);
    let mut now = 0;
    let mut exchange = |what: &str| {
        let before = session.stat("sink", "answered");
        wait_for(what, || {
            now += 10;
            input.push_jpeg(now);
            std::thread::sleep(Duration::from_millis(10));
            session.stat("sink", "answered") > before + 3
        });
    };
    exchange("answers");
    redis.restart();
    exchange("answers after a restart");
    redis.restart();
    exchange("answers after another");
    assert!(session.stat("sink", "reconnects") >= 1);
    assert!(worker.stat("src", "reconnects") >= 1);
    assert!(session.warning().contains("trying again"));
    session.no_error();
    worker.no_error();
}

#[test]
fn frames_are_dropped_while_redis_is_away_and_the_source_never_waits() {
    let mut redis = Redis::start();
    let session = Pipeline::play(&redis, &format!("{SESSION} max-in-flight=0"));
    let input = Input::of(&session);
    input.push_jpeg(0);
    wait_for("the first frame", || session.stat("sink", "published") == 1);
    redis.kill();
    for index in 1..=100 {
        input.push_jpeg(index);
    }
    wait_for("all to be accepted", || session.stat("sink", "accepted") == 101);
    wait_for("drops", || session.stat("sink", "dropped-redis") > 0);
    let sum = |session: &Pipeline| {
        ["published", "dropped-redis", "dropped-replaced"]
            .map(|field| session.stat("sink", field))
            .iter()
            .sum::<u64>()
    };
    redis.restart();
    wait_for("each frame's fate to be counted once", || sum(&session) == 101);
}

#[test]
fn not_leaky_frames_wait_for_redis_to_come_back() {
    let mut redis = Redis::start();
    let session = Pipeline::play(&redis, &format!("{SESSION} max-in-flight=0 leaky=no"));
    let input = Input::of(&session);
    input.push_jpeg(0);
    wait_for("the first frame", || session.stat("sink", "published") == 1);
    redis.kill();
    for index in 1..=20 {
        input.push_jpeg(index);
    }
    redis.restart();
    input.end();
    session.message(gst::MessageType::Eos);
    let entries = range(&mut redis.connect(), "images");
    let seqs: Vec<u64> = entries.iter().map(|entry| entry.get("seq").unwrap()).collect();
    assert_eq!(seqs, (1..=20).collect::<Vec<_>>());
    assert_eq!(session.stat("sink", "dropped-redis"), 0);
}

#[test]
fn the_end_comes_at_once_whether_redis_is_dead_or_silent() {
    for signal in [Signal::KILL, Signal::STOP] {
        let redis = Redis::start();
        let worker = Pipeline::play(&redis, WORKER);
        let live = Pipeline::play(&redis, SESSION);
        let file = Pipeline::play(&redis, &format!("{SESSION} leaky=no"));
        let inputs = [Input::of(&live), Input::of(&file)];
        inputs[1].push_jpeg(0);
        wait_for("a frame", || file.stat("sink", "published") == 1);
        redis.signal(signal);
        for input in &inputs {
            for index in 1..10 {
                input.push_jpeg(index);
            }
        }
        wait_for("frames to wait", || file.stat("sink", "accepted") >= 2);
        for pipeline in [&live, &file, &worker] {
            end_quickly(pipeline);
        }
    }
}

#[test]
fn the_end_of_the_stream_is_not_awaited_for_ever() {
    let mut redis = Redis::start();
    let session = Pipeline::play(&redis, &format!("{SESSION} leaky=no"));
    let input = Input::of(&session);
    input.push_jpeg(0);
    wait_for("the first frame", || session.stat("sink", "published") == 1);
    redis.kill();
    input.push_jpeg(1);
    wait_for("the second frame", || session.stat("sink", "accepted") == 2);
    input.end();
    wait_for("the warning", || {
        session
            .warning()
            .contains("not written to Redis within 5 s and lost: 1")
    });
    session.message(gst::MessageType::Eos);
}
