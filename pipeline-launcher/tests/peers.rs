//! The process of a session, with real peers.

#![allow(clippy::unwrap_used)]

#[path = "support/child.rs"]
mod child;
#[path = "support/peer.rs"]
#[allow(dead_code)]
mod peer;
#[path = "../../protocol/inventa/tests/support/redis.rs"]
mod redis;

use std::time::{Duration, Instant};

use child::{report, run_in, run_with, start};
use peer::{H264, OPUS, Peer, VP8};
use pipeline_launcher::control::{Command, Network, Progress, Report, Start};
use pipeline_launcher::description::{Audio, WebRtc};
use pipeline_launcher::supervisor::process::{Exit, Process};
use sightline_protocol::ErrorId;

const PATIENCE: Duration = Duration::from_secs(60);
const RECEIVE: &str = "webrtcbin name=webrtc webrtc. ! rtpvideodec ! videoconvert ! fakesink";
const SEND: &str = "videotestsrc is-live=true ! vp8enc deadline=1 ! rtpvp8pay ! webrtcbin name=webrtc";
const RETURN: &str = "webrtcbin name=webrtc webrtc. ! rtpvideodec ! videoconvert ! \
                      vp8enc deadline=1 keyframe-max-dist=30 ! rtpvp8pay ! webrtc.";

fn session(launch: &str, offer: Option<String>) -> Start {
    Start {
        offer,
        ..start(launch, Vec::new(), Some(WebRtc::default()), Network::default())
    }
}

/// A process that runs `start`, and its offer or answer.
async fn describe(start: Start) -> (Process, String) {
    describe_in(&[], start).await
}

async fn describe_in(env: &[(String, String)], start: Start) -> (Process, String) {
    let (mut process, mut first) = run_in(env, start).await;
    loop {
        match first {
            Some(Report::Described { sdp }) => return (process, sdp),
            Some(Report::Ice { .. }) => first = report(&mut process).await,
            other => panic!("{other:?}"),
        }
    }
}

/// The process's next report that is not of its ICE connection.
async fn word(process: &mut Process) -> Option<Report> {
    loop {
        match report(process).await {
            Some(Report::Ice { .. }) => {}
            other => return other,
        }
    }
}

/// The first progress with so many frames at the sinks; a failure is one of the test.
async fn frames(process: &mut Process, wanted: u64) -> Progress {
    loop {
        match tokio::time::timeout(PATIENCE, process.report()).await.unwrap() {
            Some(Report::Progress(progress)) if progress.frames_out >= wanted => return progress,
            Some(Report::Failed(failure)) => panic!("{failure}"),
            None => panic!("the process is gone"),
            _ => {}
        }
    }
}

/// What the process says last, before it closes.
async fn last_words(process: &mut Process) -> Option<Report> {
    let mut last = None;
    while let Some(report) = report(process).await {
        last = Some(report);
    }
    last
}

async fn a_client_that_offers(streams: &[&str], launch: &str) {
    let peer = Peer::new(streams, true);
    let (mut process, answer) = describe(session(launch, Some(peer.offer()))).await;
    assert!(
        answer.contains("a=recvonly") && answer.contains("a=candidate:"),
        "{answer}"
    );
    peer.take_answer(&answer);
    frames(&mut process, 10).await;
    assert_eq!(process.stop().await, Exit::Success);
}

#[tokio::test]
async fn a_client_may_offer_vp8() {
    a_client_that_offers(&[VP8], RECEIVE).await;
}

#[tokio::test]
async fn a_client_may_offer_h264_and_audio_that_nobody_hears() {
    a_client_that_offers(&[H264, OPUS], RECEIVE).await;
}

/// An encoder of VP8 stands behind: what the client sends may be another codec, as it takes no picture.
#[tokio::test]
async fn a_client_that_takes_no_picture_may_send_any_codec() {
    let returns = RETURN.replace("vp8enc", "tee name=t t. ! queue ! fakesink t. ! vp8enc");
    a_client_that_offers(&[H264], &returns).await;
}

#[tokio::test]
async fn a_client_may_answer() {
    let (mut process, offer) = describe(session(RECEIVE, None)).await;
    let peer = Peer::new(&[&VP8.replace(",payload=102", "")], true);
    let answer = peer.answer(&offer);
    process.send(&Command::Answer { sdp: answer }).await.unwrap();
    assert_eq!(word(&mut process).await, Some(Report::AnswerTaken));
    frames(&mut process, 10).await;
    assert_eq!(process.stop().await, Exit::Success);
}

#[tokio::test]
async fn the_picture_comes_back_with_the_payload_type_that_was_agreed_upon() {
    let peer = Peer::new(&[VP8], false);
    let (process, answer) = describe(session(RETURN, Some(peer.offer()))).await;
    assert!(answer.contains("a=sendrecv"), "{answer}");
    peer.take_answer(&answer);
    peer.wait_until_connected();
    let mut caps = peer.packet();
    for _ in 0..20 {
        caps = peer.packet();
    }
    let structure = caps.structure(0).unwrap();
    assert_eq!(structure.get::<i32>("payload"), Ok(102), "{caps}");
    // Chromium shows no picture of a source that the answer does not name.
    let ssrc = structure.get::<u32>("ssrc").unwrap();
    assert!(answer.contains(&format!("a=ssrc:{ssrc} ")), "{ssrc} in {answer}");
    assert_eq!(process.stop().await, Exit::Success);
}

/// What it would send is held back by webrtcbin then.
#[tokio::test]
async fn a_session_whose_peer_never_connects_stops_in_order() {
    let peer = Peer::new(&[VP8], false);
    let (process, _) = describe(session(SEND, Some(peer.offer()))).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(process.stop().await, Exit::Success);
}

#[tokio::test]
async fn a_forged_fingerprint_gets_no_frame_through() {
    let peer = Peer::new(&[VP8], true);
    let mut offer = peer.offer();
    let digest = offer.find("a=fingerprint:sha-256 ").unwrap() + "a=fingerprint:sha-256 ".len();
    let other = if &offer[digest..=digest] == "0" { "1" } else { "0" };
    let line = offer[digest..].split("\r\n").next().unwrap().to_owned();
    let forged = format!("{other}{}", &line[1..]);
    offer = offer.replace(&line, &forged);
    let (mut process, answer) = describe(session(RECEIVE, Some(offer))).await;
    peer.take_answer(&answer);
    let mut out = 0;
    let failure = loop {
        match tokio::time::timeout(PATIENCE, process.report()).await.unwrap() {
            Some(Report::Progress(progress)) => out = out.max(progress.frames_in),
            Some(Report::Running) => panic!("it runs"),
            Some(Report::Failed(failure)) => break failure,
            None => panic!("it ended without a word"),
            _ => {}
        }
    };
    assert!(
        failure.message.contains("not the one that its SDP names"),
        "{failure}"
    );
    assert_eq!(out, 0, "frames before the peer was trusted");
    assert_eq!(process.wait().await, Exit::Failed { code: 1 });
}

#[tokio::test]
async fn a_peer_that_falls_silent_ends_the_session_in_order() {
    let peer = Peer::new(&[VP8], true);
    let mut silent = session(RECEIVE, Some(peer.offer()));
    silent.webrtc.silence_secs = Some(2);
    let (mut process, answer) = describe(silent).await;
    peer.take_answer(&answer);
    frames(&mut process, 5).await;
    drop(peer);
    let Some(Report::Failed(failure)) = last_words(&mut process).await else {
        panic!("no reason")
    };
    assert_eq!(failure.id, ErrorId::SessionEnded, "{failure}");
    assert_eq!(process.wait().await, Exit::Success);
}

#[tokio::test]
async fn predictions_reach_the_peer_over_its_data_channel() {
    let redis = redis::RedisServer::start();
    let env = [("REDIS_URL".to_owned(), redis.url())];
    let settings = WebRtc {
        data_channel: true,
        ..WebRtc::default()
    };
    let told = start(RECEIVE, Vec::new(), Some(settings), Network::default());
    let (mut process, offer) = describe_in(&env, told).await;
    let peer = Peer::new(&[&VP8.replace(",payload=102", "")], true);
    let answer = peer.answer(&offer);
    process.send(&Command::Answer { sdp: answer }).await.unwrap();
    frames(&mut process, 5).await;
    let mut connection = redis.client().get_connection().unwrap();
    let begun = Instant::now();
    let received = loop {
        let publish = ::redis::cmd("PUBLISH")
            .arg("predictions:someone")
            .arg("{\"pcount\":\"0\"}")
            .exec(&mut connection);
        publish.unwrap();
        match peer.message(Duration::from_millis(200)) {
            Some(text) => break text,
            None => assert!(begun.elapsed() < PATIENCE, "nothing comes over the data channel"),
        }
    };
    assert_eq!(received, "{\"pcount\":\"0\"}");
    assert_eq!(process.stop().await, Exit::Success);
}

#[tokio::test]
async fn offers_that_do_not_fit_are_refused_in_words() {
    let refused = async |settings: WebRtc, launch: &str, offer: &str| {
        let wrong = Start {
            offer: Some(offer.to_owned()),
            ..start(launch, Vec::new(), Some(settings), Network::default())
        };
        match run_with(wrong).await {
            (process, Some(Report::Failed(failure))) => {
                assert_eq!(process.wait().await, Exit::Failed { code: 1 });
                failure
            }
            (_, other) => panic!("{other:?}"),
        }
    };
    let video = Peer::new(&[VP8], true).offer();
    let both = Peer::new(&[VP8, OPUS], true).offer();
    let two = Peer::new(&[VP8, H264], true).offer();

    let failure = refused(WebRtc::default(), RECEIVE, "v=0\r\nhello").await;
    assert_eq!(failure.id, ErrorId::BadSdp, "{failure}");
    let failure = refused(WebRtc::default(), RECEIVE, &two).await;
    assert_eq!(failure.id, ErrorId::UnsupportedMedia, "{failure}");
    assert!(failure.message.contains("send one camera"), "{failure}");
    let deaf = WebRtc {
        audio: Audio::Refuse,
        ..WebRtc::default()
    };
    let failure = refused(deaf, RECEIVE, &both).await;
    assert!(failure.message.contains("takes no audio"), "{failure}");
    let failure = refused(WebRtc::default(), SEND, &video).await;
    assert!(
        failure.message.contains("needs recvonly or sendrecv"),
        "{failure}"
    );
}
