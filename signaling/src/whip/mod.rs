//! Publishing by WHIP (RFC 9725) and watching by WHEP (draft-ietf-wish-whep): sessions by plain HTTP.
//!
//! | module | what |
//! |---|---|
//! | [`address`] | which address is what, and the values in its query |
//! | [`headers`] | what is said beside the bodies |
//! | [`endpoint`] | a session begins, with the client's offer |
//! | [`resource`] | the session's own address: candidates, the end |

mod address;
mod endpoint;
mod headers;
mod resource;

use std::sync::Arc;

use sightline_protocol::{ErrorId, Failure};
use warp::http::{HeaderMap, Method, StatusCode};
use warp::reply::{Reply, Response};

use crate::Services;
use crate::auth::Scope;
use crate::rest::fresh;
use crate::rest::problem::Refusal;
use crate::rest::request::Request;
use address::Address;
pub(crate) use resource::{Door, Resource, Resources};

/// The pipeline that shows a session to a viewer.
const VIEWER_PIPELINE: &str = "whep-view";

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The client sends; what stands in the address is a pipeline.
    Whip,
    /// The client watches; what stands in the address is a session.
    Whep,
}

pub(crate) async fn answer(services: Arc<Services>, request: Request, protocol: Protocol) -> Response {
    perform(&services, request, protocol)
        .await
        .unwrap_or_else(Refusal::into_response)
}

async fn perform(
    services: &Arc<Services>,
    request: Request,
    protocol: Protocol,
) -> Result<Response, Refusal> {
    let address = Address::parse(&request.path)?;
    // Before anything is asked of the client: a browser sends no credentials with a preflight.
    if request.method == Method::OPTIONS {
        return Ok(nothing(headers::preflight(&address)));
    }
    let caller = request.caller.clone()?;
    caller.require(match protocol {
        Protocol::Whip => Scope::Publish,
        Protocol::Whep => Scope::View,
    })?;
    match (&address, request.method.as_str()) {
        (Address::Endpoint { name }, "POST") => {
            endpoint::begin(services, request, &caller, protocol, name).await
        }
        (Address::Endpoint { .. }, "GET" | "HEAD") => Ok(nothing(HeaderMap::new())),
        (Address::Resource { endpoint, id }, method) => {
            let known = services.resources.find(&caller, id, endpoint);
            let known = known.ok_or_else(|| unknown(id))?;
            match method {
                "PATCH" => resource::trickle(services, request, id, known).await,
                "DELETE" => resource::end(services, id, known).await,
                "GET" | "HEAD" => Ok(nothing(HeaderMap::new())),
                _ => Err(Refusal::method_not_allowed(address.methods().to_owned())),
            }
        }
        _ => Err(Refusal::method_not_allowed(address.methods().to_owned())),
    }
}

/// What a client says beside its body, for the fuzz targets.
pub(crate) fn fuzz_headers(headers: &HeaderMap) {
    let location = address::location(headers, true, "/whip/a", "1");
    assert!(location.ends_with("/whip/a/1") && warp::http::HeaderValue::try_from(location).is_ok());
    headers::check_if_match(headers, "\"e1\"").ok();
}

/// 204 with these headers.
fn nothing(headers: HeaderMap) -> Response {
    let mut response = fresh(StatusCode::NO_CONTENT.into_response());
    response.headers_mut().extend(headers);
    response
}

fn unknown(session: &str) -> Failure {
    let words = format!("no session has the address of `{session}`; it has ended, or never was");
    Failure::new(ErrorId::UnknownSession, words)
}
