//! Who is let in: tokens, tenants and origins, at the real server.

// The helpers here belong to tests.
#![allow(clippy::unwrap_used, dead_code)]

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use signaling::auth::Scope;
use signaling::client::Proxies;
use signaling::limits::LimitArgs;
use support::keys::{self, token};
use support::{Client, HttpResponse, SECOND, Scene, publish_with, sdp, send};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

const SESSIONS: &str = "/api/v1/sessions";

async fn ask(scene: &Scene, method: &str, path: &str, token: Option<&str>, body: &Value) -> HttpResponse {
    let bearer = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    let headers = format!("{bearer}Content-Type: application/json\r\n");
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    send(scene.address, method, path, &headers, &body).await
}

async fn status(scene: &Scene, token: Option<&str>) -> u16 {
    ask(scene, "GET", SESSIONS, token, &Value::Null).await.status
}

#[tokio::test]
async fn only_good_tokens_open_the_api() {
    let (scene, ..) = Scene::ready_with(keys::guard).await;
    assert_eq!(status(&scene, Some(&token("tenant2", Scope::View))).await, 200);
    for (what, token) in [
        ("none", None),
        ("alg=none", Some(keys::unsigned("tenant2"))),
        ("another key", Some(keys::of_another_key("tenant2"))),
        ("expired", Some(keys::until("tenant2", -60))),
        ("good for an hour", Some(keys::until("tenant2", 3600))),
        (
            "another audience",
            Some(keys::for_audience("tenant2", "elsewhere")),
        ),
        ("nonsense", Some("a.b.c".into())),
    ] {
        for (method, path) in [
            ("GET", SESSIONS),
            ("POST", SESSIONS),
            ("GET", "/api/v1/pipelines"),
            ("GET", "/api/v1/workers"),
            ("DELETE", "/api/v1/sessions/x"),
            ("GET", "/api/v1/sessions/x/predictions"),
            ("POST", "/whip/webrtc-detect"),
            ("DELETE", "/whip/webrtc-detect/x"),
            ("POST", "/whep/x"),
        ] {
            let response = ask(&scene, method, path, token.as_deref(), &json!({})).await;
            assert_eq!(response.status, 401, "{what}: {method} {path}: {}", response.body);
            assert_eq!(response.json()["type"], "urn:sightline:problem:unauthenticated");
            assert!(response.header("www-authenticate").starts_with("Bearer"));
        }
    }
    // What says nothing of anybody needs none.
    for path in ["/healthz", "/readyz", "/api/v1/openapi.json", "/"] {
        assert_eq!(scene.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_scope_is_a_limit() {
    let (scene, mut launcher, _worker) = Scene::ready_with(keys::guard).await;
    let viewer = token("tenant2", Scope::View);
    let wanted = json!({"pipeline": "uri-detect", "params": {"uri": "http://a/"}});
    for (method, path) in [
        ("POST", SESSIONS),
        ("DELETE", "/api/v1/sessions/x"),
        ("POST", "/whip/webrtc-detect"),
    ] {
        let response = ask(&scene, method, path, Some(&viewer), &wanted).await;
        assert_eq!(response.status, 403, "{method} {path}: {}", response.body);
        assert!(response.json()["detail"].as_str().unwrap().contains("`publish`"));
    }
    let publisher = token("tenant2", Scope::Publish);
    let started = ask(&scene, "POST", SESSIONS, Some(&publisher), &wanted).await;
    assert_eq!(
        (started.status, &started.json()["tenant"]),
        (201, &json!("tenant2"))
    );
    launcher.expect("session-start").await;
    // A tenant that the operator has taken away, or never had.
    let stranger = token("nobody", Scope::Publish);
    let refused = ask(&scene, "POST", SESSIONS, Some(&stranger), &wanted).await;
    assert_eq!(refused.json()["type"], "urn:sightline:problem:unknown-tenant");
}

#[tokio::test]
async fn a_tenant_sees_and_touches_its_own_only() {
    let (scene, mut launcher, _worker) = Scene::ready_with(keys::guard).await;
    let mine = token("tenant2", Scope::Publish);
    let theirs = token("tenant3", Scope::Publish);
    let admin = token("tenant4", Scope::Admin);
    let wanted = json!({"pipeline": "uri-detect", "params": {"uri": "http://a/"}});
    let started = ask(&scene, "POST", SESSIONS, Some(&mine), &wanted).await.json();
    let id = started["id"].as_str().unwrap();
    launcher.expect("session-start").await;
    let published = publish_with(&scene, "/whip/webrtc-annotated", &mine).await;
    launcher.expect("session-start").await;

    let listed = async |token: &str| {
        let sessions = ask(&scene, "GET", SESSIONS, Some(token), &Value::Null)
            .await
            .json();
        sessions["sessions"].as_array().unwrap().len()
    };
    assert_eq!(
        (listed(&mine).await, listed(&theirs).await, listed(&admin).await),
        (2, 0, 2)
    );
    for (method, path) in [
        ("GET", format!("{SESSIONS}/{id}")),
        ("DELETE", format!("{SESSIONS}/{id}")),
        ("GET", format!("{SESSIONS}/{id}/predictions")),
        ("GET", published.path.clone()),
        ("DELETE", published.path.clone()),
    ] {
        let theirs = ask(&scene, method, &path, Some(&theirs), &Value::Null).await;
        // As one that never was.
        let unknown = path
            .replace(id, &"0".repeat(32))
            .replace(&published.id, &"0".repeat(32));
        let never = ask(&scene, method, &unknown, Some(&mine), &Value::Null).await;
        assert_eq!((theirs.status, never.status), (404, 404), "{method} {path}");
        let words = |response: &HttpResponse| response.body.replace(id, "ID").replace(&published.id, "ID");
        assert_eq!(words(&theirs), words(&never).replace(&"0".repeat(32), "ID"));
    }
    let patch = format!(
        "{}Authorization: Bearer {theirs}\r\nContent-Type: application/trickle-ice-sdpfrag\r\n",
        published.if_match()
    );
    let refused = send(
        scene.address,
        "PATCH",
        &published.path,
        &patch,
        "a=ice-ufrag:x\r\n",
    )
    .await;
    assert_eq!(refused.status, 404, "{}", refused.body);
    let watch = format!("Authorization: Bearer {theirs}\r\nContent-Type: application/sdp\r\n");
    let whep = format!("/whep/{}", published.id);
    let refused = send(scene.address, "POST", &whep, &watch, &sdp::offer("recvonly")).await;
    assert_eq!(refused.status, 404, "{}", refused.body);

    // Nothing of that has ended anything; an admin may.
    assert_eq!(listed(&mine).await, 2);
    let stopped = ask(
        &scene,
        "DELETE",
        &format!("{SESSIONS}/{id}"),
        Some(&admin),
        &Value::Null,
    )
    .await;
    assert_eq!(stopped.json()["state"], "ABORTED");
}

#[tokio::test]
async fn a_socket_says_who_it_is_in_one_of_three_ways() {
    let (scene, ..) = Scene::ready_with(keys::guard).await;
    let good = token("tenant2", Scope::Publish);
    let url = format!("ws://{}/ws", scene.address);
    let protocols = format!("sightline.v1, bearer.{good}");
    let mut by_protocol = url.clone().into_client_request().unwrap();
    by_protocol
        .headers_mut()
        .insert("sec-websocket-protocol", protocols.parse().unwrap());
    let (mut client, response) = Client::with(by_protocol).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "sightline.v1");
    client
        .send("Join", json!({"tenantId": "tenant2", "protocol": 2}))
        .await;
    assert_eq!(client.expect("SessionState").await["state"], "starting");

    let mut by_header = url.clone().into_client_request().unwrap();
    by_header
        .headers_mut()
        .insert("authorization", format!("Bearer {good}").parse().unwrap());
    let (mut client, _) = Client::with(by_header).await.unwrap();
    client
        .send("Join", json!({"tenantId": "tenant3", "protocol": 2}))
        .await;
    assert_eq!(client.expect("JoinError").await["id"], "forbidden");
    client.send("Join", json!({"protocol": 2})).await;
    assert_eq!(client.expect("SessionState").await["state"], "starting");

    let mut by_message = scene.client().await;
    by_message
        .send("Join", json!({"token": good, "protocol": 2}))
        .await;
    assert_eq!(by_message.expect("SessionState").await["state"], "starting");

    for wrong in [keys::unsigned("tenant2"), keys::until("tenant2", -60)] {
        let mut request = url.clone().into_client_request().unwrap();
        request
            .headers_mut()
            .insert("authorization", format!("Bearer {wrong}").parse().unwrap());
        assert!(Client::with(request).await.unwrap_err().contains("401"));
        let mut client = scene.client().await;
        client.send("Join", json!({"token": wrong, "protocol": 2})).await;
        assert_eq!(client.expect("JoinError").await["id"], "unauthenticated");
        assert!(client.next().await.is_none());
    }

    let mut silent = scene.client().await;
    let begun = Instant::now();
    assert!(silent.expect("Error").await.is_string());
    assert!(silent.next().await.is_none());
    assert!(begun.elapsed() > 2 * SECOND && begun.elapsed() < 6 * SECOND);
}

#[tokio::test]
async fn pages_of_other_origins_have_no_way_in() {
    let (scene, ..) = Scene::ready().await;
    let wrong = "Origin: https://evil.example\r\nContent-Type: application/sdp\r\n";
    for (method, path) in [
        ("GET", SESSIONS),
        ("POST", SESSIONS),
        ("OPTIONS", SESSIONS),
        ("POST", "/whip/webrtc-detect"),
        ("OPTIONS", "/whip/webrtc-detect"),
    ] {
        let response = send(scene.address, method, path, wrong, "").await;
        assert_eq!(response.status, 403, "{method} {path}");
        assert_eq!(response.json()["type"], "urn:sightline:problem:wrong-origin");
        assert!(response.headers("access-control-allow-origin").is_empty());
    }
    let url = format!("ws://{}/ws", scene.address);
    let mut request = url.into_client_request().unwrap();
    request
        .headers_mut()
        .insert("origin", "https://evil.example".parse().unwrap());
    assert!(Client::with(request.clone()).await.unwrap_err().contains("403"));
    let own = format!("http://{}", scene.address);
    request.headers_mut().insert("origin", own.parse().unwrap());
    assert!(Client::with(request).await.is_ok());
}

fn bounded(connections: usize, requests: u32) -> LimitArgs {
    LimitArgs {
        max_connections_per_address: connections,
        max_connections_per_tenant: connections,
        max_requests_per_second: requests,
    }
}

#[tokio::test]
async fn one_address_cannot_take_all_connections() {
    let set = |config: &mut signaling::config::Config| {
        config.limits = bounded(2, 0);
        config.proxies = Proxies::new(&["127.0.0.1".into()]).unwrap();
    };
    let (scene, ..) = Scene::ready_with(set).await;
    let from = async |address: &str| {
        let mut request = format!("ws://{}/ws", scene.address)
            .into_client_request()
            .unwrap();
        request
            .headers_mut()
            .insert("x-forwarded-for", address.parse().unwrap());
        Client::with(request).await
    };
    let (one, _two) = (
        from("203.0.113.1").await.unwrap(),
        from("203.0.113.1").await.unwrap(),
    );
    assert!(from("203.0.113.1").await.unwrap_err().contains("503"));
    assert!(from("203.0.113.2").await.is_ok());
    one.0.close().await;
    support::eventually("its place is free", async || from("203.0.113.1").await.is_ok()).await;
}

#[tokio::test]
async fn a_flood_of_requests_is_refused_and_others_are_served() {
    let set = |config: &mut signaling::config::Config| {
        config.limits = bounded(0, 10);
        config.proxies = Proxies::new(&["127.0.0.1".into()]).unwrap();
    };
    let (scene, ..) = Scene::ready_with(set).await;
    let from = async |address: &str| {
        send(
            scene.address,
            "GET",
            SESSIONS,
            &format!("X-Forwarded-For: {address}\r\n"),
            "",
        )
        .await
    };
    let mut refused = None;
    for _ in 0..60 {
        let response = from("203.0.113.1").await;
        if response.status == 429 {
            refused = Some(response);
        }
    }
    let refused = refused.expect("a refusal");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() >= 1);
    assert_eq!(from("203.0.113.2").await.status, 200);
}

#[tokio::test]
async fn operators_have_an_address_of_their_own() {
    let (scene, _launcher, _worker) = Scene::ready_with(|config| {
        keys::guard(config);
        config.metrics_address = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let operators = scene.operators.unwrap();
    // From behind a proxy: nobody of this machine.
    let stranger = "X-Forwarded-For: 203.0.113.9\r\n";
    assert_eq!(
        send(scene.address, "GET", "/metrics", stranger, "").await.status,
        401
    );
    let metrics = send(operators, "GET", "/metrics", stranger, "").await;
    assert_eq!(metrics.status, 200);
    assert!(
        metrics.body.contains("\nsightline_connections_open "),
        "{}",
        metrics.body
    );
    for path in ["/healthz", "/readyz"] {
        assert_eq!(
            send(operators, "GET", path, stranger, "").await.status,
            200,
            "{path}"
        );
    }
    let admin = format!("Authorization: Bearer {}\r\n", token("tenant2", Scope::Admin));
    for path in ["/", SESSIONS, "/ws", "/whip/webrtc-detect", "/metrics/x"] {
        assert_eq!(
            send(operators, "GET", path, &admin, "").await.status,
            404,
            "{path}"
        );
    }
    assert_eq!(send(operators, "POST", "/metrics", "", "x").await.status, 405);
}

#[tokio::test]
async fn a_client_is_served_at_once_while_others_flood() {
    let (scene, ..) = Scene::ready().await;
    let address = scene.address;
    // Each sends as fast as it can, is cut, and comes again: far more than a thousand messages a second.
    let flood: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn(async move {
                let mut sent = 0_u64;
                loop {
                    let mut client = Client::connect(address, "/ws").await;
                    while client.send_text(r#"{"type":"Dance"}"#.into()).await.is_ok() {
                        sent += 1;
                        if sent.is_multiple_of(100) {
                            tokio::task::yield_now().await;
                        }
                        if sent > 100_000 {
                            return;
                        }
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(SECOND / 2).await;
    let served = tokio::time::timeout(10 * SECOND, async {
        let mut good = scene.client().await;
        good.establish_v2().await
    });
    assert_eq!(served.await.unwrap().len(), 32);
    flood.into_iter().for_each(|task| task.abort());
}

#[tokio::test]
async fn a_reader_that_stands_still_is_cut() {
    let scene = Scene::with(|_| {}).await;
    let mut stream = TcpStream::connect(scene.address).await.unwrap();
    // Asks again and again, and never reads an answer, until the kernel's buffers are full.
    let request = format!(
        "GET /api/v1/openapi.json HTTP/1.1\r\nHost: {}\r\n\r\n",
        scene.address
    );
    let begun = Instant::now();
    let cut = tokio::time::timeout(40 * SECOND, async {
        while stream.write_all(request.as_bytes()).await.is_ok() {}
    });
    assert!(cut.await.is_ok(), "it was let wait for ever");
    assert!(begun.elapsed() > 5 * SECOND, "{:?}", begun.elapsed());
    assert_eq!(scene.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_head_that_does_not_come_or_is_too_long_ends_the_connection() {
    let scene = Scene::with(|_| {}).await;
    let mut slow = TcpStream::connect(scene.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").await.unwrap();
    let mut long = TcpStream::connect(scene.address).await.unwrap();
    let head = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(100 * 1024)
    );
    long.write_all(head.as_bytes()).await.ok();
    let mut answer = String::new();
    tokio::time::timeout(5 * SECOND, long.read_to_string(&mut answer))
        .await
        .unwrap()
        .ok();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(30), slow.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "a head is waited for without end");
}
