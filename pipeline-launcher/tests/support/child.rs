//! The process of a pipeline, told what to run as its launcher tells it.

use std::path::Path;
use std::time::Duration;

use pipeline_launcher::control::{Command, Network, Report, Start};
use pipeline_launcher::description::{Assignment, Resolved, WebRtc};
use pipeline_launcher::supervisor::process::Process;

const PATIENCE: Duration = Duration::from_secs(60);

pub fn exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_pipeline-launcher"))
}

pub fn start(launch: &str, assignments: Vec<Assignment>, webrtc: Option<WebRtc>, network: Network) -> Start {
    let pipeline = Resolved {
        name: "test".into(),
        webrtc,
        launch: launch.into(),
        assignments,
    };
    Start {
        pipeline,
        identity: "someone".into(),
        webrtc: network,
        offer: None,
        max_open_files: Some(256),
    }
}

/// The next report that is not only a sign of life.
pub async fn report(process: &mut Process) -> Option<Report> {
    loop {
        let report = tokio::time::timeout(PATIENCE, process.report())
            .await
            .expect("no report in time");
        if !matches!(report, Some(Report::Progress(_))) {
            return report;
        }
    }
}

/// A process that was told to run `start`, after its first report.
pub async fn run_with(start: Start) -> (Process, Option<Report>) {
    run_in(&[], start).await
}

/// The same with more in its environment.
pub async fn run_in(env: &[(String, String)], start: Start) -> (Process, Option<Report>) {
    run_by(exe(), env, start).await
}

/// The same by another program than the launcher itself.
pub async fn run_by(program: &Path, env: &[(String, String)], start: Start) -> (Process, Option<Report>) {
    let mut process = Process::spawn(program, env).unwrap();
    assert_eq!(report(&mut process).await, Some(Report::Ready));
    process.send(&Command::Start(Box::new(start))).await.unwrap();
    let first = report(&mut process).await;
    (process, first)
}
