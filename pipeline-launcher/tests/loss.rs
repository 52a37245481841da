//! A session whose peer is behind a network that loses datagrams and is 50 ms away.

#![allow(clippy::unwrap_used)]

#[path = "support/child.rs"]
#[allow(dead_code)]
mod child;
#[path = "support/netns.rs"]
mod netns;
#[path = "support/numbered.rs"]
mod numbered;
#[path = "support/peer.rs"]
#[allow(dead_code)]
mod peer;
#[path = "support/relay.rs"]
#[allow(dead_code)]
mod relay;

use std::process::Command;
use std::time::{Duration, Instant};

use child::{exe, report, run_by, start};
use netns::{HERE, There};
use numbered::{CAMERA, FRAMES_PER_SEC, Frames, Outcome, READER};
use peer::Peer;
use pipeline_launcher::control::{Network, Report, Start};
use pipeline_launcher::description::WebRtc;
use pipeline_launcher::supervisor::process::Process;
use relay::Relay;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(60);
/// One way.
const DELAY: Duration = Duration::from_millis(50);
const ENCODER: &str = "vp8enc deadline=1 cpu-used=8 end-usage=cbr target-bitrate=500000 keyframe-max-dist=3000 ! \
                       rtpvp8pay mtu=1200 ! application/x-rtp,media=video,encoding-name=VP8,payload=102 ! webrtc.";

struct Call {
    session: Process,
    peer: Peer,
    frames: Frames,
    connected_after: Duration,
    _folder: tempfile::TempDir,
}

impl Call {
    /// A client on this host that sends to a session on the other.
    async fn begin(there: &There) -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("frames");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let program = there.program(exe(), folder.path());
        let relay = Relay::bind(HERE);

        let peer = Peer::new(&[&format!("{CAMERA} ! {ENCODER}")], true);
        let frames = Frames::default();
        frames.number(&peer.element("numbers"));
        frames.read(&pipe);
        let (offer, client) = relay.reroute(0, &peer.offer());
        let launch = format!(
            "webrtcbin name=webrtc webrtc. ! rtpvideodec ! {READER}{}",
            pipe.display()
        );
        let start = Start {
            offer: Some(offer),
            ..start(&launch, Vec::new(), Some(WebRtc::default()), Network::default())
        };
        let (mut session, mut first) = run_by(&program, &[], start).await;
        let sdp = loop {
            match first {
                Some(Report::Described { sdp }) => break sdp,
                Some(Report::Ice { .. }) => first = report(&mut session).await,
                other => panic!("{other:?}"),
            }
        };
        let (answer, edge) = relay.reroute(1, &sdp);
        relay.start([client, edge], DELAY);
        let begun = Instant::now();
        peer.take_answer(&answer);
        loop {
            match report(&mut session).await {
                Some(Report::Ice { .. }) => {}
                Some(Report::Running) => break,
                Some(Report::Failed(failure)) => return Err(failure.to_string()),
                other => panic!("{other:?}"),
            }
        }
        // As a browser, which encodes nothing before it is connected.
        peer.wait_until_connected();
        frames.open();
        Ok(Self {
            session,
            peer,
            frames,
            connected_after: begun.elapsed(),
            _folder: folder,
        })
    }

    /// Lets it run until then; the session must live.
    async fn run(&mut self, until: Instant) {
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            match tokio::time::timeout(left, self.session.report()).await {
                Err(_) => break,
                Ok(Some(Report::Progress(_) | Report::Ice { .. })) => {}
                Ok(other) => panic!("{other:?}"),
            }
        }
    }

    /// So long under loss, and what came through.
    async fn measure(&mut self, time: Duration) -> Outcome {
        let until = Instant::now() + time;
        // What is under way may still come in.
        self.run(until + Duration::from_secs(1)).await;
        self.frames.outcome(until)
    }

    /// How long it takes until a second of frames comes in without a gap, from now to the first of them.
    async fn recover(&mut self) -> Duration {
        let begun = Instant::now();
        loop {
            if let Some(first) = self.frames.whole_since(begun, FRAMES_PER_SEC) {
                return first - begun;
            }
            assert!(begun.elapsed() < PATIENCE, "no frames any more");
            self.run(Instant::now() + Duration::from_millis(100)).await;
        }
    }
}

/// What the bench wants in place of the test's own number.
fn number_or(name: &str, usual: u32) -> u32 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

/// Prints what `bench/loss/run.py` judges: how much comes through depends on how busy the machine is. Here the session must
/// live, ask for what is lost, and recover.
async fn through(test: &str, loss: u32) {
    if !netns::is_inside(test) {
        return;
    }
    let there = There::join();
    let mut call = Call::begin(&there).await.unwrap();
    there.lose(loss);
    let seconds = number_or("SIGHTLINE_LOSS_SECONDS", 8);
    let outcome = call.measure(Duration::from_secs(seconds.into())).await;
    there.lose(0);
    let recovered_after = call.recover().await;
    let figures = json!({
        "loss_per_cent": loss,
        "frames_sent": outcome.sent,
        "frames_decoded": outcome.decoded,
        "longest_freeze_ms": outcome.longest_freeze.as_millis(),
        "median_delay_ms": outcome.median_delay.as_millis(),
        "packets_asked_again": call.peer.asked_again(),
        "recovered_after_ms": recovered_after.as_millis(),
    });
    println!("figures: {figures}");
    assert!(call.peer.asked_again() > 0, "lost packets are not asked for");
}

#[tokio::test]
async fn five_per_cent() {
    through("five_per_cent", 5).await;
}

#[tokio::test]
async fn ten_per_cent() {
    through("ten_per_cent", 10).await;
}

#[tokio::test]
async fn twenty_per_cent() {
    through("twenty_per_cent", 20).await;
}

/// A DTLS flight of GStreamer 1.22 is a dozen datagrams, each of which may be lost; clients try again.
#[tokio::test]
async fn a_handshake_through_loss() {
    if !netns::is_inside("a_handshake_through_loss") {
        return;
    }
    let there = There::join();
    let loss = number_or("SIGHTLINE_HANDSHAKE_LOSS", 10);
    there.lose(loss);
    for failed in 0..3 {
        match Call::begin(&there).await {
            Ok(call) => {
                let figures = json!({
                    "loss_per_cent": loss,
                    "failed_attempts": failed,
                    "connected_after_ms": call.connected_after.as_millis(),
                });
                return println!("figures: {figures}");
            }
            Err(failure) => println!("{failure}"),
        }
    }
    panic!("no connection in three attempts");
}
