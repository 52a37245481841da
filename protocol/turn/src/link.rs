//! The way to a server: datagrams, or messages one behind the other in a stream.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::Failure;

/// A datagram may be lost: it is sent again after this.
pub(crate) const RESEND: Duration = Duration::from_millis(500);
/// A header of STUN, with the magic cookie of RFC 8489 behind type and length.
const HEADER: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Udp,
    Tcp,
    Tls,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        })
    }
}

/// A socket to one server.
#[derive(Debug)]
pub struct Link(Kind);

#[derive(Debug)]
enum Kind {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Link {
    /// `name` is the host as the operator wrote it: the one that a certificate is for.
    pub fn open(how: How, address: SocketAddr, name: &str, until: Instant) -> Result<Self, Failure> {
        let kind = match how {
            How::Udp => {
                let any: IpAddr = match address {
                    SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                    SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
                };
                let socket = UdpSocket::bind((any, 0)).map_err(Failure::Unreachable)?;
                socket.connect(address).map_err(Failure::Unreachable)?;
                Kind::Udp(socket)
            }
            How::Tcp => Kind::Tcp(connect(address, until)?),
            How::Tls => Kind::Tls(Box::new(handshake(connect(address, until)?, name, until)?)),
        };
        Ok(Self(kind))
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Kind::Udp(socket) => socket.local_addr(),
            Kind::Tcp(stream) => stream.local_addr(),
            Kind::Tls(stream) => stream.sock.local_addr(),
        }
    }

    pub(crate) fn resends(&self) -> bool {
        matches!(self.0, Kind::Udp(_))
    }

    pub(crate) fn send(&mut self, message: &[u8]) -> Result<(), Failure> {
        let sent = match &mut self.0 {
            Kind::Udp(socket) => socket.send(message).map(drop),
            Kind::Tcp(stream) => stream.write_all(message),
            Kind::Tls(stream) => stream.write_all(message).and_then(|()| stream.flush()),
        };
        sent.map_err(Failure::Unreachable)
    }

    /// The next message, if one comes until then.
    pub(crate) fn receive(&mut self, until: Instant) -> Result<Option<Vec<u8>>, Failure> {
        let received = match &mut self.0 {
            Kind::Udp(socket) => {
                let mut buffer = vec![0; 2048];
                set_timeout(until, |time| socket.set_read_timeout(time)).and_then(|()| {
                    let length = socket.recv(&mut buffer)?;
                    buffer.truncate(length);
                    Ok(buffer)
                })
            }
            Kind::Tcp(stream) => {
                set_timeout(until, |time| stream.set_read_timeout(time)).and_then(|()| read_message(stream))
            }
            Kind::Tls(stream) => {
                let socket = &stream.sock;
                set_timeout(until, |time| socket.set_read_timeout(time)).and_then(|()| read_message(stream))
            }
        };
        match received {
            Ok(message) => Ok(Some(message)),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Ok(None),
                ErrorKind::InvalidData => Err(Failure::NotStun),
                _ => Err(Failure::Unreachable(error)),
            },
        }
    }
}

fn set_timeout(until: Instant, set: impl FnOnce(Option<Duration>) -> io::Result<()>) -> io::Result<()> {
    match until.checked_duration_since(Instant::now()) {
        Some(left) if !left.is_zero() => set(Some(left)),
        _ => Err(ErrorKind::TimedOut.into()),
    }
}

/// One STUN message of a stream; RFC 8489, section 6.2.2.
fn read_message(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut message = vec![0; HEADER];
    stream.read_exact(&mut message)?;
    if message[0] > 3 || message[4..8] != stun_types::message::MAGIC_COOKIE.to_be_bytes() {
        return Err(ErrorKind::InvalidData.into());
    }
    let length = usize::from(u16::from_be_bytes([message[2], message[3]]));
    message.resize(HEADER + length, 0);
    stream.read_exact(&mut message[HEADER..])?;
    Ok(message)
}

fn connect(address: SocketAddr, until: Instant) -> Result<TcpStream, Failure> {
    let left = until
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
        .ok_or(Failure::Silent)?;
    TcpStream::connect_timeout(&address, left).map_err(|error| match error.kind() {
        ErrorKind::TimedOut => Failure::Silent,
        _ => Failure::Unreachable(error),
    })
}

/// TLS as a browser does it: with the certificates that this machine trusts.
fn handshake(
    stream: TcpStream,
    name: &str,
    until: Instant,
) -> Result<StreamOwned<ClientConnection, TcpStream>, Failure> {
    let tls = |error: &dyn fmt::Display| Failure::Tls(error.to_string());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| tls(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).map_err(|error| tls(&error))?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(|error| tls(&error))?;
    let mut stream = StreamOwned::new(connection, stream);
    set_timeout(until, |time| {
        stream.sock.set_read_timeout(time)?;
        stream.sock.set_write_timeout(time)
    })
    .map_err(|_| Failure::Silent)?;
    while stream.conn.is_handshaking() {
        stream
            .conn
            .complete_io(&mut stream.sock)
            .map_err(|error| match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::Silent,
                _ => tls(&error),
            })?;
    }
    Ok(stream)
}
