//! The real coturn with the configuration that is shipped: who may use it, where it relays to, and how much.

// The helpers here belong to tests.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use sightline_ice::{Login, Secret};
use sightline_turn::{Allocation, Failure, How, Link, mapped_address};
use support::{Coturn, SECRET};

const SECOND: Duration = Duration::from_secs(1);

fn soon() -> Instant {
    Instant::now() + 5 * SECOND
}

fn login(name: &str) -> Login {
    Secret::new(SECRET).login(name, SystemTime::now() + 60 * SECOND)
}

fn allocate(coturn: &Coturn, login: &Login, ipv6: bool) -> Result<Allocation, Failure> {
    let link = Link::open(How::Udp, coturn.address(), "localhost", soon())?;
    Allocation::new(link, login, ipv6, soon())
}

fn code(result: Result<impl Sized, Failure>) -> Option<u16> {
    result.err().and_then(|failure| failure.code())
}

#[test]
fn only_fresh_credentials_of_the_right_secret_allocate() {
    let coturn = Coturn::start(&[]);
    let right = login("s1");
    assert!(allocate(&coturn, &right, false).is_ok());
    let tcp = Link::open(How::Tcp, coturn.address(), "localhost", soon()).unwrap();
    assert!(Allocation::new(tcp, &right, false, soon()).is_ok());

    let wrong = Secret::new("another secret").login("s1", SystemTime::now() + 60 * SECOND);
    let expired = Secret::new(SECRET).login("s1", SystemTime::now() - 60 * SECOND);
    let renamed = Login {
        user: right.user.replace("s1", "s2"),
        ..right.clone()
    };
    let prolonged = Login {
        user: format!("9{}", right.user),
        ..right
    };
    for refused in [wrong, expired, renamed, prolonged] {
        assert_eq!(code(allocate(&coturn, &refused, false)), Some(401), "{refused:?}");
    }
}

#[test]
fn an_allocation_outlives_its_credentials() {
    let coturn = Coturn::start(&[]);
    let brief = Secret::new(SECRET).login("s1", SystemTime::now() + 2 * SECOND);
    let mut allocation = allocate(&coturn, &brief, false).unwrap();
    std::thread::sleep(4 * SECOND);
    assert_eq!(code(allocate(&coturn, &brief, false)), Some(401));
    allocation.refresh(600, soon()).unwrap();
    allocation.permit("1.1.1.1".parse().unwrap(), soon()).unwrap();
}

#[test]
fn nothing_is_relayed_into_special_networks() {
    let coturn = Coturn::start(&[]);
    let refused = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "127.0.0.1",
        "127.1.2.3",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd12::1",
        "fdff:ffff::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
    ];
    let mut v4 = allocate(&coturn, &login("s1"), false).unwrap();
    let mut v6 = allocate(&coturn, &login("s1"), true).unwrap();
    let mut permit = |peer: &str| {
        let peer: IpAddr = peer.parse().unwrap();
        let allocation = if peer.is_ipv4() { &mut v4 } else { &mut v6 };
        allocation.permit(peer, soon())
    };
    for peer in refused {
        assert_eq!(code(permit(peer)), Some(403), "{peer}");
    }
    for peer in [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.1",
        "100.128.0.1",
        "172.32.0.1",
        "192.169.0.1",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "2a00::1",
    ] {
        permit(peer).unwrap_or_else(|failure| panic!("{peer}: {failure}"));
    }
}

#[test]
fn a_session_has_a_quota_of_its_own() {
    let coturn = Coturn::start(&["--user-quota=3"]);
    let mut held: Vec<_> = (0..3)
        .map(|_| allocate(&coturn, &login("s1"), false).unwrap())
        .collect();
    assert_eq!(code(allocate(&coturn, &login("s1"), false)), Some(486));
    // Other credentials of the same session do not help; another session has its own.
    let later = Secret::new(SECRET).login("s1", SystemTime::now() + 61 * SECOND);
    assert_eq!(code(allocate(&coturn, &later, false)), Some(486));
    allocate(&coturn, &login("s2"), false).unwrap();
    // What ends is counted no more, a moment later.
    held.pop();
    let until = soon();
    while allocate(&coturn, &login("s1"), false).is_err() {
        assert!(Instant::now() < until, "the quota stays used up");
        std::thread::sleep(SECOND / 10);
    }
}

#[test]
fn the_shipped_quotas_hold() {
    let coturn = Coturn::start(&[]);
    let held: Vec<_> = std::iter::from_fn(|| allocate(&coturn, &login("s1"), false).ok())
        .take(100)
        .collect();
    assert_eq!(held.len(), 24);
}

#[test]
fn packets_are_relayed_both_ways_where_that_is_allowed() {
    let coturn = Coturn::start(&["--allow-loopback-peers", "--allowed-peer-ip=127.0.0.1"]);
    let mut allocation = allocate(&coturn, &login("s1"), false).unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(5 * SECOND)).unwrap();
    allocation.permit("127.0.0.1".parse().unwrap(), soon()).unwrap();
    allocation.send_to(peer.local_addr().unwrap(), b"there").unwrap();
    let mut buffer = [0; 16];
    let (length, from) = peer.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from), (&b"there"[..], allocation.relayed()));
    peer.send_to(b"back", from).unwrap();
    let back = allocation.receive(soon()).unwrap();
    assert_eq!(back, Some((peer.local_addr().unwrap(), b"back".to_vec())));
}

#[test]
fn it_says_little_of_itself() {
    let coturn = Coturn::start(&[]);
    let mut link = Link::open(How::Udp, coturn.address(), "localhost", soon()).unwrap();
    assert_eq!(
        mapped_address(&mut link, soon()).unwrap(),
        link.local_addr().unwrap()
    );
    // A certificate that nobody has signed: a browser would refuse it too.
    let tls = Link::open(How::Tls, coturn.tls_address(), "localhost", soon());
    assert!(matches!(tls, Err(Failure::Tls(_))), "{tls:?}");
    assert!(!coturn.has_open(5766), "the command line interface is on");
}
