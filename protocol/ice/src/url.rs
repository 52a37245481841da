//! URLs of STUN and TURN servers (RFC 7064, RFC 7065), with a user and password before an `@`.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

const PORT: u16 = 3478;
const TLS_PORT: u16 = 5349;
/// All but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What is wrong with a server's URL. It quotes nothing: what looks like a host may be part of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error(
        "a URL starts with stun:, stuns:, turn: or turns:, as in stun:HOST:PORT,turn:USER:PASSWORD@HOST:PORT"
    )]
    Scheme,
    #[error("its host is no name, no IPv4 address, and no IPv6 address in [ ]")]
    Host,
    #[error("its port is no number from 1 to 65535")]
    Port,
    #[error("behind its `?` may only stand transport=udp or transport=tcp")]
    Query,
    #[error("turns: is TLS over TCP, so ?transport=udp cannot stand behind it")]
    TlsOverUdp,
    #[error("a STUN server has no user and password, and no ?transport")]
    Stun,
    #[error("before the `@` come USER:PASSWORD; write a `%` in them as %25 and a comma as %2C")]
    Login,
    #[error(
        "a TURN server needs credentials: write turn:USER:PASSWORD@HOST, or set SIGHTLINE_TURN_SECRET to the secret \
         that it has (coturn: static-auth-secret)"
    )]
    NoCredentials,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Stun,
    Stuns,
    Turn,
    Turns,
}

impl Scheme {
    pub fn is_turn(self) -> bool {
        matches!(self, Self::Turn | Self::Turns)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Stun => "stun",
            Self::Stuns => "stuns",
            Self::Turn => "turn",
            Self::Turns => "turns",
        }
    }

    fn is_secure(self) -> bool {
        matches!(self, Self::Stuns | Self::Turns)
    }
}

/// How a TURN server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

/// A TURN server's user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***", self.user)
    }
}

/// One server. As text it has no login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub scheme: Scheme,
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    pub port: u16,
    /// As written; a client may choose where nothing is.
    pub transport: Option<Transport>,
    pub login: Option<Login>,
}

impl Server {
    /// As webrtcbin takes it: with `//`, and the login inside.
    pub fn to_uri(&self) -> String {
        let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
        let login = self.login.as_ref();
        let login = login.map(|Login { user, password }| format!("{}:{}@", encode(user), encode(password)));
        let (scheme, login) = (self.scheme.name(), login.unwrap_or_default());
        format!("{scheme}://{login}{}{}", self.authority(), self.query())
    }

    /// HOST:PORT.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn query(&self) -> &'static str {
        match self.transport {
            None => "",
            Some(Transport::Udp) => "?transport=udp",
            Some(Transport::Tcp) => "?transport=tcp",
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}{}", self.scheme.name(), self.authority(), self.query())
    }
}

impl FromStr for Server {
    type Err = Problem;

    fn from_str(url: &str) -> Result<Self, Problem> {
        let (scheme, rest) = url.split_once(':').ok_or(Problem::Scheme)?;
        let all = [Scheme::Stun, Scheme::Stuns, Scheme::Turn, Scheme::Turns];
        let is_it = |known: &Scheme| known.name().eq_ignore_ascii_case(scheme);
        let scheme = all.into_iter().find(is_it).ok_or(Problem::Scheme)?;
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        // A password may hold an `@` or a `?`: what is behind the last `@` is the host.
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(read_login(login)?), rest),
            None => (None, rest),
        };
        let (authority, query) = match rest.split_once('?') {
            Some((authority, query)) => (authority, Some(query)),
            None => (rest, None),
        };
        let (host, port) = read_authority(authority)?;
        let transport = query.map(read_query).transpose()?;
        if !scheme.is_turn() && (login.is_some() || transport.is_some()) {
            return Err(Problem::Stun);
        }
        if scheme.is_secure() && transport == Some(Transport::Udp) {
            return Err(Problem::TlsOverUdp);
        }
        Ok(Self {
            scheme,
            host,
            port: port.unwrap_or(if scheme.is_secure() { TLS_PORT } else { PORT }),
            transport,
            login,
        })
    }
}

fn read_login(text: &str) -> Result<Login, Problem> {
    let (user, password) = text.split_once(':').ok_or(Problem::Login)?;
    let decode = |text: &str| {
        // A `%` that encodes nothing was meant as itself, or is a slip: the two cannot be told apart.
        let broken = text.split('%').skip(1).any(|part| {
            let digits = part.as_bytes();
            digits.len() < 2 || !digits[..2].iter().all(u8::is_ascii_hexdigit)
        });
        let decoded = percent_decode_str(text)
            .decode_utf8()
            .map_err(|_| Problem::Login)?;
        if broken || decoded.is_empty() {
            return Err(Problem::Login);
        }
        Ok(decoded.into_owned())
    };
    Ok(Login {
        user: decode(user)?,
        password: decode(password)?,
    })
}

fn read_authority(text: &str) -> Result<(String, Option<u16>), Problem> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(Problem::Host)?;
        let address: Ipv6Addr = host.parse().map_err(|_| Problem::Host)?;
        let port = match rest {
            "" => None,
            rest => Some(rest.strip_prefix(':').ok_or(Problem::Host)?),
        };
        (address.to_string(), port)
    } else {
        let (host, port) = text
            .split_once(':')
            .map_or((text, None), |(host, port)| (host, Some(port)));
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if !(1..=253).contains(&host.len()) || !host.chars().all(allowed) {
            return Err(Problem::Host);
        }
        (host.to_owned(), port)
    };
    let number = |port: &str| port.parse().ok().filter(|port: &u16| *port > 0);
    match port.map(number) {
        None => Ok((host, None)),
        Some(Some(port)) => Ok((host, Some(port))),
        Some(None) => Err(Problem::Port),
    }
}

fn read_query(query: &str) -> Result<Transport, Problem> {
    match query {
        "transport=udp" => Ok(Transport::Udp),
        "transport=tcp" => Ok(Transport::Tcp),
        _ => Err(Problem::Query),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn login(user: &str, password: &str) -> Option<Login> {
        Some(Login {
            user: user.into(),
            password: password.into(),
        })
    }

    #[test]
    fn urls_are_read() {
        for (url, text) in [
            ("stun:stun.example.org", "stun:stun.example.org:3478"),
            ("STUN:192.0.2.1:1", "stun:192.0.2.1:1"),
            ("stuns:[2001:DB8::0:1]", "stuns:[2001:db8::1]:5349"),
            ("turn://u:p@h:2?transport=tcp", "turn:h:2?transport=tcp"),
            ("turns:u:p@[::1]", "turns:[::1]:5349"),
        ] {
            assert_eq!(url.parse::<Server>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn users_and_passwords_are_decoded_and_encoded() {
        let server: Server = "turn:u:p:@ss?/%25%C3%A9@b:2".parse().unwrap();
        assert_eq!(server.login, login("u", "p:@ss?/%é"));
        assert_eq!(server.to_uri(), "turn://u:p%3A%40ss%3F%2F%25%C3%A9@b:2");
        let server: Server = "turn:1%3Aa:p@b".parse().unwrap();
        assert_eq!(server.login, login("1:a", "p"));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (url, words) in [
            ("http://a", "starts with stun:"),
            ("a", "starts with stun:"),
            ("turn:hunter2@b:2", "USER:PASSWORD"),
            ("turn:u:hunter2%@b", "USER:PASSWORD"),
            ("turn:u:%ffhunter2@b", "USER:PASSWORD"),
            ("turn:u:@b", "USER:PASSWORD"),
            ("turn:u:hunter2@", "no name"),
            ("turn:u:hunter2@b:0", "its port"),
            ("turn:u:hunter2@b:99999", "its port"),
            ("turn:u:hunter2@::1", "no name"),
            ("turn:u:hunter2@[::1]x", "no name"),
            ("turn:u:hunter2@[::g]", "no name"),
            ("turn:u:hunter2@b?transport=sctp", "transport=udp or"),
            ("turns:u:hunter2@b?transport=udp", "is TLS over TCP"),
            ("turn:u:x@hunter2:y", "its port"),
            ("turn:u:x@hunter2!", "its host"),
            ("stun:u:hunter2@b", "has no user"),
        ] {
            let error = url.parse::<Server>().unwrap_err().to_string();
            assert!(error.contains(words), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*", rest in "[@:\\[\\]?/%a1.=]*") {
            drop(text.parse::<Server>());
            drop(format!("turn:{rest}").parse::<Server>());
        }

        #[test]
        fn a_uri_reads_as_what_it_was(user in "\\PC{1,20}", password in "\\PC{1,20}") {
            let server = Server {
                scheme: Scheme::Turn,
                host: "h".into(),
                port: 1,
                transport: None,
                login: login(&user, &password),
            };
            prop_assert_eq!(server.to_uri().parse::<Server>().unwrap(), server);
        }
    }
}
