//! Which candidates of a peer are tried, and how ours are told.

use std::collections::HashSet;
use std::net::IpAddr;

use sightline_sdp::candidate::{Candidate, advertise, advertise_description, is_usable};

const HOST: &str = "candidate:1 1 UDP 2015363327 10.0.0.5 12000 typ host";

fn addresses<const N: usize>(texts: [&str; N]) -> [IpAddr; N] {
    texts.map(|text| text.parse().expect("an address"))
}

#[test]
fn only_what_can_be_tried_is_usable() {
    for usable in [
        HOST,
        "candidate:842163049 1 udp 1677729535 198.51.100.23 49210 typ srflx raddr 10.0.0.5 rport 49210 generation 0",
        "candidate:3 1 udp 1 2001:db8::17 61765 typ relay raddr :: rport 0",
        "candidate:4 1 udp 1 127.0.0.1 5 typ prflx",
    ] {
        assert!(is_usable(usable), "{usable}");
        let again = Candidate::parse(usable).unwrap();
        assert_eq!(Candidate::parse(&again.to_string()), Some(again));
    }
    for (from, to) in [
        ("10.0.0.5", "8cf3a1.local"),
        ("10.0.0.5", "example.org"),
        ("10.0.0.5", "0.0.0.0"),
        ("10.0.0.5", "224.0.0.1"),
        ("10.0.0.5", "255.255.255.255"),
        ("10.0.0.5", "fe80::1"),
        ("10.0.0.5", "fe80::1%eth0"),
        ("10.0.0.5", "::ffff:10.0.0.5"),
        ("10.0.0.5", "ff02::1"),
        ("12000", "0"),
        ("12000", "65536"),
        ("UDP", "TCP"),
        ("UDP", "ssltcp"),
        (" 1 UDP", " 2 UDP"),
        ("2015363327", "0"),
        ("2015363327", "4294967295"),
        ("typ host", "typ hostess"),
        ("typ host", ""),
        ("candidate:", "a=candidate:"),
        ("candidate:1", "candidate:"),
    ] {
        let candidate = HOST.replace(from, to);
        assert!(!is_usable(&candidate), "{candidate}");
    }
    assert!(!is_usable(&format!("{HOST} {}", "x".repeat(600))));
}

#[test]
fn the_public_address_replaces_the_hosts() {
    let public = addresses(["203.0.113.9"]);
    assert_eq!(
        advertise(HOST, &public),
        ["candidate:1 1 UDP 2015363327 203.0.113.9 12000 typ host"]
    );
    for same in [
        "candidate:1 1 UDP 1 fd00::2 12000 typ host",
        "candidate:1 1 UDP 1 198.51.100.1 12000 typ srflx raddr 10.0.0.5 rport 1",
        "candidate:nonsense",
        "",
    ] {
        assert_eq!(advertise(same, &public), [same]);
    }
    assert_eq!(advertise(HOST, &[]), [HOST]);
    assert_eq!(
        advertise(
            "candidate:1 1 UDP 7 fd00::2 12000 typ host",
            &addresses(["203.0.113.9", "2001:db8::9"])
        ),
        ["candidate:1 1 UDP 7 2001:db8::9 12000 typ host"]
    );
    let tcp = "candidate:3 1 TCP 1010827519 10.0.0.5 52317 typ host tcptype passive";
    assert_eq!(advertise(tcp, &public), [tcp.replace("10.0.0.5", "203.0.113.9")]);
}

#[test]
fn several_public_addresses_make_several_candidates() {
    let public = addresses(["203.0.113.9", "2001:db8::9", "203.0.113.10", "203.0.113.9"]);
    let told = advertise(HOST, &public);
    assert_eq!(
        told,
        [
            "candidate:1 1 UDP 2015363327 203.0.113.9 12000 typ host",
            "candidate:1n1 1 UDP 2015363071 203.0.113.10 12000 typ host",
        ]
    );
    assert!(told.iter().all(|candidate| is_usable(candidate)));
}

#[test]
fn a_description_tells_each_address_once_and_each_priority_once() {
    let other = HOST
        .replace("10.0.0.5", "10.0.0.6")
        .replace("2015363327", "2015363071");
    let relay = "candidate:9 1 UDP 2015363071 198.51.100.7 4000 typ relay raddr 10.0.0.5 rport 12000";
    let sdp = format!("v=0\r\nm=video 9\r\na={HOST}\r\na={other}\r\na={relay}\r\na=end-of-candidates\r\n");
    let told = advertise_description(&sdp, &addresses(["203.0.113.9", "203.0.113.10"]));
    let candidates: Vec<_> = told
        .lines()
        .filter(|line| line.starts_with("a=candidate:"))
        .collect();
    assert_eq!(candidates.len(), 3, "{told}");
    let part = |index| {
        candidates
            .iter()
            .map(|line| line.split(' ').nth(index))
            .collect::<HashSet<_>>()
            .len()
    };
    assert_eq!((part(3), part(4)), (3, 3), "{told}");
    assert!(told.ends_with("a=end-of-candidates\r\n"));
    assert_eq!(advertise_description(&sdp, &[]).matches("typ host").count(), 2);
}
