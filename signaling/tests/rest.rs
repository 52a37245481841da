//! The REST API against a launcher that follows a script.

// The helpers here belong to tests.
#![allow(clippy::unwrap_used, dead_code)]

mod support;

use serde_json::{Value, json};
use support::{HttpResponse, Scene, Service, eventually, send};

const JSON: &str = "Content-Type: application/json\r\n";

async fn post(scene: &Scene, body: &Value) -> HttpResponse {
    send(scene.address, "POST", "/api/v1/sessions", JSON, &body.to_string()).await
}

/// Starts a session; its id.
async fn start(scene: &Scene, launcher: &mut Service) -> String {
    let response = post(
        scene,
        &json!({"pipeline": "uri-detect", "params": {"uri": "http://a/"}}),
    )
    .await;
    assert_eq!(response.status, 201, "{}", response.body);
    let id = response.json()["id"].as_str().unwrap().to_owned();
    assert!(
        response
            .head
            .contains(&format!("location: /api/v1/sessions/{id}\r\n"))
    );
    let heard = launcher.expect("session-start").await.json();
    assert_eq!(heard["session"], id.as_str());
    assert_eq!(heard["params"], json!({"uri": "http://a/"}));
    id
}

async fn session(scene: &Scene, id: &str) -> Value {
    let response = scene.get(&format!("/api/v1/sessions/{id}")).await;
    assert_eq!(response.status, 200);
    response.json()
}

async fn tell(launcher: &Service, id: &str, state: &str) {
    let reason = (state == "failed").then(|| json!({"id": "session-failed", "message": "no decoder"}));
    let exit = (state == "failed").then(|| json!({"kind": "killed", "signal": 11}));
    let event = json!({"session": id, "state": state, "reason": reason, "exit": exit});
    launcher.call_signaling("session-event", event).await.unwrap();
}

async fn publish(scene: &Scene, id: &str, timestamp: &str) {
    let fields = [
        ("participantId", id),
        ("timestamp", timestamp),
        ("pcount", "0"),
        ("v", "1"),
    ];
    scene.publish(id, &fields).await;
}

#[tokio::test]
async fn a_source_is_followed_to_its_end() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let id = start(&scene, &mut launcher).await;
    assert_eq!(
        (id.len(), session(&scene, &id).await["state"].as_str()),
        (32, Some("QUEUED"))
    );
    tell(&launcher, &id, "connected").await;
    assert_eq!(session(&scene, &id).await["state"], "RUNNING");

    for timestamp in ["3000", "6000", "3000", "9000"] {
        publish(&scene, &id, timestamp).await;
    }
    eventually("three predictions", async || {
        session(&scene, &id).await["frames"] == 3
    })
    .await;
    tell(&launcher, &id, "ended").await;
    assert_eq!(session(&scene, &id).await["state"], "COMPLETED");

    // A client that had the first comes back for the rest.
    let path = format!("/api/v1/sessions/{id}/predictions");
    let events = send(scene.address, "GET", &path, "Last-Event-ID: 1\r\n", "").await;
    assert!(
        events.head.contains("content-type: text/event-stream"),
        "{}",
        events.head
    );
    let kinds: Vec<_> = events
        .body
        .lines()
        .filter_map(|line| line.strip_prefix("event:"))
        .collect();
    assert_eq!(kinds, ["prediction", "prediction", "end"]);
    assert!(
        events.body.contains("\"timestamp\":\"9000\"") && events.body.contains("id:4"),
        "{}",
        events.body
    );
    let nothing = send(scene.address, "GET", &path, "Last-Event-ID: 4\r\n", "").await;
    assert_eq!(nothing.status, 204);
}

#[tokio::test]
async fn what_a_session_has_dropped_is_told_while_it_runs_and_when_it_has_ended() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let id = start(&scene, &mut launcher).await;
    tell(&launcher, &id, "connected").await;
    for timestamp in ["3000", "6000", "3000"] {
        publish(&scene, &id, timestamp).await;
    }
    let expected = json!({"late": 1, "replaced": 4, "unanswered": 1});
    eventually("what the launcher says", async || {
        session(&scene, &id).await["dropped"] == expected
    })
    .await;
    let listed = scene.get("/api/v1/sessions").await.json();
    assert_eq!(listed["sessions"][0]["dropped"], expected);

    let progress = json!({"frames": 9, "frame_rate": 0.0, "memory_bytes": 1, "dropped": {"replaced": 6}});
    let exit = json!({"kind": "success"});
    let event = json!({"session": id, "state": "ended", "exit": exit, "progress": progress});
    launcher.call_signaling("session-event", event).await.unwrap();
    let ended = session(&scene, &id).await;
    assert_eq!(ended["state"], "COMPLETED");
    assert_eq!(ended["dropped"], json!({"late": 1, "replaced": 6}));
}

#[tokio::test]
async fn every_end_is_visible() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let failed = start(&scene, &mut launcher).await;
    tell(&launcher, &failed, "failed").await;
    let seen = session(&scene, &failed).await;
    assert_eq!(
        (&seen["state"], &seen["last_error"]["message"]),
        (&json!("ERROR"), &json!("no decoder"))
    );
    assert_eq!(seen["exit"], json!({"kind": "killed", "signal": 11}));

    let stopped = start(&scene, &mut launcher).await;
    let path = format!("/api/v1/sessions/{stopped}");
    let response = send(scene.address, "DELETE", &path, "", "").await;
    assert_eq!(
        (response.status, &response.json()["state"]),
        (200, &json!("ABORTED"))
    );
    assert_eq!(
        launcher.expect("session-stop").await.json(),
        json!({"session": stopped})
    );

    let lost = start(&scene, &mut launcher).await;
    launcher.stop().await;
    eventually("the launcher is missed", async || {
        session(&scene, &lost).await["state"] == "ERROR"
    })
    .await;
    assert_eq!(session(&scene, &lost).await["last_error"]["id"], "no-launcher");

    let all = scene.get("/api/v1/sessions").await.json();
    let ids: Vec<_> = all["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(ids, [&lost, &stopped, &failed]);
}

#[tokio::test]
async fn a_source_goes_on_with_another_launcher() {
    let scene = Scene::new().await;
    let mut first = Service::launcher(&scene.redis, "a").await;
    let mut second = Service::launcher(&scene.redis, "b").await;
    let id = start(&scene, &mut first).await;
    tell(&first, &id, "connected").await;
    for timestamp in ["5000", "6000"] {
        publish(&scene, &id, timestamp).await;
    }
    first.stop().await;
    let again = second.expect("session-start").await.json();
    assert_eq!(
        (&again["session"], &again["params"]),
        (&json!(id), &json!({"uri": "http://a/"}))
    );
    eventually("it is started again", async || {
        let seen = session(&scene, &id).await;
        (&seen["state"], &seen["launcher"]) == (&json!("QUEUED"), &json!("svc:mb:b"))
    })
    .await;
    let seen = session(&scene, &id).await;
    assert_eq!(
        (&seen["restarts"], &seen["last_error"]["id"]),
        (&json!(1), &json!("no-launcher"))
    );
    // What the first one left running is not wanted when that comes back, and its frames' numbers are forgotten.
    let mut first = Service::launcher(&scene.redis, "a").await;
    assert_eq!(first.expect("session-stop").await.json(), json!({"session": id}));
    tell(&second, &id, "connected").await;
    publish(&scene, &id, "100").await;
    eventually("its frames are counted on", async || {
        session(&scene, &id).await["frames"] == 3
    })
    .await;

    // A launcher that stops in order ends its sessions itself, and takes no more.
    let event = json!({
        "session": id, "state": "ended", "reason": {"id": "server-stopping", "message": "try again"},
    });
    second.call_signaling("session-event", event).await.unwrap();
    assert_eq!(first.expect("session-start").await.json()["session"], json!(id));
    eventually("the first has it again", async || {
        session(&scene, &id).await["launcher"] == "svc:mb:a"
    })
    .await;
}

#[tokio::test]
async fn a_source_that_is_stopped_while_it_moves_does_not_run_on() {
    let scene = Scene::new().await;
    let mut first = Service::launcher(&scene.redis, "a").await;
    let mut second = Service::launcher(&scene.redis, "b").await;
    let slow = json!({"uri": "http://a/", "fps": support::launcher::SLOW_FPS});
    let response = post(&scene, &json!({"pipeline": "uri-detect", "params": slow})).await;
    let id = response.json()["id"].as_str().unwrap().to_owned();
    first.expect("session-start").await;
    first.stop().await;
    second.expect("session-start").await;
    let response = send(scene.address, "DELETE", &format!("/api/v1/sessions/{id}"), "", "").await;
    assert_eq!(response.json()["state"], "ABORTED");
    for _asked in ["by the request", "because it has started all the same"] {
        assert_eq!(second.expect("session-stop").await.json(), json!({"session": id}));
    }
    assert_eq!(session(&scene, &id).await["state"], "ABORTED");
}

#[tokio::test]
async fn sessions_of_the_websocket_are_listed_and_can_be_stopped() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let mut client = scene.client().await;
    let id = client.establish_v2().await;
    let seen = session(&scene, &id).await;
    assert_eq!(
        (&seen["pipeline"], &seen["launcher"]),
        (&json!("webrtc-detect"), &json!("svc:mb:test"))
    );
    launcher.expect("session-start").await;
    launcher.expect("sdp-accept-offer-answer").await;
    send(scene.address, "DELETE", &format!("/api/v1/sessions/{id}"), "", "").await;
    launcher.expect("session-stop").await;
    tell(&launcher, &id, "ended").await;
    assert_eq!(client.expect("SessionState").await["state"], "ended");
    assert_eq!(session(&scene, &id).await["state"], "ABORTED");
}

#[tokio::test]
async fn wrong_requests_are_told_apart() {
    let (scene, _launcher, _worker) = Scene::ready().await;
    let sessions = "/api/v1/sessions";
    let long = format!("{{\"pipeline\":\"{}\"}}", "x".repeat(70_000));
    for (method, path, headers, body, status, id) in [
        ("GET", "/api/v1/nothing", "", "", 404, "not-found"),
        ("GET", "/api/v1/sessions/0", "", "", 404, "unknown-session"),
        ("DELETE", "/api/v1/sessions/0", "", "", 404, "unknown-session"),
        (
            "GET",
            "/api/v1/sessions/0/predictions",
            "",
            "",
            404,
            "unknown-session",
        ),
        (
            "GET",
            "/api/v1/pipelines/uri-detct",
            "",
            "",
            404,
            "unknown-pipeline",
        ),
        ("PUT", sessions, "", "", 405, "method-not-allowed"),
        (
            "GET",
            sessions,
            "Accept: text/html\r\n",
            "",
            406,
            "not-acceptable",
        ),
        ("POST", sessions, "", "{}", 415, "unsupported-media-type"),
        ("POST", sessions, JSON, "{", 400, "bad-message"),
        ("POST", sessions, JSON, "{}", 422, "bad-message"),
        ("POST", sessions, JSON, &long, 413, "body-too-large"),
        (
            "POST",
            sessions,
            JSON,
            r#"{"pipeline":"nothing"}"#,
            404,
            "unknown-pipeline",
        ),
        (
            "POST",
            sessions,
            JSON,
            r#"{"pipeline":"webrtc-local"}"#,
            422,
            "not-a-source",
        ),
        (
            "POST",
            sessions,
            JSON,
            r#"{"pipeline":"uri-detect"}"#,
            422,
            "invalid-param",
        ),
    ] {
        let response = send(scene.address, method, path, headers, body).await;
        assert_eq!(
            response.status, status,
            "{method} {path} {body:.40}: {}",
            response.body
        );
        assert!(
            response.head.contains("content-type: application/problem+json"),
            "{}",
            response.head
        );
        let problem = response.json();
        assert_eq!(
            problem["type"],
            format!("urn:sightline:problem:{id}"),
            "{method} {path}"
        );
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(
            response.head.contains("\r\nallow: get, head, post"),
            status == 405
        );
    }
    assert_eq!(
        scene.get(sessions).await.json(),
        json!({"sessions": []}),
        "nothing was started"
    );
}

#[tokio::test]
async fn too_many_starts_are_told_to_wait() {
    let (scene, _launcher, _worker) = Scene::ready().await;
    let body = json!({"pipeline": "uri-detect", "params": {"uri": "http://a/"}});
    let mut starts = 0;
    let refused = loop {
        let response = post(&scene, &body).await;
        if response.status == 429 {
            break response;
        }
        starts += 1;
        assert!(starts < 600, "no limit");
    };
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    assert!(starts > 3, "{starts}");
}

#[tokio::test]
async fn a_full_launcher_says_when_to_come_back() {
    let scene = Scene::new().await;
    let _full = Service::full_launcher(&scene.redis).await;
    let body = json!({"pipeline": "uri-detect", "params": {"uri": "http://a/"}});
    // First it refuses; then that is remembered.
    for _ in 0..2 {
        let response = post(&scene, &body).await;
        assert_eq!(response.status, 503, "{}", response.body);
        assert!(
            response.head.contains("\r\nretry-after: 7\r\n"),
            "{}",
            response.head
        );
    }
}

#[tokio::test]
async fn what_only_the_launcher_knows_to_be_wrong_is_a_flaw_too() {
    let (scene, _launcher, _worker) = Scene::ready().await;
    let body = json!({"pipeline": "uri-detect", "params": {"uri": "gopher://a/"}});
    let response = post(&scene, &body).await;
    let problem = response.json();
    assert_eq!(
        (response.status, &problem["errors"][0]["pointer"]),
        (422, &json!("/params"))
    );
    assert!(
        problem["detail"].as_str().unwrap().contains("gopher"),
        "{problem}"
    );
}

/// Counters are the process's, so other tests count too.
#[tokio::test]
async fn what_happens_is_counted() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let id = start(&scene, &mut launcher).await;
    for timestamp in ["6000", "3000"] {
        publish(&scene, &id, timestamp).await;
    }
    eventually("a late prediction", async || {
        let metrics = scene.get("/metrics").await;
        assert!(
            metrics.head.contains("content-type: text/plain; version=0.0.4"),
            "{}",
            metrics.head
        );
        assert!(!metrics.body.contains(&id), "a session's id is no label");
        metrics
            .body
            .contains("sightline_predictions_dropped_total{reason=\"late\"} ")
            && metrics.body.contains("sightline_sessions{state=\"running\"} ")
            && metrics.body.contains("\nsightline_connections_open ")
    })
    .await;
    tell(&launcher, &id, "ended").await;
    let metrics = scene.get("/metrics").await.body;
    assert!(
        metrics.contains("sightline_sessions_ended_total{state=\"completed\"} "),
        "{metrics}"
    );
}

#[tokio::test]
async fn parameters_and_workers_are_described() {
    let (scene, _launcher, _worker) = Scene::ready().await;
    let pipeline = scene.get("/api/v1/pipelines/uri-detect").await.json();
    assert_eq!(pipeline["kind"], "source");
    let schema = &pipeline["params_schema"];
    assert_eq!(schema["required"], json!(["uri"]));
    assert_eq!(schema["properties"]["fps"]["maximum"], 60);
    let workers = scene.get("/api/v1/workers").await.json();
    assert_eq!(workers["workers"][0]["name"], "svc:inf:test");
    let document = scene.get("/api/v1/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
}

#[tokio::test]
async fn stopping_the_server_stops_its_sources() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let id = start(&scene, &mut launcher).await;
    scene.shutdown.cancel();
    assert_eq!(
        launcher.expect("session-stop").await.json(),
        json!({"session": id})
    );
}
