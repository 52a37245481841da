//! WHIP as RFC 9725 says, point by point, against a launcher that follows a script.

// The helpers here belong to tests.
#![allow(clippy::unwrap_used, dead_code)]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use signaling::origin::Origins;
use support::sdp::{fragment, offer};
use support::{HttpResponse, Published, Scene, Service, eventually, launcher, publish_to, send};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const ENDPOINT: &str = "/whip/webrtc-detect";
const SDP: &str = "Content-Type: application/sdp\r\n";
const FRAGMENT: &str = "Content-Type: application/trickle-ice-sdpfrag\r\n";
const HOST_CANDIDATE: &str = "candidate:1 1 udp 2122260223 127.0.0.1 50000 typ host";

async fn post(scene: &Scene, offer: &str) -> HttpResponse {
    send(scene.address, "POST", ENDPOINT, SDP, offer).await
}

async fn publish(scene: &Scene) -> Published {
    publish_to(scene, ENDPOINT, &offer("sendonly")).await
}

async fn patch(scene: &Scene, path: &str, headers: &str, body: &str) -> HttpResponse {
    send(
        scene.address,
        "PATCH",
        path,
        &format!("{FRAGMENT}{headers}"),
        body,
    )
    .await
}

/// A problem document with this status and id.
fn assert_problem(response: &HttpResponse, status: u16, id: &str) {
    assert_eq!(response.status, status, "{}", response.body);
    assert_eq!(response.header("content-type"), "application/problem+json");
    assert_eq!(response.json()["type"], format!("urn:sightline:problem:{id}"));
    assert_eq!(response.header("vary"), "Origin");
}

#[tokio::test]
async fn point_01_a_post_creates_a_session() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let response = post(&scene, &offer("sendonly")).await;
    assert_eq!(response.status, 201, "{}", response.body);
    assert_eq!(response.header("content-type"), "application/sdp");
    assert!(response.body.starts_with("v=0\r\n"), "{}", response.body);
    let prefix = format!("http://{}{ENDPOINT}/", scene.address);
    let location = response.header("location");
    let id = location
        .strip_prefix(&prefix)
        .unwrap_or_else(|| panic!("{location}"));
    let etag = response.header("etag");
    assert!(etag.starts_with('"') && etag.len() > 10, "{etag}");
    assert_eq!(response.header("accept-patch"), "application/trickle-ice-sdpfrag");
    let start = launcher.expect("session-start").await.json();
    assert_eq!(
        (&start["session"], &start["pipeline"]),
        (&json!(id), &json!("webrtc-detect"))
    );
    assert!(start["offer"].as_str().unwrap().contains("m=video"), "{start}");
}

#[tokio::test]
async fn point_02_other_types_and_malformed_offers_are_refused() {
    let (scene, _launcher, _worker) = Scene::ready().await;
    let good = offer("sendonly");
    for headers in ["", "Content-Type: application/json\r\n", "Content-Type: */*\r\n"] {
        let response = send(scene.address, "POST", ENDPOINT, headers, &good).await;
        assert_problem(&response, 415, "unsupported-media-type");
    }
    let charset = "Content-Type: Application/SDP; charset=utf-8\r\n";
    assert_eq!(
        send(scene.address, "POST", ENDPOINT, charset, &good).await.status,
        201
    );
    let unmasked = good.replace("a=fingerprint", "a=no");
    for bad in ["", "hello", "v=0\r\n", &unmasked] {
        assert_problem(&post(&scene, bad).await, 400, "bad-sdp");
    }
}

#[tokio::test]
async fn point_03_the_answer_only_receives() {
    let (scene, _launcher, _worker) = Scene::ready().await;
    for direction in ["sendonly", "sendrecv"] {
        let response = post(&scene, &offer(direction)).await;
        assert!(response.body.contains("a=recvonly\r\n"), "{}", response.body);
    }
    for direction in ["recvonly", "inactive"] {
        assert_problem(&post(&scene, &offer(direction)).await, 422, "unsupported-media");
    }
}

#[tokio::test]
async fn point_04_the_answer_waits_for_all_candidates() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let response = post(&scene, &offer("sendonly")).await;
    assert_eq!(response.body, support::sdp::answer("recvonly"));
    assert_eq!(launcher.expect("session-start").await.json()["trickle"], false);
}

#[tokio::test]
async fn point_05_two_cameras_are_refused_as_a_whole() {
    let (scene, _launcher, _worker) = Scene::ready().await;
    let one = offer("sendonly");
    let video = one.find("m=video").unwrap();
    let two =
        format!("{one}{}", one[video..].replace("a=mid:1", "a=mid:2")).replace("BUNDLE 0 1", "BUNDLE 0 1 2");
    assert_problem(&post(&scene, &two).await, 422, "unsupported-media");
    assert_eq!(
        scene.get("/api/v1/sessions").await.json(),
        json!({"sessions": []})
    );
    // Where only the pipeline knows.
    let response = send(scene.address, "POST", &format!("{ENDPOINT}?fps=59"), SDP, &one).await;
    assert_problem(&response, 422, "unsupported-media");
}

#[tokio::test]
async fn point_06_an_active_client_is_taken() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let active = offer("sendonly").replace("setup:actpass", "setup:active");
    assert_eq!(post(&scene, &active).await.status, 201);
    let start = launcher.expect("session-start").await.json();
    assert!(
        start["offer"].as_str().unwrap().contains("a=setup:active"),
        "{start}"
    );
}

#[tokio::test]
async fn point_07_candidates_trickle() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let client = publish(&scene).await;
    launcher.expect("session-start").await;
    let unusable = format!("candidate:2 1 udp 1 {} 9 typ host", launcher::UNUSABLE);
    let name = "candidate:3 1 udp 1 a1b2.local 9 typ host";
    let body = fragment(&[&unusable, HOST_CANDIDATE, name, "end-of-candidates"]);
    let response = patch(&scene, &client.path, &client.if_match(), &body).await;
    assert_eq!((response.status, response.body.as_str()), (204, ""));
    let first = launcher.expect("session-candidate").await.json();
    assert!(first["candidate"].as_str().unwrap().contains(launcher::UNUSABLE));
    let second = launcher.expect("session-candidate").await.json();
    assert_eq!(second["session"], client.id);
    assert!(
        second["candidate"].as_str().unwrap().contains(" 50000 "),
        "{second}"
    );
    assert_eq!(
        (&second["sdpMid"], &second["sdpMLineIndex"]),
        (&json!("1"), &json!(1))
    );
    assert_eq!(launcher.expect("session-candidate").await.json()["candidate"], "");
}

#[tokio::test]
async fn point_08_a_wrong_patch_leaves_the_session() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let client = publish(&scene).await;
    launcher.expect("session-start").await;
    let good = fragment(&[HOST_CANDIDATE]);
    let headers = format!("Content-Type: application/sdp\r\n{}", client.if_match());
    let response = send(scene.address, "PATCH", &client.path, &headers, &good).await;
    assert_problem(&response, 415, "unsupported-media-type");
    let response = patch(&scene, &client.path, &client.if_match(), "hello").await;
    assert_problem(&response, 400, "bad-sdp");
    let restart = good.replace("EsAw", "n3wU");
    for precondition in [client.if_match(), "If-Match: *\r\n".into()] {
        let response = patch(&scene, &client.path, &precondition, &restart).await;
        assert_problem(&response, 422, "ice-restart");
    }
    let response = patch(&scene, &client.path, &client.if_match(), &good).await;
    assert_eq!(response.status, 204, "{}", response.body);
    launcher.expect("session-candidate").await;
}

#[tokio::test]
async fn point_09_a_patch_names_its_ice_session() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let client = publish(&scene).await;
    let body = fragment(&[HOST_CANDIDATE]);
    let response = patch(&scene, &client.path, "", &body).await;
    assert_problem(&response, 428, "precondition-required");
    let stale = "If-Match: \"another\"\r\n";
    assert_problem(
        &patch(&scene, &client.path, stale, &body).await,
        412,
        "precondition-failed",
    );
    for any in ["If-Match: *\r\n", "If-Match: \"*\"\r\n"] {
        assert_eq!(patch(&scene, &client.path, any, &body).await.status, 204, "{any}");
    }
    launcher.expect("session-start").await;
    assert_eq!(
        send(scene.address, "DELETE", &client.path, stale, "")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn point_10_a_delete_frees_everything() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let client = publish(&scene).await;
    launcher.expect("session-start").await;
    let response = send(scene.address, "DELETE", &client.path, "", "").await;
    assert_eq!((response.status, response.body.as_str()), (200, ""));
    assert_eq!(
        launcher.expect("session-stop").await.json(),
        json!({"session": client.id})
    );
    for method in ["DELETE", "PATCH", "GET"] {
        let response = send(scene.address, method, &client.path, "", "").await;
        assert_eq!(response.status, 404, "{method}");
    }
    eventually("nobody hears of it", async || {
        let event = json!({"session": client.id, "state": "connected"});
        launcher.call_signaling("session-event", event).await.is_err()
    })
    .await;
    let view = scene.get(&format!("/api/v1/sessions/{}", client.id)).await.json();
    assert_eq!(view["state"], "COMPLETED");
}

#[tokio::test]
async fn point_11_there_is_nothing_to_get() {
    let (scene, _launcher, _worker) = Scene::ready().await;
    let client = publish(&scene).await;
    for path in [ENDPOINT, &client.path] {
        for method in ["GET", "HEAD"] {
            let response = send(scene.address, method, path, "", "").await;
            assert_eq!(
                (response.status, response.body.as_str()),
                (204, ""),
                "{method} {path}"
            );
        }
        for method in ["PUT", if path == ENDPOINT { "DELETE" } else { "POST" }] {
            let response = send(scene.address, method, path, "", "").await;
            assert_problem(&response, 405, "method-not-allowed");
            assert!(response.header("allow").contains("OPTIONS"));
        }
    }
}

#[tokio::test]
async fn point_12_pages_of_other_origins_may_publish() {
    let listed = Origins::new(&["https://page.example.org".into()]).unwrap();
    let (scene, _launcher, _worker) = Scene::ready_with(|config| config.origins = listed).await;
    let client = publish(&scene).await;
    let preflight = "Origin: https://page.example.org\r\nAccess-Control-Request-Method: POST\r\n";
    for (path, methods, accept) in [
        (ENDPOINT, "POST", ("accept-post", "application/sdp")),
        (
            &client.path,
            "DELETE",
            ("accept-patch", "application/trickle-ice-sdpfrag"),
        ),
    ] {
        let response = send(scene.address, "OPTIONS", path, preflight, "").await;
        assert_eq!((response.status, response.body.as_str()), (204, ""), "{path}");
        assert_eq!(
            response.header("access-control-allow-origin"),
            "https://page.example.org"
        );
        assert!(response.header("access-control-allow-methods").contains(methods));
        assert_eq!(response.header(accept.0), accept.1);
        let allowed = response.header("access-control-allow-headers").to_lowercase();
        for header in ["content-type", "if-match", "authorization"] {
            assert!(allowed.contains(header), "{allowed}");
        }
    }
    let headers = "Origin: https://page.example.org\r\nContent-Type: application/sdp\r\n";
    let response = send(scene.address, "POST", ENDPOINT, headers, &offer("sendonly")).await;
    let exposed = response.header("access-control-expose-headers");
    assert!(exposed.starts_with("Location, ETag, Link"), "{exposed}");
}

#[tokio::test]
async fn point_13_a_token_may_come_and_a_preflight_needs_none() {
    let (scene, _launcher, _worker) = Scene::ready().await;
    let token = "Authorization: Bearer abc\r\n";
    let headers = format!("{SDP}{token}");
    let response = send(scene.address, "POST", ENDPOINT, &headers, &offer("sendonly")).await;
    assert_eq!(response.status, 201);
    let client = Published::new(&scene, &response);
    let headers = format!("{token}{}", client.if_match());
    let response = patch(&scene, &client.path, &headers, &fragment(&[HOST_CANDIDATE])).await;
    assert_eq!(response.status, 204);
    // Also when there is no such session any more: the request proper is told so.
    for _ in 0..2 {
        assert_eq!(
            send(scene.address, "OPTIONS", &client.path, "", "").await.status,
            204
        );
        send(scene.address, "DELETE", &client.path, token, "").await;
    }
}

#[tokio::test]
async fn point_14_ice_servers_are_linked() {
    let (scene, _launcher, _worker) = Scene::ready().await;
    let response = post(&scene, &offer("sendonly")).await;
    assert_eq!(
        response.headers("link"),
        [
            r#"<stun:stun.example.org:3478>; rel="ice-server""#,
            r#"<turn:turn.example.org:3478>; rel="ice-server"; username="alice"; credential="secret"; credential-type="password""#,
        ]
    );
    // Whoever only asks what there is gets no password.
    for method in ["OPTIONS", "GET"] {
        assert_eq!(
            send(scene.address, method, ENDPOINT, "", "")
                .await
                .headers("link"),
            [""; 0]
        );
    }
}

#[tokio::test]
async fn point_15_an_overload_says_when_to_come_back() {
    let scene = Scene::new().await;
    let none = post(&scene, &offer("sendonly")).await;
    assert_problem(&none, 503, "no-launcher");
    assert_eq!(none.header("retry-after"), "5");
    let _launcher = Service::full_launcher(&scene.redis).await;
    let _worker = Service::worker(&scene.redis, "test").await;
    eventually("the launcher is there", async || {
        scene.get("/readyz").await.status == 200
    })
    .await;
    let full = post(&scene, &offer("sendonly")).await;
    assert_problem(&full, 503, "too-many-sessions");
    // What the launcher said itself.
    assert_eq!(full.header("retry-after"), "7");
    assert_eq!(
        scene.get("/api/v1/sessions").await.json(),
        json!({"sessions": []})
    );
}

#[tokio::test]
async fn point_16_an_address_cannot_be_guessed() {
    let (scene, _launcher, _worker) = Scene::ready().await;
    let (a, b) = (publish(&scene).await, publish(&scene).await);
    for client in [&a, &b] {
        assert!(
            client.id.len() == 32 && client.id.chars().all(|c| c.is_ascii_hexdigit()),
            "{}",
            client.id
        );
    }
    assert_ne!(a.id, b.id);
    assert_ne!(a.etag, b.etag);
    let elsewhere = format!("/whip/webrtc-local/{}", a.id);
    assert_eq!(
        send(scene.address, "DELETE", &elsewhere, "", "").await.status,
        404
    );
}

#[tokio::test]
async fn point_17_bodies_are_bounded() {
    let (scene, _launcher, _worker) = Scene::ready().await;
    let client = publish(&scene).await;
    let filled = |text: &str, bytes: usize| {
        let lines = "a=x-filler:0123456789\r\n".repeat(bytes / 23 + 1);
        format!("{text}{lines}")
    };
    let long = filled(&offer("sendonly"), 64 * 1024);
    assert_problem(&post(&scene, &long).await, 413, "body-too-large");
    let long = filled(&fragment(&[]), 16 * 1024);
    let response = patch(&scene, &client.path, &client.if_match(), &long).await;
    assert_problem(&response, 413, "body-too-large");
    assert_eq!(send(scene.address, "GET", &client.path, "", "").await.status, 204);
}

#[tokio::test]
async fn point_18_a_dead_peer_is_freed() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let client = publish(&scene).await;
    assert_eq!(launcher.expect("session-start").await.json()["silence_secs"], 10);
    let reason = json!({"id": "session-ended", "message": "the peer has been silent for 10 s"});
    let event = json!({"session": client.id, "state": "ended", "reason": reason});
    launcher.call_signaling("session-event", event).await.unwrap();
    eventually("the address is gone", async || {
        send(scene.address, "GET", &client.path, "", "").await.status == 404
    })
    .await;
}

#[tokio::test]
async fn offers_of_known_clients_are_taken() {
    let scene = Scene::new().await;
    let _launcher = Service::roomy_launcher(&scene.redis).await;
    let _worker = Service::worker(&scene.redis, "test").await;
    eventually("ready", async || scene.get("/readyz").await.status == 200).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/sdp/tests/clients");
    for client in [
        "aiortc",
        "chromium",
        "firefox",
        "obs",
        "safari",
        "simple-whip-client",
        "whipclientsink",
    ] {
        let offer = std::fs::read_to_string(folder.join(format!("{client}.sdp"))).unwrap();
        let response = post(&scene, &offer).await;
        assert_eq!(response.status, 201, "{client}: {}", response.body);
    }
}

#[tokio::test]
async fn the_query_holds_parameters() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let path = format!("{ENDPOINT}?fps=10&smooth=true");
    let response = send(scene.address, "POST", &path, SDP, &offer("sendonly")).await;
    assert_eq!(response.status, 201, "{}", response.body);
    let id = Published::new(&scene, &response).path;
    assert!(id.starts_with(&format!("{ENDPOINT}/")), "{id}");
    let start = launcher.expect("session-start").await.json();
    assert_eq!(start["params"], json!({"fps": 10, "smooth": true}));
    let path = format!("{ENDPOINT}?fps=ten&colour=red");
    let response = send(scene.address, "POST", &path, SDP, &offer("sendonly")).await;
    assert_problem(&response, 422, "invalid-param");
    let pointers: Vec<Value> = response.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].clone())
        .collect();
    assert_eq!(pointers, ["/params/colour", "/params/fps"]);
    for (pipeline, status, id) in [
        ("nothing", 404, "unknown-pipeline"),
        ("uri-detect", 422, "not-a-session"),
        ("whep-view", 422, "not-a-session"),
    ] {
        let path = format!("/whip/{pipeline}");
        let response = send(scene.address, "POST", &path, SDP, &offer("sendonly")).await;
        assert_problem(&response, status, id);
    }
}

#[tokio::test]
async fn its_predictions_can_be_followed() {
    let (scene, launcher, _worker) = Scene::ready().await;
    let client = publish(&scene).await;
    let all = scene.get("/api/v1/sessions").await.json();
    assert_eq!(all["sessions"][0]["id"], client.id);
    let fields = [
        ("participantId", client.id.as_str()),
        ("timestamp", "3000"),
        ("pcount", "0"),
        ("v", "1"),
    ];
    let view = format!("/api/v1/sessions/{}", client.id);
    eventually("a prediction", async || {
        scene.publish(&client.id, &fields).await;
        scene.get(&view).await.json()["frames"] == 1
    })
    .await;
    let event = json!({"session": client.id, "state": "ended"});
    launcher.call_signaling("session-event", event).await.unwrap();
    let path = format!("{view}/predictions");
    let events = send(scene.address, "GET", &path, "Last-Event-ID: 0\r\n", "").await;
    assert!(events.body.contains("\"timestamp\":\"3000\""), "{}", events.body);
}

#[tokio::test]
async fn who_leaves_before_the_answer_leaves_no_session() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let mut stream = TcpStream::connect(scene.address).await.unwrap();
    let body = offer("sendonly");
    let request = format!(
        "POST {ENDPOINT}?fps={} HTTP/1.1\r\nHost: a\r\n{SDP}Content-Length: {}\r\n\r\n{body}",
        launcher::SLOW_FPS,
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let start = launcher.expect("session-start").await.json();
    drop(stream);
    assert_eq!(
        launcher.expect("session-stop").await.json(),
        json!({"session": start["session"]})
    );
}

#[tokio::test]
async fn stopping_the_server_stops_its_publishers() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let client = publish(&scene).await;
    launcher.expect("session-start").await;
    scene.shutdown.cancel();
    assert_eq!(
        launcher.expect("session-stop").await.json(),
        json!({"session": client.id})
    );
}
