//! What STUN and TURN servers answer, and what that means.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use sightline_ice::{Login, Server};
use sightline_turn::{Allocation, Failure, How, Link, mapped_address, resolve, ways};

use super::{Finding, Settings, Verdict};

/// Longest that one server may take, however many ways lead to it.
const PATIENCE: Duration = Duration::from_secs(4);
const ECHO: &[u8] = b"sightline test-network";

/// Where a STUN server sees a socket of ours.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub local: SocketAddr,
    pub mapped: SocketAddr,
}

/// Asks every server, all at the same time.
pub fn check(settings: &Settings) -> (Vec<Finding>, Vec<Seen>) {
    let servers = settings
        .ice_servers
        .with_logins("test-network", SystemTime::now());
    let (mut findings, mut seen) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        let asked: Vec<_> = servers
            .iter()
            .map(|server| scope.spawn(move || check_server(server)))
            .collect();
        for answers in asked.into_iter().filter_map(|asked| asked.join().ok()) {
            findings.extend(answers.0);
            seen.extend(answers.1);
        }
    });
    (findings, seen)
}

fn check_server(server: &Server) -> (Vec<Finding>, Option<Seen>) {
    let until = Instant::now() + PATIENCE;
    let addresses = match resolve_until(server, until) {
        Ok(addresses) => addresses,
        Err(failure) => return (vec![unusable(server, None, &failure)], None),
    };
    // As clients do: one of each family.
    let of_family = |ipv4: bool| {
        addresses
            .iter()
            .copied()
            .find(|address| address.is_ipv4() == ipv4)
    };
    let addresses: Vec<_> = [of_family(true), of_family(false)]
        .into_iter()
        .flatten()
        .collect();
    let (mut findings, mut seen) = (Vec::new(), None);
    for how in ways(server) {
        for address in &addresses {
            let result = if server.scheme.is_turn() {
                check_turn(server, how, *address, until)
            } else {
                check_stun(server, how, *address, until).map(|(finding, mapped)| {
                    seen = seen.or(mapped);
                    vec![finding]
                })
            };
            match result {
                Ok(more) => findings.extend(more),
                Err(failure) => findings.push(unusable(server, Some((how, *address)), &failure)),
            }
        }
    }
    (findings, seen)
}

/// The resolver has patience of its own, and cannot be told of ours.
fn resolve_until(server: &Server, until: Instant) -> Result<Vec<SocketAddr>, Failure> {
    let (found, finding) = mpsc::channel();
    let name = server.clone();
    std::thread::spawn(move || found.send(resolve(&name)));
    let left = until.saturating_duration_since(Instant::now());
    finding
        .recv_timeout(left)
        .unwrap_or_else(|_| Err(Failure::Name(std::io::ErrorKind::TimedOut.into())))
}

fn subject(server: &Server, way: Option<(How, SocketAddr)>) -> String {
    match way {
        Some((how, address)) => format!("{server} ({how} to {address})"),
        None => server.to_string(),
    }
}

fn check_stun(
    server: &Server,
    how: How,
    address: SocketAddr,
    until: Instant,
) -> Result<(Finding, Option<Seen>), Failure> {
    let mut link = Link::open(how, address, &server.host, until)?;
    let local = link.local_addr().map_err(Failure::Unreachable)?;
    let mapped = mapped_address(&mut link, until)?;
    let message = format!("answers; it sees us at {mapped} (our socket: {local})");
    let finding = Finding::new(
        "stun",
        subject(server, Some((how, address))),
        Verdict::Ok,
        message,
    );
    Ok((finding, (how == How::Udp).then_some(Seen { local, mapped })))
}

fn check_turn(
    server: &Server,
    how: How,
    address: SocketAddr,
    until: Instant,
) -> Result<Vec<Finding>, Failure> {
    let Some(login) = &server.login else {
        return Ok(Vec::new());
    };
    let allocate = || {
        Allocation::new(
            Link::open(how, address, &server.host, until)?,
            login,
            false,
            until,
        )
    };
    let mut allocation = allocate()?;
    let subject = subject(server, Some((how, address)));
    let relayed = allocation.relayed();
    let message = format!("takes our credentials; relay address {relayed}");
    let mut findings = vec![Finding::new("turn", subject.clone(), Verdict::Ok, message)];
    findings.push(match echo(&mut allocation, until) {
        Ok(()) => Finding::new("relay", subject, Verdict::Ok, "relays packets to us and back"),
        Err(first) => match between(&mut allocation, &mut allocate()?, until) {
            Ok(()) => Finding::new(
                "relay",
                subject,
                Verdict::Warning,
                format!("relays packets between two relay addresses, but not to us ({first})"),
            )
            .advise(first.advice(allocation.mapped().ip())),
            Err(second) => Finding::new(
                "relay",
                subject,
                Verdict::Failed,
                format!("relays nothing: {second}"),
            )
            .advise(second.advice(relayed.ip())),
        },
    });
    Ok(findings)
}

/// Why packets do not come through an allocation.
#[derive(Debug, thiserror::Error)]
enum NoRelay {
    #[error("it refuses the address {0}")]
    Forbidden(IpAddr),
    #[error("{0}")]
    Answer(#[from] Failure),
    #[error("a packet does not arrive")]
    Lost,
    #[error("no socket: {0}")]
    Socket(std::io::Error),
}

impl NoRelay {
    fn advice(&self, address: IpAddr) -> String {
        match self {
            Self::Forbidden(_) => format!(
                "right for a server that must not reach internal networks. If peers are there, allow this address: \
                 in coturn, allowed-peer-ip={address}"
            ),
            Self::Lost => {
                "a firewall between the TURN server and us drops UDP from its relay ports (coturn: min-port \
                 to max-port), or its external-ip is not the address it is reached at"
                    .into()
            }
            Self::Answer(_) | Self::Socket(_) => "see the TURN server's log".into(),
        }
    }
}

fn permit(allocation: &mut Allocation, peer: IpAddr, until: Instant) -> Result<(), NoRelay> {
    allocation
        .permit(peer, until)
        .map_err(|failure| match failure.code() {
            Some(403) => NoRelay::Forbidden(peer),
            _ => failure.into(),
        })
}

/// A packet from a socket of ours to the relay address, and the same packet back.
fn echo(allocation: &mut Allocation, until: Instant) -> Result<(), NoRelay> {
    let relayed = allocation.relayed();
    let any: SocketAddr = match relayed {
        SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    permit(allocation, allocation.mapped().ip(), until)?;
    let socket = UdpSocket::bind(any).map_err(NoRelay::Socket)?;
    let soon = until.min(Instant::now() + Duration::from_secs(1));
    socket.send_to(ECHO, relayed).map_err(NoRelay::Socket)?;
    let (from, data) = allocation.receive(soon)?.ok_or(NoRelay::Lost)?;
    allocation.send_to(from, &data)?;
    let left = soon
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(100));
    socket.set_read_timeout(Some(left)).map_err(NoRelay::Socket)?;
    let mut buffer = [0; ECHO.len()];
    match socket.recv(&mut buffer) {
        Ok(_) if buffer == *ECHO => Ok(()),
        _ => Err(NoRelay::Lost),
    }
}

/// A packet from one relay address to another: the way of two peers that both can only reach the server.
fn between(one: &mut Allocation, other: &mut Allocation, until: Instant) -> Result<(), NoRelay> {
    permit(one, other.relayed().ip(), until)?;
    permit(other, one.relayed().ip(), until)?;
    one.send_to(other.relayed(), ECHO)?;
    let soon = until.min(Instant::now() + Duration::from_secs(1));
    match other.receive(soon)? {
        Some((_, data)) if data == ECHO => Ok(()),
        _ => Err(NoRelay::Lost),
    }
}

fn unusable(server: &Server, way: Option<(How, SocketAddr)>, failure: &Failure) -> Finding {
    let check = if server.scheme.is_turn() { "turn" } else { "stun" };
    let finding = Finding::new(check, subject(server, way), Verdict::Failed, failure.to_string());
    finding.advise(advice(server.login.as_ref(), way.map(|(how, _)| how), failure))
}

fn advice(login: Option<&Login>, how: Option<How>, failure: &Failure) -> String {
    let clock = login.is_some_and(|login| {
        login
            .user
            .split(':')
            .next()
            .is_some_and(|time| time.parse::<u64>().is_ok())
    });
    match failure {
        Failure::Name(_) | Failure::NoAddress => {
            "look at the name in SIGHTLINE_ICE_SERVERS, and at this machine's DNS".into()
        }
        Failure::Unreachable(_) | Failure::Silent => format!(
            "is it running there, and does a firewall let {} through, from here to it and its answers back?",
            how.map_or_else(|| "this".into(), |how| how.to_string())
        ),
        Failure::Tls(_) => "browsers will refuse it too: it needs a certificate for this name that they trust".into(),
        Failure::NotStun => "another program has this port: look at host and port in SIGHTLINE_ICE_SERVERS".into(),
        Failure::Refused { code: 401, .. } if clock => {
            "is SIGHTLINE_TURN_SECRET the server's own secret (coturn: static-auth-secret), and are the clocks of both \
             machines right? The credentials are good for SIGHTLINE_TURN_TTL_SECS from now"
                .into()
        }
        Failure::Refused { code: 401 | 441, .. } => "user or password in SIGHTLINE_ICE_SERVERS is wrong".into(),
        Failure::Refused { code: 403, .. } => "the server forbids us: see its configuration".into(),
        Failure::Refused { code: 486 | 508, .. } => {
            "its quota is used up, or its relay ports are (coturn: user-quota, total-quota, min-port, max-port)".into()
        }
        Failure::Refused { .. } => "see the TURN server's log".into(),
    }
}
