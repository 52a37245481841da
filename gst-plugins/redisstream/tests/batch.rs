//! The batching worker of `pipelines/`: frames of several sessions are inferred together, and each session gets its own answers.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gst::prelude::*;
use support::*;

const FRAMES: usize = 60;
/// Each session shows a square of its own colour: the label that its answers must have.
const SESSIONS: [(&str, &str); 3] = [
    ("red", "0xffff0000"),
    ("green", "0xff00ff00"),
    ("blue", "0xff0000ff"),
];
const BRANCHES: [&str; 8] = [
    "detect0", "detect1", "detect2", "detect3", "detect4", "detect5", "detect6", "detect7",
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The pipeline as the launcher runs it, with the built-in model of dynamic batch.
fn worker(redis: &Redis) -> Pipeline {
    init();
    gstyolox::plugin_register_static().unwrap();
    let file = std::fs::read_to_string(repository().join("pipelines/yolox-worker-batch.toml")).unwrap();
    let launch = file.split("'''").nth(1).unwrap();
    let launch = launch.replace("{wait}", "20000000").replace("{score}", "0.3");
    let pipeline = Pipeline::parse(&redis.url(), &launch);
    for (property, file) in [("model", "blobs_dynamic.onnx"), ("labels", "blobs.txt")] {
        let path = repository().join("models").join(file);
        for branch in BRANCHES {
            pipeline
                .element(branch)
                .set_property(property, path.to_str().unwrap());
        }
    }
    pipeline.set_state(gst::State::Playing).unwrap();
    pipeline
}

fn sessions() -> String {
    let session = |(name, colour): (&str, &str)| {
        format!(
            "videotestsrc num-buffers={FRAMES} pattern=solid-color foreground-color={colour}
               ! video/x-raw,format=I420,width=60,height=60
               ! videobox left=-100 right=-160 top=-130 bottom=-130 fill=white ! jpegenc quality=95
               ! redisstreamsink participant-id={name} leaky=no max-in-flight=4 expiry=60000 "
        )
    };
    SESSIONS.map(session).concat()
}

#[test]
fn frames_of_three_sessions_are_inferred_together() {
    let redis = Redis::start();
    let worker = worker(&redis);
    let sessions = Pipeline::play(&redis, &sessions());
    sessions.message(gst::MessageType::Eos);
    let mut connection = redis.connect();
    wait_for("all answers", || {
        len(&mut connection, "predictions") == SESSIONS.len() * FRAMES
    });

    let mut answered: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for entry in range(&mut connection, "predictions") {
        let fields = texts(&entry);
        let session = fields["participantId"].clone();
        assert_eq!(fields["pcount"], "1", "{fields:?}");
        assert!(fields["p0"].starts_with(&format!("{session}|")), "{fields:?}");
        answered
            .entry(session)
            .or_default()
            .push(fields["seq"].parse().unwrap());
    }
    for (session, mut frames) in answered {
        frames.sort_unstable();
        assert!(frames.into_iter().eq(0..FRAMES), "{session}");
    }
    wait_for("an empty stream", || len(&mut connection, "images") == 0);
    let size = |branch: &&str| {
        let stats = worker.element(branch).property::<gst::Structure>("stats");
        stats.get::<f64>("mean-batch-size").unwrap()
    };
    let sizes: Vec<f64> = BRANCHES.iter().map(size).collect();
    assert!(sizes.iter().all(|size| *size > 1.5), "{sizes:?}");
    worker.no_error();
}
