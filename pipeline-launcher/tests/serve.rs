//! The daemon as signaling sees it: the real program, a real Redis, real Inventa.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../../protocol/inventa/tests/support/redis.rs"]
mod redis;

use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sightline_inventa::{CallError, Config, Inventa};
use sightline_protocol::inventa::{Request, ServiceName, kind};
use sightline_protocol::rpc::{
    PipelineList, SdpOffer, SessionEvent, SessionList, SessionPhase, SessionStart, method,
};
use sightline_protocol::{ErrorId, Failure};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);

/// A launcher, and a signaling that writes down what it is told.
struct Scene {
    launcher: Child,
    inventa: Inventa,
    told: mpsc::UnboundedReceiver<Request>,
    name: ServiceName,
    _redis: redis::RedisServer,
}

impl Scene {
    async fn start(arguments: &[&str]) -> Self {
        let redis = redis::RedisServer::start();
        let (tell, told) = mpsc::unbounded_channel();
        let handler = move |request: Request| {
            tell.send(request).unwrap();
            async { Ok(vec!["{}".to_owned()]) }
        };
        let config = Config::new(redis.client(), ServiceName::new(kind::SIGNALING, "test"));
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
            .args(["serve", "--workers", "0", "--id", "here", "--model", "blobs"])
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
            _redis: redis,
        };
        let begun = std::time::Instant::now();
        while scene.call(method::SESSION_LIST, &["{}"]).await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "the launcher does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        scene
    }

    async fn call(&self, method: &str, arguments: &[&str]) -> Result<String, Failure> {
        match self.inventa.call(&self.name, method, arguments, PATIENCE).await {
            Ok(values) => Ok(values.into_iter().next().unwrap()),
            Err(CallError::Refused(text)) => Err(Failure::parse(&text)),
            Err(error) => Err(Failure::new(ErrorId::Internal, error.to_string())),
        }
    }

    async fn start_session(&self, session: &str, pipeline: &str) -> Result<String, Failure> {
        let start = SessionStart {
            session: session.into(),
            pipeline: pipeline.into(),
            params: Default::default(),
            reply_to: "svc:sgn:test".into(),
            trickle: false,
        };
        let offer = self
            .call(method::SESSION_START, &[&serde_json::to_string(&start).unwrap()])
            .await?;
        Ok(serde_json::from_str::<SdpOffer>(&offer).unwrap().sdp)
    }

    async fn sessions(&self) -> SessionList {
        serde_json::from_str(&self.call(method::SESSION_LIST, &["{}"]).await.unwrap()).unwrap()
    }

    /// The next event of a session.
    async fn event(&mut self) -> SessionEvent {
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

    fn signal(&self, signal: Signal) {
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

fn is_alive(pid: u32) -> bool {
    // A zombie is dead.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

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
    assert_eq!(names, ["webrtc-detect", "webrtc-local", "yolox-worker"]);

    let offer = scene.start_session("one", "webrtc-detect").await.unwrap();
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
    assert_eq!(nonsense.id, ErrorId::BadMessage);

    scene
        .call(method::SESSION_STOP, &[r#"{"session":"one"}"#])
        .await
        .unwrap();
    assert!(!is_alive(running[0].pid));
    let event = scene.event().await;
    assert_eq!(
        (event.session.as_str(), event.state, event.reason),
        ("one", SessionPhase::Ended, None)
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
