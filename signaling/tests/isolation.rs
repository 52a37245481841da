//! Ten thousand random requests of several tenants at the real server (src/isolation.rs has many more): none sees, hears or touches what is another's.

// The helpers here belong to tests.
#![allow(clippy::unwrap_used, dead_code)]

mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use signaling::auth::Scope;
use support::http::Http;
use support::keys::{self, token};
use support::{Scene, Service, eventually, publish_with, sdp};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const TENANTS: [&str; 5] = ["defaultTenant", "tenant2", "tenant3", "tenant4", "tenant5"];
const OPERATIONS: usize = 10_000;
const ACTORS: usize = 4;
const SESSIONS: &str = "/api/v1/sessions";

/// What there is, and whose: a session's id, or the path of a session's own address.
#[derive(Default)]
struct World {
    sessions: Vec<(String, usize)>,
    resources: Vec<(String, usize)>,
}

/// The status, and the body as JSON, or null.
async fn ask(
    http: &mut Http,
    (method, path): (&str, &str),
    token: &str,
    kind: &str,
    body: &str,
) -> (u16, Value) {
    let headers = format!("Authorization: Bearer {token}\r\nContent-Type: {kind}\r\n");
    let answer = http.send(method, path, &headers, body.as_bytes()).await;
    (
        answer.status,
        serde_json::from_slice(&answer.body).unwrap_or_default(),
    )
}

struct Actor {
    http: Http,
    random: StdRng,
    tokens: Arc<Vec<String>>,
    world: Arc<Mutex<World>>,
    redis: redis::aio::MultiplexedConnection,
}

impl Actor {
    async fn act(&mut self) {
        let who = self.random.random_range(0..TENANTS.len());
        let token = self.tokens[who].clone();
        let (session, owner) = self.any(|world| &world.sessions);
        let (resource, door) = self.any(|world| &world.resources);
        let path = format!("{SESSIONS}/{session}");
        let json = "application/json";
        match self.random.random_range(0..1000) {
            0 => self.start(who, &token).await,
            1..=20 => {
                let (status, body) = ask(&mut self.http, ("DELETE", &path), &token, json, "").await;
                assert_seen(status, &body, who, owner);
            }
            21..=60 => {
                let (status, body) = ask(&mut self.http, ("GET", SESSIONS), &token, json, "").await;
                assert_eq!(status, 200);
                for session in body["sessions"].as_array().unwrap() {
                    assert_eq!(session["tenant"], TENANTS[who]);
                }
            }
            61..=110 => {
                let (status, _) = ask(&mut self.http, ("GET", &resource), &token, json, "").await;
                assert_eq!(status == 204, who == door, "{status} of {resource}");
            }
            111..=130 if who != door => {
                for (method, kind) in [("DELETE", json), ("PATCH", "application/trickle-ice-sdpfrag")] {
                    let (status, _) = ask(&mut self.http, (method, &resource), &token, kind, "").await;
                    assert_eq!(status, 404, "{method} {resource}");
                }
            }
            131..=160 if who != owner => {
                let (whep, offer) = (format!("/whep/{session}"), sdp::offer("recvonly"));
                let (status, _) =
                    ask(&mut self.http, ("POST", &whep), &token, "application/sdp", &offer).await;
                assert_eq!(status, 404, "{whep}");
                let predictions = format!("{path}/predictions");
                let (status, _) = ask(&mut self.http, ("GET", &predictions), &token, json, "").await;
                assert!(matches!(status, 404 | 406), "{status}");
            }
            161..=300 => self.predict(&session, owner).await,
            _ => {
                let (status, body) = ask(&mut self.http, ("GET", &path), &token, json, "").await;
                assert_seen(status, &body, who, owner);
            }
        }
    }

    fn any(&mut self, of: impl Fn(&World) -> &Vec<(String, usize)>) -> (String, usize) {
        let world = self.world.lock().unwrap();
        let all = of(&world);
        all[self.random.random_range(0..all.len())].clone()
    }

    async fn start(&mut self, who: usize, token: &str) {
        let body = json!({"pipeline": "uri-detect", "params": {"uri": "http://a/"}}).to_string();
        let (status, body) = ask(
            &mut self.http,
            ("POST", SESSIONS),
            token,
            "application/json",
            &body,
        )
        .await;
        assert_eq!(status, 201, "{body}");
        assert_eq!(body["tenant"], TENANTS[who]);
        let id = body["id"].as_str().unwrap().to_owned();
        self.world.lock().unwrap().sessions.push((id, who));
    }

    /// A worker has found something in a session; it says whose that is.
    async fn predict(&mut self, session: &str, owner: usize) {
        let seq = sightline_protocol::unix_micros().to_string();
        let fields = [
            ("participantId", session),
            ("timestamp", "0"),
            ("seq", &seq),
            ("v", "1"),
            ("model", TENANTS[owner]),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let json = sightline_protocol::prediction::fields_to_json(fields);
        let channel = sightline_protocol::keys::predictions_channel(session);
        let published: redis::RedisResult<()> =
            redis::AsyncCommands::publish(&mut self.redis, channel, json).await;
        published.unwrap();
    }
}

/// On a machine that is busy with this test, an answer may take its time.
async fn connection(scene: &Scene) -> redis::aio::MultiplexedConnection {
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let client = scene.redis.client();
    let connected = client.get_multiplexed_async_connection_with_config(&patient);
    connected.await.unwrap()
}

fn assert_seen(status: u16, body: &Value, who: usize, owner: usize) {
    if who == owner {
        assert_eq!((status, &body["tenant"]), (200, &json!(TENANTS[who])));
    } else {
        assert_eq!(status, 404, "{body}");
    }
}

/// Follows a session of a tenant, and counts what it hears: all of it must be the tenant's.
fn follow(
    address: SocketAddr,
    session: &str,
    token: &str,
    who: usize,
) -> (Arc<Mutex<usize>>, JoinHandle<()>) {
    let request = format!(
        "GET {SESSIONS}/{session}/predictions HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Accept: text/event-stream\r\n\r\n"
    );
    let heard = Arc::new(Mutex::new(0));
    let count = Arc::clone(&heard);
    let task = tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(data) = line.strip_prefix("data:") {
                let data: Value = serde_json::from_str(data).unwrap();
                let whose = data.get("model").or(data.get("tenant")).unwrap();
                assert_eq!(whose, TENANTS[who]);
                *count.lock().unwrap() += 1;
            }
        }
    });
    (heard, task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_tenant_sees_hears_or_touches_what_is_anothers() {
    let scene = Scene::with(keys::guard).await;
    let _launcher = Service::roomy_launcher(&scene.redis).await;
    let _worker = Service::worker(&scene.redis, "test").await;
    eventually("ready", async || scene.get("/readyz").await.status == 200).await;
    let tokens: Arc<Vec<_>> = Arc::new(TENANTS.map(|tenant| token(tenant, Scope::Publish)).to_vec());
    let world = Arc::new(Mutex::new(World::default()));
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut actors = Vec::new();
    for number in 0..ACTORS as u64 {
        actors.push(Actor {
            http: Http::new(scene.address),
            random: StdRng::seed_from_u64(seed ^ number),
            tokens: Arc::clone(&tokens),
            world: Arc::clone(&world),
            redis: connection(&scene).await,
        });
    }
    let mut followers = Vec::new();
    for (who, token) in tokens.iter().enumerate() {
        let published = publish_with(&scene, "/whip/webrtc-annotated", token).await;
        let (heard, follower) = follow(scene.address, &published.id, token, who);
        // The test can fail: followers do hear their own.
        let hears = async {
            while *heard.lock().unwrap() == 0 {
                actors[0].predict(&published.id, who).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), hears)
            .await
            .unwrap();
        followers.push(follower);
        {
            let mut world = world.lock().unwrap();
            world.resources.push((published.path, who));
            world.sessions.push((published.id, who));
        }
        for _ in 0..3 {
            actors[0].start(who, token).await;
        }
    }

    let tasks: Vec<_> = actors
        .into_iter()
        .map(|mut actor| {
            tokio::spawn(async move {
                for _ in 0..OPERATIONS / ACTORS {
                    actor.act().await;
                }
            })
        })
        .collect();
    for task in tasks {
        tokio::time::timeout(Duration::from_secs(600), task)
            .await
            .unwrap()
            .unwrap();
    }
    for follower in followers.into_iter().filter(JoinHandle::is_finished) {
        follower.await.unwrap();
    }
    // An admin sees all.
    let admin = token("tenant2", Scope::Admin);
    let mut http = Http::new(scene.address);
    let (_, all) = ask(&mut http, ("GET", SESSIONS), &admin, "application/json", "").await;
    assert_eq!(
        all["sessions"].as_array().unwrap().len(),
        world.lock().unwrap().sessions.len()
    );
}
