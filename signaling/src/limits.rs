//! How much of the server one address and one tenant may have, so that nobody takes it from the others.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use clap::Args;
use sightline_protocol::{ErrorId, Failure};

use crate::session::Bucket;

/// TCP connections for each WebSocket or follower: a browser opens six for its requests.
const SOCKETS_PER_CONNECTION: usize = 4;
/// Requests that may come at once are those of so many seconds.
const BURST_SECS: u32 = 2;
/// Sessions of a tenant that may be started at once, and each second in the long run.
const STARTS: u32 = 120;
const STARTS_PER_SECOND: u32 = 20;
/// Of those whose requests are counted, at most so many are kept in mind.
const MAX_KNOWN: usize = 16 * 1024;

/// Each with 0 for no limit.
#[derive(Debug, Clone, Copy, Args)]
pub struct LimitArgs {
    /// WebSockets and followers of predictions that one address may have open
    #[arg(long, env = "SIGHTLINE_MAX_CONNECTIONS_PER_ADDRESS", default_value_t = 128)]
    pub max_connections_per_address: usize,

    /// Sessions, and followers of predictions, that one tenant may have at the same time
    #[arg(long, env = "SIGHTLINE_MAX_CONNECTIONS_PER_TENANT", default_value_t = 512)]
    pub max_connections_per_tenant: usize,

    /// Requests that one address may make each second, in the long run
    #[arg(long, env = "SIGHTLINE_MAX_REQUESTS_PER_SECOND", default_value_t = 200)]
    pub max_requests_per_second: u32,
}

pub(crate) struct Limits {
    args: LimitArgs,
    sockets: Counts<IpAddr>,
    connections: Counts<IpAddr>,
    followers: Counts<Arc<str>>,
    requests: Buckets<IpAddr>,
    starts: Buckets<Arc<str>>,
}

impl Limits {
    pub(crate) fn new(args: LimitArgs) -> Self {
        let per_second = args.max_requests_per_second;
        Self {
            args,
            sockets: Counts::default(),
            connections: Counts::default(),
            followers: Counts::default(),
            requests: Buckets::new(per_second.saturating_mul(BURST_SECS), per_second),
            starts: Buckets::new(STARTS, STARTS_PER_SECOND),
        }
    }

    /// A TCP connection; none if that address has too many.
    pub(crate) fn socket(&self, address: IpAddr) -> Option<Held<IpAddr>> {
        let most = self
            .args
            .max_connections_per_address
            .saturating_mul(SOCKETS_PER_CONNECTION);
        self.sockets.take(network(address), most)
    }

    /// A WebSocket, or somebody who follows predictions.
    pub(crate) fn connection(&self, address: IpAddr) -> Result<Held<IpAddr>, Failure> {
        let most = self.args.max_connections_per_address;
        let held = self.connections.take(network(address), most);
        held.ok_or_else(|| full("this address has too many connections: close some, or try again later"))
    }

    /// Somebody who follows predictions, of a tenant.
    pub(crate) fn follower(&self, tenant: &Arc<str>) -> Result<Held<Arc<str>>, Failure> {
        let most = self.args.max_connections_per_tenant;
        let held = self.followers.take(Arc::clone(tenant), most);
        held.ok_or_else(|| full("this tenant has too many connections: close some, or try again later"))
    }

    pub(crate) fn request(&self, address: IpAddr, now: Instant) -> Result<(), Failure> {
        if self.args.max_requests_per_second == 0 {
            return Ok(());
        }
        let taken = self.requests.take(network(address), now);
        taken.map_err(|seconds| {
            slower(
                "too many requests from this address; try again in a moment",
                seconds,
            )
        })
    }

    /// A session of a tenant, which has `live` ones.
    pub(crate) fn start(&self, tenant: &Arc<str>, live: usize, now: Instant) -> Result<(), Failure> {
        let most = self.args.max_connections_per_tenant;
        if most == 0 {
            return Ok(());
        }
        if live >= most {
            return Err(full(
                "this tenant has too many sessions: stop some, or try again later",
            ));
        }
        let taken = self.starts.take(Arc::clone(tenant), now);
        taken.map_err(|seconds| {
            slower(
                "this tenant starts too many sessions; try again in a moment",
                seconds,
            )
        })
    }
}

fn full(words: &str) -> Failure {
    Failure::new(ErrorId::TooManySessions, words)
}

fn slower(words: &str, seconds: u32) -> Failure {
    Failure::new(ErrorId::RateLimited, words).again_in(seconds)
}

/// Who has an IPv6 address has all of its /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

/// How many each one holds.
struct Counts<K>(Arc<Mutex<HashMap<K, usize>>>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash + Clone> Counts<K> {
    fn take(&self, key: K, most: usize) -> Option<Held<K>> {
        let mut counts = lock(&self.0);
        let count = counts.get(&key).copied().unwrap_or_default();
        if most > 0 && count >= most {
            return None;
        }
        counts.insert(key.clone(), count + 1);
        let counts = Arc::clone(&self.0);
        Some(Held { key, counts })
    }
}

/// One of those that are counted, until it is dropped.
pub(crate) struct Held<K: Eq + Hash> {
    key: K,
    counts: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash> Drop for Held<K> {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

/// How much each one does.
struct Buckets<K> {
    burst: u32,
    per_second: u32,
    known: Mutex<HashMap<K, Bucket>>,
}

impl<K: Eq + Hash> Buckets<K> {
    fn new(burst: u32, per_second: u32) -> Self {
        let known = Mutex::default();
        Self {
            burst,
            per_second,
            known,
        }
    }

    /// Takes one; else after how many seconds there is one.
    fn take(&self, key: K, now: Instant) -> Result<(), u32> {
        let mut known = lock(&self.known);
        if known.len() >= MAX_KNOWN && !known.contains_key(&key) {
            known.retain(|_, bucket| !bucket.is_full(now));
            // So many at once are an attack, which must not cost memory too.
            if known.len() >= MAX_KNOWN {
                return Err(1);
            }
        }
        let (burst, per_second) = (self.burst, self.per_second);
        let bucket = known
            .entry(key)
            .or_insert_with(|| Bucket::new(burst, per_second, now));
        if bucket.take(now) {
            Ok(())
        } else {
            Err(bucket.wait().as_secs_f64().ceil().max(1.0) as u32)
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits(connections: usize, requests: u32) -> Limits {
        Limits::new(LimitArgs {
            max_connections_per_address: connections,
            max_connections_per_tenant: connections,
            max_requests_per_second: requests,
        })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn connections_are_counted_until_they_are_dropped() {
        let limits = limits(2, 0);
        let (one, _two) = (
            limits.connection(address("2001:db8::1")).unwrap(),
            limits.connection(address("2001:db8::2")).unwrap(),
        );
        let failure = limits.connection(address("2001:db8::3")).err().unwrap();
        assert_eq!(failure.id, ErrorId::TooManySessions);
        assert!(limits.connection(address("2001:db8:0:1::1")).is_ok());
        drop(one);
        assert!(limits.connection(address("2001:db8::3")).is_ok());
        // The same IPv4 address, however the socket names it.
        let _three = (
            limits.connection(address("10.0.0.1")).unwrap(),
            limits.connection(address("::ffff:10.0.0.1")).unwrap(),
        );
        assert!(limits.connection(address("10.0.0.1")).is_err());
        let tenant: Arc<str> = "a".into();
        let _four = (
            limits.follower(&tenant).unwrap(),
            limits.follower(&tenant).unwrap(),
        );
        assert!(limits.follower(&tenant).is_err() && limits.follower(&"b".into()).is_ok());
        assert!(lock(&limits.connections.0).len() <= 2);
    }

    #[test]
    fn each_address_has_its_own_rate() {
        let limits = limits(0, 10);
        let now = Instant::now();
        let ask = |text: &str, now| limits.request(address(text), now).is_ok();
        assert_eq!((0..100).filter(|_| ask("10.0.0.1", now)).count(), 20);
        assert!(ask("10.0.0.2", now));
        assert!(ask("10.0.0.1", now + Duration::from_millis(101)));
        let unlimited = self::limits(0, 0);
        assert!((0..1000).all(|_| unlimited.request(address("10.0.0.1"), now).is_ok()));
        let (limits, tenant): (_, Arc<str>) = (self::limits(3, 0), "a".into());
        let begun = (0..200).filter(|_| limits.start(&tenant, 0, now).is_ok());
        assert_eq!(begun.count(), STARTS as usize);
        assert!(limits.start(&"b".into(), 2, now).is_ok());
        assert!(limits.start(&"b".into(), 3, now).is_err());
    }

    #[test]
    fn many_addresses_cost_no_memory_without_end() {
        let limits = limits(0, 1);
        let now = Instant::now();
        let from = |n: u32| limits.request(IpAddr::from(n.to_be_bytes()), now).is_ok();
        assert!((0..MAX_KNOWN as u32).all(from));
        assert!(!from(u32::MAX));
        let later = now + Duration::from_secs(60);
        assert!(limits.request(address("255.255.255.255"), later).is_ok());
        assert_eq!(lock(&limits.requests.known).len(), 1);
    }
}
