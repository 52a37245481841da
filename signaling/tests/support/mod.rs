//! A real server on a free port with a real Redis, a launcher that follows a script, and a client.

#[path = "../../../protocol/inventa/tests/support/redis.rs"]
pub(crate) mod redis_server;

mod client;
pub(crate) mod http;
pub(crate) mod keys;
pub(crate) mod launcher;
pub(crate) mod sdp;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) use client::Client;
pub(crate) use launcher::Service;
use redis_server::RedisServer;
use sightline_ice::IceServers;
use signaling::Listeners;
use signaling::auth::Access;
use signaling::client::Proxies;
use signaling::config::Config;
use signaling::limits::LimitArgs;
use signaling::origin::Origins;
use signaling::tls::Tls;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) struct Scene {
    pub(crate) redis: RedisServer,
    pub(crate) address: SocketAddr,
    /// Where it has `metrics_address`.
    pub(crate) operators: Option<SocketAddr>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) server: JoinHandle<anyhow::Result<()>>,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with_ui(ui_dir: &Path) -> Self {
        Self::with(|config| config.ui_dir = ui_dir.to_owned()).await
    }

    /// With other settings than usual.
    pub(crate) async fn with(set: impl FnOnce(&mut Config)) -> Self {
        let redis = RedisServer::start();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let mut config = config(&redis, address);
        set(&mut config);
        let is_plain = config.tls.is_none();
        let operators = match config.metrics_address {
            Some(address) => Some(TcpListener::bind(address).await.unwrap()),
            None => None,
        };
        let operators_address = operators.as_ref().map(|listener| listener.local_addr().unwrap());
        let listeners = Listeners {
            clients: listener,
            operators,
        };
        let server = tokio::spawn(signaling::run(config, listeners, shutdown.clone()));
        eventually("the server is there", async || {
            let answers = async || match is_plain {
                true => get(address, "/healthz").await.status == 200,
                false => TcpStream::connect(address).await.is_ok(),
            };
            redis.client().get_connection().is_ok() && answers().await
        })
        .await;
        Self {
            redis,
            address,
            operators: operators_address,
            shutdown,
            server,
        }
    }

    pub(crate) async fn with_tls(tls: Option<Tls>) -> Self {
        Self::with(|config| config.tls = tls).await
    }

    /// With one launcher and one worker, so that sessions are served.
    pub(crate) async fn ready() -> (Self, Service, Service) {
        Self::ready_with(|_| {}).await
    }

    pub(crate) async fn ready_with(set: impl FnOnce(&mut Config)) -> (Self, Service, Service) {
        let scene = Self::with(set).await;
        let launcher = Service::launcher(&scene.redis, "test").await;
        let worker = Service::worker(&scene.redis, "test").await;
        eventually("ready", async || scene.get("/readyz").await.status == 200).await;
        (scene, launcher, worker)
    }

    pub(crate) async fn get(&self, path: &str) -> HttpResponse {
        get(self.address, path).await
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address, "/signaling").await
    }

    /// What a worker of ours does when it has found something.
    pub(crate) async fn publish(&self, session: &str, fields: &[(&str, &str)]) {
        let fields = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let json = sightline_protocol::prediction::fields_to_json(fields);
        let mut redis = self
            .redis
            .client()
            .get_multiplexed_async_connection()
            .await
            .unwrap();
        let channel = sightline_protocol::keys::predictions_channel(session);
        let _: () = redis::AsyncCommands::publish(&mut redis, channel, json)
            .await
            .unwrap();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn config(redis: &RedisServer, address: SocketAddr) -> Config {
    Config {
        address,
        metrics_address: None,
        redis: sightline_service::redis::Server::new(&redis.url()).unwrap(),
        ui_dir: PathBuf::from("/nonexistent"),
        ice_servers: IceServers::new(
            &["stun:stun.example.org", "turn:alice:secret@turn.example.org"],
            None,
            Duration::ZERO,
        )
        .unwrap(),
        workers_expected: true,
        id: "test".into(),
        access: Access::Open,
        tls: None,
        limits: LimitArgs {
            max_connections_per_address: 0,
            max_connections_per_tenant: 0,
            max_requests_per_second: 0,
        },
        origins: Origins::default(),
        proxies: Proxies::default(),
    }
}

/// What a client of WHIP or WHEP knows of its session.
pub(crate) struct Published {
    pub(crate) id: String,
    /// Of the resource.
    pub(crate) path: String,
    pub(crate) etag: String,
}

impl Published {
    pub(crate) fn new(scene: &Scene, response: &HttpResponse) -> Self {
        assert_eq!(response.status, 201, "{}", response.body);
        let origin = format!("http://{}", scene.address);
        let path = response.header("location").strip_prefix(&origin).unwrap();
        Self {
            id: path.rsplit('/').next().unwrap().to_owned(),
            path: path.to_owned(),
            etag: response.header("etag").to_owned(),
        }
    }

    pub(crate) fn if_match(&self) -> String {
        format!("If-Match: {}\r\n", self.etag)
    }
}

pub(crate) async fn publish_to(scene: &Scene, endpoint: &str, offer: &str) -> Published {
    let headers = "Content-Type: application/sdp\r\n";
    Published::new(
        scene,
        &send(scene.address, "POST", endpoint, headers, offer).await,
    )
}

/// The same by somebody with a token.
pub(crate) async fn publish_with(scene: &Scene, endpoint: &str, token: &str) -> Published {
    let headers = format!("Authorization: Bearer {token}\r\nContent-Type: application/sdp\r\n");
    let offer = sdp::offer("sendonly");
    Published::new(
        scene,
        &send(scene.address, "POST", endpoint, &headers, &offer).await,
    )
}

pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < 20 * SECOND, "never: {what}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    /// Lower case.
    pub(crate) head: String,
    original_head: String,
    pub(crate) body: String,
}

impl HttpResponse {
    /// All values of a header, which is named in lower case.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.original_head.lines();
        lines
            .filter_map(|line| line.split_once(": "))
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    /// The only value of a header.
    pub(crate) fn header(&self, name: &str) -> &str {
        match self.headers(name)[..] {
            [value] => value,
            _ => panic!("not one `{name}` in {}", self.original_head),
        }
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A request as written: no client library tidies up the path.
pub(crate) async fn get(address: SocketAddr, path: &str) -> HttpResponse {
    send(address, "GET", path, "", "").await
}

/// The same with a method, more headers (each with its line's end) and a body.
pub(crate) async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> HttpResponse {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\
         {headers}\r\n{body}"
    );
    // The server may refuse a long body before it has it all.
    stream.write_all(request.as_bytes()).await.ok();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    HttpResponse {
        status: head[9..12].parse().unwrap(),
        head: head.to_lowercase(),
        original_head: head.to_owned(),
        body: body.to_owned(),
    }
}
