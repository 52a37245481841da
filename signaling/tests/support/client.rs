//! A WebSocket client without an opinion of its own.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::SECOND;

#[derive(Debug)]
pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    /// Connects and takes the greeting.
    pub(crate) async fn connect(address: SocketAddr, path: &str) -> Self {
        let url = format!("ws://{address}{path}");
        let request = url.into_client_request().unwrap();
        Self::with(request).await.unwrap().0
    }

    /// With headers of one's own; how it was answered, or why it was refused.
    pub(crate) async fn with(request: Request) -> Result<(Self, Response), String> {
        let connected = tokio_tungstenite::connect_async(request).await;
        let (socket, response) = connected.map_err(|error| error.to_string())?;
        let mut client = Self { socket };
        let welcome = client.expect("Welcome").await;
        assert!(welcome["id"].is_u64(), "{welcome}");
        assert_eq!(welcome["message"], "Welcome!");
        Ok((client, response))
    }

    pub(crate) async fn send(&mut self, kind: &str, data: Value) {
        self.send_text(json!({"type": kind, "data": data}).to_string())
            .await
            .unwrap();
    }

    pub(crate) async fn send_text(&mut self, text: String) -> Result<(), Error> {
        self.socket.send(Message::text(text)).await
    }

    pub(crate) async fn join_v1(&mut self) {
        self.send("Join", json!({"tenantId": "defaultTenant"})).await;
    }

    pub(crate) async fn join_v2(&mut self, pipeline: &str) {
        let join = json!({"tenantId": "defaultTenant", "pipeline": pipeline, "protocol": 2});
        self.send("Join", join).await;
    }

    /// The next message's data; it must be of that type.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        let message = self
            .next()
            .await
            .unwrap_or_else(|| panic!("closed instead of {kind}"));
        assert_eq!(message["type"], kind, "{message}");
        message["data"].clone()
    }

    /// Checks that for a moment nothing comes.
    pub(crate) async fn expect_nothing(&mut self) {
        let silence = tokio::time::timeout(SECOND / 3, self.socket.next()).await;
        assert!(silence.is_err(), "unexpected: {silence:?}");
    }

    /// The next message, or `None` when the server has closed the connection.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            let frame = tokio::time::timeout(15 * SECOND, self.socket.next())
                .await
                .expect("a message in time");
            match frame {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Goes through offer and answer; returns the session's id.
    pub(crate) async fn establish_v2(&mut self) -> String {
        self.join_v2("webrtc-detect").await;
        let state = self.expect("SessionState").await;
        assert_eq!(state["state"], "starting");
        self.expect("SdpOffer").await;
        self.send("SdpOfferAnswer", json!({"sdp": "v=0 answer"})).await;
        assert_eq!(self.expect("SessionState").await["state"], "connecting");
        state["session"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn close(mut self) {
        self.socket.close(None).await.unwrap();
    }
}
