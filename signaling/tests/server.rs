//! The server as a whole: real sockets, a real Redis, real RPC.

// The helpers here belong to tests.
#![allow(clippy::unwrap_used, dead_code)]

mod support;

use serde_json::json;
use support::{Client, SECOND, Scene, Service, eventually, sdp};

#[tokio::test]
async fn a_v1_client_gets_its_offer_and_its_predictions() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let mut client = scene.client().await;
    client.join_v1().await;
    let offer = client.expect("SdpOffer").await;
    let offer: serde_json::Value =
        serde_json::from_str(offer.as_str().expect("a string that holds JSON")).unwrap();
    assert_eq!(offer, json!({"sdp": "v=0\r\ns=a|b!c\r\n"}));

    let start = launcher.expect("session-start").await.json();
    assert_eq!(start["pipeline"], "webrtc-detect");
    assert_eq!(start["reply_to"], "svc:sgn:test");
    assert_eq!(start["trickle"], false);
    let session = start["session"].as_str().unwrap().to_owned();
    assert_eq!(session.len(), 32);
    assert!(session.chars().all(|c| c.is_ascii_hexdigit()), "{session}");

    let answer = "v=0\r\na=x|y!z\r\n";
    client.send("SdpOfferAnswer", json!({"sdp": answer})).await;
    assert_eq!(
        launcher.expect("sdp-accept-offer-answer").await.args,
        [session.as_str(), answer]
    );

    // States are for protocol 2.
    let event = json!({"session": session, "state": "connected"});
    launcher.call_signaling("session-event", event).await.unwrap();
    let fields = [
        ("participantId", session.as_str()),
        ("timestamp", "3000"),
        ("pcount", "0"),
        ("v", "1"),
    ];
    scene.publish(&session, &fields).await;
    assert_eq!(
        client.expect("Prediction").await,
        json!({"participantId": session, "timestamp": "3000", "pcount": "0", "v": "1"})
    );

    client.close().await;
    assert_eq!(
        launcher.expect("session-stop").await.json(),
        json!({"session": session})
    );
}

#[tokio::test]
async fn a_client_of_protocol_2_hears_of_everything() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let mut client = Client::connect(scene.address, "/ws").await;
    let join =
        json!({"tenantId": "tenant2", "pipeline": "webrtc-local", "params": {"fps": 15}, "protocol": 2});
    client.send("Join", join).await;
    let state = client.expect("SessionState").await;
    let session = state["session"].as_str().unwrap().to_owned();
    assert_eq!(
        state,
        json!({"session": session, "state": "starting",
        "ice_servers": [
            {"urls": ["stun:stun.example.org:3478"]},
            {"urls": ["turn:turn.example.org:3478"], "username": "alice", "credential": "secret"},
        ]})
    );
    client.expect("SdpOffer").await;
    let start = launcher.expect("session-start").await.json();
    assert_eq!(
        start,
        json!({"session": session, "pipeline": "webrtc-local", "params": {"fps": 15},
            "reply_to": "svc:sgn:test", "trickle": true, "silence_secs": 30})
    );

    // Its own candidate overtakes the answer; the launcher gets them in order.
    let candidate = json!({"candidate": "candidate:1 1 udp 1 127.0.0.1 9 typ host", "sdpMLineIndex": 0, "sdpMid": "video0"});
    client.send("IceCandidate", candidate.clone()).await;
    client.send("SdpOfferAnswer", json!({"sdp": "v=0"})).await;
    launcher.expect("sdp-accept-offer-answer").await;
    let mut expected = candidate.clone();
    expected["session"] = session.clone().into();
    assert_eq!(launcher.expect("session-candidate").await.json(), expected);
    assert_eq!(client.expect("SessionState").await["state"], "connecting");

    launcher
        .call_signaling("session-candidate", expected)
        .await
        .unwrap();
    assert_eq!(client.expect("IceCandidate").await, candidate);
    let event = json!({"session": session, "state": "connected"});
    launcher.call_signaling("session-event", event).await.unwrap();
    assert_eq!(
        client.expect("SessionState").await,
        json!({"session": session, "state": "connected"})
    );

    let before = sightline_protocol::unix_micros();
    client.send("Stats", json!({"t0": 12.5})).await;
    let clock = client.expect("Stats").await;
    assert_eq!(clock["t0"], 12.5);
    assert!(clock["server_time_us"].as_u64().unwrap() >= before);

    let reason = json!({"id": "session-failed", "message": "no decoder"});
    let event = json!({"session": session, "state": "failed", "reason": reason});
    launcher.call_signaling("session-event", event).await.unwrap();
    assert_eq!(
        client.expect("SessionState").await,
        json!({"session": session, "state": "failed", "reason": reason})
    );
    // Who asks for a session that is over is told so.
    let event = json!({"session": session, "state": "connected"});
    let refused = launcher.call_signaling("session-event", event).await.unwrap_err();
    assert!(refused.starts_with("unknown-session: "), "{refused}");
}

#[tokio::test]
async fn refusals_are_in_words() {
    let (scene, _launcher, worker) = Scene::ready().await;
    let mut client = scene.client().await;
    client.send("Join", json!({"tenantId": "nobody"})).await;
    assert_eq!(client.expect("JoinError").await, "no tenant has the id `nobody`");

    // The connection goes on, and another protocol may be spoken.
    client.join_v2("webrtc-detct").await;
    let error = client.expect("JoinError").await;
    assert_eq!(error["id"], "unknown-pipeline");
    assert!(
        error["message"].as_str().unwrap().contains("`webrtc-detect`"),
        "{error}"
    );

    let join = json!({"tenantId": "defaultTenant", "params": {"fps": 1000}, "protocol": 2});
    client.send("Join", join).await;
    assert_eq!(client.expect("SessionState").await["state"], "starting");
    let failed = client.expect("SessionState").await;
    assert_eq!(
        failed["reason"],
        json!({"id": "invalid-param", "message": "`fps` is 1000: it must be 1 to 60"})
    );

    client.send_text("not JSON".into()).await.unwrap();
    assert_eq!(client.expect("Error").await["id"], "bad-message");

    worker.stop().await;
    eventually("the worker is gone", async || {
        scene.get("/readyz").await.body.contains("no-worker")
    })
    .await;
    client.join_v2("webrtc-detect").await;
    assert_eq!(client.expect("JoinError").await["id"], "no-worker");
    let mut v1 = scene.client().await;
    v1.join_v1().await;
    let words = v1.expect("JoinError").await;
    assert!(words.as_str().unwrap().contains("worker"), "{words}");
    // What needs no worker still runs.
    client.join_v2("webrtc-local").await;
    client.expect("SessionState").await;
    client.expect("SdpOffer").await;
}

#[tokio::test]
async fn without_a_launcher_there_are_no_sessions() {
    let scene = Scene::new().await;
    let mut client = scene.client().await;
    client.join_v2("webrtc-detect").await;
    assert_eq!(client.expect("JoinError").await["id"], "no-launcher");

    let readyz = scene.get("/readyz").await;
    assert_eq!(readyz.status, 503);
    let readyz = readyz.json();
    assert_eq!(readyz["ready"], false);
    let reasons: Vec<_> = readyz["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reason| reason["id"].as_str().unwrap())
        .collect();
    assert_eq!(reasons, ["no-launcher", "no-worker"]);

    let pipelines = scene.get("/api/v1/pipelines").await;
    assert_eq!(pipelines.status, 503);
    assert!(
        pipelines.head.contains("content-type: application/problem+json"),
        "{}",
        pipelines.head
    );
    assert_eq!(pipelines.json()["type"], "urn:sightline:problem:no-launcher");
    assert_eq!(pipelines.json()["status"], 503);
}

#[tokio::test]
async fn what_a_full_launcher_refuses_the_next_one_takes() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let mut full = Service::full_launcher(&scene.redis).await;
    let mut client = scene.client().await;
    let session = client.establish_v2().await;
    full.expect("session-start").await;
    launcher.expect("session-start").await;
    launcher.expect("sdp-accept-offer-answer").await;
    let listed = scene.get(&format!("/api/v1/sessions/{session}")).await.json();
    assert_eq!(listed["launcher"], "svc:mb:test");

    // With nobody else to ask, the refusal is the client's.
    launcher.stop().await;
    client.expect("SessionState").await;
    client.join_v2("webrtc-detect").await;
    client.expect("SessionState").await;
    let state = client.expect("SessionState").await;
    assert_eq!(state["reason"]["id"], "too-many-sessions", "{state}");
}

#[tokio::test]
async fn workers_that_keep_crashing_are_a_reason() {
    let scene = Scene::new().await;
    let _launcher = Service::launcher_in_trouble(&scene.redis, "no ONNX Runtime").await;
    eventually("the reason", async || {
        let readyz = scene.get("/readyz").await.json();
        let message = readyz["reasons"][0]["message"].as_str().unwrap_or_default();
        message.ends_with("workers keep crashing: no ONNX Runtime")
    })
    .await;
}

#[tokio::test]
async fn a_lost_launcher_ends_its_sessions() {
    let (scene, launcher, _worker) = Scene::ready().await;
    let mut client = scene.client().await;
    let session = client.establish_v2().await;
    launcher.stop().await;
    let state = client.expect("SessionState").await;
    assert_eq!(state["session"], session.as_str());
    assert_eq!(state["state"], "failed");
    assert!(
        state["reason"]["message"]
            .as_str()
            .unwrap()
            .contains("`svc:mb:test`"),
        "{state}"
    );
}

#[tokio::test]
async fn a_launcher_that_was_restarted_under_its_name_ends_what_it_ran_before() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let mut client = scene.client().await;
    let session = client.establish_v2().await;
    launcher.expect("session-start").await;
    launcher.expect("sdp-accept-offer-answer").await;

    // Redis was away, and it runs what it ran.
    launcher.register_again().await;
    for _ in 0..3 {
        client.expect_nothing().await;
    }

    launcher.restart().await;
    let state = client.expect("SessionState").await;
    assert_eq!(state["session"], session.as_str());
    assert_eq!(state["state"], "failed");
    assert_eq!(state["reason"]["id"], "no-launcher");
}

#[tokio::test]
async fn predictions_reach_their_session_only_and_never_backwards() {
    let (scene, _launcher, _worker) = Scene::ready().await;
    let (mut one, mut two) = (scene.client().await, scene.client().await);
    let (first, second) = (one.establish_v2().await, two.establish_v2().await);
    assert_ne!(first, second);
    let publish = async |session: &str, seq: &str| {
        let fields = [
            ("participantId", session),
            ("timestamp", seq),
            ("v", "1"),
            ("seq", seq),
        ];
        scene.publish(session, &fields).await;
    };
    for seq in ["1", "3", "2", "3", "4"] {
        publish(&first, seq).await;
    }
    publish(&second, "9").await;
    for seq in ["1", "3", "4"] {
        assert_eq!(one.expect("Prediction").await["seq"], seq);
    }
    assert_eq!(two.expect("Prediction").await["seq"], "9");
    one.expect_nothing().await;
    two.expect_nothing().await;

    // An entry that claims another session than its channel's, or is none, is not handed on.
    let fields = [
        ("participantId", second.as_str()),
        ("timestamp", "10"),
        ("v", "1"),
    ];
    scene.publish(&first, &fields).await;
    scene.publish(&first, &[]).await;
    one.expect_nothing().await;
    two.expect_nothing().await;
}

#[tokio::test]
async fn the_predictions_of_v1_workers_are_bridged() {
    let (scene, _launcher, _worker) = Scene::ready().await;
    let mut client = scene.client().await;
    let session = client.establish_v2().await;
    let mut redis = scene
        .redis
        .client()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    let mut add = async |fields: &[(&str, &str)]| {
        let mut command = redis::cmd("XADD");
        command.arg("predictions").arg("*").arg(fields);
        let _: String = command.query_async(&mut redis).await.unwrap();
    };
    let entry = [
        ("participantId", session.as_str()),
        ("timestamp", "3000"),
        ("pcount", "1"),
        ("res", "312"),
        ("p0", "dog|0.8551|104;156;312;234"),
    ];
    add(&entry).await;
    let prediction = client.expect("Prediction").await;
    assert_eq!(prediction["p0"], "dog|0.8551|104;156;312;234");
    assert_eq!(prediction.as_object().unwrap().len(), 5);

    // A worker of ours has published its own already.
    add(&[
        ("participantId", session.as_str()),
        ("timestamp", "6000"),
        ("v", "1"),
    ])
    .await;
    add(&[("nonsense", "1")]).await;
    client.expect_nothing().await;

    // Redis loses the group; the bridge makes a new one.
    let _: () = redis::cmd("DEL")
        .arg("predictions")
        .query_async(&mut redis)
        .await
        .unwrap();
    eventually("the group is back", async || {
        let groups: redis::RedisResult<Vec<redis::Value>> = redis::cmd("XINFO")
            .arg("GROUPS")
            .arg("predictions")
            .query_async(&mut redis)
            .await;
        groups.is_ok_and(|groups| groups.len() == 1)
    })
    .await;
    let _: String = redis::cmd("XADD")
        .arg("predictions")
        .arg("*")
        .arg(&[("participantId", session.as_str()), ("timestamp", "9000")])
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(client.expect("Prediction").await["timestamp"], "9000");
}

#[tokio::test]
async fn a_v1_media_bridge_serves_sessions() {
    let scene = Scene::new().await;
    let mut bridge = Service::v1_bridge(&scene.redis, "old").await;
    let _worker = Service::worker(&scene.redis, "old").await;
    eventually("ready", async || scene.get("/readyz").await.status == 200).await;
    let mut client = scene.client().await;
    client.join_v2("webrtc-detect").await;
    let session = client.expect("SessionState").await["session"].clone();
    // To the letter, whatever else v1 puts into it.
    assert_eq!(
        client.expect("SdpOffer").await,
        r#"{"type":"offer","sdp":"v=0 from v1"}"#
    );
    let session = session.as_str().unwrap();
    assert_eq!(bridge.expect("sdp-offer-req").await.args, [session]);
    client.send("SdpOfferAnswer", json!({"sdp": "v=0 answer"})).await;
    assert_eq!(
        bridge.expect("sdp-accept-offer-answer").await.args,
        [session, "v=0 answer"]
    );
    assert_eq!(client.expect("SessionState").await["state"], "connecting");

    let to = sightline_protocol::inventa::ServiceName::new("sgn", "");
    let mut states = Vec::new();
    for (new, old) in [("connected", "checking"), ("failed", "connected")] {
        let answer = bridge
            .inventa
            .call(&to, "mb-ice-conn-state-change", &[session, new, old], SECOND)
            .await
            .unwrap();
        assert_eq!(answer, ["succeeded"]);
        states.push(client.expect("SessionState").await["state"].clone());
    }
    assert_eq!(states, ["connected", "failed"]);
}

#[tokio::test]
async fn messages_are_bounded_in_size_and_number() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let mut client = scene.client().await;
    client.establish_v2().await;
    launcher.expect("session-start").await;
    launcher.expect("sdp-accept-offer-answer").await;
    client.send_text("x".repeat(64 * 1024 + 1)).await.unwrap();
    let error = client.expect("Error").await;
    assert!(error["message"].as_str().unwrap().contains("64 KiB"), "{error}");
    assert!(client.next().await.is_none(), "closed");
    launcher.expect("session-stop").await;

    // Far beyond any sense, without words.
    let mut client = scene.client().await;
    client.send_text("x".repeat(8 * 1024 * 1024)).await.ok();
    while let Some(message) = client.next().await {
        assert_eq!(message["type"], "Error");
    }

    let mut client = scene.client().await;
    for _ in 0..100 {
        client
            .send_text(r#"{"type":"Stats","data":{"t0":1}}"#.into())
            .await
            .ok();
    }
    let mut answers = 0;
    let last = loop {
        let message = client.next().await.expect("words before the end");
        if message["type"] == "Error" {
            break message;
        }
        answers += 1;
    };
    assert!((30..35).contains(&answers), "{answers}");
    assert!(
        last["data"].as_str().unwrap().contains("too many messages"),
        "{last}"
    );
    assert!(client.next().await.is_none(), "closed");

    // Others are not concerned.
    scene.client().await.establish_v2().await;
}

#[tokio::test]
async fn a_restart_of_redis_ends_no_session() {
    let (mut scene, _launcher, _worker) = Scene::ready().await;
    let mut client = scene.client().await;
    let session = client.establish_v2().await;
    scene.redis.kill();
    eventually("not ready", async || {
        scene.get("/readyz").await.body.contains("no-redis")
    })
    .await;
    scene.redis.resume();
    eventually("ready", async || scene.get("/readyz").await.status == 200).await;
    let mut seq = 0u64;
    eventually("predictions come again", async || {
        seq += 1;
        let seq = seq.to_string();
        let fields = [
            ("participantId", session.as_str()),
            ("timestamp", &seq),
            ("seq", &seq),
            ("v", "1"),
        ];
        scene.publish(&session, &fields).await;
        tokio::time::timeout(SECOND / 5, client.expect("Prediction"))
            .await
            .is_ok()
    })
    .await;
    let mut redis = scene
        .redis
        .client()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    eventually("the bridge is back", async || {
        let exists: bool = redis::cmd("EXISTS")
            .arg("predictions")
            .query_async(&mut redis)
            .await
            .unwrap();
        exists
    })
    .await;
}

#[tokio::test]
async fn stopping_tells_everybody() {
    let (mut scene, mut launcher, _worker) = Scene::ready().await;
    let (mut two, mut one) = (scene.client().await, scene.client().await);
    two.establish_v2().await;
    one.join_v1().await;
    one.expect("SdpOffer").await;
    for method in ["session-start", "sdp-accept-offer-answer", "session-start"] {
        launcher.expect(method).await;
    }
    scene.shutdown.cancel();
    let state = two.expect("SessionState").await;
    assert_eq!(
        (&state["state"], &state["reason"]["id"]),
        (&json!("ended"), &json!("server-stopping"))
    );
    assert!(two.next().await.is_none());
    assert!(
        one.expect("Error")
            .await
            .as_str()
            .unwrap()
            .contains("server is stopping")
    );
    launcher.expect("session-stop").await;
    launcher.expect("session-stop").await;
    let ended = tokio::time::timeout(5 * SECOND, &mut scene.server).await;
    ended.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_offers_is_answered() {
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let mut client = scene.client().await;
    let join = json!({"tenantId": "defaultTenant", "protocol": 2, "sdp": sdp::offer("sendonly")});
    client.send("Join", join).await;
    let session = client.expect("SessionState").await["session"].clone();
    let start = launcher.expect("session-start").await.json();
    assert!(start["offer"].as_str().unwrap().contains("m=video"), "{start}");
    let answer = client.expect("SdpAnswer").await;
    assert_eq!(answer, json!({"sdp": sdp::answer("recvonly")}));
    assert_eq!(client.expect("SessionState").await["state"], "connecting");
    let candidate = json!({"candidate": "candidate:1 1 udp 1 127.0.0.1 9 typ host", "sdpMLineIndex": 1});
    client.send("IceCandidate", candidate).await;
    assert_eq!(
        launcher.expect("session-candidate").await.json()["session"],
        session
    );
    client.close().await;
    launcher.expect("session-stop").await;
}

#[tokio::test]
async fn pipelines_are_listed() {
    let (scene, _launcher, _worker) = Scene::ready().await;
    let _second = Service::launcher(&scene.redis, "test2").await;
    let list = scene.get("/api/v1/pipelines").await;
    assert_eq!(list.status, 200);
    let names: Vec<_> = list.json()["pipelines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pipeline| pipeline["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "uri-detect",
            "webrtc-annotated",
            "webrtc-detect",
            "webrtc-local",
            "whep-view"
        ]
    );
    assert_eq!(list.json()["pipelines"][2]["needs_worker"], true);
}

#[tokio::test]
async fn the_page_is_served_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let ui = folder.path().join("dist");
    std::fs::create_dir_all(ui.join("assets")).unwrap();
    std::fs::write(folder.path().join("secret.txt"), "secret").unwrap();
    std::fs::write(ui.join("index.html"), "<!doctype html><title>page</title>").unwrap();
    std::fs::write(ui.join("assets/app-1a2b.js"), "export {}").unwrap();
    std::fs::write(ui.join("assets/app-1a2b.css"), "body {}").unwrap();
    std::fs::write(ui.join("sightline.js"), "export {}").unwrap();
    let scene = Scene::with_ui(&ui).await;

    let page = scene.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<title>page"));
    for expected in [
        "content-type: text/html",
        "cache-control: no-cache",
        "x-content-type-options: nosniff",
    ] {
        assert!(page.head.contains(expected), "{expected} in {}", page.head);
    }
    let script = scene.get("/assets/app-1a2b.js").await;
    assert!(script.head.contains("immutable"), "{}", script.head);
    assert!(script.head.contains("javascript"), "{}", script.head);
    let style = scene.get("/assets/app-1a2b.css").await;
    assert!(style.head.contains("content-type: text/css"), "{}", style.head);
    // The client is for the pages of other sites too, and so is what it is made of; the page is not.
    let open = [
        "access-control-allow-origin: *",
        "cross-origin-resource-policy: cross-origin",
    ];
    let client = scene.get("/sightline.js").await;
    assert!(client.head.contains("cache-control: no-cache"), "{}", client.head);
    for header in open {
        assert!(
            client.head.contains(header) && script.head.contains(header),
            "{header}"
        );
        assert!(!page.head.contains(header), "{header}");
    }

    for path in [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/assets/%2e%2e%2f%2e%2e%2fsecret.txt",
        "//secret.txt",
        "/missing.html",
        "/api/v1/nothing",
    ] {
        let response = scene.get(path).await;
        assert_eq!(response.status, 404, "{path}");
        assert!(!response.body.contains("secret"), "{path}: {}", response.body);
    }
    assert_eq!(scene.get("/ws").await.status, 400);
}

#[tokio::test]
async fn a_missing_page_says_how_to_build_it() {
    let scene = Scene::new().await;
    let page = scene.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.head.contains("content-type: text/plain"), "{}", page.head);
    assert!(page.body.contains("npm run build"), "{}", page.body);
}

#[tokio::test]
async fn tenants_exist_after_the_first_start_and_keep_their_names() {
    let scene = Scene::new().await;
    let mut redis = scene
        .redis
        .client()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    let tenants: Vec<String> = redis::cmd("HKEYS")
        .arg("TENANTS")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(tenants.len(), 5);
    assert!(tenants.contains(&"defaultTenant".to_owned()));
}

#[tokio::test]
async fn a_slow_reader_hurts_only_itself() {
    const COUNT: u64 = 800;
    let (scene, _launcher, _worker) = Scene::ready().await;
    let (mut slow, mut quick) = (scene.client().await, scene.client().await);
    let (slow_session, quick_session) = (slow.establish_v2().await, quick.establish_v2().await);
    let padding = "x".repeat(40 * 1024);
    let publish = async |session: &str, seq: u64| {
        let seq = seq.to_string();
        let fields = [
            ("participantId", session),
            ("timestamp", &seq),
            ("seq", &seq),
            ("v", "1"),
            ("model", &padding),
        ];
        scene.publish(session, &fields).await;
    };
    for seq in 0..COUNT {
        publish(&slow_session, seq).await;
    }
    publish(&quick_session, 0).await;
    assert_eq!(quick.expect("Prediction").await["seq"], "0");

    // What it then reads is old at first and ends with the newest: the middle was dropped.
    let (mut received, mut last) = (0, String::new());
    while last != (COUNT - 1).to_string() {
        last = slow.expect("Prediction").await["seq"]
            .as_str()
            .unwrap()
            .to_owned();
        received += 1;
    }
    assert!(received < COUNT, "all {received} were kept for it");
}
