//! Asks a daemon on this host whether it is well: in a container there is no shell and no curl to do so.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

const TIMEOUT: Duration = Duration::from_secs(3);
const LONGEST_ANSWER: u64 = 64 * 1024;

/// What is asked.
#[derive(Debug, Clone, Args)]
pub struct Question {
    /// Ask whether sessions would be served, not only whether the daemon lives
    #[arg(long)]
    pub ready: bool,
}

/// How the daemon speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    /// With whatever certificate: it is for names that this host is called by from outside.
    Https,
}

/// An error says what the daemon that is bound to this address answers, or that it does not.
pub fn ask(scheme: Scheme, bind: IpAddr, port: u16, question: &Question) -> anyhow::Result<()> {
    let address = SocketAddr::new(reachable(bind), port);
    let path = if question.ready { "/readyz" } else { "/healthz" };
    let (url, answer) = match scheme {
        Scheme::Http => (format!("http://{address}{path}"), get(address, path)),
        Scheme::Https => (format!("https://{address}{path}"), get_securely(address, path)),
    };
    let answer = answer.with_context(|| format!("{url} does not answer"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        bail!("{url} says {status}: {}", body.trim());
    }
    Ok(())
}

/// Where a daemon is reached from its own host.
fn reachable(bind: IpAddr) -> IpAddr {
    match bind {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    exchange(connect(address)?, address, path)
}

fn get_securely(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OwnHost(provider)))
        .with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), ServerName::from(address.ip()))
        .map_err(std::io::Error::other)?;
    exchange(StreamOwned::new(connection, connect(address)?), address, path)
}

fn exchange(mut stream: impl Read + Write, address: SocketAddr, path: &str) -> std::io::Result<String> {
    // HTTP/1.0: the answer ends with the connection, and comes in one piece.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    // In one piece, too: who answers what has come so far, and hangs up, would break the rest.
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut answer = Vec::new();
    match stream.take(LONGEST_ANSWER).read_to_end(&mut answer) {
        // A server may hang up without TLS's good-bye.
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
    }
}

/// Nobody is between this program and its own host.
#[derive(Debug)]
struct OwnHost(Arc<CryptoProvider>);

impl ServerCertVerifier for OwnHost {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers one request with `answer`; the request's first line comes back.
    fn server(answer: &'static str) -> (u16, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            request.lines().next().unwrap_or_default().to_owned()
        });
        (port, thread)
    }

    #[test]
    fn a_daemon_that_is_well_is_no_error() {
        let (port, thread) = server("HTTP/1.0 200 OK\r\n\r\nok\n");
        ask(
            Scheme::Http,
            Ipv4Addr::UNSPECIFIED.into(),
            port,
            &Question { ready: false },
        )
        .unwrap();
        assert_eq!(thread.join().unwrap(), "GET /healthz HTTP/1.0");
    }

    #[test]
    fn what_is_missing_is_said() {
        let (port, thread) = server("HTTP/1.0 503 Service Unavailable\r\n\r\n{\"ready\":false}\n");
        let error = ask(
            Scheme::Http,
            Ipv4Addr::LOCALHOST.into(),
            port,
            &Question { ready: true },
        )
        .unwrap_err();
        assert!(
            error.to_string().ends_with("/readyz says 503: {\"ready\":false}"),
            "{error}"
        );
        assert_eq!(thread.join().unwrap(), "GET /readyz HTTP/1.0");
        // Nobody listens there any more.
        let error = ask(
            Scheme::Http,
            Ipv4Addr::LOCALHOST.into(),
            port,
            &Question { ready: false },
        )
        .unwrap_err();
        assert!(error.to_string().ends_with("/healthz does not answer"), "{error}");
    }
}
