//! What this launcher answers to signaling, v1's and ours.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sightline_inventa::{Answer, unknown_command};
use sightline_protocol::inventa::Request;
use sightline_protocol::rpc::{
    Done, Params, SUCCEEDED, SessionCandidate, SessionStart, SessionStarted, SessionStop, method,
};
use sightline_protocol::{ErrorId, Failure};

use crate::description::catalogue::Catalogue;
use crate::supervisor::sessions::Sessions;

/// The pipeline that v1's signaling gets: it cannot name one.
const V1_PIPELINE: &str = "webrtc-detect";

#[derive(Debug, Clone)]
pub struct Rpc {
    pub sessions: Arc<Sessions>,
    pub catalogue: Arc<Catalogue>,
}

impl Rpc {
    pub async fn handle(&self, request: Request) -> Answer {
        let result = match request.method.as_str() {
            method::SDP_OFFER_REQ => self.v1_offer(&request).await,
            method::SDP_ACCEPT_OFFER_ANSWER => self.answer(&request).await,
            method::SESSION_START => self.start(&request).await,
            method::SESSION_STOP => self.stop(&request).await,
            method::SESSION_CANDIDATE => self.candidate(&request).await,
            method::SESSION_LIST => json(&self.sessions.list()),
            method::PIPELINE_LIST => json(&self.catalogue.list()),
            other => return Err(unknown_command(other)),
        };
        result
            .map(|value| vec![value])
            .map_err(|failure| failure.to_string())
    }

    async fn start(&self, request: &Request) -> Result<String, Failure> {
        let sdp = self.sessions.start(argument(request)?).await?;
        json(&SessionStarted { sdp })
    }

    async fn v1_offer(&self, request: &Request) -> Result<String, Failure> {
        let start = SessionStart {
            session: text(request, 0)?.to_owned(),
            pipeline: V1_PIPELINE.to_owned(),
            params: Params::new(),
            reply_to: request.from.to_string(),
            trickle: false,
            offer: None,
            silence_secs: None,
        };
        let sdp = self.sessions.start(start).await?;
        json(&SessionStarted { sdp })
    }

    async fn answer(&self, request: &Request) -> Result<String, Failure> {
        self.sessions
            .answer(text(request, 0)?, text(request, 1)?.to_owned())
            .await?;
        Ok(SUCCEEDED.to_owned())
    }

    async fn stop(&self, request: &Request) -> Result<String, Failure> {
        let SessionStop { session } = argument(request)?;
        self.sessions.stop(&session, None).await?;
        json(&Done {})
    }

    async fn candidate(&self, request: &Request) -> Result<String, Failure> {
        let SessionCandidate { session, candidate } = argument(request)?;
        self.sessions.candidate(&session, candidate).await?;
        json(&Done {})
    }
}

fn text(request: &Request, index: usize) -> Result<&str, Failure> {
    request
        .args
        .get(index)
        .map(String::as_str)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| {
            let message = format!(
                "`{}` needs {} arguments that are not empty",
                request.method,
                index + 1
            );
            Failure::new(ErrorId::BadMessage, message)
        })
}

fn argument<T: DeserializeOwned>(request: &Request) -> Result<T, Failure> {
    serde_json::from_str(text(request, 0)?).map_err(|error| {
        Failure::new(
            ErrorId::BadMessage,
            format!("the argument of `{}`: {error}", request.method),
        )
    })
}

fn json<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::new(ErrorId::Internal, error.to_string()))
}
