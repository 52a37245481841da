//! Two WebRTC peers that only reach each other through a relay, which passes each datagram on late.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Between two peers, which know each other by the addresses of these sockets.
pub struct Relay {
    sockets: [UdpSocket; 2],
    /// What peer 0 has sent last.
    last: Arc<Mutex<Vec<u8>>>,
}

impl Relay {
    pub fn bind(address: Ipv4Addr) -> Self {
        Self {
            sockets: [(); 2].map(|()| UdpSocket::bind((address, 0)).unwrap()),
            last: Arc::default(),
        }
    }

    /// The SDP of a peer (0 or 1) as the other is to see it, and where the peer itself is.
    pub fn reroute(&self, peer: usize, sdp: &str) -> (String, SocketAddr) {
        let way = self.sockets[peer].local_addr().unwrap();
        let mut found = None;
        let mut text = String::new();
        for line in sdp.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                [first, component, transport, priority, ip, port, rest @ ..]
                    if first.starts_with("a=candidate:") =>
                {
                    if found.is_some() || !transport.eq_ignore_ascii_case("udp") {
                        continue;
                    }
                    found = Some(format!("{ip}:{port}").parse().unwrap());
                    let (ip, port) = (way.ip(), way.port());
                    let rest = rest.join(" ");
                    text += &format!("{first} {component} {transport} {priority} {ip} {port} {rest}\r\n");
                }
                _ => text += &format!("{line}\r\n"),
            }
        }
        (text, found.expect("an SDP without a UDP candidate"))
    }

    // Not of every test that includes this.
    #[allow(dead_code)]
    /// The socket that peer 0 is to the other one, and what it has sent last.
    pub fn tap(&self) -> (UdpSocket, Arc<Mutex<Vec<u8>>>) {
        (self.sockets[0].try_clone().unwrap(), Arc::clone(&self.last))
    }

    /// Starts, with the peers' own addresses; goes on until the process ends.
    pub fn start(self, peers: [SocketAddr; 2], delay: Duration) {
        for from in 0..2 {
            // What peer 0 sends comes to socket 1, which is peer 1 to it.
            let incoming = self.sockets[1 - from].try_clone().unwrap();
            let outgoing = self.sockets[from].try_clone().unwrap();
            let to = peers[1 - from];
            let last = (from == 0).then(|| Arc::clone(&self.last));
            let (late, on_time) = channel::<(Instant, Vec<u8>)>();
            thread::spawn(move || {
                let mut datagram = vec![0; 65_536];
                while let Ok(length) = incoming.recv(&mut datagram) {
                    if let Some(last) = &last {
                        *last.lock().unwrap() = datagram[..length].to_vec();
                    }
                    late.send((Instant::now() + delay, datagram[..length].to_vec()))
                        .ok();
                }
            });
            thread::spawn(move || {
                for (due, datagram) in on_time {
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    outgoing.send_to(&datagram, to).ok();
                }
            });
        }
    }
}
