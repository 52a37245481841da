//! `top`: what an operator sees of launchers, workers and sessions.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
mod support;

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{PATIENCE, Scene};

/// A worker with a detector, and a source that publishes frames for it.
const WORKER: &str = "schema = 1\nname = \"w\"\nkind = \"worker\"\nsummary = \"w\"\n\
    [params.model]\ntype = \"model\"\ntarget = \"detect.model\"\ndoc = \"m\"\n[pipeline]\n\
    launch = \"redisstreamsrc ! jpegdec ! yoloxdetect name=detect ! redisstreamsink payload=detections\"\n";
const SOURCE: &str = "schema = 1\nname = \"steady\"\nkind = \"source\"\nsummary = \"s\"\n[pipeline]\n\
    launch = \"videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=5/1 ! jpegenc ! \
    redisstreamsink\"\n";

fn top(scene: &Scene, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pipeline-launcher"))
        .arg("top")
        .args(arguments)
        .env("REDIS_URL", scene.redis.url())
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_shows_who_runs_what_how_fast() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("w.toml"), WORKER).unwrap();
    std::fs::write(folder.path().join("steady.toml"), SOURCE).unwrap();
    let pipelines = folder.path().to_str().unwrap();
    let scene = Scene::start(&["--pipelines", pipelines, "--workers", "1"]).await;
    let session = "0f8fad5bd9cb469fa165708867728950";
    scene.start_session(session, "steady").await.unwrap();

    let begun = Instant::now();
    let launchers = loop {
        let output = top(&scene, &["--json"]);
        let launchers: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let launcher = &launchers[0];
        let worker = &launcher["status"]["workers"][0];
        let is_busy = worker["inference_ms"]["p95"].is_f64() && worker["frames"].as_u64() > Some(10);
        // Its number of workers is told with its registration, so somewhat later.
        if is_busy && launcher["workers"] == 1 {
            break launchers;
        }
        assert!(begun.elapsed() < PATIENCE, "{launchers:#}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let launcher = &launchers[0];
    assert_eq!(launcher["launcher"], "here");
    let worker = &launcher["status"]["workers"][0];
    assert_eq!(
        (&worker["worker"], &worker["model"], &worker["running"]),
        (&"here-0".into(), &"blobs".into(), &true.into())
    );
    assert!(
        worker["inferences_per_second"].as_f64().unwrap() > 0.5,
        "{worker}"
    );
    assert!(worker["queue_ms"]["p50"].as_f64().unwrap() > 0.0, "{worker}");
    let seen = &launcher["status"]["sessions"][0];
    assert_eq!(
        (&seen["session"], &seen["pipeline"]),
        (&"0f8fad5b".into(), &"steady".into())
    );

    let output = top(&scene, &["--once"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for words in [
        "1 launcher, 1 session, 1 worker",
        "here-0",
        "blobs",
        "0f8fad5b",
        "steady",
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    assert!(
        !text.contains(session),
        "whoever knows a session's id may follow it:\n{text}"
    );
    assert!(
        !text.contains('\x1b'),
        "no terminal, no commands for one:\n{text}"
    );
}

#[test]
fn a_redis_that_is_not_there_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_pipeline-launcher"))
        .args(["top", "--once", "--redis-url", "redis://127.0.0.1:1"])
        .output()
        .unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("redis://127.0.0.1:1"), "{words}");
}
