//! A session's own address: its client trickles candidates to it, and ends it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sightline_protocol::ErrorId;
use sightline_protocol::rpc::SessionPhase;
use warp::http::{HeaderMap, StatusCode};
use warp::reply::{Reply, Response};

use super::{headers, nothing};
use crate::auth::Caller;
use crate::rest::fresh;
use crate::rest::problem::Refusal;
use crate::rest::request::Request;
use crate::sdp::{self, Asked, Ice};
use crate::session::{Event, Placement};
use crate::{Services, keeper};

/// Where a client came in.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    /// The endpoint's path.
    pub(crate) endpoint: String,
    /// Of the ICE session; it stays, as there are no restarts.
    pub(crate) etag: String,
    ice: Ice,
}

impl Door {
    pub(super) fn new(endpoint: String, ice: Ice) -> Self {
        let etag = format!("\"{:016x}\"", rand::random::<u64>());
        Self { endpoint, etag, ice }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Resource {
    door: Door,
    /// Whose it is.
    tenant: Arc<str>,
    placement: Placement,
}

impl Resource {
    pub(crate) fn new(door: Door, tenant: Arc<str>, placement: Placement) -> Self {
        Self {
            door,
            tenant,
            placement,
        }
    }
}

/// The sessions that have an address, by their ids.
#[derive(Default)]
pub(crate) struct Resources(Mutex<HashMap<String, Resource>>);

impl Resources {
    pub(crate) fn insert(&self, session: String, resource: Resource) {
        self.all().insert(session, resource);
    }

    /// As the caller may see it: those of other tenants are not there.
    pub(super) fn find(&self, caller: &Caller, session: &str, endpoint: &str) -> Option<Resource> {
        let resource = self.all().get(session).cloned();
        resource.filter(|resource| resource.door.endpoint == endpoint && caller.sees(&resource.tenant))
    }

    pub(crate) fn remove(&self, session: &str) {
        self.all().remove(session);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Resource>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// PATCH: hands the client's candidates on.
pub(super) async fn trickle(
    services: &Services,
    request: Request,
    session: &str,
    resource: Resource,
) -> Result<Response, Refusal> {
    headers::check_if_match(&request.headers, &resource.door.etag)?;
    let limit = sdp::MAX_FRAGMENT_BYTES;
    let body = request.text(headers::FRAGMENT, limit, ErrorId::BadSdp).await?;
    let Asked::Candidates(candidates) = sdp::fragment(&body, &resource.door.ice)? else {
        let detail =
            "an ICE restart is not supported: end this session, and post a new offer to its endpoint";
        return Err(Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "ice-restart",
            detail,
        ));
    };
    for candidate in candidates {
        let told = services
            .launchers
            .candidate(&resource.placement, session.to_owned(), candidate)
            .await;
        match told {
            // One that the launcher cannot use is no fault of the request.
            Ok(()) => {}
            Err(failure) if failure.id == ErrorId::BadMessage => {}
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok(nothing(HeaderMap::new()))
}

/// DELETE: ends the session and frees all that it holds.
pub(super) async fn end(services: &Services, session: &str, resource: Resource) -> Result<Response, Refusal> {
    keeper::end(services, session, &resource.placement).await?;
    // It is often gone by now: the launcher may tell of the end before it answers.
    services.resources.remove(session);
    let over = Event::Phase {
        session: session.to_owned(),
        phase: SessionPhase::Ended,
        reason: None,
    };
    services.hub.deliver(session, over);
    Ok(fresh(StatusCode::OK.into_response()))
}
