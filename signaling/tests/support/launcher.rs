//! Services that speak real Inventa and do what their script says.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sightline_inventa::{Answer, Config, Inventa, unknown_command};
use sightline_protocol::inventa::{Request, ServiceName};
use sightline_protocol::rpc::{PipelineInfo, PipelineKind, PipelineList};
use sightline_protocol::{ErrorId, Failure};
use sightline_service::redis::Server;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::SECOND;
use super::redis_server::RedisServer;
use super::sdp;

/// A call that a service got.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) method: String,
    pub(crate) args: Vec<String>,
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.args[0]).unwrap()
    }
}

/// A pipeline with this parameter takes its time over the answer.
pub(crate) const SLOW_FPS: u32 = 57;
/// An address that launchers here refuse.
pub(crate) const UNUSABLE: &str = "192.0.2.66";
type Started = Arc<Mutex<Vec<String>>>;

/// Before all others in the order of names.
const FULL: &str = "full";

pub(crate) struct Service {
    pub(crate) inventa: Inventa,
    /// Sessions that it was asked to start, whatever became of them since.
    started: Started,
    heard: mpsc::UnboundedReceiver<Heard>,
    shutdown: CancellationToken,
}

impl Service {
    pub(crate) async fn launcher(redis: &RedisServer, id: &str) -> Self {
        let info = vec![
            ("sessions".into(), "0".into()),
            ("max_sessions".into(), "4".into()),
        ];
        Self::start(redis, ServiceName::new("mb", id), info).await
    }

    /// There is always room for one more.
    pub(crate) async fn roomy_launcher(redis: &RedisServer) -> Self {
        let info = vec![("max_sessions".into(), "1000000".into())];
        Self::start(redis, ServiceName::new("mb", "test"), info).await
    }

    /// It says that it can take sessions, and takes none.
    pub(crate) async fn full_launcher(redis: &RedisServer) -> Self {
        Self::launcher(redis, FULL).await
    }

    /// Its workers do not stay up.
    pub(crate) async fn launcher_in_trouble(redis: &RedisServer, trouble: &str) -> Self {
        let info = vec![("worker_trouble".into(), trouble.into())];
        Self::start(redis, ServiceName::new("mb", "test"), info).await
    }

    /// As v1's: without a word about itself.
    pub(crate) async fn v1_bridge(redis: &RedisServer, id: &str) -> Self {
        Self::start(redis, ServiceName::new("mb", id), Vec::new()).await
    }

    pub(crate) async fn worker(redis: &RedisServer, id: &str) -> Self {
        Self::start(redis, ServiceName::new("inf", id), Vec::new()).await
    }

    async fn start(redis: &RedisServer, name: ServiceName, info: Vec<(String, String)>) -> Self {
        let (sender, heard) = mpsc::unbounded_channel();
        let shutdown = CancellationToken::new();
        let started = Started::default();
        let known = Arc::clone(&started);
        let is_full = name.id == FULL;
        let handler = move |request: Request| {
            let answer = answer(&request, is_full, &known);
            let is_slow = request
                .args
                .iter()
                .any(|arg| arg.contains(&format!("\"fps\":{SLOW_FPS}")));
            if request.method != "pipeline-list" {
                let Request { method, args, .. } = request;
                sender.send(Heard { method, args }).ok();
            }
            async move {
                if is_slow {
                    tokio::time::sleep(SECOND).await;
                }
                answer
            }
        };
        let config = Config::new(Server::new(&redis.url()).unwrap(), name);
        let inventa = Inventa::start(config, handler, shutdown.clone()).await.unwrap();
        let orchestrator = ServiceName::new("sgn", "");
        inventa
            .register(&orchestrator, move || info.clone())
            .await
            .unwrap();
        Self {
            inventa,
            started,
            heard,
            shutdown,
        }
    }

    /// Registers once more, as after a restart of Redis.
    pub(crate) async fn register_again(&self) {
        let orchestrator = ServiceName::new("sgn", "");
        let name = self.inventa.name().to_string();
        let answer = self
            .inventa
            .call(&orchestrator, "register", &[&name], 5 * SECOND)
            .await;
        assert_eq!(answer.unwrap(), ["registered"]);
    }

    /// As if it had been killed and started again at once: it registers as before, and runs nothing.
    pub(crate) async fn restart(&self) {
        self.started.lock().unwrap().clear();
        self.register_again().await;
    }

    /// The next call, which must be of that method.
    pub(crate) async fn expect(&mut self, method: &str) -> Heard {
        let heard = tokio::time::timeout(20 * SECOND, self.heard.recv())
            .await
            .unwrap_or_else(|_| panic!("no call of {method}"))
            .unwrap();
        assert_eq!(heard.method, method, "{heard:?}");
        heard
    }

    pub(crate) async fn call_signaling(&self, method: &str, argument: Value) -> Answer {
        let to = ServiceName::new("sgn", "test");
        let argument = argument.to_string();
        self.inventa
            .call(&to, method, &[&argument], 5 * SECOND)
            .await
            .map_err(|error| error.to_string())
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.inventa.stopped().await;
    }
}

fn answer(request: &Request, is_full: bool, started: &Started) -> Answer {
    let done = || Ok(vec!["{}".to_owned()]);
    match request.method.as_str() {
        "pipeline-list" => Ok(vec![serde_json::to_string(&pipelines()).unwrap()]),
        "session-start" if is_full => {
            let refusal = Failure::new(ErrorId::TooManySessions, "its processors are busy");
            Err(refusal.again_in(7).to_string())
        }
        "session-start" => {
            let start: Value = serde_json::from_str(&request.args[0]).unwrap();
            started
                .lock()
                .unwrap()
                .push(start["session"].as_str().unwrap().to_owned());
            if start["params"]["fps"] == json!(1000) {
                let words = "`fps` is 1000: it must be 1 to 60";
                return Err(Failure::new(ErrorId::InvalidParam, words).to_string());
            }
            if start["params"]["uri"] == json!("gopher://a/") {
                let words = "parameter `uri`: `gopher` is not open to clients";
                return Err(Failure::new(ErrorId::InvalidParam, words).to_string());
            }
            if start["pipeline"] == "uri-detect" {
                return Ok(vec!["{}".into()]);
            }
            if start["params"]["fps"] == json!(59) {
                let words = "the pipeline has no codec that is offered: send VP8";
                return Err(Failure::new(ErrorId::UnsupportedMedia, words).to_string());
            }
            if start["offer"].is_string() {
                let watches = start["pipeline"] == "whep-view";
                let sdp = sdp::answer(if watches { "sendonly" } else { "recvonly" });
                return Ok(vec![json!({"sdp": sdp}).to_string()]);
            }
            Ok(vec![json!({"sdp": "v=0\r\ns=a|b!c\r\n"}).to_string()])
        }
        "sdp-offer-req" => Ok(vec![r#"{"type":"offer","sdp":"v=0 from v1"}"#.into()]),
        "sdp-accept-offer-answer" => Ok(vec!["succeeded".into()]),
        "session-candidate" if request.args[0].contains(UNUSABLE) => {
            Err(Failure::new(ErrorId::BadMessage, "this candidate is of no use").to_string())
        }
        "session-candidate" | "session-stop" => done(),
        "session-list" => Ok(vec![list(&started.lock().unwrap())]),
        other => Err(unknown_command(other)),
    }
}

fn list(started: &[String]) -> String {
    let info = |session: &String| json!({"session": session, "pipeline": "webrtc-detect", "state": "connected", "started_us": 1, "pid": 1});
    json!({"sessions": started.iter().map(info).collect::<Vec<_>>()}).to_string()
}

fn pipelines() -> PipelineList {
    let params = |params: Value| serde_json::from_value(params).unwrap();
    let pipeline = |name: &str, kind, needs_worker| PipelineInfo {
        name: name.into(),
        kind,
        summary: "for a test".into(),
        needs_worker,
        watchable: false,
        restarts: false,
        params: Default::default(),
    };
    PipelineList {
        pipelines: vec![
            pipeline("webrtc-local", PipelineKind::Session, false),
            PipelineInfo {
                params: params(json!({
                    "fps": {"type": "integer", "default": 30, "min": 1, "max": 60},
                    "smooth": {"type": "boolean", "default": false},
                })),
                ..pipeline("webrtc-detect", PipelineKind::Session, true)
            },
            PipelineInfo {
                watchable: true,
                ..pipeline("webrtc-annotated", PipelineKind::Session, false)
            },
            PipelineInfo {
                params: params(json!({"session": {"type": "string"}})),
                ..pipeline("whep-view", PipelineKind::Viewer, false)
            },
            PipelineInfo {
                restarts: true,
                params: params(json!({
                    "uri": {"type": "string"},
                    "fps": {"type": "integer", "default": 30, "min": 1, "max": 60},
                })),
                ..pipeline("uri-detect", PipelineKind::Source, false)
            },
        ],
    }
}
