//! A relayed address at a TURN server (RFC 8656), with the long-term credentials of RFC 8489.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use sightline_ice::Login;
use stun_types::AddressFamily;
use stun_types::attribute::{ErrorCode, Nonce, Realm, Username};
use stun_types::message::{
    IntegrityAlgorithm, LongTermCredentials, Message, MessageWrite, MessageWriteExt, MessageWriteVec, Method,
    StunWriteError,
};
use turn_types::attribute::{
    Data, Lifetime, RequestedAddressFamily, RequestedTransport, XorPeerAddress, XorRelayedAddress,
};
use turn_types::message::{ALLOCATE, CREATE_PERMISSION, REFRESH, SEND};

use crate::Failure;
use crate::link::Link;
use crate::request::{self, read_mapped, refusal};

/// Given back to the server when dropped.
#[derive(Debug)]
pub struct Allocation {
    link: Link,
    login: Login,
    /// The server's realm and nonce.
    challenge: Option<(String, String)>,
    relayed: SocketAddr,
    mapped: SocketAddr,
}

type Add<'a> = &'a dyn Fn(&mut MessageWriteVec) -> Result<(), StunWriteError>;

impl Allocation {
    /// `ipv6`: the family of the relayed address; a server need not have both.
    pub fn new(link: Link, login: &Login, ipv6: bool, until: Instant) -> Result<Self, Failure> {
        let mut allocation = Self {
            mapped: link.local_addr().map_err(Failure::Unreachable)?,
            relayed: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            link,
            login: login.clone(),
            challenge: None,
        };
        let answer = allocation.request(ALLOCATE, until, &|message| {
            message.add_attribute(&RequestedTransport::new(RequestedTransport::UDP))?;
            if ipv6 {
                message.add_attribute(&RequestedAddressFamily::new(AddressFamily::IPV6))?;
            }
            Ok(())
        })?;
        let message = Message::from_bytes(&answer).map_err(|_| Failure::NotStun)?;
        let relayed = message
            .attribute::<XorRelayedAddress>()
            .map_err(|_| Failure::NotStun)?;
        allocation.relayed = relayed.addr(message.transaction_id());
        allocation.mapped = read_mapped(&answer).ok_or(Failure::NotStun)?;
        Ok(allocation)
    }

    /// Where peers send what is for us.
    pub fn relayed(&self) -> SocketAddr {
        self.relayed
    }

    /// Where the server sees us.
    pub fn mapped(&self) -> SocketAddr {
        self.mapped
    }

    /// Lets a peer's packets through, and ours to it.
    pub fn permit(&mut self, peer: IpAddr, until: Instant) -> Result<(), Failure> {
        let permitted = self.request(CREATE_PERMISSION, until, &|message| {
            let transaction = message.transaction_id();
            message.add_attribute(&XorPeerAddress::new(SocketAddr::new(peer, 0), transaction))
        });
        permitted.map(drop)
    }

    /// Keeps the allocation; a lifetime of 0 ends it.
    pub fn refresh(&mut self, seconds: u32, until: Instant) -> Result<(), Failure> {
        let refreshed = self.request(REFRESH, until, &|message| {
            message.add_attribute(&Lifetime::new(seconds))
        });
        refreshed.map(drop)
    }

    pub fn send_to(&mut self, peer: SocketAddr, data: &[u8]) -> Result<(), Failure> {
        let mut message = Message::builder_indication(SEND, MessageWriteVec::new());
        let peer = XorPeerAddress::new(peer, message.transaction_id());
        let added = message
            .add_attribute(&peer)
            .and_then(|()| message.add_attribute(&Data::new(data)));
        added.map_err(|_| Failure::NotStun)?;
        self.link.send(&message.finish())
    }

    /// What the next peer sent, and its address.
    pub fn receive(&mut self, until: Instant) -> Result<Option<(SocketAddr, Vec<u8>)>, Failure> {
        while let Some(bytes) = self.link.receive(until)? {
            let Ok(message) = Message::from_bytes(&bytes) else {
                continue;
            };
            let peer = message.attribute::<XorPeerAddress>();
            if let (Ok(peer), Ok(data)) = (peer, message.attribute::<Data>()) {
                return Ok(Some((peer.addr(message.transaction_id()), data.data().to_vec())));
            }
        }
        Ok(None)
    }

    /// A request with our credentials. The server says its realm and nonce first, and may change the nonce later.
    fn request(&mut self, method: Method, until: Instant, add: Add<'_>) -> Result<Vec<u8>, Failure> {
        for _ in 0..3 {
            let mut message = request::new(method);
            let transaction = message.transaction_id();
            add(&mut message).map_err(|_| Failure::NotStun)?;
            self.sign(&mut message).map_err(|_| Failure::NotStun)?;
            let known = self.challenge.clone();
            let answer = request::answer(&mut self.link, &message.finish(), transaction, until)?;
            let Some(refused) = refusal(&answer) else {
                return Ok(answer);
            };
            let asks = match refused.code() {
                Some(ErrorCode::UNAUTHORIZED) => known.is_none(),
                Some(ErrorCode::STALE_NONCE) => true,
                _ => false,
            };
            if !asks || !self.read_challenge(&answer) {
                return Err(refused);
            }
        }
        Err(Failure::NotStun)
    }

    fn read_challenge(&mut self, answer: &[u8]) -> bool {
        let Ok(message) = Message::from_bytes(answer) else {
            return false;
        };
        let (realm, nonce) = (message.attribute::<Realm>(), message.attribute::<Nonce>());
        let (Ok(realm), Ok(nonce)) = (realm, nonce) else {
            return false;
        };
        self.challenge = Some((realm.realm().to_owned(), nonce.nonce().to_owned()));
        true
    }

    fn sign(&self, message: &mut MessageWriteVec) -> Result<(), StunWriteError> {
        let Some((realm, nonce)) = &self.challenge else {
            return Ok(());
        };
        let Login { user, password } = &self.login;
        message.add_attribute(&Username::new(user)?)?;
        message.add_attribute(&Realm::new(realm)?)?;
        message.add_attribute(&Nonce::new(nonce)?)?;
        let credentials = LongTermCredentials::new(user.clone(), password.clone()).to_key(realm.clone());
        message.add_message_integrity(&credentials.into(), IntegrityAlgorithm::Sha1)
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        if self.relayed.port() != 0 {
            // Unheard, it ends by itself after ten minutes.
            let soon = Instant::now() + Duration::from_millis(200);
            let _unheard = self.refresh(0, soon);
        }
    }
}
