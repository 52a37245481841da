//! UDP ports for sessions: each has one of the range, for as long as it runs.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

/// A range of ports, written `12000-12199`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRange(RangeInclusive<u16>);

impl PortRange {
    pub fn ports(&self) -> RangeInclusive<u16> {
        self.0.clone()
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
        match (port(first), port(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self(first..=last)),
            _ => Err(format!("`{text}` is not a range of ports such as 12000-12199")),
        }
    }
}

#[derive(Debug)]
pub struct Ports {
    range: PortRange,
    taken: Mutex<BTreeSet<u16>>,
}

/// A port that is one session's; given back when dropped.
#[derive(Debug)]
pub struct Lease {
    pub port: u16,
    ports: Arc<Ports>,
}

impl Ports {
    pub fn new(range: PortRange) -> Arc<Self> {
        Arc::new(Self {
            range,
            taken: Mutex::default(),
        })
    }

    /// A port that no session has and no other program listens on.
    pub fn lease(self: &Arc<Self>) -> Option<Lease> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let free = |port: &u16| !taken.contains(port) && try_bind(*port).is_ok();
        let port = self.range.0.clone().find(free)?;
        taken.insert(port);
        Some(Lease {
            port,
            ports: Arc::clone(self),
        })
    }
}

/// Shows that nobody else has the port, in either family of addresses.
pub fn try_bind(port: u16) -> io::Result<()> {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
    match UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        // The host has no IPv6, then.
        _ => Ok(()),
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.ports
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!("12000-12199".parse(), Ok(PortRange(12000..=12199)));
        assert_eq!("5000".parse(), Ok(PortRange(5000..=5000)));
        for text in ["", "a-b", "2-1", "0-5", "1-70000"] {
            assert!(text.parse::<PortRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_port_that_is_taken_in_ipv6_only_is_passed_over() {
        let other = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        let busy = other.local_addr().unwrap().port();
        assert!(Ports::new(busy.to_string().parse().unwrap()).lease().is_none());
    }

    #[test]
    fn ports_are_leased_once_and_given_back() {
        // A range that some program listens in: it is passed over.
        let other = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let busy = other.local_addr().unwrap().port();
        let first = busy.saturating_sub(2).max(1);
        let ports = Ports::new(format!("{first}-{busy}").parse().unwrap());
        let leases: Vec<_> = std::iter::from_fn(|| ports.lease()).collect();
        assert!(leases.iter().all(|lease| lease.port != busy));
        let given_back = leases.first().map(|lease| lease.port);
        drop(leases);
        assert_eq!(ports.lease().map(|lease| lease.port), given_back);
    }
}
