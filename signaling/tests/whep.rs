//! WHEP: watching a session that runs.

// The helpers here belong to tests.
#![allow(clippy::unwrap_used, dead_code)]

mod support;

use serde_json::json;
use support::sdp::{fragment, offer};
use support::{HttpResponse, Published, Scene, Service, eventually, publish_to, send};

const SDP: &str = "Content-Type: application/sdp\r\n";

/// A session that has a picture to show.
async fn annotated(scene: &Scene, launcher: &mut Service) -> Published {
    let watched = publish_to(scene, "/whip/webrtc-annotated", &offer("sendonly")).await;
    launcher.expect("session-start").await;
    watched
}

async fn watch(scene: &Scene, session: &str, offer: &str) -> HttpResponse {
    send(scene.address, "POST", &format!("/whep/{session}"), SDP, offer).await
}

#[tokio::test]
async fn a_viewer_comes_and_goes() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let watched = annotated(&scene, &mut launcher).await;
    let response = watch(&scene, &watched.id, &offer("recvonly")).await;
    assert_eq!(response.status, 201, "{}", response.body);
    assert!(response.body.contains("a=sendonly"), "{}", response.body);
    assert_eq!(response.headers("link").len(), 2);
    let viewer = Published::new(&scene, &response);
    assert!(
        viewer.path.starts_with(&format!("/whep/{}/", watched.id)),
        "{}",
        viewer.path
    );
    let start = launcher.expect("session-start").await.json();
    assert_eq!(start["pipeline"], "whep-view");
    assert_eq!(start["params"], json!({"session": watched.id}));
    assert_eq!(start["session"], viewer.id);

    let headers = format!(
        "Content-Type: application/trickle-ice-sdpfrag\r\n{}",
        viewer.if_match()
    );
    let body = fragment(&["candidate:1 1 udp 2122260223 127.0.0.1 50000 typ host"]);
    let response = send(scene.address, "PATCH", &viewer.path, &headers, &body).await;
    assert_eq!(response.status, 204, "{}", response.body);
    let candidate = launcher.expect("session-candidate").await.json();
    assert_eq!(candidate["session"], viewer.id);

    let all = scene.get("/api/v1/sessions").await.json();
    assert_eq!(
        all["sessions"].as_array().unwrap().len(),
        1,
        "a viewer is no session: {all}"
    );
    for (method, status) in [
        ("OPTIONS", 204),
        ("GET", 204),
        ("DELETE", 200),
        ("DELETE", 404),
        ("OPTIONS", 204),
    ] {
        let response = send(scene.address, method, &viewer.path, "", "").await;
        assert_eq!(response.status, status, "{method}");
    }
    assert_eq!(
        launcher.expect("session-stop").await.json(),
        json!({"session": viewer.id})
    );
    assert_eq!(
        send(scene.address, "GET", &watched.path, "", "").await.status,
        204
    );
}

#[tokio::test]
async fn viewers_end_with_what_they_watch() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let watched = annotated(&scene, &mut launcher).await;
    let mut viewers = Vec::new();
    for _ in 0..2 {
        let response = watch(&scene, &watched.id, &offer("recvonly")).await;
        viewers.push(Published::new(&scene, &response));
        launcher.expect("session-start").await;
    }
    let event = json!({"session": watched.id, "state": "ended"});
    launcher.call_signaling("session-event", event).await.unwrap();
    let mut stopped = Vec::new();
    for _ in 0..2 {
        let stop = launcher.expect("session-stop").await.json();
        stopped.push(stop["session"].as_str().unwrap().to_owned());
    }
    stopped.sort();
    viewers.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(stopped, [viewers[0].id.as_str(), viewers[1].id.as_str()]);
    for viewer in &viewers {
        eventually("the viewer's address is gone", async || {
            send(scene.address, "GET", &viewer.path, "", "").await.status == 404
        })
        .await;
    }
    let late = watch(&scene, &watched.id, &offer("recvonly")).await;
    assert_eq!(
        (late.status, &late.json()["type"]),
        (404, &json!("urn:sightline:problem:unknown-session"))
    );
}

#[tokio::test]
async fn not_everything_can_be_watched() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let missing = watch(&scene, "0f8fad5bd9cb469fa165708867728950", &offer("recvonly")).await;
    assert_eq!(missing.status, 404, "{}", missing.body);
    let blind = publish_to(&scene, "/whip/webrtc-detect", &offer("sendonly")).await;
    let refused = watch(&scene, &blind.id, &offer("recvonly")).await;
    assert_eq!(
        (refused.status, &refused.json()["type"]),
        (409, &json!("urn:sightline:problem:not-watchable"))
    );
    launcher.expect("session-start").await;
    let watched = annotated(&scene, &mut launcher).await;
    let sending = watch(&scene, &watched.id, &offer("sendonly")).await;
    assert_eq!(sending.status, 422, "{}", sending.body);
    // A viewer cannot be watched either.
    let viewer = Published::new(&scene, &watch(&scene, &watched.id, &offer("recvonly")).await);
    assert_eq!(watch(&scene, &viewer.id, &offer("recvonly")).await.status, 404);
}

#[tokio::test]
async fn a_session_of_the_page_can_be_watched() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let mut client = scene.client().await;
    client.join_v2("webrtc-annotated").await;
    let id = client.expect("SessionState").await["session"]
        .as_str()
        .unwrap()
        .to_owned();
    launcher.expect("session-start").await;
    assert_eq!(watch(&scene, &id, &offer("recvonly")).await.status, 201);
    let viewer = launcher.expect("session-start").await.json();
    client.close().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(launcher.expect("session-stop").await.json()["session"].clone());
    }
    assert!(
        ids.contains(&viewer["session"]) && ids.contains(&json!(id)),
        "{ids:?}"
    );
}
