//! What must not be in the log.

#![allow(clippy::unwrap_used, dead_code)]

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::json;
use support::{SECOND, Scene};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_sdp_token_or_address_is_logged_at_info() {
    let log = Log::default();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_writer(log.clone())
        .init();
    let (scene, mut launcher, _worker) = Scene::ready().await;
    let mut client = scene.client().await;
    let join = json!({"tenantId": "tenant-marker", "token": "token-marker", "protocol": 2});
    client.send("Join", join).await;
    client.expect("JoinError").await;
    let session = client.establish_v2().await;
    let candidate =
        json!({"candidate": "candidate:1 1 udp 1 203.0.113.9 50000 typ host", "sdpMLineIndex": 0});
    client.send("IceCandidate", candidate).await;
    for method in ["session-start", "sdp-accept-offer-answer", "session-candidate"] {
        launcher.expect(method).await;
    }
    client.close().await;
    launcher.expect("session-stop").await;
    tokio::time::sleep(SECOND / 5).await;

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // It is our log, and it is of use.
    assert!(text.contains(&format!("session=\"{session}\"")), "{text}");
    assert!(text.contains("reason=unknown-tenant"), "{text}");
    for secret in [
        "v=0",
        "token-marker",
        "tenant-marker",
        "203.0.113.9",
        "candidate:",
    ] {
        assert!(!text.contains(secret), "`{secret}` is in the log:\n{text}");
    }
}
