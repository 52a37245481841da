//! What strangers can send, for the fuzz targets: nothing of it may reach a panic, and what follows must hold.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sightline_ice::IceServers;
use sightline_protocol::inventa::{ServiceName, kind};
use warp::http::{HeaderMap, HeaderName, HeaderValue};

use crate::auth::Access;
use crate::client::{Peer, Proxies};
use crate::guard;
use crate::origin::Origins;
use crate::session::{Action, Event, MAX_MESSAGE_BYTES, Placement, Session, Settings};

/// Each line is a message of a client; launchers answer as they should.
pub fn messages(text: &str) {
    let Ok(ice_servers) = IceServers::new::<&str>(&[], None, Duration::ZERO) else {
        return;
    };
    let access = Access::Open;
    let caller = access.caller(None, SystemTime::UNIX_EPOCH).ok();
    let settings = Settings {
        reply_to: "svc:sgn:fuzz".into(),
        ice_servers,
        access,
        wall_clock: || SystemTime::UNIX_EPOCH,
    };
    let begun = Instant::now();
    let mut ids = 0;
    let new_id = move || {
        ids += 1;
        format!("s{ids}")
    };
    let (mut session, _) = Session::new(Arc::new(settings), 1, caller, new_id, begun);
    for (number, line) in (0..).zip(text.lines()) {
        let now = begun + Duration::from_millis(900 * number);
        react(&mut session, Event::Message(line.to_owned()), now);
        assert!(line.len() <= MAX_MESSAGE_BYTES || session.is_closed());
    }
    react(&mut session, Event::Gone, begun);
    assert!(session.is_closed());
}

fn react(session: &mut Session, event: Event, now: Instant) {
    for action in session.handle(event, now) {
        let answer = match action {
            Action::Send(message) => {
                assert!(serde_json::to_string(&message).is_ok());
                continue;
            }
            Action::Close { .. } => {
                assert!(session.is_closed());
                continue;
            }
            Action::Place { session, .. } => Event::Placed {
                session,
                result: Ok(Placement {
                    launcher: ServiceName::new(kind::MEDIA_BRIDGE, "fuzz"),
                    v1: false,
                }),
            },
            Action::Start { placement, start } => Event::Offer {
                session: start.session,
                placement,
                result: Ok(r#"{"sdp":"v=0"}"#.into()),
            },
            Action::Accept { session, .. } => Event::Accepted {
                session,
                result: Ok(()),
            },
            _ => continue,
        };
        react(session, answer, now);
    }
}

/// Each line is a header, `name: value`.
pub fn headers(text: &str) {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    let headers: HeaderMap = pairs
        .filter_map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        })
        .collect();
    let peer = Peer {
        address: ([10, 0, 0, 1], 1).into(),
        secure: false,
    };
    // A peer that is no proxy speaks for itself only.
    assert_eq!(Proxies::default().client(peer, &headers), peer.address.ip());
    if let Ok(proxies) = Proxies::new(&["10.0.0.0/8".into()]) {
        proxies.client(peer, &headers);
        proxies.is_secure(peer, &headers);
    }
    let named = Origins::new(&["https://app.example.org".into()]);
    if let (Ok(origins), Some(origin)) = (named, headers.get("origin"))
        && origins.check(&headers).is_ok()
    {
        // Only what is listed, or ends in the host that was called.
        let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
        assert!(
            origin == "https://app.example.org" || headers.contains_key("host"),
            "{origin}"
        );
    }
    guard::has_token(&headers);
    guard::names_subprotocol(&headers);
    crate::whip::fuzz_headers(&headers);
}
