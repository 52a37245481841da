//! `redisstreamsrc`, alone and together with `redisstreamsink`, against a real Redis.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use gst::prelude::*;
use redis::Commands;
use redis::streams::{StreamInfoGroupsReply, StreamPendingReply};
use sightline_gst_common::FrameMeta;
use sightline_protocol::unix_micros;
use support::*;

const SOURCE: &str = "redisstreamsrc name=src ! appsink name=out sync=false";
const WORKER: &str =
    "redisstreamsrc name=src ! jpegdec ! videoconvert ! redisstreamsink name=answers payload=detections";

fn pull(pipeline: &Pipeline) -> gst::Sample {
    let sink = pipeline.element("out").downcast::<gst_app::AppSink>().unwrap();
    let patience = gst::ClockTime::from_mseconds(PATIENCE.as_millis() as u64);
    sink.try_pull_sample(patience).expect("no frame came")
}

fn meta(sample: &gst::Sample) -> FrameMeta {
    FrameMeta::read(sample.buffer().unwrap()).unwrap()
}

fn pending(connection: &mut redis::Connection) -> usize {
    let reply: StreamPendingReply = connection.xpending("images", "cg:images").unwrap();
    reply.count()
}

#[test]
fn a_v1_frame_is_read_with_its_identity() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let pipeline = Pipeline::play(&redis, SOURCE);
    let before = unix_micros();
    let id = add_v1(&mut connection, "images", 77);
    let sample = pull(&pipeline);
    assert_eq!(sample.caps().unwrap().to_string(), "image/jpeg");
    let buffer = sample.buffer().unwrap();
    assert_eq!(buffer.map_readable().unwrap().as_slice(), &JPEG[..]);
    assert!(buffer.pts().is_some());
    let meta = meta(&sample);
    assert!(meta.header.v1);
    assert_eq!((&*meta.header.participant_id, meta.header.timestamp), ("7", 77));
    assert!((before..=unix_micros()).contains(&meta.read_at.unwrap()));
    let entry = meta.entry.unwrap();
    assert_eq!(
        (&*entry.stream, &*entry.group, entry.id),
        ("images", "cg:images", id)
    );
}

#[test]
fn expired_frames_are_deleted_unseen() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let expires = unix_micros().to_string();
    for _ in 0..3 {
        let fields = [
            ("participantId", &b"7"[..]),
            ("timestamp", b"1"),
            ("v", b"1"),
            ("expires", expires.as_bytes()),
            ("img", &JPEG[..]),
        ];
        add(&mut connection, "images", &fields);
    }
    let pipeline = Pipeline::play(&redis, SOURCE);
    add_v1(&mut connection, "images", 2);
    assert_eq!(meta(&pull(&pipeline)).header.timestamp, 2);
    assert_eq!(pipeline.stat("src", "dropped-expired"), 3);
    assert_eq!(len(&mut connection, "images"), 1);
    assert_eq!(pending(&mut connection), 1);
}

#[test]
fn max_age_drops_what_names_no_expiry() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let fields = [
        ("participantId", &b"7"[..]),
        ("timestamp", b"1"),
        ("img", &JPEG[..]),
    ];
    let _: String = connection.xadd("images", "1000-0", &fields).unwrap();
    let pipeline = Pipeline::play(
        &redis,
        "redisstreamsrc name=src max-age=60000 ! appsink name=out sync=false",
    );
    add_v1(&mut connection, "images", 2);
    assert_eq!(meta(&pull(&pipeline)).header.timestamp, 2);
    assert_eq!(pipeline.stat("src", "dropped-expired"), 1);
}

#[test]
fn what_is_no_frame_is_described_and_deleted() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let pipeline = Pipeline::play(&redis, SOURCE);
    let mut huge = JPEG.clone();
    let sof = huge.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    huge[sof + 5..sof + 7].copy_from_slice(&5000_u16.to_be_bytes());
    let id = ("participantId", &b"7"[..]);
    let time = ("timestamp", &b"1"[..]);
    let bad = [
        (vec![id, ("img", b"abc")], "field `timestamp` is missing"),
        (vec![id, time, ("img", b"abc")], "the picture is not a JPEG"),
        (vec![id, time, ("img", b"")], "the picture is empty"),
        (
            vec![id, time, ("img", &huge)],
            "the JPEG measures 64×5000; 1×1 to 4096×4096 is allowed",
        ),
    ];
    let ids: Vec<_> = bad
        .iter()
        .map(|(fields, _)| add(&mut connection, "images", fields))
        .collect();
    add_v1(&mut connection, "images", 2);
    assert_eq!(meta(&pull(&pipeline)).header.timestamp, 2);

    let letters = range(&mut connection, "images:dead");
    assert_eq!(letters.len(), bad.len());
    for ((letter, id), (_, reason)) in letters.iter().zip(ids).zip(&bad) {
        let letter = texts(letter);
        assert_eq!(letter["reason"], *reason);
        assert_eq!((&*letter["session"], &letter["id"]), ("7", &id));
        assert!(!letter.contains_key("img"));
    }
    let first = texts(&letters[0]);
    assert_eq!(first["size"], "3");
    assert_eq!(
        first["sha256"],
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(pipeline.stat("src", "dead-lettered"), 4);
    assert_eq!((len(&mut connection, "images"), pending(&mut connection)), (1, 1));
}

#[test]
fn a_frame_that_no_decoder_finishes_ends_in_the_dead_letters() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let pipeline = Pipeline::play(&redis, WORKER);
    // Whole headers, no picture: fit to be decoded by all that can be seen from outside.
    let sos = JPEG.windows(2).position(|marker| marker == [0xff, 0xda]).unwrap();
    let fields = [
        ("participantId", &b"7"[..]),
        ("timestamp", b"1"),
        ("img", &JPEG[..sos]),
    ];
    let id = add(&mut connection, "images", &fields);
    wait_for("the dead letter", || len(&mut connection, "images:dead") == 1);
    let letter = texts(&range(&mut connection, "images:dead")[0]);
    assert_eq!(letter["id"], id);
    assert!(letter["reason"].starts_with("reclaimed"), "{}", letter["reason"]);
    // The letter is there a moment before it is counted.
    wait_for("the count", || pipeline.stat("src", "reclaimed") == 1);
    assert_eq!((len(&mut connection, "images"), pending(&mut connection)), (0, 0));

    add_v1(&mut connection, "images", 2);
    wait_for("the worker to go on", || len(&mut connection, "predictions") == 1);
}

#[test]
fn what_a_dead_worker_left_is_reclaimed_by_another() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let dead = Pipeline::play(&redis, SOURCE);
    add_v1(&mut connection, "images", 1);
    pull(&dead);
    drop(dead);
    let _other = Pipeline::play(&redis, WORKER);
    wait_for("the dead letter", || len(&mut connection, "images:dead") == 1);
    assert_eq!((len(&mut connection, "images"), pending(&mut connection)), (0, 0));
}

#[test]
fn a_whole_round_trip_gives_the_credit_back() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let worker = Pipeline::play(&redis, WORKER);
    let session = Pipeline::play(
        &redis,
        "appsrc name=in format=time caps=image/jpeg,width=640,height=480 ! redisstreamsink name=sink participant-id=abc leaky=no",
    );
    let input = Input::of(&session);
    for index in 0..50 {
        input.push_jpeg(index * 100);
    }
    input.end();
    session.message(gst::MessageType::Eos);
    // On a stalled machine an answer may come after its credit has expired.
    let returned = || ["answered", "expired-credits"].map(|field| session.stat("sink", field));
    wait_for("the answers", || returned().iter().sum::<u64>() == 50);
    assert!(returned()[0] > 25, "{:?}", returned());
    assert_eq!(session.stat("sink", "in-flight"), 0);
    assert_eq!(worker.stat("src", "pushed"), 50);
    assert_eq!(len(&mut connection, "images"), 0);
    let answers = range(&mut connection, "predictions");
    let seqs: Vec<u64> = answers.iter().map(|entry| entry.get("seq").unwrap()).collect();
    assert_eq!(seqs, (0..50).collect::<Vec<_>>());
    let last = texts(&answers[49]);
    assert_eq!((&*last["participantId"], &*last["pcount"]), ("abc", "0"));
    assert_eq!((&*last["width"], &*last["res"]), ("640", "48"));
    assert_eq!(last["timestamp"], (4900 * 90).to_string());
    assert!(last.contains_key("queue_us"));
}

#[test]
fn workers_share_and_no_frame_is_seen_twice() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let workers = [Pipeline::play(&redis, WORKER), Pipeline::play(&redis, WORKER)];
    for timestamp in 0..100 {
        add_v1(&mut connection, "images", timestamp);
    }
    wait_for("all answers", || len(&mut connection, "predictions") == 100);
    let mut seen: Vec<u32> = range(&mut connection, "predictions")
        .iter()
        .map(|entry| entry.get("timestamp").unwrap())
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    for worker in &workers {
        assert!(worker.stat("src", "pushed") > 0);
    }
}

#[test]
fn several_streams_are_read() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let pipeline = Pipeline::play(
        &redis,
        r#"redisstreamsrc name=src stream="images:{0}, images:{1}" count=8 ! appsink name=out sync=false"#,
    );
    for (index, stream) in ["images:{1}", "images:{0}"].iter().enumerate() {
        add_v1(&mut connection, stream, index as u32);
        let meta = meta(&pull(&pipeline));
        assert_eq!(meta.header.timestamp, index as u32);
        assert_eq!(meta.entry.unwrap().stream, *stream);
    }
}

#[test]
fn a_group_that_vanishes_is_made_again() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let pipeline = Pipeline::play(&redis, SOURCE);
    for timestamp in 0..3 {
        let _: () = redis::cmd("FLUSHALL").query(&mut connection).unwrap();
        add_v1(&mut connection, "images", timestamp);
        assert_eq!(meta(&pull(&pipeline)).header.timestamp, timestamp);
    }
    let groups: StreamInfoGroupsReply = connection.xinfo_groups("images").unwrap();
    assert_eq!(groups.groups[0].name, "cg:images");
    pipeline.no_error();
}

#[test]
fn a_key_of_another_kind_is_an_error_at_start_and_later() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let _: () = connection.set("images", "no stream").unwrap();
    let pipeline = Pipeline::parse(&redis.url(), SOURCE);
    assert!(pipeline.set_state(gst::State::Playing).is_err());
    let error = pipeline.error();
    assert!(error.matches(gst::ResourceError::OpenRead), "{error:?}");
    assert!(error.message().contains("`images`"), "{error}");

    let _: () = connection.del("images").unwrap();
    let pipeline = Pipeline::play(&redis, SOURCE);
    add_v1(&mut connection, "images", 1);
    pull(&pipeline);
    let _: () = connection.set("images", "no stream").unwrap();
    let error = pipeline.error();
    assert!(error.matches(gst::ResourceError::Read), "{error:?}");
    assert!(error.message().contains("WRONGTYPE"), "{error}");
}

#[test]
fn a_pause_loses_nothing() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let pipeline = Pipeline::play(&redis, SOURCE);
    for timestamp in 0..5 {
        pipeline.set_state(gst::State::Paused).unwrap();
        add_v1(&mut connection, "images", timestamp);
        std::thread::sleep(Duration::from_millis(20));
        pipeline.set_state(gst::State::Playing).unwrap();
        assert_eq!(meta(&pull(&pipeline)).header.timestamp, timestamp);
    }
}
