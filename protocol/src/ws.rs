//! The messages between page and signaling: JSON text `{"type": …, "data": …}`.
//!
//! `Welcome`, `Join`, `SdpOffer`, `SdpOfferAnswer`, `Prediction`, `JoinError` and `Error` are v1's, to the
//! letter. The others, and errors with an id, are sent only to a client that joined with `protocol: 2`.

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::rpc::{IceCandidate, Params, SessionPhase};

/// The version of the protocol that a client must name in `Join` to get more than v1's messages.
pub const PROTOCOL: u32 = 2;

/// The greeting's text.
pub const WELCOME: &str = "Welcome!";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum ClientMessage {
    Join(Join),
    SdpOfferAnswer(Sdp),
    IceCandidate(IceCandidate),
    Stats(ClockProbe),
}

impl ClientMessage {
    /// The values of `type`; a message of another type is ignored.
    pub const TYPES: [&str; 4] = ["Join", "SdpOfferAnswer", "IceCandidate", "Stats"];
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Join {
    /// With a token it may be left out: then it is the token's.
    #[serde(default)]
    pub tenant_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    #[serde(default, skip_serializing_if = "Params::is_empty")]
    pub params: Params,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u32>,
    /// The client's own offer, with protocol 2: the server answers it instead of making one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdp: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sdp {
    pub sdp: String,
}

/// Asks for the server's clock, so that a client can tell how old a prediction is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClockProbe {
    /// The client's clock, in milliseconds since some start of its own.
    pub t0: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClockAnswer {
    /// As in the probe.
    pub t0: f64,
    /// Unix time in microseconds.
    pub server_time_us: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum ServerMessage {
    Welcome(Welcome),
    /// A string that holds JSON: `{"sdp":"…"}`.
    SdpOffer(String),
    /// To the offer that came with `Join`.
    SdpAnswer(Sdp),
    IceCandidate(IceCandidate),
    SessionState(SessionState),
    /// The prediction's entry, every value a string.
    Prediction(serde_json::Value),
    Stats(ClockAnswer),
    JoinError(ErrorData),
    Error(ErrorData),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    pub id: u64,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionState {
    pub session: String,
    pub state: SessionPhase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Failure>,
    /// STUN and TURN servers (`RTCIceServer`), with the first state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ice_servers: Vec<IceServer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    pub urls: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// A text for v1's clients, a [`Failure`] for ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ErrorData {
    Text(String),
    Failure(Failure),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_types_is_complete() {
        let error = serde_json::from_str::<ClientMessage>(r#"{"type":"Dance"}"#)
            .unwrap_err()
            .to_string();
        let listed: Vec<_> = ClientMessage::TYPES
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        assert!(error.contains(&listed.join(", ")), "{error}");
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let join = r#"{"type":"Join","data":{"tenantId":"defaultTenant","colour":"red"}}"#;
        let ClientMessage::Join(join) = serde_json::from_str(join).unwrap() else {
            panic!("not a Join")
        };
        assert_eq!(
            join,
            Join {
                tenant_id: "defaultTenant".into(),
                ..Default::default()
            }
        );
    }
}
