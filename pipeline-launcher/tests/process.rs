//! The process of a pipeline, as the launcher sees it: real processes of the real program.

#![allow(clippy::unwrap_used)]

#[path = "support/child.rs"]
mod child;

use std::path::Path;
use std::time::Duration;

use child::{exe, report, run_with, start};
use pipeline_launcher::control::{Command, Network, Report};
use pipeline_launcher::description::{Assignment, WebRtc};
use pipeline_launcher::supervisor::process::{Exit, Process};

const PATIENCE: Duration = Duration::from_secs(60);

/// A process that was told to run `launch`, after its first report.
async fn run(launch: &str) -> (Process, Option<Report>) {
    run_with(start(launch, Vec::new(), None, Network::default())).await
}

fn is_alive(pid: u32) -> bool {
    // A zombie is dead.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn a_stream_that_ends_is_a_success() {
    let (mut process, first) = run("videotestsrc num-buffers=3 ! fakesink").await;
    assert_eq!(first, Some(Report::Running));
    assert_eq!(report(&mut process).await, Some(Report::Ended));
    assert_eq!(process.wait().await, Exit::Success);
}

#[tokio::test]
async fn an_error_is_told_in_words_and_by_the_exit() {
    let (process, first) = run("filesrc location=/none/at/all ! fakesink").await;
    let Some(Report::Failed(failure)) = first else {
        panic!("{first:?}")
    };
    assert!(failure.message.contains("/none/at/all"), "{failure}");
    assert_eq!(process.wait().await, Exit::Failed { code: 1 });

    let (process, first) = run("videotestsrc ! nosuchelement ! fakesink").await;
    let Some(Report::Failed(failure)) = first else {
        panic!("{first:?}")
    };
    assert!(failure.message.contains("nosuchelement"), "{failure}");
    assert_eq!(process.wait().await, Exit::Failed { code: 1 });
}

#[tokio::test]
async fn a_killed_process_is_known_as_killed() {
    let (mut process, first) = run("videotestsrc is-live=true ! fakesink").await;
    assert_eq!(first, Some(Report::Running));
    let pid = rustix::process::Pid::from_raw(i32::try_from(process.pid()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::ABORT).unwrap();
    assert_eq!(report(&mut process).await, None);
    assert_eq!(process.wait().await, Exit::Killed { signal: 6 });
}

#[tokio::test]
async fn a_running_pipeline_gives_a_sign_of_life_each_second() {
    let (mut process, first) = run("videotestsrc is-live=true ! overlay name=boxes ! fakesink").await;
    assert_eq!(first, Some(Report::Running));
    let mut frames = 0;
    for _ in 0..3 {
        let progress = loop {
            match tokio::time::timeout(PATIENCE, process.report()).await.unwrap() {
                Some(Report::Progress(progress)) => break progress,
                report => assert_eq!(report, Some(Report::Running)),
            }
        };
        assert!(
            progress.frames_out > frames && progress.rate > 0.0,
            "{progress:?}"
        );
        assert!(progress.frames_in >= progress.frames_out, "{progress:?}");
        assert_eq!((&progress.waiting, &progress.held), (&None, &None));
        assert!(progress.stats["boxes"].contains_key("frames"), "{progress:?}");
        frames = progress.frames_out;
    }
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.pid())).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    assert_eq!(files.split_ascii_whitespace().nth(3), Some("256"), "{files}");
    assert_eq!(process.stop().await, Exit::Success);
}

#[tokio::test]
async fn stop_ends_a_running_pipeline() {
    let (process, first) = run("videotestsrc is-live=true ! fakesink").await;
    assert_eq!(first, Some(Report::Running));
    assert_eq!(process.stop().await, Exit::Success);
}

#[tokio::test]
async fn a_text_is_only_ever_a_value() {
    let text = "/none ! filesink location=/tmp/sightline-injected";
    let assignment = Assignment {
        element: "src".into(),
        property: "location".into(),
        value: text.into(),
        is_model: false,
    };
    let command = start(
        "filesrc name=src ! fakesink",
        vec![assignment],
        None,
        Network::default(),
    );
    let (process, first) = run_with(command).await;
    let Some(Report::Failed(failure)) = first else {
        panic!("{first:?}")
    };
    assert!(failure.message.contains(text), "{failure}");
    process.wait().await;
    assert!(!Path::new("/tmp/sightline-injected").exists());
}

/// The launcher's end of the socket closes when it is killed, however that happens.
#[tokio::test]
async fn a_process_ends_with_its_launcher() {
    let script = format!(
        "exec 3<&0; {} child <&3 & echo $!; exec 3<&-; sleep 60",
        exe().display()
    );
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut launcher = std::process::Command::new("sh")
        .args(["-c", &script])
        .stdin(std::os::fd::OwnedFd::from(theirs))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(launcher.stdout.take().unwrap()),
        &mut line,
    )
    .unwrap();
    let pid: u32 = line.trim().parse().unwrap();
    assert!(is_alive(pid));
    launcher.kill().unwrap();
    launcher.wait().unwrap();
    drop(ours);
    for _ in 0..50 {
        if !is_alive(pid) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the process {pid} outlived its launcher by 5 s");
}

/// A session's pipeline: what it offers, and what it says to nonsense.
#[tokio::test]
async fn a_session_offers_its_codecs_on_its_port() {
    let free = std::net::UdpSocket::bind("0.0.0.0:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let network = Network {
        udp_port: Some(free),
        ..Network::default()
    };
    let launch = "webrtcbin name=webrtc webrtc. ! rtpvideodec ! fakesink";
    let (mut process, first) = run_with(start(launch, Vec::new(), Some(WebRtc::default()), network)).await;
    let Some(Report::Described { sdp }) = first else {
        panic!("{first:?}")
    };
    assert!(sdp.contains("VP8/90000") && sdp.contains("H264/90000"), "{sdp}");
    assert!(
        sdp.contains("a=recvonly") && sdp.contains("a=group:BUNDLE"),
        "{sdp}"
    );
    let ports: Vec<_> = sdp
        .lines()
        .filter(|line| line.starts_with("a=candidate:"))
        .map(|line| line.split(' ').nth(5).unwrap().parse::<u16>().unwrap())
        .collect();
    assert!(!ports.is_empty(), "no candidate in the offer: {sdp}");
    assert!(ports.iter().all(|port| *port == free), "{ports:?}, not {free}");

    for nonsense in ["", "v=0\r\n", "hello", &"a".repeat(100_000)] {
        process
            .send(&Command::Answer { sdp: nonsense.into() })
            .await
            .unwrap();
        let answered = report(&mut process).await;
        assert!(matches!(answered, Some(Report::AnswerRefused(_))), "{answered:?}");
    }
    assert_eq!(process.stop().await, Exit::Success);
}
