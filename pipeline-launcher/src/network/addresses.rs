//! What ports, addresses and the outcome of connections mean: facts in, findings out.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::connection::Connection;
use super::servers::Seen;
use super::{Finding, Settings, Verdict};
use crate::supervisor::ports::{PortRange, try_bind};

pub(super) fn check_ports(range: &PortRange) -> Vec<Finding> {
    let ports = range.ports();
    let subject = format!("UDP {}-{}", ports.start(), ports.end());
    let all = ports.clone().count();
    let taken: Vec<_> = ports
        .filter_map(|port| Some((port, try_bind(port).err()?)))
        .collect();
    let free = all - taken.len();
    let finding = |verdict, message: String| Finding::new("ports", subject.clone(), verdict, message);
    let Some((port, error)) = taken.first() else {
        let message = format!("all {all} are free: as many sessions at once");
        return vec![finding(Verdict::Ok, message)];
    };
    let verdict = if free == 0 {
        Verdict::Failed
    } else {
        Verdict::Warning
    };
    let message = format!("{free} of {all} are free; the first that is not: {port} ({error})");
    let advice = "each session needs one: sessions that run now have theirs; else choose others by SIGHTLINE_UDP_PORTS";
    vec![finding(verdict, message).advise(advice)]
}

/// Whether the addresses that are advertised are those that others see.
pub(super) fn check_public(settings: &Settings, seen: &[Seen]) -> Vec<Finding> {
    let public = &settings.public_ips;
    let mut findings = Vec::new();
    for ip in public {
        let mapped: BTreeSet<IpAddr> = seen
            .iter()
            .map(|seen| seen.mapped.ip())
            .filter(|mapped| mapped.is_ipv4() == ip.is_ipv4())
            .collect();
        let finding = |verdict, message: String| Finding::new("address", ip.to_string(), verdict, message);
        findings.push(if ip.is_unspecified() || ip.is_multicast() {
            finding(Verdict::Failed, "is no address of a host".into()).advise("look at SIGHTLINE_PUBLIC_IP")
        } else if mapped.is_empty() {
            finding(
                Verdict::Ok,
                "is advertised; no STUN server of its family says whether it is ours".into(),
            )
        } else if mapped.contains(ip) {
            finding(
                Verdict::Ok,
                "is advertised, and a STUN server sees us there".into(),
            )
        } else {
            let mapped: Vec<_> = mapped.iter().map(IpAddr::to_string).collect();
            let message = format!("is advertised, but STUN servers see us at {}", mapped.join(", "));
            finding(Verdict::Warning, message).advise(
                "right if packets to it are forwarded here; else set SIGHTLINE_PUBLIC_IP to what they see",
            )
        });
    }
    findings
}

/// What kind of NAT is in the way, from what several servers see.
pub(super) fn check_nat(seen: &[Seen]) -> Vec<Finding> {
    let behind = seen.iter().filter(|seen| seen.local.ip() != seen.mapped.ip());
    // Our sockets differ, so only the port that a NAT chose for each can be compared with ours.
    let (kept, changed): (Vec<&Seen>, Vec<&Seen>) =
        behind.partition(|seen| seen.local.port() == seen.mapped.port());
    let subject = |seen: &Seen| format!("{} is seen as {}", seen.local.ip(), seen.mapped.ip());
    if let Some(first) = changed.first() {
        let message = "NAT that changes ports: peers cannot be told where to send";
        vec![
            Finding::new("nat", subject(first), Verdict::Warning, message).advise(
                "forward SIGHTLINE_UDP_PORTS here one to one and set SIGHTLINE_PUBLIC_IP, or use a TURN server",
            ),
        ]
    } else if let Some(first) = kept.first() {
        let message =
            "NAT that keeps ports: right for SIGHTLINE_PUBLIC_IP, with SIGHTLINE_UDP_PORTS forwarded here";
        vec![Finding::new("nat", subject(first), Verdict::Ok, message)]
    } else {
        Vec::new()
    }
}

pub(super) fn only_for_clients(servers: &[String]) -> Finding {
    Finding::new(
        "turn",
        servers.join(", "),
        Verdict::Ok,
        "browsers are told them; sessions here do not use them, as GStreamer's ICE has no TLS. Where this machine needs \
         a relay itself, name the server as turn: too",
    )
}

pub(super) fn name(relay_only: bool) -> &'static str {
    if relay_only {
        "through TURN only"
    } else {
        "by any way"
    }
}

/// Whether a session and a peer on this machine find each other.
pub(super) fn of_connection(connection: &Connection) -> Finding {
    let selected = connection.pairs.iter().find(|pair| pair.selected);
    let finding =
        |verdict, message: String| Finding::new("connection", name(connection.relay_only), verdict, message);
    match (connection.connected, selected) {
        (true, Some(pair)) => finding(
            Verdict::Ok,
            format!(
                "ICE and DTLS work: {} {} to {} {}",
                pair.peer.kind, pair.peer.address, pair.session.kind, pair.session.address
            ),
        ),
        (true, None) => finding(Verdict::Ok, "ICE and DTLS work".into()),
        (false, _) if connection.session_candidates.is_empty() => {
            finding(Verdict::Failed, "the session finds no address of its own".into())
                .advise("is any network interface but loopback up? Are all of SIGHTLINE_UDP_PORTS taken?")
        }
        (false, _) if connection.peer_candidates.is_empty() => {
            finding(Verdict::Failed, "the peer gets no address at any TURN server".into())
                .advise("see above what the TURN servers answer")
        }
        (false, Some(_)) => finding(Verdict::Failed, "ICE works, DTLS does not".into())
            .advise("packets of some size may be dropped on the way: look at the MTU"),
        (false, None) => finding(Verdict::Failed, "no pair of addresses works; each is listed below".into()).advise(
            "a firewall may drop UDP to SIGHTLINE_UDP_PORTS, or SIGHTLINE_PUBLIC_IP is not reachable from here (many \
             routers do not send packets back in: then test from outside)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::pairs::{Candidate, Pair, State};

    fn seen(local: &str, mapped: &str) -> Seen {
        Seen {
            local: local.parse().unwrap(),
            mapped: mapped.parse().unwrap(),
        }
    }

    #[test]
    fn a_nat_is_judged_by_its_ports() {
        assert_eq!(check_nat(&[seen("192.0.2.1:5", "192.0.2.1:5")]), []);
        let kept = check_nat(&[seen("10.0.0.5:5", "203.0.113.9:5")]);
        assert_eq!(kept[0].verdict, Verdict::Ok);
        let changed = check_nat(&[
            seen("10.0.0.5:5", "203.0.113.9:5"),
            seen("10.0.0.5:6", "203.0.113.9:777"),
        ]);
        assert_eq!(changed[0].verdict, Verdict::Warning);
        assert!(
            changed[0]
                .advice
                .as_ref()
                .unwrap()
                .contains("SIGHTLINE_PUBLIC_IP")
        );
    }

    #[test]
    fn advertised_addresses_are_compared_with_what_others_see() {
        let settings = |ip: &str| Settings {
            udp_ports: "12000".parse().unwrap(),
            public_ips: vec![ip.parse().unwrap()],
            ice_servers: sightline_service::ice::IceServers::default(),
            limit: std::time::Duration::ZERO,
        };
        let seen = [seen("10.0.0.5:5", "203.0.113.9:5")];
        for (ip, verdict) in [
            ("203.0.113.9", Verdict::Ok),
            ("203.0.113.10", Verdict::Warning),
            ("2001:db8::1", Verdict::Ok),
            ("0.0.0.0", Verdict::Failed),
        ] {
            assert_eq!(check_public(&settings(ip), &seen)[0].verdict, verdict, "{ip}");
        }
    }

    #[test]
    fn a_failed_connection_says_how_far_it_came() {
        let candidate = |address: &str| Candidate {
            kind: "host".into(),
            address: address.into(),
        };
        let mut connection = Connection {
            relay_only: false,
            connected: false,
            session_candidates: Vec::new(),
            peer_candidates: Vec::new(),
            pairs: Vec::new(),
        };
        let message = |connection: &Connection| of_connection(connection).message;
        assert!(message(&connection).contains("no address of its own"));
        connection.session_candidates.push("candidate:1".into());
        assert!(message(&connection).contains("no address at any TURN server"));
        connection.peer_candidates.push("candidate:1".into());
        assert!(message(&connection).contains("no pair"));
        connection.pairs.push(Pair {
            peer: candidate("192.0.2.1:1"),
            session: candidate("192.0.2.1:2"),
            state: State::Succeeded,
            selected: true,
        });
        assert!(message(&connection).contains("DTLS does not"));
        connection.connected = true;
        assert!(message(&connection).contains("host 192.0.2.1:1 to host 192.0.2.1:2"));
    }
}
