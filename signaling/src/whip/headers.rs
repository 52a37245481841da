//! What is said beside the bodies: cross-origin requests, ICE servers, preconditions.

use sightline_protocol::ws::IceServer;
use warp::http::header::{ALLOW, IF_MATCH};
use warp::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::address::Address;
use crate::origin;
use crate::rest::problem::Refusal;

pub(super) const SDP: &str = "application/sdp";
pub(super) const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
pub(super) const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// The answer to OPTIONS.
pub(super) fn preflight(address: &Address) -> HeaderMap {
    let methods = HeaderValue::from_static(address.methods());
    let takes = match address {
        Address::Endpoint { .. } => (ACCEPT_POST, HeaderValue::from_static(SDP)),
        Address::Resource { .. } => (ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT)),
    };
    let mut headers = origin::preflight(&methods);
    headers.extend([takes, (ALLOW, methods)]);
    headers
}

/// One `Link` for each address of each server.
pub(super) fn ice_links(servers: &[IceServer]) -> Vec<HeaderValue> {
    let links = servers.iter().flat_map(|server| {
        let secret = match (&server.username, &server.credential) {
            (Some(user), Some(credential)) => format!(
                "; username={}; credential={}; credential-type=\"password\"",
                quoted(user),
                quoted(credential)
            ),
            _ => String::new(),
        };
        server
            .urls
            .iter()
            .map(move |url| format!("<{url}>; rel=\"ice-server\"{secret}"))
    });
    // One that is not a header (with a line's end in it) would be of no use to a client either.
    links
        .filter_map(|link| HeaderValue::try_from(link).ok())
        .collect()
}

/// A quoted string of RFC 9110.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The client must say which ICE session it means: 428 if it does not, 412 if that is not the one.
pub(super) fn check_if_match(headers: &HeaderMap, etag: &str) -> Result<(), Refusal> {
    let mut said = headers.get_all(IF_MATCH).iter().peekable();
    if said.peek().is_none() {
        let detail = "send `If-Match` with the `ETag` that came with the answer";
        return Err(Refusal::new(
            StatusCode::PRECONDITION_REQUIRED,
            "precondition-required",
            detail,
        ));
    }
    // A tag of ours holds no comma. Some clients put the asterisk in quotes.
    let fits = |tag: &str| matches!(tag.trim(), "*" | "\"*\"") || tag.trim() == etag;
    if said.any(|tags| tags.to_str().is_ok_and(|tags| tags.split(',').any(fits))) {
        return Ok(());
    }
    let detail = "`If-Match` names another ICE session than the one that there is";
    Err(Refusal::new(
        StatusCode::PRECONDITION_FAILED,
        "precondition-failed",
        detail,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ice_servers_become_links() {
        let server = |url: &str, secret: Option<(&str, &str)>| IceServer {
            urls: vec![url.into()],
            username: secret.map(|(user, _)| user.into()),
            credential: secret.map(|(_, credential)| credential.into()),
        };
        let servers = [
            server("stun:stun.example.org:3478", None),
            server(
                "turn:turn.example.org?transport=udp",
                Some(("1766481000:alice", "a\"b\\c")),
            ),
            server("stun:a\r\nSet-Cookie: b", None),
        ];
        assert_eq!(
            ice_links(&servers),
            [
                r#"<stun:stun.example.org:3478>; rel="ice-server""#,
                r#"<turn:turn.example.org?transport=udp>; rel="ice-server"; username="1766481000:alice"; credential="a\"b\\c"; credential-type="password""#,
            ]
        );
    }

    #[test]
    fn preconditions() {
        let check = |said: &[&'static str]| {
            let headers = said
                .iter()
                .map(|tag| (IF_MATCH, HeaderValue::from_static(tag)))
                .collect();
            check_if_match(&headers, "\"e1\"").map_err(|refusal| refusal.status.as_u16())
        };
        for good in [
            &["\"e1\""][..],
            &["*"],
            &["\"*\""],
            &["\"e0\", \"e1\""],
            &["\"e0\"", "\"e1\""],
        ] {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
        assert_eq!(check(&[]), Err(428));
        for stale in ["\"e0\"", "e1", "W/\"e1\"", ""] {
            assert_eq!(check(&[stale]), Err(412), "{stale}");
        }
    }
}
