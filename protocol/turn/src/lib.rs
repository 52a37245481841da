//! What STUN and TURN servers answer, asked plainly: one request, one answer, and an end to waiting.
//!
//! For tests of a network and of a TURN server's configuration, not for media: libnice and browsers do that.

mod allocation;
mod link;
mod request;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

pub use allocation::Allocation;
pub use link::{How, Link};
pub use request::mapped_address;
use sightline_ice::{Server, Transport};

/// Why a server is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("its name cannot be resolved: {0}")]
    Name(io::Error),
    #[error("its name has no address")]
    NoAddress,
    #[error("it cannot be reached: {0}")]
    Unreachable(io::Error),
    #[error("it does not answer")]
    Silent,
    #[error("TLS with it fails: {0}")]
    Tls(String),
    #[error("what answers is no STUN or TURN server")]
    NotStun,
    /// An error answer: STUN's code and the server's words for it.
    #[error("it answers {code} {reason}")]
    Refused { code: u16, reason: String },
}

impl Failure {
    /// STUN's error code, where the server gave one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// All addresses of a server.
pub fn resolve(server: &Server) -> Result<Vec<SocketAddr>, Failure> {
    let found = (server.host.as_str(), server.port).to_socket_addrs();
    let addresses: Vec<_> = found.map_err(Failure::Name)?.collect();
    if addresses.is_empty() {
        return Err(Failure::NoAddress);
    }
    Ok(addresses)
}

/// The ways by which clients reach a server that is named so.
pub fn ways(server: &Server) -> Vec<How> {
    use sightline_ice::Scheme::{Stun, Stuns, Turn, Turns};
    match (server.scheme, server.transport) {
        (Stuns | Turns, _) => vec![How::Tls],
        (Turn, Some(Transport::Tcp)) => vec![How::Tcp],
        (Turn, Some(Transport::Udp)) | (Stun, _) => vec![How::Udp],
        (Turn, None) => vec![How::Udp, How::Tcp],
    }
}
