//! The shipped pipelines with a picture that comes back, in real processes: all of them but webrtcbin, in whose place stand
//! a test picture and a sink.

#![allow(clippy::unwrap_used)]

#[path = "../../protocol/inventa/tests/support/redis.rs"]
mod redis;

use std::path::Path;
use std::time::{Duration, Instant};

use ::redis::Commands;
use pipeline_launcher::control::{Command, Network, Progress, Report, Start};
use pipeline_launcher::description::{Resolved, parse};
use pipeline_launcher::models::Models;
use pipeline_launcher::supervisor::process::Process;
use redis::RedisServer;
use serde_json::json;
use sightline_protocol::rpc::Params;

const PATIENCE: Duration = Duration::from_secs(60);
const CAMERA: &str =
    "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=10/1";

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// A shipped pipeline, with something else in webrtcbin's place.
fn shipped(name: &str, params: Params) -> Resolved {
    let text = std::fs::read_to_string(root().join(format!("pipelines/{name}.toml"))).unwrap();
    let mut resolved = parse(&text).0.unwrap().resolve(&params).unwrap();
    let models = Models::new(root().join("models"), None);
    let blobs = models.find("blobs").unwrap();
    resolved.fill_in_models(&models, &blobs).unwrap();
    resolved.webrtc = None;
    let launch = std::mem::take(&mut resolved.launch);
    resolved.launch = launch
        .replace("webrtc. ! rtpvideodec", CAMERA)
        .replace(
            "! webrtc.",
            "! application/x-rtp,encoding-name=VP8 ! fakesink name=back",
        )
        .replace(
            "! webrtcbin name=webrtc",
            "! application/x-rtp,encoding-name=VP8 ! fakesink name=back",
        )
        .replace("webrtcbin name=webrtc\n", "\n");
    assert!(
        !resolved.launch.contains("webrtcbin") && !resolved.launch.contains("webrtc."),
        "{}",
        resolved.launch
    );
    resolved
}

async fn play(redis: &RedisServer, identity: &str, pipeline: Resolved) -> Process {
    let environment = [("REDIS_URL".to_owned(), redis.url())];
    let mut process =
        Process::spawn(Path::new(env!("CARGO_BIN_EXE_pipeline-launcher")), &environment).unwrap();
    assert_eq!(process.report().await, Some(Report::Ready));
    let start = Start {
        pipeline,
        identity: identity.into(),
        webrtc: Network::default(),
        offer: None,
        max_open_files: None,
    };
    process.send(&Command::Start(Box::new(start))).await.unwrap();
    process
}

/// The first progress that is as wanted.
async fn progress(process: &mut Process, wanted: impl Fn(&Progress) -> bool) {
    let begun = Instant::now();
    let mut last = None;
    while begun.elapsed() < PATIENCE {
        let report = tokio::time::timeout(PATIENCE, process.report()).await;
        match report.expect("no report in time") {
            Some(Report::Progress(progress)) if wanted(&progress) => return,
            Some(Report::Running) => {}
            Some(Report::Progress(progress)) => last = Some(progress),
            other => panic!("{other:?} after {last:?}"),
        }
    }
    panic!("not in time: {last:?}");
}

/// A field of an element's `stats`, at least so large.
fn counted(progress: &Progress, element: &str, field: &str, least: u64) -> bool {
    let value = progress.stats.get(element).and_then(|stats| stats.get(field));
    value.and_then(serde_json::Value::as_u64) >= Some(least)
}

/// Somebody watches, and then no more: the session has ended.
async fn watch_to_the_end(redis: &RedisServer, mut session: Process) {
    let params = Params::from([("session".into(), json!("abc"))]);
    let mut viewer = play(redis, "viewer", shipped("whep-view", params)).await;
    progress(&mut viewer, |progress| {
        counted(progress, "source", "pushed", 5) && progress.frames_out >= 5
    })
    .await;
    session.send(&Command::Stop).await.unwrap();
    loop {
        let report = tokio::time::timeout(PATIENCE, viewer.report()).await;
        match report.expect("no end in time") {
            Some(Report::Progress(_)) => {}
            other => break assert_eq!(other, Some(Report::Ended)),
        }
    }
}

#[tokio::test]
async fn a_session_with_its_own_inference_is_watched() {
    let redis = RedisServer::start();
    let mut session = play(&redis, "abc", shipped("webrtc-annotated", Params::new())).await;
    progress(&mut session, |progress| {
        counted(progress, "detections", "published", 3) && counted(progress, "video", "published", 3)
    })
    .await;
    watch_to_the_end(&redis, session).await;
}

#[tokio::test]
async fn a_session_whose_frames_workers_look_at_is_watched() {
    let redis = RedisServer::start();
    let pipeline = shipped("webrtc-annotated-remote", Params::new());
    let mut session = play(&redis, "abc", pipeline).await;
    // Without a worker the picture comes all the same.
    progress(&mut session, |progress| {
        counted(progress, "video", "published", 3)
    })
    .await;
    let _worker = play(&redis, "worker", shipped("yolox-worker", Params::new())).await;
    progress(&mut session, |progress| counted(progress, "join", "joined", 1)).await;
    watch_to_the_end(&redis, session).await;
}

#[tokio::test]
async fn a_viewer_can_name_a_session_and_no_other_key() {
    let redis = RedisServer::start();
    let mut connection = redis.client().get_connection().unwrap();
    let _: () = connection.set("secret", "x").unwrap();
    let params = Params::from([("session".into(), json!("../secret"))]);
    let mut viewer = play(&redis, "viewer", shipped("whep-view", params)).await;
    let end = async {
        loop {
            match viewer.report().await {
                Some(Report::Progress(_)) => {}
                other => return other,
            }
        }
    };
    match tokio::time::timeout(PATIENCE, end).await.unwrap() {
        Some(Report::Failed(failure)) => assert!(failure.message.contains("no session's id"), "{failure}"),
        other => panic!("{other:?}"),
    }
}
