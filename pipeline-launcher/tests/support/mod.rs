//! A launcher as signaling sees it: the real program, a real Redis, real Inventa.

#[path = "../../../protocol/inventa/tests/support/redis.rs"]
pub mod redis;

use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sightline_inventa::{CallError, Config, Inventa};
use sightline_protocol::inventa::{Request, ServiceName, kind};
use sightline_protocol::rpc::{SessionEvent, SessionList, SessionStart, SessionStarted, method};
use sightline_protocol::{ErrorId, Failure};
use sightline_service::redis::Server;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub const PATIENCE: Duration = Duration::from_secs(60);

/// A launcher, and a signaling that writes down what it is told.
pub struct Scene {
    pub launcher: Child,
    pub inventa: Inventa,
    told: mpsc::UnboundedReceiver<Request>,
    name: ServiceName,
    pub redis: redis::RedisServer,
}

impl Scene {
    pub async fn start(arguments: &[&str]) -> Self {
        let redis = redis::RedisServer::start();
        let (tell, told) = mpsc::unbounded_channel();
        let handler = move |request: Request| {
            tell.send(request).unwrap();
            async { Ok(vec!["{}".to_owned()]) }
        };
        let mut config = Config::new(
            Server::new(&redis.url()).unwrap(),
            ServiceName::new(kind::SIGNALING, "test"),
        );
        config.aliases = vec![ServiceName::new(kind::SIGNALING, "")];
        let inventa = Inventa::start(config, handler, CancellationToken::new())
            .await
            .unwrap();
        inventa.orchestrate().await.unwrap();
        let port = std::net::UdpSocket::bind("0.0.0.0:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let launcher = Command::new(env!("CARGO_BIN_EXE_pipeline-launcher"))
            .args(["serve", "--id", "here", "--model", "blobs"])
            .env("SIGHTLINE_WORKERS", "0")
            .args(["--udp-ports", &format!("{port}-{}", port.saturating_add(20))])
            .args(arguments)
            .env("REDIS_URL", redis.url())
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .spawn()
            .unwrap();
        let name = ServiceName::new(kind::MEDIA_BRIDGE, "here");
        let scene = Self {
            launcher,
            inventa,
            told,
            name,
            redis,
        };
        let begun = std::time::Instant::now();
        while scene.call(method::SESSION_LIST, &["{}"]).await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "the launcher does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        scene
    }

    pub async fn call(&self, method: &str, arguments: &[&str]) -> Result<String, Failure> {
        match self.inventa.call(&self.name, method, arguments, PATIENCE).await {
            Ok(values) => Ok(values.into_iter().next().unwrap()),
            Err(CallError::Refused(text)) => Err(Failure::parse(&text)),
            Err(error) => Err(Failure::new(ErrorId::Internal, error.to_string())),
        }
    }

    pub async fn start_session(&self, session: &str, pipeline: &str) -> Result<Option<String>, Failure> {
        let start = SessionStart {
            session: session.into(),
            pipeline: pipeline.into(),
            params: Default::default(),
            reply_to: "svc:sgn:test".into(),
            trickle: false,
            offer: None,
            silence_secs: None,
        };
        let offer = self
            .call(method::SESSION_START, &[&serde_json::to_string(&start).unwrap()])
            .await?;
        Ok(serde_json::from_str::<SessionStarted>(&offer).unwrap().sdp)
    }

    pub async fn sessions(&self) -> SessionList {
        serde_json::from_str(&self.call(method::SESSION_LIST, &["{}"]).await.unwrap()).unwrap()
    }

    /// What the launcher tells of itself.
    pub async fn info(&self) -> std::collections::HashMap<String, String> {
        self.inventa.info(&self.name).await.unwrap().into_iter().collect()
    }

    /// How many keys Redis has.
    pub async fn keys(&self) -> usize {
        let mut connection = self
            .redis
            .client()
            .get_multiplexed_async_connection()
            .await
            .unwrap();
        ::redis::cmd("DBSIZE").query_async(&mut connection).await.unwrap()
    }

    /// The next event of a session.
    pub async fn event(&mut self) -> SessionEvent {
        loop {
            let request = tokio::time::timeout(PATIENCE, self.told.recv())
                .await
                .unwrap()
                .unwrap();
            if request.method == method::SESSION_EVENT {
                return serde_json::from_str(&request.args[0]).unwrap();
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.launcher.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.launcher.kill().ok();
        self.launcher.wait().ok();
    }
}

pub fn is_alive(pid: u32) -> bool {
    // A zombie is dead.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
