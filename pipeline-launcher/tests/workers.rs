//! Workers of a launcher: drained before they stop, and left alone while they keep crashing.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sightline_protocol::{FrameHeader, keys, unix_micros};
use support::{PATIENCE, Scene};

/// A picture as far as anybody looks: its header says 16 by 16 pixels.
const JPEG: &[u8] = b"\xff\xd8\xff\xc0\x00\x0b\x08\x00\x10\x00\x10\x01\x01\x11\x00\xff\xd9";
const FRAMES: u64 = 60;

fn folder(launch: &str, more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "schema = 1\nname = \"w\"\nkind = \"worker\"\nsummary = \"w\"\n{more}\n[pipeline]\nlaunch = '''{launch}'''\n"
    );
    std::fs::write(folder.path().join("w.toml"), text).unwrap();
    folder
}

async fn scene(folder: &tempfile::TempDir, workers: &str) -> Scene {
    let pipelines = folder.path().to_str().unwrap();
    Scene::start(&["--pipelines", pipelines, "--workers", workers]).await
}

/// Waits until the launcher tells something of itself.
async fn told(scene: &Scene, field: &str, fits: impl Fn(&str) -> bool) -> String {
    let begun = Instant::now();
    loop {
        let value = scene.info().await.remove(field).unwrap_or_default();
        if fits(&value) {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "`{field}` is `{value}`");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn publish(connection: &mut redis::aio::MultiplexedConnection) {
    for seq in 0..FRAMES {
        let header = FrameHeader {
            participant_id: "someone".into(),
            timestamp: u32::try_from(seq).unwrap(),
            seq: Some(seq),
            captured: Some(unix_micros()),
            expires: Some(unix_micros() + 600_000_000),
            width: Some(16),
            height: Some(16),
            ..FrameHeader::default()
        };
        let mut command = redis::cmd("XADD");
        command.arg(keys::IMAGES).arg("*").arg(header.fields());
        command
            .arg("img")
            .arg(JPEG)
            .query_async::<String>(connection)
            .await
            .unwrap();
    }
}

async fn length(connection: &mut redis::aio::MultiplexedConnection, stream: &str) -> u64 {
    let mut command = redis::cmd("XLEN");
    command.arg(stream).query_async(connection).await.unwrap()
}

#[tokio::test]
async fn a_worker_that_stops_answers_what_it_took_and_takes_no_more() {
    let launch = "redisstreamsrc ! identity sleep-time=100000 ! redisstreamsink payload=detections";
    let folder = folder(launch, "");
    let mut scene = scene(&folder, "2").await;
    told(&scene, "workers", |workers| workers == "2").await;
    let mut connection = scene
        .redis
        .client()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    publish(&mut connection).await;
    let begun = Instant::now();
    while length(&mut connection, keys::PREDICTIONS).await < 10 {
        assert!(begun.elapsed() < PATIENCE, "no frame is answered");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    scene.signal(Signal::TERM);
    assert!(scene.launcher.wait().unwrap().success());

    let answers: redis::streams::StreamRangeReply = redis::cmd("XRANGE")
        .arg(keys::PREDICTIONS)
        .arg("-")
        .arg("+")
        .query_async(&mut connection)
        .await
        .unwrap();
    let answered: BTreeSet<String> = answers
        .ids
        .iter()
        .map(|entry| entry.get("timestamp").unwrap())
        .collect();
    assert_eq!(answered.len(), answers.ids.len(), "answered twice");
    let left = length(&mut connection, keys::IMAGES).await;
    assert!(left > 0, "the launcher did not stop under load");
    assert_eq!(
        answered.len() as u64 + left,
        FRAMES,
        "each frame is answered or still there"
    );
    let pending: redis::streams::StreamPendingReply = redis::cmd("XPENDING")
        .arg(keys::IMAGES)
        .arg(keys::IMAGES_GROUP)
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(pending.count(), 0, "taken and not answered");
}

#[tokio::test]
async fn workers_that_keep_crashing_are_left_alone_and_say_why() {
    let restart = "[restart]\npolicy = \"always\"\nmax_restarts = 2\nwindow_secs = 60";
    let folder = folder("filesrc location=/none/at/all ! fakesink", restart);
    let scene = scene(&folder, "1").await;
    let why = told(&scene, "worker_trouble", |trouble| !trouble.is_empty()).await;
    assert!(why.contains("/none/at/all"), "{why}");
    // The first start and two restarts; then it rests for a minute.
    told(&scene, "exits", |exits| exits == "worker.failed=3").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(scene.info().await["exits"], "worker.failed=3");
    assert_eq!(scene.info().await["workers"], "0");
}

#[tokio::test]
async fn frames_that_wait_call_for_more_workers() {
    let launch = "redisstreamsrc ! identity sleep-time=300000 ! redisstreamsink payload=detections";
    let folder = folder(launch, "");
    let scene = scene(&folder, "1-3").await;
    told(&scene, "workers", |workers| workers == "1").await;
    let mut connection = scene
        .redis
        .client()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    publish(&mut connection).await;
    told(&scene, "workers", |workers| ["2", "3"].contains(&workers)).await;
}
