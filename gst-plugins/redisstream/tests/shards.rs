//! Frames spread over the shards of a stream, on one real Redis.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod support;

use gst::prelude::*;
use redis::Commands;
use redis::streams::StreamPendingReply;
use sightline_gst_common::FrameMeta;
use sightline_protocol::keys;
use support::*;

const SHARDS: u32 = 4;

/// Names of sessions, one for each shard.
fn sessions() -> Vec<String> {
    let shards = &keys::streams(keys::IMAGES, SHARDS)[1..];
    let of_shard = |shard: &String| {
        let mut names = (0..).map(|number| format!("session-{number}"));
        names
            .find(|name| keys::shard_of(keys::IMAGES, name, SHARDS) == *shard)
            .unwrap()
    };
    shards.iter().map(of_shard).collect()
}

fn add_frame(connection: &mut redis::Connection, stream: &str, session: &str, timestamp: u32) {
    let timestamp = timestamp.to_string();
    let fields = [
        ("participantId", session.as_bytes()),
        ("timestamp", timestamp.as_bytes()),
        ("img", &JPEG[..]),
    ];
    add(connection, stream, &fields);
}

fn pull(pipeline: &Pipeline) -> FrameMeta {
    let sink = pipeline.element("out").downcast::<gst_app::AppSink>().unwrap();
    let patience = gst::ClockTime::from_mseconds(PATIENCE.as_millis() as u64);
    let sample = sink.try_pull_sample(patience).expect("no frame came");
    FrameMeta::read(sample.buffer().unwrap()).unwrap()
}

fn pending(connection: &mut redis::Connection, stream: &str) -> usize {
    let reply: StreamPendingReply = connection.xpending(stream, "cg:images").unwrap();
    reply.count()
}

#[test]
fn a_sessions_frames_go_to_its_shard_and_its_answers_come_back() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let worker =
        "redisstreamsrc shards=4 ! jpegdec ! videoconvert ! redisstreamsink payload=detections shards=4";
    let launches = sessions().into_iter().map(|session| {
        format!(
            "videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=30/1 ! jpegenc ! \
             redisstreamsink name=sink shards=4 expiry=10000 participant-id={session}"
        )
    });
    let sinks: Vec<Pipeline> = launches.map(|launch| Pipeline::play(&redis, &launch)).collect();
    for (shard, sink) in keys::streams(keys::IMAGES, SHARDS)[1..].iter().zip(&sinks) {
        wait_for("a frame in each shard", || {
            sink.stat("sink", "published") > 0 && connection.exists::<_, bool>(shard).unwrap()
        });
    }
    assert!(!connection.exists::<_, bool>("images").unwrap());

    let worker = Pipeline::play(&redis, worker);
    for sink in &sinks {
        wait_for("answers to every session", || sink.stat("sink", "answered") >= 10);
        sink.no_error();
    }
    worker.no_error();
    drop(sinks);
    for stream in keys::streams(keys::IMAGES, SHARDS) {
        wait_for("every shard to be empty", || len(&mut connection, &stream) == 0);
    }
    assert!(len(&mut connection, "predictions") >= 40);
}

#[test]
fn a_reader_takes_from_all_in_turn_and_hoards_nothing() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let streams = keys::streams(keys::IMAGES, SHARDS);
    // One session floods its shard; the others, and who knows of no shards, have a frame each.
    for timestamp in 0..50 {
        add_frame(&mut connection, &streams[1], "flood", timestamp);
    }
    for stream in &streams {
        add_frame(&mut connection, stream, "quiet", 100);
    }
    let pipeline = Pipeline::play(
        &redis,
        "redisstreamsrc name=src shards=4 reclaim-idle=60000 ! appsink name=out sync=false max-buffers=1",
    );
    let mut streams_seen: Vec<String> = (0..5).map(|_| pull(&pipeline).entry.unwrap().stream).collect();
    streams_seen.sort();
    assert_eq!(streams_seen, streams, "each had its turn");
    // Those pulled, one in the appsink, and one that the source holds out to it.
    wait_for("the source to be at rest", || pipeline.stat("src", "pushed") >= 6);
    let taken: usize = streams
        .iter()
        .map(|stream| pending(&mut connection, stream))
        .sum();
    assert!((6..=8).contains(&taken), "{taken} entries are this worker's");
}

#[test]
fn what_dead_workers_leave_is_buried_in_every_shard() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let streams = keys::streams(keys::IMAGES, SHARDS);
    for stream in &streams {
        let _: () = connection
            .xgroup_create_mkstream(stream, "cg:images", "0")
            .unwrap();
        add_frame(&mut connection, stream, "left", 1);
    }
    let options = redis::streams::StreamReadOptions::default().group("cg:images", "dead");
    let ids = vec![">"; streams.len()];
    let _: redis::streams::StreamReadReply = connection.xread_options(&streams, &ids, &options).unwrap();

    let pipeline = Pipeline::play(
        &redis,
        "redisstreamsrc name=src shards=4 reclaim-idle=100 ! appsink name=out sync=false",
    );
    wait_for("all to be reclaimed", || pipeline.stat("src", "reclaimed") == 5);
    assert_eq!(len(&mut connection, "images:dead"), 5);
    for stream in &streams {
        assert_eq!(
            (len(&mut connection, stream), pending(&mut connection, stream)),
            (0, 0)
        );
    }
}

#[test]
fn the_environment_gives_the_default() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let folder = tempfile::tempdir().unwrap();
    let line = "videotestsrc num-buffers=1 ! video/x-raw,width=64,height=48 ! jpegenc ! \
                redisstreamsink participant-id=me leaky=no";
    let status = gst_launch(folder.path(), &redis.url(), line)
        .env("SIGHTLINE_SHARDS", "4")
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(len(&mut connection, &keys::shard_of(keys::IMAGES, "me", 4)), 1);
}
