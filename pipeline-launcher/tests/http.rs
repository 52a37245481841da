//! The launcher's own port, and pipelines that change while it runs.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
mod support;

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sightline_protocol::ErrorId;
use sightline_protocol::rpc::{SessionPhase, method};
use support::{PATIENCE, Scene};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const STEADY: &str = "schema = 1\nname = \"steady\"\nkind = \"source\"\nsummary = \"first\"\n[pipeline]\n\
    launch = \"videotestsrc is-live=true ! video/x-raw,framerate=20/1 ! fakesink\"\n";

/// Status and body.
async fn get(scene: &Scene, path: &str) -> (u16, String) {
    // It tells its port with its first sign of life.
    let told = until("its port", || scene.info(), |info| info.contains_key("http")).await;
    let address = &told["http"];
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn pipelines(scene: &Scene) -> Value {
    let (status, body) = get(scene, "/api/v1/pipelines").await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// Asks until the answer is as wanted.
async fn until<T, F: Future<Output = T>>(what: &str, ask: impl Fn() -> F, wanted: impl Fn(&T) -> bool) -> T {
    let begun = std::time::Instant::now();
    loop {
        let answer = ask().await;
        if wanted(&answer) {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "not seen: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn write(folder: &Path, file: &str, text: &str) {
    std::fs::write(folder.join(file), text).unwrap();
}

#[tokio::test]
async fn a_good_change_serves_new_sessions_and_a_bad_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "steady.toml", STEADY);
    write(folder.path(), "other.toml", &STEADY.replace("steady", "other"));
    let scene = Scene::start(&["--pipelines", folder.path().to_str().unwrap()]).await;
    scene.start_session("old", "steady").await.unwrap();

    write(
        folder.path(),
        "steady.toml",
        &STEADY.replace("fakesink", "fakesnk"),
    );
    let known = until(
        "a refused file",
        || pipelines(&scene),
        |known| known["refused"][0].is_object(),
    );
    let known = known.await;
    let refused = &known["refused"][0];
    let problem = &refused["problems"][0];
    assert_eq!(
        (&refused["serves"], &problem["line"], &problem["field"]),
        (&"steady".into(), &6.into(), &"pipeline.launch".into()),
        "{known}"
    );
    assert_eq!(problem["hint"], "did you mean `fakesink`?", "{known}");
    assert!(
        refused["since_us"].as_u64().is_some() && known["trouble"].is_null(),
        "{known}"
    );
    scene.start_session("as-before", "steady").await.unwrap();

    write(folder.path(), "steady.toml", &STEADY.replace("first", "second"));
    let good = |known: &Value| known["pipelines"][1]["summary"] == "second" && known["refused"][0].is_null();
    until("the good change", || pipelines(&scene), good).await;

    std::fs::remove_file(folder.path().join("steady.toml")).unwrap();
    until(
        "one pipeline",
        || pipelines(&scene),
        |known| known["pipelines"][1].is_null(),
    )
    .await;
    let failure = scene.start_session("new", "steady").await.unwrap_err();
    assert_eq!(failure.id, ErrorId::UnknownPipeline);
    let sessions = scene.sessions().await.sessions;
    assert_eq!(sessions.len(), 2, "those under way go on: {sessions:?}");
    let (_, metrics) = get(&scene, "/metrics").await;
    for line in [
        "sightline_reloads_total{result=\"failed\"} 1",
        // Two files at the start, a change, a removal.
        "sightline_reloads_total{result=\"ok\"} 4",
        "sightline_pipelines_known 1",
    ] {
        assert!(
            metrics.lines().any(|has| has == line),
            "{line} is not in\n{metrics}"
        );
    }
}

#[tokio::test]
async fn a_launcher_tells_how_it_is_and_what_it_has_done() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "steady.toml", STEADY);
    let mut scene = Scene::start(&[
        "--pipelines",
        folder.path().to_str().unwrap(),
        "--max-sessions",
        "1",
    ])
    .await;
    assert_eq!(get(&scene, "/healthz").await, (200, "ok\n".to_owned()));
    let ready = |answer: &(u16, String)| answer == &(200, r#"{"ready":true}"#.to_owned());
    until("readiness", || get(&scene, "/readyz"), ready).await;
    assert_eq!(get(&scene, "/nothing").await.0, 404);

    scene.start_session("one", "steady").await.unwrap();
    let full = scene.start_session("two", "steady").await.unwrap_err();
    assert_eq!(
        (full.id, full.retry_after_secs),
        (ErrorId::TooManySessions, Some(15))
    );
    let frames = "sightline_frames_total{role=\"session\",direction=\"out\"} ";
    let counted = |(_, metrics): &(u16, String)| {
        let mut values = metrics.lines().filter_map(|line| line.strip_prefix(frames));
        values.any(|value| value.parse::<u64>().is_ok_and(|count| count > 20))
    };
    let (_, metrics) = until("counted frames", || get(&scene, "/metrics"), counted).await;
    assert!(metrics.contains("\nsightline_sessions_running 1\n"), "{metrics}");

    scene
        .call(method::SESSION_STOP, &[r#"{"session":"one"}"#])
        .await
        .unwrap();
    while scene.event().await.state != SessionPhase::Ended {}
    let (_, metrics) = get(&scene, "/metrics").await;
    for line in [
        "sightline_sessions_running 0",
        "sightline_sessions_max 1",
        "sightline_workers_running 0",
        "sightline_sessions_started_total 1",
        "sightline_sessions_refused_total{reason=\"sessions\"} 1",
        "sightline_process_exits_total{role=\"session\",exit=\"success\"} 1",
        "sightline_pipelines_refused 0",
    ] {
        assert!(
            metrics.lines().any(|has| has == line),
            "{line} is not in\n{metrics}"
        );
    }
}

#[tokio::test]
async fn the_last_frames_of_a_process_count_too() {
    let folder = tempfile::tempdir().unwrap();
    // Over before the first second's report.
    let short = STEADY.replace("steady", "short").replace(
        "videotestsrc is-live=true ! video/x-raw,framerate=20/1",
        "videotestsrc num-buffers=37",
    );
    write(folder.path(), "short.toml", &short);
    let mut scene = Scene::start(&["--pipelines", folder.path().to_str().unwrap()]).await;
    for count in 1..=2 {
        scene.start_session(&format!("s{count}"), "short").await.unwrap();
        while !scene.event().await.state.is_final() {}
        let line = format!(
            "sightline_frames_total{{role=\"session\",direction=\"out\"}} {}",
            37 * count
        );
        let (_, metrics) = get(&scene, "/metrics").await;
        assert!(
            metrics.lines().any(|has| has == line),
            "{line} is not in\n{metrics}"
        );
    }
}
