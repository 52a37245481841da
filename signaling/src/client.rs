//! Who is at the other end: the peer of the connection, or whom a trusted proxy names.

use std::net::{IpAddr, SocketAddr};

use anyhow::Context;
use ipnet::IpNet;
use warp::http::{HeaderMap, HeaderName};

// `Forwarded` is not read: a proxy that sets only the one header would hand the other on as the client wrote it.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The other end of the connection itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// The connection is TLS.
    pub(crate) secure: bool,
}

/// Proxies whose word is taken for who calls.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    pub fn new(listed: &[String]) -> anyhow::Result<Self> {
        let texts = listed
            .iter()
            .map(|text| text.trim())
            .filter(|text| !text.is_empty());
        let parsed = texts.map(|text| {
            let address = text.parse::<IpAddr>().map(IpNet::from);
            address.or_else(|_| text.parse()).with_context(|| {
                format!("`{text}` is no address and no network: write 10.0.0.1, or 10.0.0.0/8")
            })
        });
        parsed.collect::<Result<_, _>>().map(Self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|net| net.contains(&address))
    }

    /// The client's address: each proxy adds whom it saw on the right, so the first one from there that is no proxy of
    /// ours is the client, and what stands left of it is its own tale.
    pub(crate) fn client(&self, peer: Peer, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.address.ip().to_canonical();
        let lines = headers.get_all(FORWARDED_FOR).iter();
        let seen: Vec<&str> = lines
            .flat_map(|line| line.to_str().unwrap_or_default().split(','))
            .map(str::trim)
            .collect();
        for text in seen.into_iter().rev() {
            let Some(next) = address(text).filter(|_| self.trusts(client)) else {
                break;
            };
            client = next;
        }
        client
    }

    /// The client speaks TLS, to us or to the proxy.
    pub(crate) fn is_secure(&self, peer: Peer, headers: &HeaderMap) -> bool {
        let proto = headers.get(FORWARDED_PROTO);
        peer.secure || proto.is_some_and(|proto| proto == "https")
    }
}

/// Somebody speaks for somebody else.
pub(crate) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(FORWARDED_FOR) || headers.contains_key("forwarded")
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let plain = text.trim_start_matches('[').trim_end_matches(']').parse();
    let with_port = || text.parse::<SocketAddr>().map(|socket| socket.ip());
    plain
        .or_else(|_| with_port())
        .ok()
        .map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;

    use super::*;

    fn client(trusted: &[&str], peer: &str, said: &[&'static str]) -> String {
        let trusted: Vec<_> = trusted.iter().map(|text| (*text).to_owned()).collect();
        let peer = Peer {
            address: SocketAddr::new(peer.parse().unwrap(), 1),
            secure: false,
        };
        let headers = said
            .iter()
            .map(|line| (FORWARDED_FOR, HeaderValue::from_static(line)))
            .collect();
        Proxies::new(&trusted).unwrap().client(peer, &headers).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let ours = &["10.0.0.0/8", "::1"][..];
        for (trusted, peer, said, expected) in [
            (&[][..], "192.0.2.1", &["203.0.113.9"][..], "192.0.2.1"),
            (ours, "192.0.2.1", &["203.0.113.9"], "192.0.2.1"),
            (ours, "10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            (ours, "10.0.0.1", &["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
            (
                ours,
                "10.0.0.1",
                &["1.1.1.1, 203.0.113.9, 10.0.0.2"],
                "203.0.113.9",
            ),
            (ours, "::1", &["1.1.1.1", "203.0.113.9:4711"], "203.0.113.9"),
            (ours, "10.0.0.1", &["1.1.1.1, nonsense"], "10.0.0.1"),
            (ours, "10.0.0.1", &["[2001:db8::1]:5"], "2001:db8::1"),
            (ours, "10.0.0.1", &[], "10.0.0.1"),
            (ours, "::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
        ] {
            assert_eq!(client(trusted, peer, said), expected, "{peer} {said:?}");
        }
        assert!(Proxies::new(&["proxy.example.org".into()]).is_err());
    }
}
