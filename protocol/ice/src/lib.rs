//! STUN and TURN servers as an operator names them, and as each session's two peers are told them.
//!
//! A TURN server is named with a user and password, or without: then every session gets its own, made from a secret
//! that is shared with the server (`use-auth-secret` of coturn; draft-uberti-behave-turn-rest-00).

mod secret;
mod url;

use std::time::{Duration, SystemTime};

use sightline_protocol::ws::IceServer;

pub use secret::Secret;
pub use url::{Login, Problem, Scheme, Server, Transport};

/// Which of the servers cannot be used, counted from 1, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("SIGHTLINE_ICE_SERVERS, server {number}: {problem}")]
pub struct Error {
    pub number: usize,
    pub problem: Problem,
}

/// The servers of one Sightline.
#[derive(Debug, Clone, Default)]
pub struct IceServers {
    servers: Vec<Server>,
    secret: Option<Secret>,
    /// How long made credentials are good.
    lifetime: Duration,
}

impl IceServers {
    /// Empty URLs are passed over: that is what compose files make of unset variables.
    pub fn new<T: AsRef<str>>(urls: &[T], secret: Option<Secret>, lifetime: Duration) -> Result<Self, Error> {
        let urls = urls.iter().map(|url| url.as_ref().trim());
        let mut servers = Vec::new();
        for (number, url) in (1..).zip(urls.filter(|url| !url.is_empty())) {
            let error = |problem| Error { number, problem };
            let server: Server = url.parse().map_err(error)?;
            if secret.is_none() && server.scheme.is_turn() && server.login.is_none() {
                return Err(error(Problem::NoCredentials));
            }
            servers.push(server);
        }
        Ok(Self {
            servers,
            secret,
            lifetime,
        })
    }

    /// The servers, each TURN server with a login: the given one, or one made for `session`.
    pub fn with_logins(&self, session: &str, now: SystemTime) -> Vec<Server> {
        let mut servers = self.servers.clone();
        for server in &mut servers {
            if let (true, None, Some(secret)) = (server.scheme.is_turn(), &server.login, &self.secret) {
                server.login = Some(secret.login(session, now + self.lifetime));
            }
        }
        servers
    }

    /// As W3C's RTCPeerConnection takes them.
    pub fn for_client(&self, session: &str, now: SystemTime) -> Vec<IceServer> {
        let servers = self.with_logins(session, now).into_iter();
        let told = servers.map(|server| IceServer {
            urls: vec![server.to_string()],
            username: server.login.as_ref().map(|login| login.user.clone()),
            credential: server.login.map(|login| login.password),
        });
        told.collect()
    }

    /// As webrtcbin takes them. Only those that it can use: libnice has no TLS, and asks one STUN server.
    pub fn for_webrtcbin(&self, session: &str, now: SystemTime) -> Vec<String> {
        let servers = self.with_logins(session, now);
        let stun = servers.iter().find(|server| server.scheme == Scheme::Stun);
        let turn = servers.iter().filter(|server| server.scheme == Scheme::Turn);
        stun.into_iter().chain(turn).map(Server::to_uri).collect()
    }

    pub fn has_turn_for_webrtcbin(&self) -> bool {
        self.servers.iter().any(|server| server.scheme == Scheme::Turn)
    }

    /// Those that only browsers can use, as words.
    pub fn only_for_clients(&self) -> Vec<String> {
        let secure = |server: &&Server| matches!(server.scheme, Scheme::Stuns | Scheme::Turns);
        self.servers
            .iter()
            .filter(secure)
            .map(Server::to_string)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn each_session_has_its_own_credentials() {
        let servers = IceServers::new(
            &[
                "stun:s",
                "turn:t",
                "turns:t?transport=tcp",
                " ",
                "turn:joe:p%40@u:9",
            ],
            Some(Secret::new("north")),
            HOUR,
        )
        .unwrap();
        let client = servers.for_client("s1", at(1_000));
        let urls: Vec<_> = client.iter().map(|server| server.urls[0].as_str()).collect();
        assert_eq!(
            urls,
            [
                "stun:s:3478",
                "turn:t:3478",
                "turns:t:5349?transport=tcp",
                "turn:u:9"
            ]
        );
        assert_eq!(client[0].username, None);
        assert_eq!(client[1].username.as_deref(), Some("4600:s1"));
        assert_eq!(client[3].credential.as_deref(), Some("p@"));
        let other = servers.for_client("s2", at(1_000));
        assert_ne!(client[1].credential, other[1].credential);
    }

    #[test]
    fn webrtcbin_gets_what_it_can_use() {
        let urls = [
            "stuns:x",
            "stun:a",
            "stun:b",
            "turn:[::1]:1?transport=tcp",
            "turns:t",
        ];
        let servers = IceServers::new(&urls, Some(Secret::new("north")), HOUR).unwrap();
        let uris = servers.for_webrtcbin("s1", at(0));
        assert_eq!(uris.len(), 2);
        assert_eq!(uris[0], "stun://a:3478");
        assert!(uris[1].starts_with("turn://3600%3As1:"), "{}", uris[1]);
        assert!(uris[1].ends_with("@[::1]:1?transport=tcp"), "{}", uris[1]);
        assert_eq!(servers.only_for_clients(), ["stuns:x:5349", "turns:t:5349"]);
    }

    #[test]
    fn a_turn_server_needs_credentials() {
        let error = IceServers::new(&["stun:s", "turn:t"], None, HOUR)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("server 2") && error.contains("SIGHTLINE_TURN_SECRET"),
            "{error}"
        );
    }
}
