//! The daemon as signaling sees it: the real program, a real Redis, real Inventa.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
mod support;

use std::time::Duration;

use rustix::process::Signal;
use sightline_protocol::ErrorId;
use sightline_protocol::rpc::{Exit, PipelineList, SdpOffer, SessionPhase, method};
use support::{Scene, is_alive};

#[tokio::test]
async fn sessions_start_and_stop_at_signalings_request() {
    let mut scene = Scene::start(&["--max-sessions", "1"]).await;
    let list: PipelineList =
        serde_json::from_str(&scene.call(method::PIPELINE_LIST, &["{}"]).await.unwrap()).unwrap();
    let names: Vec<_> = list
        .pipelines
        .iter()
        .map(|pipeline| pipeline.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "uri-annotated",
            "uri-detect",
            "webrtc-annotated",
            "webrtc-annotated-remote",
            "webrtc-detect",
            "webrtc-local",
            "whep-view",
            "yolox-worker",
            "yolox-worker-batch"
        ]
    );

    let offer = scene
        .start_session("one", "webrtc-detect")
        .await
        .unwrap()
        .unwrap();
    assert!(
        offer.contains("m=video") && offer.contains("a=candidate:"),
        "{offer}"
    );
    let running = scene.sessions().await.sessions;
    assert_eq!((running.len(), running[0].session.as_str()), (1, "one"));
    assert!(is_alive(running[0].pid));

    let full = scene.start_session("two", "webrtc-detect").await.unwrap_err();
    assert_eq!(full.id, ErrorId::TooManySessions);
    let nonsense = scene
        .call(method::SDP_ACCEPT_OFFER_ANSWER, &["one", "v=0"])
        .await
        .unwrap_err();
    assert_eq!(nonsense.id, ErrorId::BadSdp);

    scene
        .call(method::SESSION_STOP, &[r#"{"session":"one"}"#])
        .await
        .unwrap();
    assert!(!is_alive(running[0].pid));
    let event = scene.event().await;
    assert_eq!(
        (event.session.as_str(), event.state, event.reason, event.exit),
        ("one", SessionPhase::Ended, None, Some(Exit::Success))
    );
    assert_eq!(scene.sessions().await.sessions, []);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_in_words() {
    let scene = Scene::start(&[]).await;
    for (session, pipeline, id, words) in [
        (
            "a",
            "webrtc-detct",
            ErrorId::UnknownPipeline,
            "did you mean `webrtc-detect`?",
        ),
        ("a", "yolox-worker", ErrorId::UnknownPipeline, "not for sessions"),
        ("a b", "webrtc-detect", ErrorId::BadMessage, "session's id"),
    ] {
        let failure = scene.start_session(session, pipeline).await.unwrap_err();
        assert_eq!(failure.id, id, "{failure}");
        assert!(failure.message.contains(words), "{failure}");
    }
    let model = r#"{"session":"a","pipeline":"uri-detect","params":{"uri":"http://127.0.0.1:9/","model":"yolox_nan"},"reply_to":"svc:sgn:test"}"#;
    let failure = scene.call(method::SESSION_START, &[model]).await.unwrap_err();
    assert_eq!(failure.id, ErrorId::InvalidParam, "{failure}");
    assert!(
        failure
            .message
            .contains("there is no model `yolox_nan`: did you mean `yolox_nano`?"),
        "{failure}"
    );
    let unknown = scene
        .call(method::SESSION_STOP, &[r#"{"session":"nobody"}"#])
        .await
        .unwrap_err();
    assert_eq!(unknown.id, ErrorId::UnknownSession);
    assert_eq!(
        scene.call("session-pause", &[]).await.unwrap_err().message,
        "unknown command type: session-pause"
    );
    for arguments in [&[] as &[&str], &[""], &["{"], &["{}"]] {
        assert_eq!(
            scene.call(method::SESSION_START, arguments).await.unwrap_err().id,
            ErrorId::BadMessage
        );
    }
}

#[tokio::test]
async fn a_v1_orchestrator_is_served() {
    let scene = Scene::start(&[]).await;
    let offer = scene
        .call(method::SDP_OFFER_REQ, &["v1-participant"])
        .await
        .unwrap();
    let offer: SdpOffer = serde_json::from_str(&offer).unwrap();
    assert!(
        offer.sdp.contains("a=candidate:"),
        "all candidates are inside: {}",
        offer.sdp
    );
}

#[tokio::test]
async fn sigterm_tells_the_sessions_and_ends_in_order() {
    let mut scene = Scene::start(&[]).await;
    scene.start_session("one", "webrtc-local").await.unwrap();
    let pid = scene.sessions().await.sessions[0].pid;
    scene.signal(Signal::TERM);
    let event = scene.event().await;
    assert_eq!(event.state, SessionPhase::Ended);
    assert_eq!(event.reason.unwrap().id, ErrorId::ServerStopping);
    let begun = std::time::Instant::now();
    let status = loop {
        if let Some(status) = scene.launcher.try_wait().unwrap() {
            break status;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "the launcher does not end"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(status.success(), "{status}");
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn sigkill_leaves_no_orphan() {
    let mut scene = Scene::start(&[]).await;
    scene.start_session("one", "webrtc-local").await.unwrap();
    let pid = scene.sessions().await.sessions[0].pid;
    scene.signal(Signal::KILL);
    scene.launcher.wait().unwrap();
    let begun = std::time::Instant::now();
    while is_alive(pid) {
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "the session's process {pid} is an orphan"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
