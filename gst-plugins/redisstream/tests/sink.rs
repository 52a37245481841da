//! `redisstreamsink` against a real Redis.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use gst::prelude::*;
use redis::Commands;
use sightline_gst_common::{Entry, FrameMeta, InferenceMeta, add_detection};
use sightline_protocol::{Detection, FrameHeader, unix_micros};
use support::*;

const SINK: &str =
    "appsrc name=in format=time caps=image/jpeg,width=64,height=48 ! redisstreamsink name=sink";

fn sink(redis: &Redis, properties: &str) -> (Pipeline, Input) {
    let pipeline = Pipeline::play(redis, &format!("{SINK} {properties}"));
    let input = Input::of(&pipeline);
    (pipeline, input)
}

fn pause_a_while(pipeline: &Pipeline) {
    pipeline.set_state(gst::State::Paused).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    pipeline.set_state(gst::State::Playing).unwrap();
}

fn answer(connection: &mut redis::Connection, session: &str, seq: &str, timestamp: &str) {
    let mut fields = vec![("participantId", session), ("timestamp", timestamp)];
    if !seq.is_empty() {
        fields.extend([("v", "1"), ("seq", seq)]);
    }
    let fields = fields.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned()));
    let json = sightline_protocol::prediction::fields_to_json(fields);
    let heard: usize = connection
        .publish(format!("predictions:{session}"), json)
        .unwrap();
    assert_eq!(heard, 1, "the sink listens");
}

#[test]
fn a_frame_becomes_an_entry_with_all_fields() {
    let redis = Redis::start();
    let before = unix_micros();
    let (pipeline, input) = sink(&redis, "participant-id=abc leaky=no max-in-flight=0 expiry=2000");
    for index in 0..3 {
        input.push_jpeg(index * 1000);
    }
    input.end();
    pipeline.message(gst::MessageType::Eos);

    let entries = range(&mut redis.connect(), "images");
    assert_eq!(entries.len(), 3);
    for (index, entry) in entries.iter().enumerate() {
        assert_eq!(entry.get::<Vec<u8>>("img").unwrap(), *JPEG);
        let mut texts = texts(entry);
        let captured: u64 = texts.remove("captured").unwrap().parse().unwrap();
        let expires: u64 = texts.remove("expires").unwrap().parse().unwrap();
        let published: u64 = texts.remove("published").unwrap().parse().unwrap();
        assert!((before..=published).contains(&captured) && published <= unix_micros());
        assert!(expires >= captured + 2_000_000, "{expires} {captured}");
        let expected = [
            ("participantId", "abc".to_owned()),
            ("timestamp", (index * 90_000).to_string()),
            ("v", "1".to_owned()),
            ("seq", index.to_string()),
            ("pts", (index * 1_000_000_000).to_string()),
            ("width", "64".to_owned()),
            ("height", "48".to_owned()),
        ];
        assert_eq!(
            texts,
            expected.map(|(name, value)| (name.to_owned(), value)).into()
        );
    }
    assert_eq!(pipeline.stat("sink", "accepted"), 3);
    assert_eq!(pipeline.stat("sink", "published"), 3);
}

#[test]
fn an_identity_on_the_buffer_is_kept() {
    let redis = Redis::start();
    let (pipeline, input) = sink(&redis, "participant-id=abc leaky=no");
    let mut buffer = jpeg_buffer(1000);
    let captured = unix_micros();
    let meta = FrameMeta {
        header: FrameHeader {
            timestamp: 4_000_000_000,
            captured: Some(captured),
            width: Some(1920),
            height: Some(1080),
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
            ..Default::default()
        },
        ..Default::default()
    };
    meta.attach(buffer.get_mut().unwrap()).unwrap();
    input.push(buffer);
    input.end();
    pipeline.message(gst::MessageType::Eos);
    let texts = texts(&range(&mut redis.connect(), "images")[0]);
    assert_eq!(texts["participantId"], "abc");
    assert_eq!(texts["timestamp"], "4000000000");
    assert_eq!(texts["captured"], captured.to_string());
    assert_eq!((&*texts["width"], &*texts["height"]), ("1920", "1080"));
    assert_eq!(texts["traceparent"], meta.header.traceparent.unwrap());
}

#[test]
fn at_most_so_many_are_in_flight_and_the_newest_waits() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let (pipeline, input) = sink(&redis, "participant-id=abc");
    for index in 0..2 {
        input.push_jpeg(index);
        wait_for("a frame", || len(&mut connection, "images") == index as usize + 1);
    }
    for index in 2..=10 {
        input.push_jpeg(index * 1000);
    }
    wait_for("all to be accepted", || pipeline.stat("sink", "accepted") == 11);
    // On a stalled machine credits may expire meanwhile: each is one frame more, and no other is.
    let published = len(&mut connection, "images") as u64;
    let expired = pipeline.stat("sink", "expired-credits");
    assert!(published <= 2 + expired, "{published} {expired}");

    answer(&mut connection, "abc", "1", "0");
    let newest = |connection: &mut redis::Connection| texts(range(connection, "images").last().unwrap());
    wait_for("the newest frame", || {
        newest(&mut connection)["timestamp"] == "900000"
    });
    wait_for("the count", || {
        pipeline.stat("sink", "published") + pipeline.stat("sink", "dropped-replaced") == 11
    });
    let published = pipeline.stat("sink", "published");
    assert_eq!(newest(&mut connection)["seq"], (published - 1).to_string());
    let returned = pipeline.stat("sink", "answered") + pipeline.stat("sink", "expired-credits");
    assert!(published <= 2 + returned, "{published} {returned}");
    assert!(pipeline.stat("sink", "in-flight") <= 2);
}

#[test]
fn a_leaky_queue_keeps_the_newest_while_the_sink_waits_for_credit() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let launch = format!("{SINK} participant-id=abc max-in-flight=1 wait-for-credit=true").replace(
        "! redisstreamsink",
        "! queue leaky=downstream max-size-buffers=1 ! redisstreamsink",
    );
    let pipeline = Pipeline::play(&redis, &launch);
    let input = Input::of(&pipeline);
    input.push_jpeg(0);
    wait_for("a frame", || len(&mut connection, "images") == 1);
    for index in 1..=5 {
        input.push_jpeg(index * 1000);
    }
    answer(&mut connection, "abc", "0", "0");
    wait_for("the newest frame", || {
        texts(range(&mut connection, "images").last().unwrap())["timestamp"] == "450000"
    });
    // On a stalled machine a credit may expire meanwhile, and lets one more through.
    let expired = pipeline.stat("sink", "expired-credits");
    assert!(pipeline.stat("sink", "accepted") <= 2 + expired);
    assert_eq!(
        pipeline.stat("sink", "dropped-replaced"),
        0,
        "none was encoded in vain"
    );
}

#[test]
fn answers_of_v1_workers_and_time_give_credits_back() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let (pipeline, input) = sink(&redis, "participant-id=abc max-in-flight=1");
    input.push_jpeg(1000);
    wait_for("the first frame", || pipeline.stat("sink", "published") == 1);
    answer(&mut connection, "abc", "", "1");
    answer(&mut connection, "abc", "", "90000");
    wait_for("the credit", || pipeline.stat("sink", "answered") == 1);

    input.push_jpeg(2000);
    input.push_jpeg(3000);
    wait_for("the third frame", || {
        pipeline.stat("sink", "published") + pipeline.stat("sink", "dropped-replaced") == 3
    });
    wait_for("credits to expire", || pipeline.stat("sink", "in-flight") == 0);
    assert!(pipeline.stat("sink", "expired-credits") >= 1);
}

#[test]
fn not_leaky_nothing_is_lost() {
    let redis = Redis::start();
    let (pipeline, input) = sink(
        &redis,
        "participant-id=abc leaky=no max-in-flight=0 max-length=10000",
    );
    for index in 0..500 {
        input.push_jpeg(index);
    }
    input.end();
    pipeline.message(gst::MessageType::Eos);
    let entries = range(&mut redis.connect(), "images");
    let seqs: Vec<u64> = entries.iter().map(|entry| entry.get("seq").unwrap()).collect();
    assert_eq!(seqs, (0..500).collect::<Vec<_>>());
}

#[test]
fn leaky_upstream_the_waiting_frame_stays() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let (pipeline, input) = sink(&redis, "participant-id=abc max-in-flight=1 leaky=upstream");
    input.push_jpeg(0);
    wait_for("the first frame", || pipeline.stat("sink", "published") == 1);
    for index in 1..5 {
        input.push_jpeg(index * 1000);
    }
    wait_for("all to be accepted", || pipeline.stat("sink", "accepted") == 5);
    wait_for("the second frame", || len(&mut connection, "images") == 2);
    let second = texts(&range(&mut connection, "images")[1]);
    assert_eq!(second["timestamp"], "90000");
    // The entry is there a moment before it is counted.
    let fates = || ["published", "dropped-replaced"].map(|field| pipeline.stat("sink", field));
    wait_for("each frame's fate to be counted", || {
        fates().iter().sum::<u64>() == 5
    });
    assert!(fates()[1] > 0);
}

#[test]
fn the_stream_is_trimmed() {
    let redis = Redis::start_with(&["--stream-node-max-entries", "10"]);
    let (pipeline, input) = sink(
        &redis,
        "participant-id=abc leaky=no max-in-flight=0 max-length=20",
    );
    for index in 0..200 {
        input.push_jpeg(index);
    }
    input.end();
    pipeline.message(gst::MessageType::Eos);
    let length = len(&mut redis.connect(), "images");
    assert!((20..=30).contains(&length), "{length}");
}

#[test]
fn a_frame_of_no_session_is_an_error_that_says_so() {
    let redis = Redis::start();
    let (pipeline, input) = sink(&redis, "");
    input.push_jpeg(0);
    let error = pipeline.error();
    assert!(error.matches(gst::ResourceError::Settings), "{error:?}");
    assert!(error.message().contains("participant-id"), "{error}");

    let (pipeline, input) = sink(&redis, r#"participant-id="a b""#);
    input.push_jpeg(0);
    assert!(pipeline.error().message().contains("letters, digits"));
}

#[test]
fn detections_are_written_announced_and_acknowledged() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let mut listener = redis.connect();
    let mut channel = listener.as_pubsub();
    channel.set_read_timeout(Some(PATIENCE)).unwrap();
    channel.subscribe("predictions:abc").unwrap();
    let _: () = connection
        .xgroup_create_mkstream("images", "cg:images", "0")
        .unwrap();
    let id = add_v1(&mut connection, "images", 5);
    let _: redis::streams::StreamReadReply = connection
        .xread_options(
            &["images"],
            &[">"],
            &redis::streams::StreamReadOptions::default().group("cg:images", "w"),
        )
        .unwrap();

    let published: u64 = id.split_once('-').unwrap().0.parse().unwrap();
    let read_at = published * 1000 + 7000;
    let mut buffer = gst::Buffer::new();
    let meta = FrameMeta {
        header: FrameHeader {
            participant_id: "abc".into(),
            timestamp: 5,
            seq: Some(9),
            captured: Some(3),
            width: Some(1280),
            height: Some(960),
            ..Default::default()
        },
        entry: Some(Entry {
            stream: "images".into(),
            id,
            group: "cg:images".into(),
        }),
        read_at: Some(read_at),
    };
    let writable = buffer.get_mut().unwrap();
    meta.attach(writable).unwrap();
    let inference = InferenceMeta {
        model: "yolox_nano".into(),
        started: read_at + 900,
        preprocess_us: 1,
        infer_us: 2,
        postprocess_us: 3,
    };
    inference.attach(writable).unwrap();
    let dog = Detection {
        label: "dog".into(),
        class_id: 16,
        score: 0.5,
        bbox: [0.25, 0.5, 0.5, 0.25],
        track_id: None,
    };
    add_detection(writable, &dog, (64, 48));

    let launch = "appsrc name=in format=time caps=video/x-raw,format=RGB,width=64,height=48,framerate=0/1
        ! redisstreamsink name=sink payload=detections worker-id=w1 participant-id=not-this";
    let pipeline = Pipeline::play(&redis, launch);
    let input = Input::of(&pipeline);
    input.push(buffer);
    input.end();
    pipeline.message(gst::MessageType::Eos);

    let entries = range(&mut connection, "predictions");
    let fields = texts(&entries[0]);
    let expected = [
        ("participantId", "abc"),
        ("timestamp", "5"),
        ("pcount", "1"),
        ("res", "48"),
        ("p0", "dog|0.5000|16;24;48;36"),
        ("v", "1"),
        ("seq", "9"),
        ("captured", "3"),
        ("width", "1280"),
        ("height", "960"),
        ("queue_us", "7000"),
        ("decode_us", "900"),
        ("preprocess_us", "1"),
        ("infer_us", "2"),
        ("postprocess_us", "3"),
        ("model", "yolox_nano"),
        ("worker", "w1"),
        (
            "detections",
            r#"[{"label":"dog","class_id":16,"score":0.5,"box":[0.25,0.5,0.5,0.25]}]"#,
        ),
    ];
    let mut known = fields.clone();
    let mut time = |name: &str| known.remove(name).unwrap().parse::<u64>().unwrap();
    let (read, answered) = (time("read"), time("answered"));
    assert!(read.abs_diff(unix_micros()) < 60_000_000 && answered <= unix_micros());
    assert_eq!(known, expected.map(|(n, v)| (n.to_owned(), v.to_owned())).into());
    let message: String = channel.get_message().unwrap().get_payload().unwrap();
    let announced: std::collections::HashMap<String, String> = serde_json::from_str(&message).unwrap();
    assert_eq!(announced, fields);
    assert_eq!(len(&mut connection, "images"), 0);
    let pending: redis::streams::StreamPendingReply = connection.xpending("images", "cg:images").unwrap();
    assert_eq!(pending.count(), 0);
}

#[test]
fn each_chosen_frame_begins_a_trace_of_its_own() {
    let redis = Redis::start();
    let properties = "participant-id=abc leaky=no max-in-flight=0 trace-sampler=always_on";
    let (pipeline, input) = sink(&redis, properties);
    for index in 0..2 {
        input.push_jpeg(index * 1000);
    }
    input.end();
    pipeline.message(gst::MessageType::Eos);
    let entries = range(&mut redis.connect(), "images");
    let contexts: Vec<String> = entries
        .iter()
        .map(|entry| entry.get("traceparent").unwrap())
        .collect();
    assert_eq!(contexts.len(), 2);
    assert!(contexts[0] != contexts[1], "{contexts:?}");
    for context in contexts {
        assert!(
            context.starts_with("00-") && context.ends_with("-01") && context.len() == 55,
            "{context}"
        );
    }
}

#[test]
fn a_full_redis_costs_frames_but_not_the_pipeline() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let (pipeline, input) = sink(&redis, "participant-id=abc max-in-flight=0");
    let maxmemory = |connection: &mut redis::Connection, value: &str| {
        let _: () = redis::cmd("CONFIG")
            .arg("SET")
            .arg("maxmemory")
            .arg(value)
            .query(connection)
            .unwrap();
    };
    maxmemory(&mut connection, "1");
    input.push_jpeg(0);
    wait_for("the drop", || pipeline.stat("sink", "dropped-redis") == 1);
    assert!(pipeline.warning().contains("maxmemory"));
    maxmemory(&mut connection, "0");
    input.push_jpeg(1);
    wait_for("the next frame", || pipeline.stat("sink", "published") == 1);
    assert_eq!(texts(&range(&mut connection, "images")[0])["seq"], "0");
    assert_eq!(pipeline.stat("sink", "reconnects"), 0);
}

#[test]
fn a_key_of_another_kind_is_an_error() {
    let redis = Redis::start();
    let _: () = redis.connect().set("images", "no stream").unwrap();
    let (pipeline, input) = sink(&redis, "participant-id=abc");
    input.push_jpeg(0);
    let error = pipeline.error();
    assert!(error.matches(gst::ResourceError::Write), "{error:?}");
    assert!(
        error.message().contains("`images`") && error.message().contains("WRONGTYPE"),
        "{error}"
    );
}

#[test]
fn back_pressure_can_be_paused_and_ended() {
    let redis = Redis::start();
    let (pipeline, input) = sink(&redis, "participant-id=abc leaky=no max-in-flight=1");
    for index in 0..5 {
        input.push_jpeg(index);
    }
    wait_for("back-pressure", || pipeline.stat("sink", "accepted") >= 2);
    pause_a_while(&pipeline);
    input.end();
    pipeline.message(gst::MessageType::Eos);
    assert_eq!(pipeline.stat("sink", "published"), 5);
    pipeline.no_error();
}

#[test]
fn the_end_can_be_paused_too() {
    let redis = Redis::start();
    let (pipeline, input) = sink(&redis, "participant-id=abc leaky=no max-in-flight=1");
    for index in 0..2 {
        input.push_jpeg(index);
    }
    input.end();
    // The second waits for the credit of the first, which comes back after a second, and the end for the second.
    wait_for("the first frame", || pipeline.stat("sink", "published") == 1);
    pause_a_while(&pipeline);
    pipeline.message(gst::MessageType::Eos);
    assert_eq!(pipeline.stat("sink", "published"), 2);
    pipeline.no_error();
}

/// GStreamer forgets that a pipeline plays if the thread that says that it is paused goes on saying so afterwards (1.22;
/// gst_bin_post_message). No end of the stream is told then. A sink that is not asynchronous lets that happen.
#[test]
fn the_end_is_told_even_if_playing_overtakes_the_news_of_the_pause() {
    let redis = Redis::start();
    let launch = "videotestsrc num-buffers=1 ! video/x-raw,width=64,height=48 ! jpegenc ! decodebin
        ! redisstreamsink participant-id=abc leaky=no max-in-flight=0";
    let pipeline = Pipeline::parse(&redis.url(), launch);
    let (tell, paused) = mpsc::channel();
    let (go_on, played) = mpsc::channel::<()>();
    let played = Mutex::new(played);
    pipeline.bus().unwrap().set_sync_handler(move |_, message| {
        if let gst::MessageView::StateChanged(change) = message.view()
            && change.current() == gst::State::Paused
            && message.src().is_some_and(|source| source.is::<gst::Pipeline>())
        {
            tell.send(()).ok();
            // To play, a thread may have to wait for this one.
            played
                .lock()
                .unwrap()
                .recv_timeout(Duration::from_millis(300))
                .ok();
        }
        gst::BusSyncReply::Pass
    });
    pipeline.set_state(gst::State::Paused).unwrap();
    paused.recv_timeout(PATIENCE).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    go_on.send(()).ok();
    pipeline.message(gst::MessageType::Eos);
    pipeline.no_error();
}
