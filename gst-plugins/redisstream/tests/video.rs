//! `redisvideosink` and `redisvideosrc`, alone and together, against a real Redis.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst_video::UpstreamForceKeyUnitEvent;
use redis::Commands;
use redis::streams::StreamId;
use rustix::process::Signal;
use support::*;

const STREAM: &str = "video:abc";
const WRITER: &str = "appsrc name=in format=time is-live=true caps=video/x-vp8,width=64,height=48,framerate=30/1 \
    ! redisvideosink name=sink session=abc";
const WATCHER: &str = "redisvideosrc name=src session=abc ! appsink name=out sync=false";

/// What only a test knows of a frame: it need not be VP8.
fn frame(number: u64, key: bool) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice(format!("frame {number}"));
    let writable = buffer.get_mut().unwrap();
    writable.set_pts(gst::ClockTime::from_mseconds(number * 33));
    if !key {
        writable.set_flags(gst::BufferFlags::DELTA_UNIT);
    }
    buffer
}

/// Counts the wishes for a keyframe that reach the encoder's place.
fn wishes(pipeline: &Pipeline) -> Arc<AtomicU64> {
    let count = Arc::new(AtomicU64::default());
    let pad = pipeline.element("in").static_pad("src").unwrap();
    let counter = count.clone();
    pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
        if info
            .event()
            .is_some_and(|event| UpstreamForceKeyUnitEvent::parse(event).is_ok())
        {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
    count
}

fn pull(pipeline: &Pipeline) -> Option<gst::Sample> {
    let sink = pipeline.element("out").downcast::<gst_app::AppSink>().unwrap();
    let patience = gst::ClockTime::from_mseconds(PATIENCE.as_millis() as u64);
    sink.try_pull_sample(patience)
}

/// The number of the next frame, and whether it is a keyframe.
fn next(pipeline: &Pipeline) -> (u64, bool) {
    let sample = pull(pipeline).expect("no frame came");
    let buffer = sample.buffer().unwrap();
    let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
    let text = String::from_utf8(buffer.map_readable().unwrap().to_vec()).unwrap();
    (text.strip_prefix("frame ").unwrap().parse().unwrap(), key)
}

fn await_published(pipeline: &Pipeline, count: u64) {
    wait_for("frames to be published", || {
        pipeline.stat("sink", "published") == count
    });
}

/// A watcher that waits for what is written from now on.
fn await_joined(pipeline: &Pipeline, redis: &mut redis::Connection) {
    let reading = |redis: &mut redis::Connection| {
        let list: String = redis::cmd("CLIENT").arg("LIST").query(redis).unwrap();
        list.lines()
            .filter(|line| line.contains("cmd=xread ") && line.contains("flags=b"))
            .count()
    };
    let others = reading(redis);
    pipeline.set_state(gst::State::Playing).unwrap();
    wait_for("the watcher to read", || reading(redis) > others);
}

fn field(entry: &StreamId, name: &str) -> String {
    entry.get::<String>(name).unwrap_or_default()
}

#[test]
fn entries_are_as_documented_and_the_stream_ends_and_vanishes() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let pipeline = Pipeline::play(&redis, WRITER);
    let input = Input::of(&pipeline);
    input.push(frame(0, true));
    input.push(frame(1, false));
    await_published(&pipeline, 2);
    let life: i64 = connection.pttl(STREAM).unwrap();
    assert!((1..=10_000).contains(&life), "{life}");
    input.end();
    pipeline.message(gst::MessageType::Eos);
    wait_for("the end", || len(&mut connection, STREAM) == 3);
    let entries = range(&mut connection, STREAM);
    let fields = |index: usize| {
        let names = ["v", "seq", "pts", "key", "data", "end"];
        names.map(|name| field(&entries[index], name))
    };
    assert_eq!(fields(0), ["1", "0", "0", "1", "frame 0", ""]);
    assert_eq!(fields(1), ["1", "1", "33000000", "0", "frame 1", ""]);
    assert_eq!(fields(2), ["1", "", "", "", "", "1"]);
    assert_eq!(
        field(&entries[0], "caps"),
        "video/x-vp8, width=(int)64, height=(int)48, framerate=(fraction)30/1"
    );
    assert!(!entries[1].map.contains_key("caps"));
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(len(&mut connection, STREAM), 3, "one end is enough");
    wait_for("the stream to vanish", || {
        !connection.exists::<_, bool>(STREAM).unwrap()
    });
}

#[test]
fn a_writer_that_stops_without_eos_says_so_too() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let writer = Pipeline::play(&redis, WRITER);
    Input::of(&writer).push(frame(0, true));
    await_published(&writer, 1);
    let watcher = Pipeline::play(&redis, WATCHER);
    assert_eq!(next(&watcher), (0, true));
    writer.set_state(gst::State::Null).unwrap();
    let entries = range(&mut connection, STREAM);
    assert_eq!(field(entries.last().unwrap(), "end"), "1");
    watcher.message(gst::MessageType::Eos);
    // One who comes too late ends at once.
    let late = Pipeline::play(&redis, WATCHER);
    late.message(gst::MessageType::Eos);
}

#[test]
fn three_watchers_get_every_frame_in_order_with_its_caps_and_distance() {
    const FRAMES: u64 = 20;
    let redis = Redis::start();
    let mut connection = redis.connect();
    let watchers = [(); 3].map(|()| Pipeline::parse(&redis.url(), WATCHER));
    for watcher in &watchers {
        await_joined(watcher, &mut connection);
    }
    let writer = Pipeline::play(&redis, WRITER);
    let input = Input::of(&writer);
    let mut times = [const { Vec::new() }; 3];
    for number in 0..FRAMES {
        // In step: nobody is to fall behind for the machine's sake.
        input.push(frame(number, number % 8 == 0));
        for (watcher, times) in watchers.iter().zip(&mut times) {
            let sample = pull(watcher).expect("no frame came");
            let caps = sample.caps().unwrap().to_string();
            assert!(
                caps.starts_with("video/x-vp8, width=(int)64, height=(int)48"),
                "{caps}"
            );
            let buffer = sample.buffer().unwrap();
            assert_eq!(
                buffer.map_readable().unwrap().as_slice(),
                format!("frame {number}").as_bytes()
            );
            assert_eq!(
                buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
                number % 8 != 0
            );
            times.push(buffer.pts().unwrap().nseconds());
        }
    }
    input.end();
    for (watcher, times) in watchers.iter().zip(&times) {
        watcher.message(gst::MessageType::Eos);
        assert_eq!(watcher.stat("src", "pushed"), FRAMES);
        // A machine that stood still for a second may have made one jump.
        let even = times.windows(2).filter(|pair| pair[1] - pair[0] == 33_000_000);
        assert!(even.count() >= times.len() - 2, "{times:?}");
    }
    assert_eq!(writer.stat("sink", "dropped"), 0);
}

#[test]
fn a_late_watcher_begins_with_the_newest_keyframe_that_is_near() {
    let redis = Redis::start();
    let writer = Pipeline::play(&redis, WRITER);
    let input = Input::of(&writer);
    for number in 0..10 {
        input.push(frame(number, number == 0 || number == 6));
    }
    await_published(&writer, 10);
    let watcher = Pipeline::play(&redis, WATCHER);
    assert_eq!(next(&watcher), (6, true));
    assert_eq!(next(&watcher), (7, false));
}

#[test]
fn a_late_watcher_far_from_any_keyframe_asks_for_one() {
    let redis = Redis::start();
    let writer = Pipeline::play(&redis, WRITER);
    let wished = wishes(&writer);
    let input = Input::of(&writer);
    for number in 0..12 {
        input.push(frame(number, number == 0));
    }
    await_published(&writer, 12);
    let watcher = Pipeline::play(&redis, WATCHER);
    wait_for("the wish to reach the encoder", || {
        wished.load(Ordering::Relaxed) > 0
    });
    input.push(frame(12, false));
    input.push(frame(13, true));
    input.push(frame(14, false));
    assert_eq!(next(&watcher), (13, true));
    assert_eq!(next(&watcher), (14, false));
    watcher.no_error();
}

#[test]
fn a_request_of_an_element_downstream_reaches_the_encoder_but_many_are_few() {
    let redis = Redis::start();
    let writer = Pipeline::play(&redis, WRITER);
    let wished = wishes(&writer);
    let input = Input::of(&writer);
    input.push(frame(0, true));
    let watcher = Pipeline::play(&redis, WATCHER);
    assert_eq!(next(&watcher), (0, true));
    let asked = Instant::now();
    let pad = watcher.element("out").static_pad("sink").unwrap();
    for _ in 0..100 {
        assert!(pad.push_event(UpstreamForceKeyUnitEvent::builder().all_headers(true).build()));
    }
    wait_for("the wish to reach the encoder", || {
        wished.load(Ordering::Relaxed) > 0
    });
    let most = asked.elapsed().as_millis() as u64 / 500 + 1;
    assert!(wished.load(Ordering::Relaxed) <= most);
}

#[test]
fn after_a_loss_nothing_is_shown_before_the_next_keyframe() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let watcher = Pipeline::parse(&redis.url(), WATCHER);
    await_joined(&watcher, &mut connection);
    let writer = Pipeline::play(&redis, WRITER);
    let wished = wishes(&writer);
    let input = Input::of(&writer);
    input.push(frame(0, true));
    assert_eq!(next(&watcher), (0, true));
    // More frames than may wait for a Redis that does not answer.
    redis.signal(Signal::STOP);
    for number in 1..60 {
        input.push(frame(number, false));
    }
    wait_for("a frame to be dropped", || writer.stat("sink", "dropped") > 0);
    redis.signal(Signal::CONT);
    wait_for("the encoder to be asked", || wished.load(Ordering::Relaxed) > 0);
    wait_for("what waited to be done with", || {
        writer.stat("sink", "published") + writer.stat("sink", "dropped") == 60
    });
    input.push(frame(60, false));
    input.push(frame(61, true));
    input.push(frame(62, false));
    let mut last = 0;
    loop {
        let (number, key) = next(&watcher);
        assert!(key || number == last + 1, "{number} after {last}");
        if key {
            assert_eq!(number, 61);
            break;
        }
        last = number;
    }
    assert_eq!(next(&watcher), (62, false));
}

#[test]
fn a_lost_entry_is_never_decoded_over() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let watcher = Pipeline::parse(&redis.url(), WATCHER);
    await_joined(&watcher, &mut connection);
    let mut add_frame = |seq: &str, key: &str| {
        let fields = [
            ("v", "1"),
            ("seq", seq),
            ("pts", "5"),
            ("key", key),
            ("caps", "video/x-vp8"),
            ("data", &format!("frame {seq}")),
        ];
        // All in one moment, so that nobody falls behind.
        let id = format!("1-{}", seq.parse::<u64>().unwrap() + 1);
        let _: String = connection.xadd(STREAM, id, &fields).unwrap();
    };
    for (seq, key) in [
        ("0", "1"),
        ("1", "0"),
        ("3", "0"),
        ("4", "0"),
        ("5", "1"),
        ("6", "0"),
    ] {
        add_frame(seq, key);
    }
    for expected in [(0, true), (1, false), (5, true), (6, false)] {
        assert_eq!(next(&watcher), expected);
    }
    assert_eq!(watcher.stat("src", "skipped"), 2);
}

#[test]
fn garbage_is_counted_told_and_passed_over() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let watcher = Pipeline::parse(&redis.url(), WATCHER);
    await_joined(&watcher, &mut connection);
    let garbage: [&[(&str, &[u8])]; 4] = [
        &[("hello", b"\xff")],
        &[("seq", b"x"), ("pts", b"1"), ("key", b"1"), ("data", b"d")],
        &[
            ("seq", b"1"),
            ("pts", b"1"),
            ("key", b"1"),
            ("data", b"d"),
            ("caps", b"video/x-raw, x=["),
        ],
        &[
            ("seq", b"1"),
            ("pts", b"1"),
            ("key", b"1"),
            ("data", b""),
            ("caps", b"video/x-vp8"),
        ],
    ];
    for fields in garbage {
        add(&mut connection, STREAM, fields);
    }
    let warning = watcher.warning();
    assert!(
        warning.contains("is no frame: field `seq` is missing"),
        "{warning}"
    );
    let writer = Pipeline::play(&redis, WRITER);
    Input::of(&writer).push(frame(0, true));
    assert_eq!(next(&watcher), (0, true));
    assert_eq!(watcher.stat("src", "malformed"), 4);
    watcher.no_error();
}

#[test]
fn a_watcher_who_falls_far_behind_jumps_to_the_newest_keyframe() {
    let redis = Redis::start();
    let watcher = Pipeline::parse(
        &redis.url(),
        "redisvideosrc name=src session=abc ! appsink name=out sync=false max-buffers=1",
    );
    let writer = Pipeline::play(&redis, WRITER);
    let input = Input::of(&writer);
    input.push(frame(0, true));
    await_published(&writer, 1);
    watcher.set_state(gst::State::Playing).unwrap();
    assert_eq!(next(&watcher), (0, true));
    for number in 1..100 {
        input.push(frame(number, number == 97));
        await_published(&writer, number + 1);
    }
    let mut numbers = Vec::new();
    while numbers.last() != Some(&99) {
        numbers.push(next(&watcher).0);
    }
    assert!(numbers.ends_with(&[97, 98, 99]), "{numbers:?}");
    assert!(numbers.len() < 50, "{numbers:?}");
    assert!(watcher.stat("src", "dropped-late") >= 60);
}

#[test]
fn a_session_that_is_not_there_is_an_error_that_says_so() {
    let redis = Redis::start();
    let watcher = Pipeline::play(
        &redis,
        "redisvideosrc name=src session=abc timeout=200 ! appsink name=out sync=false",
    );
    let error = watcher.error();
    assert!(error.matches(gst::ResourceError::NotFound), "{error}");
    assert!(
        error.message().contains("no picture of the session `abc`"),
        "{error}"
    );
}

#[test]
fn a_writer_that_dies_is_an_error_once_its_stream_has_expired() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let folder = tempfile::tempdir().unwrap();
    let line = "videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=30/1 ! vp8enc deadline=1 \
        ! redisvideosink session=abc";
    let mut writer = gst_launch(folder.path(), &redis.url(), line)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for("frames", || len(&mut connection, STREAM) > 3);
    let watcher = Pipeline::play(
        &redis,
        "redisvideosrc name=src session=abc timeout=500 ! appsink name=out sync=false",
    );
    assert!(pull(&watcher).is_some());
    writer.kill().unwrap();
    writer.wait().unwrap();
    // Nobody needs to wait for the ten seconds.
    let life: i64 = connection.pttl(STREAM).unwrap();
    assert!((1..=10_000).contains(&life), "{life}");
    let _: bool = connection.pexpire(STREAM, 10).unwrap();
    let error = watcher.error();
    assert!(error.matches(gst::ResourceError::NotFound), "{error}");
}

#[test]
fn a_picture_without_movement_stays() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let writer = Pipeline::play(&redis, WRITER);
    Input::of(&writer).push(frame(0, true));
    await_published(&writer, 1);
    let _: bool = connection.pexpire(STREAM, 8_000).unwrap();
    wait_for("the writer to keep its stream", || {
        connection.pttl::<_, i64>(STREAM).unwrap() > 8_000
    });
}

#[test]
fn ids_that_are_none_are_refused_before_redis_is_asked() {
    for launch in [
        "redisvideosrc session=a!b ! fakesink",
        "redisvideosrc ! fakesink",
        "fakesrc ! redisvideosink session=a/b",
        "fakesrc ! redisvideosink",
    ] {
        // No Redis is there.
        let launch = launch.replace("a!b", "\"a b\"");
        let pipeline = Pipeline::parse("unix:///nowhere", &launch);
        assert!(pipeline.set_state(gst::State::Paused).is_err(), "{launch}");
        let error = pipeline.error();
        assert!(error.matches(gst::ResourceError::Settings), "{launch}: {error}");
        assert!(error.message().contains("`session`"), "{error}");
    }
}

#[test]
fn a_dead_or_silent_redis_holds_up_no_change_of_state() {
    let redis = Redis::start();
    let writer = Pipeline::play(&redis, WRITER);
    let input = Input::of(&writer);
    input.push(frame(0, true));
    await_published(&writer, 1);
    let watcher = Pipeline::play(&redis, WATCHER);
    assert_eq!(next(&watcher), (0, true));
    redis.signal(Signal::STOP);
    for number in 1..100 {
        input.push(frame(number, false));
    }
    for pipeline in [&writer, &watcher] {
        let since = Instant::now();
        pipeline.set_state(gst::State::Null).unwrap();
        // Bounded, not fast: Redis's own timeouts are seconds long, and there are several.
        assert!(since.elapsed() < Duration::from_secs(5));
    }
    redis.signal(Signal::CONT);
}

#[test]
fn both_go_on_after_redis_was_restarted() {
    let mut redis = Redis::start();
    let writer = Pipeline::play(&redis, WRITER);
    let input = Input::of(&writer);
    input.push(frame(0, true));
    await_published(&writer, 1);
    let watcher = Pipeline::play(&redis, WATCHER);
    assert_eq!(next(&watcher), (0, true));
    redis.restart();
    let mut number = 0;
    wait_for("a frame after the restart", || {
        number += 1;
        input.push(frame(number, true));
        std::thread::sleep(Duration::from_millis(20));
        watcher.stat("src", "pushed") > 1
    });
    writer.no_error();
    watcher.no_error();
}

/// Encoders and decoders as they are: what is watched can be decoded from its first frame on.
fn watch_with(encoder: &str, decoder: &str) {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let writer = format!(
        "videotestsrc is-live=true pattern=ball ! video/x-raw,width=160,height=120,framerate=30/1 ! {encoder} \
         ! redisvideosink name=sink session=abc"
    );
    let _writer = Pipeline::play(&redis, &writer);
    wait_for("more frames than a watcher looks back", || {
        len(&mut connection, STREAM) > 20
    });
    let watcher = format!(
        "redisvideosrc name=src session=abc num-buffers=15 ! {decoder} ! appsink name=out sync=false"
    );
    let watcher = Pipeline::play(&redis, &watcher);
    let mut count = 0;
    while pull(&watcher).is_some() {
        count += 1;
    }
    assert_eq!(count, 15);
    assert!(watcher.stat("src", "keyframe-requests") >= 1);
    watcher.no_error();
}

#[test]
fn vp8_is_watched() {
    watch_with("vp8enc deadline=1 keyframe-max-dist=1000", "vp8dec");
}

#[test]
fn h264_is_watched() {
    watch_with("openh264enc gop-size=1000", "h264parse ! avdec_h264");
}
