//! Pipelines that misbehave, beside one that does not: each ends for what it did, and its neighbour's frames go on.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use pipeline_launcher::supervisor::spare::SPARES;
use rustix::process::{Pid, Signal, kill_process};
use sightline_protocol::ErrorId;
use sightline_protocol::rpc::{Exit, SessionEvent, SessionInfo, SessionPhase, Waiting, method};
use support::{PATIENCE, Scene, is_alive};

/// Pipelines of GStreamer's own elements: name, launch text.
const PIPELINES: [(&str, &str); 8] = [
    (
        "steady",
        "videotestsrc is-live=true ! video/x-raw,framerate=20/1 ! fakesink",
    ),
    ("ends", "videotestsrc num-buffers=5 ! fakesink"),
    ("errors", "filesrc location=/none/at/all ! fakesink"),
    // An hour with the first frame.
    (
        "stuck",
        "videotestsrc is-live=true ! identity name=slow sleep-time=3600000000 ! fakesink",
    ),
    ("idle", "appsrc is-live=true ! fakesink"),
    ("drops", "videotestsrc is-live=true ! valve drop=true ! fakesink"),
    (
        "waits",
        "videotestsrc is-live=true ! queue leaky=downstream max-size-buffers=1 ! fakesink sync=true ts-offset=3600000000000",
    ),
    (
        "eats",
        "videotestsrc pattern=black ! video/x-raw,format=RGBA,width=1920,height=1080 \
         ! queue max-size-buffers=0 max-size-bytes=0 max-size-time=0 ! identity sleep-time=1000000 ! fakesink",
    ),
];

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, launch) in PIPELINES {
            let text = format!(
                "schema = 1\nname = \"{name}\"\nkind = \"source\"\nsummary = \"{name}\"\n[pipeline]\nlaunch = '''{launch}'''\n"
            );
            std::fs::write(folder.path().join(format!("{name}.toml")), text).unwrap();
        }
        Self(folder)
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }
}

/// A launcher with those pipelines, and a neighbour that runs.
async fn scene(arguments: &[&str]) -> (Scene, Folder) {
    let folder = Folder::new();
    let mut all = vec!["--pipelines", folder.path()];
    all.extend(arguments);
    let scene = Scene::start(&all).await;
    scene.start_session("neighbour", "steady").await.unwrap();
    frames(&scene, "neighbour", 1).await;
    (scene, folder)
}

async fn info(scene: &Scene, session: &str) -> Option<SessionInfo> {
    let sessions = scene.sessions().await.sessions;
    sessions.into_iter().find(|info| info.session == session)
}

/// Waits until a session has passed so many frames; how many it has.
async fn frames(scene: &Scene, session: &str, least: u64) -> u64 {
    let begun = Instant::now();
    loop {
        let info = info(scene, session).await.expect("the session is gone");
        let frames = info.progress.map_or(0, |progress| progress.frames);
        if frames >= least {
            return frames;
        }
        assert!(begun.elapsed() < PATIENCE, "{session} has only {frames} frames");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until a session says why no frame moves.
async fn waiting(scene: &Scene, session: &str) -> Waiting {
    let begun = Instant::now();
    loop {
        let progress = info(scene, session).await.expect("the session is gone").progress;
        if let Some(waiting) = progress.and_then(|progress| progress.waiting) {
            return waiting;
        }
        assert!(begun.elapsed() < PATIENCE, "{session} does not say why it waits");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The last event of a session.
async fn end(scene: &mut Scene, session: &str) -> SessionEvent {
    loop {
        let event = scene.event().await;
        assert_ne!(
            (&event.session[..], event.state.is_final()),
            ("neighbour", true),
            "{event:?}"
        );
        if event.session == session && event.state.is_final() {
            return event;
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

#[tokio::test]
async fn each_fault_is_typed_and_no_neighbour_suffers() {
    let limits = [
        "--start-limit-secs",
        "10",
        "--stall-limit-secs",
        "5",
        "--max-session-memory-mib",
        "300",
    ];
    let (mut scene, _folder) = scene(&limits).await;
    let mut before = frames(&scene, "neighbour", 1).await;
    for (session, pipeline, sent, exit, words) in [
        ("a", "ends", None, Exit::Success, "the stream ended"),
        ("b", "errors", None, Exit::Failed { code: 1 }, "/none/at/all"),
        (
            "c",
            "steady",
            Some(Signal::ABORT),
            Exit::Killed { signal: 6 },
            "signal 6",
        ),
        (
            "d",
            "steady",
            Some(Signal::STOP),
            Exit::Stalled,
            "no sign of life",
        ),
        (
            "e",
            "stuck",
            None,
            Exit::Stalled,
            "`slow` has been busy with one frame",
        ),
        ("f", "eats", None, Exit::OutOfMemory, "more than the 300 MiB"),
    ] {
        scene.start_session(session, pipeline).await.unwrap();
        let mut pid = None;
        if let Some(sent) = sent {
            frames(&scene, session, 1).await;
            pid = info(&scene, session).await.map(|info| info.pid);
            signal(pid.unwrap(), sent);
        }
        let event = end(&mut scene, session).await;
        let reason = event.reason.unwrap();
        assert_eq!(event.exit, Some(exit), "{pipeline}: {reason}");
        assert!(reason.message.contains(words), "{pipeline}: {reason}");
        let fine = exit == Exit::Success;
        assert_eq!(event.state == SessionPhase::Ended, fine, "{pipeline}");
        assert!(pid.is_none_or(|pid| !is_alive(pid)), "{pipeline}");
        // Whatever happened there, here frames go on.
        before = frames(&scene, "neighbour", before + 5).await;
    }
    let told = exits(&scene).await;
    let expected =
        "session.failed=1 session.killed=1 session.out_of_memory=1 session.stalled=2 session.success=1";
    let words = |text: &str| {
        text.split(' ')
            .map(str::to_owned)
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(words(&told), words(expected));
}

/// What the launcher has told of its processes' ends, once it knows six.
async fn exits(scene: &Scene) -> String {
    let begun = Instant::now();
    loop {
        let told = scene.info().await.remove("exits").unwrap_or_default();
        let counts = told
            .split(' ')
            .filter_map(|word| word.split_once('=')?.1.parse::<u64>().ok());
        if counts.sum::<u64>() >= 6 {
            return told;
        }
        assert!(begun.elapsed() < PATIENCE, "{told}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn what_only_waits_is_no_fault() {
    let (scene, _folder) = scene(&["--start-limit-secs", "6", "--stall-limit-secs", "4"]).await;
    let all = [
        ("idle", Waiting::Frames),
        ("drops", Waiting::Dropped),
        ("waits", Waiting::Sink),
    ];
    for (pipeline, _) in all {
        scene.start_session(pipeline, pipeline).await.unwrap();
    }
    let before = frames(&scene, "neighbour", 1).await;
    // Twenty frames a second: longer than any limit.
    frames(&scene, "neighbour", before + 160).await;
    for (pipeline, expected) in all {
        assert_eq!(waiting(&scene, pipeline).await, expected, "{pipeline}");
    }
}

/// What a process has open, and its threads.
fn holdings(pid: u32) -> (usize, usize) {
    let count = |folder: &str| {
        PathBuf::from(format!("/proc/{pid}/{folder}"))
            .read_dir()
            .unwrap()
            .count()
    };
    (count("fd"), count("task"))
}

/// Processes whose parent is that one.
fn children(parent: u32) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap();
    let pids = pids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line == format!("PPid:\t{parent}"))
    };
    pids.filter(is_child).collect()
}

#[tokio::test]
async fn sessions_that_come_and_go_leave_nothing() {
    let scene = Scene::start(&[]).await;
    let once = |number: usize| {
        let scene = &scene;
        async move {
            let session = format!("s{number}");
            scene.start_session(&session, "webrtc-local").await.unwrap();
            let stop = format!(r#"{{"session":"{session}"}}"#);
            scene.call(method::SESSION_STOP, &[&stop]).await.unwrap();
        }
    };
    // The first leave what stays: connections, spare processes.
    for number in 0..3 {
        once(number).await;
    }
    let launcher = scene.launcher.id();
    let (before, keys) = (settled(launcher).await, scene.keys().await);
    for number in 3..15 {
        once(number).await;
    }
    assert_eq!(scene.sessions().await.sessions, []);
    let after = settled(launcher).await;
    assert!(
        after.0 <= before.0 && after.1 <= before.1,
        "{before:?} has become {after:?}"
    );
    assert_eq!(children(launcher).len(), SPARES, "the spare processes");
    assert_eq!(scene.keys().await, keys);
}

/// The launcher's holdings once its spare processes are there again.
async fn settled(launcher: u32) -> (usize, usize) {
    let begun = Instant::now();
    let mut seen = Vec::new();
    loop {
        let now = (holdings(launcher), children(launcher));
        seen.push(now.clone());
        let same = seen.iter().rev().take(5).filter(|then| **then == now).count();
        if same == 5 && now.1.len() == SPARES {
            return now.0;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not come to rest: {now:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_launcher_whose_sessions_use_its_processors_takes_no_more() {
    let folder = Folder::new();
    let busy = "schema = 1\nname = \"busy\"\nkind = \"source\"\nsummary = \"b\"\n[pipeline]\nlaunch = 'videotestsrc ! fakesink'\n";
    std::fs::write(folder.0.path().join("busy.toml"), busy).unwrap();
    let scene = Scene::start(&["--pipelines", folder.path(), "--max-cpu-percent", "5"]).await;
    scene.start_session("one", "busy").await.unwrap();
    let begun = Instant::now();
    for number in 0.. {
        match scene.start_session(&format!("n{number}"), "steady").await {
            Err(failure) => {
                assert_eq!(failure.id, ErrorId::TooManySessions);
                assert!(failure.message.contains("processors"), "{failure}");
                return;
            }
            Ok(_) => scene
                .call(method::SESSION_STOP, &[&format!(r#"{{"session":"n{number}"}}"#)])
                .await
                .map(drop)
                .unwrap(),
        }
        assert!(begun.elapsed() < PATIENCE, "sessions are taken without end");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Sessions that run, one that hangs and one that is stuck; their processes.
async fn load(scene: &Scene) -> Vec<u32> {
    for (session, pipeline) in [("a", "steady"), ("b", "steady"), ("c", "drops"), ("d", "stuck")] {
        scene.start_session(session, pipeline).await.unwrap();
    }
    frames(scene, "b", 1).await;
    let hung = info(scene, "b").await.unwrap().pid;
    signal(hung, Signal::STOP);
    scene
        .sessions()
        .await
        .sessions
        .iter()
        .map(|info| info.pid)
        .collect()
}

async fn all_end(pids: &[u32], limit: Duration) {
    let begun = Instant::now();
    while let Some(pid) = pids.iter().find(|pid| is_alive(**pid)) {
        assert!(begun.elapsed() < limit, "the process {pid} outlives its launcher");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn sigterm_under_load_ends_all_in_time_and_says_why() {
    let (mut scene, _folder) = scene(&["--stall-limit-secs", "60"]).await;
    let pids = load(&scene).await;
    let begun = Instant::now();
    scene.signal(Signal::TERM);
    for _ in &pids {
        let event = loop {
            let event = scene.event().await;
            if event.state.is_final() {
                break event;
            }
        };
        assert_eq!(
            event.reason.unwrap().id,
            ErrorId::ServerStopping,
            "{}",
            event.session
        );
    }
    let mut launcher = scene.launcher.try_wait().unwrap();
    while launcher.is_none() {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "the launcher does not end"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
        launcher = scene.launcher.try_wait().unwrap();
    }
    assert!(launcher.unwrap().success());
    all_end(&pids, Duration::ZERO).await;
}

#[tokio::test]
async fn sigkill_under_load_leaves_no_process() {
    let (mut scene, _folder) = scene(&[]).await;
    let mut pids = load(&scene).await;
    pids.extend(children(scene.launcher.id()));
    scene.signal(Signal::KILL);
    scene.launcher.wait().unwrap();
    all_end(&pids, Duration::from_secs(5)).await;
}
