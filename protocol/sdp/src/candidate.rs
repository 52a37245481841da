//! ICE candidates: which of a peer's can be used, and how ours are told to it.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

/// More candidates than this help nobody.
pub const MAX_CANDIDATES: usize = 20;
const MAX_BYTES: usize = 512;

/// A peer's candidate that can be tried: over UDP, with an IP address and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    foundation: String,
    priority: u32,
    address: IpAddr,
    port: u16,
    kind: &'static str,
    related: Option<(IpAddr, u16)>,
}

impl Candidate {
    /// Reads `candidate:…` as it stands after `a=` in an SDP and in browsers' events.
    ///
    /// Nothing for what cannot be used: a name (`.local`, which would have to be resolved), TCP, a port of 0, an
    /// address that no packet can be sent to, RTCP's own component (it is multiplexed), and garbage.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let mut parts = text.strip_prefix("candidate:")?.split_ascii_whitespace();
        let foundation = parts.next().filter(|part| is_ice(part, 1..=32))?.to_owned();
        let component: u16 = parts.next()?.parse().ok()?;
        let transport = parts.next()?;
        let priority: u32 = parts.next()?.parse().ok()?;
        let address: IpAddr = parts.next()?.parse().ok()?;
        let port: u16 = parts.next()?.parse().ok()?;
        let kind = match (parts.next()?, parts.next()?) {
            ("typ", kind) => ["host", "srflx", "prflx", "relay"]
                .into_iter()
                .find(|known| *known == kind)?,
            _ => return None,
        };
        let fits = component == 1
            && transport.eq_ignore_ascii_case("udp")
            && (1..=0x7fff_ffff).contains(&priority)
            && port != 0
            && is_reachable(address);
        fits.then(|| Self {
            foundation,
            priority,
            address,
            port,
            kind,
            related: related(parts),
        })
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let Self {
            foundation,
            priority,
            address,
            port,
            kind,
            related,
        } = self;
        write!(
            out,
            "candidate:{foundation} 1 UDP {priority} {address} {port} typ {kind}"
        )?;
        match related {
            Some((address, port)) => write!(out, " raddr {address} rport {port}"),
            None => Ok(()),
        }
    }
}

/// Where a reflexive or relayed candidate comes from; the other extensions mean nothing here.
fn related<'a>(mut parts: impl Iterator<Item = &'a str>) -> Option<(IpAddr, u16)> {
    match (parts.next()?, parts.next()?, parts.next()?, parts.next()?) {
        ("raddr", address, "rport", port) => Some((address.parse().ok()?, port.parse().ok()?)),
        _ => None,
    }
}

/// False where a datagram cannot go without more than an address: everyone, nobody, one unnamed link.
fn is_reachable(address: IpAddr) -> bool {
    let nowhere = match address {
        IpAddr::V4(address) => address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address.to_ipv4_mapped().is_some(),
    };
    !nowhere && !address.is_unspecified() && !address.is_multicast()
}

/// Characters and length of foundations, user fragments and passwords (RFC 8839).
pub(crate) fn is_ice(text: &str, length: std::ops::RangeInclusive<usize>) -> bool {
    length.contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
}

/// True for a peer's candidate that can be tried; see [`Candidate::parse`].
pub fn is_usable(candidate: &str) -> bool {
    Candidate::parse(candidate).is_some()
}

/// Our candidate as it is told to the peer: with the public addresses in place of the host's own.
///
/// A host candidate becomes one for each public address of its family, with falling priorities; a candidate of
/// another family, or not of type host, stays.
pub fn advertise(candidate: &str, public: &[IpAddr]) -> Vec<String> {
    let parts: Vec<_> = candidate.split(' ').collect();
    let own = parts.get(4).and_then(|address| address.parse::<IpAddr>().ok());
    let priority = parts.get(3).and_then(|priority| priority.parse::<u32>().ok());
    let (Some(own), Some(priority), true) = (own, priority, parts.get(6..8) == Some(&["typ", "host"])) else {
        return vec![candidate.to_owned()];
    };
    let mut told: Vec<IpAddr> = Vec::new();
    for address in public.iter().filter(|public| public.is_ipv4() == own.is_ipv4()) {
        if !told.contains(address) {
            told.push(*address);
        }
    }
    if told.is_empty() {
        return vec![candidate.to_owned()];
    }
    (0u32..)
        .zip(told)
        .map(|(index, address)| {
            // Another address is another foundation; its local preference, the middle bytes, is lower.
            let foundation = match index {
                0 => parts[0].to_owned(),
                _ => format!("{}n{index}", parts[0]),
            };
            let priority = priority.saturating_sub(index << 8).max(1);
            let rest = parts[5..].join(" ");
            format!(
                "{foundation} {} {} {priority} {address} {rest}",
                parts[1], parts[2]
            )
        })
        .collect()
}

/// Our offer or answer as it is told to the peer; each address and port once, each priority once in a section.
pub fn advertise_description(sdp: &str, public: &[IpAddr]) -> String {
    let mut seen = HashSet::new();
    let mut priorities = HashSet::new();
    let mut told = String::with_capacity(sdp.len());
    for line in sdp.lines() {
        if line.starts_with("m=") {
            seen.clear();
            priorities.clear();
        }
        let candidates = line
            .strip_prefix("a=")
            .filter(|attribute| attribute.starts_with("candidate:"));
        let Some(candidate) = candidates else {
            told.push_str(line);
            told.push_str("\r\n");
            continue;
        };
        for candidate in advertise(candidate, public) {
            // Several addresses of the host may have become one.
            if seen.insert(where_to(&candidate)) {
                told.push_str("a=");
                told.push_str(&with_own_priority(&candidate, &mut priorities));
                told.push_str("\r\n");
            }
        }
    }
    told
}

/// Component, transport, address, port, type: what makes a candidate another one.
fn where_to(candidate: &str) -> Vec<String> {
    let parts = candidate.split(' ').enumerate();
    parts
        .filter(|(index, _)| ![0, 3].contains(index))
        .map(|(_, part)| part.to_owned())
        .collect()
}

fn with_own_priority(candidate: &str, taken: &mut HashSet<u32>) -> String {
    let mut parts: Vec<_> = candidate.split(' ').map(str::to_owned).collect();
    let Some(mut priority) = parts.get(3).and_then(|part| part.parse::<u32>().ok()) else {
        return candidate.to_owned();
    };
    while priority > 1 && !taken.insert(priority) {
        priority -= 1;
    }
    parts[3] = priority.to_string();
    parts.join(" ")
}
