//! What every request passes before anybody answers it: origin, rate, and who calls.

use std::net::IpAddr;
use std::time::{Instant, SystemTime};

use sightline_protocol::Failure;
use warp::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use warp::http::{HeaderMap, HeaderValue};

use crate::auth::{Caller, Scope};
use crate::client::{Peer, is_forwarded};
use crate::rest::problem::Refusal;
use crate::{Services, origin};

/// The protocol that a WebSocket's client names beside its token, and is answered with.
pub(crate) const SUBPROTOCOL: &str = "sightline.v1";
const BEARER_PROTOCOL: &str = "bearer.";

/// A request that may be answered.
pub(crate) struct Admitted {
    /// Where it comes from.
    pub(crate) client: IpAddr,
    /// The page of another origin that may read the answer.
    pub(crate) origin: Option<HeaderValue>,
    /// Not every request needs one.
    pub(crate) caller: Result<Caller, Failure>,
}

pub(crate) fn admit(services: &Services, peer: Peer, headers: &HeaderMap) -> Result<Admitted, Refusal> {
    let client = services.proxies.client(peer, headers);
    services.limits.request(client, Instant::now())?;
    let origin = services.origins.check(headers)?;
    let token = bearer(headers).or_else(|| of_socket(headers));
    let caller = services.settings.access.caller(token, SystemTime::now());
    Ok(Admitted {
        client,
        origin,
        caller,
    })
}

/// Lets a page of another origin read the answer.
pub(crate) fn release(
    mut response: warp::reply::Response,
    origin: Option<HeaderValue>,
) -> warp::reply::Response {
    origin::allow(response.headers_mut(), origin);
    response
}

/// What is measured is for this machine, and for those who may do everything.
pub(crate) fn may_measure(services: &Services, peer: Peer, headers: &HeaderMap) -> Result<(), Refusal> {
    let admitted = admit(services, peer, headers)?;
    if admitted.client.is_loopback() && !is_forwarded(headers) {
        return Ok(());
    }
    Ok(admitted.caller?.require(Scope::Admin)?)
}

pub(crate) fn has_token(headers: &HeaderMap) -> bool {
    bearer(headers).or_else(|| of_socket(headers)).is_some()
}

/// `Authorization: Bearer …` (RFC 6750).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A browser's WebSocket can say nothing but protocols: `sightline.v1, bearer.TOKEN`.
fn of_socket(headers: &HeaderMap) -> Option<&str> {
    protocols(headers).find_map(|name| name.strip_prefix(BEARER_PROTOCOL))
}

/// The client offers our protocol, and wants to hear that it is taken.
pub(crate) fn names_subprotocol(headers: &HeaderMap) -> bool {
    protocols(headers).any(|name| name == SUBPROTOCOL)
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    lines
        .flat_map(|line| line.to_str().unwrap_or_default().split(','))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_where_they_may_stand() {
        let found = |name, value| {
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
            bearer(&headers)
                .or_else(|| of_socket(&headers))
                .map(str::to_owned)
        };
        for (name, value) in [
            (AUTHORIZATION, "Bearer a.b.c"),
            (AUTHORIZATION, "bearer  a.b.c"),
            (SEC_WEBSOCKET_PROTOCOL, "sightline.v1, bearer.a.b.c"),
        ] {
            assert_eq!(found(name, value).as_deref(), Some("a.b.c"), "{value}");
        }
        for (name, value) in [
            (AUTHORIZATION, "Basic a.b.c"),
            (AUTHORIZATION, "a.b.c"),
            (SEC_WEBSOCKET_PROTOCOL, "sightline.v1"),
        ] {
            assert_eq!(found(name, value), None, "{value}");
        }
    }
}
