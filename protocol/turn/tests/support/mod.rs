//! A coturn of Debian's, on loopback, with the shipped configuration and ports of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sightline_turn::{How, Link, mapped_address};
use tempfile::TempDir;

pub(crate) const SECRET: &str = "a secret for tests only";

pub(crate) struct Coturn {
    child: Child,
    port: u16,
    tls_port: u16,
    /// Its certificate and its process id.
    _folder: TempDir,
}

impl Coturn {
    /// Waits until it answers.
    pub(crate) fn start(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docker/coturn/turnserver.conf");
        let (port, tls_port) = (free_port(), free_port());
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let file = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (cert, key) = (
            file("cert", own.cert.pem()),
            file("key", own.signing_key.serialize_pem()),
        );
        let child = Command::new("turnserver")
            .arg("-c")
            .arg(config)
            .arg(format!("--static-auth-secret={SECRET}"))
            .arg(format!("--listening-port={port}"))
            .arg(format!("--tls-listening-port={tls_port}"))
            .arg(format!("--cert={cert}"))
            .arg(format!("--pkey={key}"))
            .arg(format!("--pidfile={}", folder.path().join("pid").display()))
            .args(["--listening-ip=127.0.0.1", "--listening-ip=::1"])
            .args(["--relay-ip=127.0.0.1", "--relay-ip=::1"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("turnserver cannot be started: `scripts/setup.sh test` installs it (coturn)");
        let mut coturn = Self {
            child,
            port,
            tls_port,
            _folder: folder,
        };
        coturn.wait();
        coturn
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(crate) fn tls_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.tls_port).into()
    }

    /// True if it listens on that TCP port.
    pub(crate) fn has_open(&self, port: u16) -> bool {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
    }

    fn answers(&self) -> bool {
        let soon = Instant::now() + Duration::from_millis(200);
        Link::open(How::Udp, self.address(), "localhost", soon)
            .and_then(|mut link| mapped_address(&mut link, soon))
            .is_ok()
    }

    fn wait(&mut self) {
        let begun = Instant::now();
        while !(self.answers() && self.has_open(self.port) && self.has_open(self.tls_port)) {
            let exit = self.child.try_wait().unwrap();
            assert!(exit.is_none(), "turnserver ended at once: {exit:?}");
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "turnserver does not listen"
            );
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A port that is free for UDP and TCP.
fn free_port() -> u16 {
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = tcp.local_addr().unwrap().port();
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
