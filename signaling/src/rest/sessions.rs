//! Sessions by request: start, see, stop.

use std::sync::Arc;

use serde_json::Value;
use sightline_protocol::rest::{Flaw, SessionRequest, SessionView};
use sightline_protocol::rpc::PipelineKind;
use sightline_protocol::{ErrorId, Failure};
use warp::http::StatusCode;
use warp::http::header::LOCATION;
use warp::reply::{Reply, Response};

use super::problem::Refusal;
use super::request::Request;
use super::{fresh, params, pipeline};
use crate::auth::Caller;
use crate::keeper::{self, Begun, Wanted};
use crate::session::Placement;
use crate::{Services, traces};

pub(super) fn view(services: &Services, caller: &Caller, session: &str) -> Result<SessionView, Refusal> {
    services
        .book
        .view(caller, session)
        .ok_or_else(|| unknown(session).into())
}

pub(super) fn unknown(session: &str) -> Failure {
    let words = format!("no session has the id `{session}`, or it ended long ago");
    Failure::new(ErrorId::UnknownSession, words)
}

/// 201 with the session's address, while its process is starting.
pub(super) async fn start(
    services: &Arc<Services>,
    request: Request,
    caller: &Caller,
) -> Result<Response, Refusal> {
    let traceparent = traces::traceparent(&request.headers).map(str::to_owned);
    let wanted = read(&request.json_body().await?)?;
    check(services, &wanted).await?;
    let wanted = Wanted {
        tenant: Arc::clone(caller.tenant()),
        pipeline: wanted.pipeline,
        kind: PipelineKind::Source,
        params: wanted.params,
        peer: None,
    };
    let Begun { session, .. } = keeper::begin(services, wanted).await.map_err(params::refused)?;
    traces::link(&session, traceparent.as_deref());
    let view = view(services, caller, &session)?;
    let reply = warp::reply::with_status(warp::reply::json(&view), StatusCode::CREATED);
    let address = format!("/api/v1/sessions/{session}");
    Ok(fresh(warp::reply::with_header(reply, LOCATION, address)).into_response())
}

/// What the body asks for: 400 if it is no JSON, 422 if it is JSON of something else.
fn read(body: &[u8]) -> Result<SessionRequest, Refusal> {
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        let words = format!("the body is not JSON: {error}");
        Failure::new(ErrorId::BadMessage, words)
    })?;
    // A list would be read as a request's members in their order.
    let request = match value {
        Value::Object(_) => serde_json::from_value(value).map_err(|error| error.to_string()),
        _ => Err("it is not an object".to_owned()),
    };
    request.map_err(|error| {
        let detail = format!("the body does not say what to start: {error}");
        let flaw = Flaw {
            pointer: String::new(),
            detail,
        };
        Refusal::flaws(ErrorId::BadMessage, vec![flaw])
    })
}

/// There is such a pipeline, it is for this, and all its parameters are right.
async fn check(services: &Services, wanted: &SessionRequest) -> Result<(), Refusal> {
    let known = pipeline(services, &wanted.pipeline).await?;
    let why = match known.kind {
        PipelineKind::Source => {
            let flaws = params::flaws(&known.params, &wanted.params);
            return if flaws.is_empty() {
                Ok(())
            } else {
                Err(Refusal::flaws(ErrorId::InvalidParam, flaws))
            };
        }
        PipelineKind::Session => {
            "it needs a peer that sends its camera: join it by the WebSocket at /ws, or publish to /whip"
        }
        PipelineKind::Viewer => "it is for those who watch a session: POST to /whep",
        PipelineKind::Worker => "it is a worker's: launchers run it by themselves",
    };
    let detail = format!("the pipeline `{}` cannot be started here; {why}", known.name);
    Err(Refusal::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "not-a-source",
        detail,
    ))
}

/// Ends the session if it has not ended, and says how it is now.
pub(super) async fn stop(
    services: &Services,
    caller: &Caller,
    session: &str,
) -> Result<SessionView, Refusal> {
    let seen = view(services, caller, session)?;
    let launcher = services.book.launcher(session);
    if let (false, Some(launcher)) = (seen.state.is_final(), launcher) {
        services.book.stopping(session);
        let placement = Placement { launcher, v1: false };
        keeper::end(services, session, &placement).await?;
        services.book.abort(session);
    }
    view(services, caller, session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_strictly() {
        let read = |body: &str| read(body.as_bytes());
        assert!(read(r#"{"pipeline":"a","params":{"x":1}}"#).is_ok());
        assert!(read(r#"{"pipeline":"a"}"#).unwrap().params.is_empty());
        for (body, status) in [
            ("", 400),
            ("{", 400),
            ("[]", 422),
            (r#"["a",{}]"#, 422),
            ("{}", 422),
            (r#"{"pipeline":1}"#, 422),
            (r#"{"pipeline":"a","params":[]}"#, 422),
        ] {
            assert_eq!(read(body).unwrap_err().status.as_u16(), status, "{body}");
        }
    }
}
