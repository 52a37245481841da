//! A session begins: the client posts its offer, and gets the answer and the session's address.

use std::sync::Arc;

use sightline_protocol::rpc::{Params, PipelineKind};
use sightline_protocol::{ErrorId, Failure};
use warp::http::header::{CONTENT_TYPE, ETAG, LINK, LOCATION};
use warp::http::{HeaderMap, HeaderValue, StatusCode};
use warp::reply::Response;

use super::resource::Door;
use super::{Protocol, VIEWER_PIPELINE, address, headers};
use crate::auth::Caller;
use crate::keeper::{self, Peer, Wanted};
use crate::rest::problem::Refusal;
use crate::rest::request::{Query, Request};
use crate::rest::{fresh, params, pipeline};
use crate::sdp::{self, Flow};
use crate::{Services, traces};

pub(super) async fn begin(
    services: &Arc<Services>,
    mut request: Request,
    caller: &Caller,
    protocol: Protocol,
    name: &str,
) -> Result<Response, Refusal> {
    let (endpoint, said, secure) = (request.path.clone(), request.headers.clone(), request.secure);
    let query = std::mem::take(&mut request.query);
    let body = request
        .text(headers::SDP, sdp::MAX_SDP_BYTES, ErrorId::BadSdp)
        .await?;
    let flow = match protocol {
        Protocol::Whip => Flow::ClientSends,
        Protocol::Whep => Flow::ClientReceives,
    };
    let (offer, ice) = sdp::offer(&body, flow)?;
    let door = Door::new(endpoint, ice);
    let etag = door.etag.clone();
    let endpoint = door.endpoint.clone();
    let (pipeline, kind, params, watched) = match protocol {
        Protocol::Whip => {
            let params = publishing(services, name, query).await?;
            (name.to_owned(), PipelineKind::Session, params, None)
        }
        Protocol::Whep => {
            watching(services, caller, name).await?;
            let params = Params::from([("session".to_owned(), name.into())]);
            let watched = Some(name.to_owned());
            (VIEWER_PIPELINE.to_owned(), PipelineKind::Viewer, params, watched)
        }
    };
    let wanted = Wanted {
        tenant: Arc::clone(caller.tenant()),
        pipeline,
        kind,
        params,
        peer: Some(Peer { offer, door, watched }),
    };
    let begun = keeper::begin(services, wanted).await.map_err(params::refused)?;
    traces::link(&begun.session, traces::traceparent(&said));
    let location = address::location(&said, secure, &endpoint, &begun.session);
    let answer = begun.answer.unwrap_or_default();
    let mut response = fresh(warp::reply::with_status(answer, StatusCode::CREATED));
    let ice_servers = services
        .settings
        .ice_servers
        .for_client(&begun.session, (services.settings.wall_clock)());
    let links = headers::ice_links(&ice_servers);
    describe(response.headers_mut(), &location, &etag, links);
    Ok(response)
}

fn describe(headers: &mut HeaderMap, location: &str, etag: &str, links: Vec<HeaderValue>) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(headers::SDP));
    headers.insert(headers::ACCEPT_PATCH, HeaderValue::from_static(headers::FRAGMENT));
    for (name, text) in [(LOCATION, location), (ETAG, etag)] {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    }
    for link in links {
        headers.append(LINK, link);
    }
}

/// There is such a pipeline, clients may publish to it, and the values in the query are right.
async fn publishing(services: &Services, name: &str, query: Query) -> Result<Params, Refusal> {
    let known = pipeline(services, name).await?;
    let why = match known.kind {
        PipelineKind::Session => {
            let given = address::params(&known.params, query);
            let flaws = params::flaws(&known.params, &given);
            return if flaws.is_empty() {
                Ok(given)
            } else {
                Err(Refusal::flaws(ErrorId::InvalidParam, flaws))
            };
        }
        PipelineKind::Viewer => "it shows sessions to viewers: watch one by /whep/SESSION",
        PipelineKind::Source => "it takes no client's media: start it by POST /api/v1/sessions",
        PipelineKind::Worker => "it is a worker's: launchers run it by themselves",
    };
    let detail = format!("nobody can publish to the pipeline `{}`; {why}", known.name);
    Err(Refusal::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "not-a-session",
        detail,
    ))
}

/// There is such a session now, and it has a picture to show.
async fn watching(services: &Services, caller: &Caller, session: &str) -> Result<(), Refusal> {
    let view = services
        .book
        .view(caller, session)
        .filter(|view| !view.state.is_final());
    let view = view.ok_or_else(|| {
        let words = format!("no session has the id `{session}` now: there is nothing to watch");
        Failure::new(ErrorId::UnknownSession, words)
    })?;
    if pipeline(services, &view.pipeline).await?.watchable {
        return Ok(());
    }
    let detail = format!(
        "sessions of the pipeline `{}` have no picture to show; watch one of a pipeline that /api/v1/pipelines calls \
         watchable",
        view.pipeline
    );
    Err(Refusal::new(StatusCode::CONFLICT, "not-watchable", detail))
}
