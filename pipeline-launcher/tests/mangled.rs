//! Datagrams that are no media, on the very way that a session's media takes: it goes on.

#![allow(clippy::unwrap_used, dead_code)]

#[path = "support/child.rs"]
mod child;
#[path = "support/peer.rs"]
mod peer;
#[path = "support/relay.rs"]
mod relay;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use child::{report, run_with, start};
use peer::{Peer, VP8};
use pipeline_launcher::control::{Network, Report, Start};
use pipeline_launcher::description::WebRtc;
use pipeline_launcher::supervisor::process::Process;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use relay::Relay;

const PATIENCE: Duration = Duration::from_secs(60);
const DATAGRAMS: usize = 10_000;
const RECEIVE: &str = "webrtcbin name=webrtc webrtc. ! rtpvideodec ! videoconvert ! fakesink";

/// This host's own address, as others see it.
fn own_address() -> Ipv4Addr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let routed = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    match routed.map(|address| address.ip()) {
        Ok(IpAddr::V4(address)) => address,
        _ => Ipv4Addr::LOCALHOST,
    }
}

/// One of the client's own datagrams, broken; or one that looks like RTP, RTCP, DTLS or STUN, and is not.
fn mangled(own: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut datagram = own.to_vec();
    match random.random_range(0..6) {
        0 if !datagram.is_empty() => {
            for _ in 0..random.random_range(1..8) {
                let at = random.random_range(0..datagram.len());
                datagram[at] ^= 1 << random.random_range(0..8);
            }
        }
        1 => datagram.truncate(random.random_range(0..datagram.len().max(1))),
        2 => datagram.extend((0..random.random_range(1..400)).map(|_| random.random::<u8>())),
        // The header of a packet with extensions and sources that are not there.
        3 if datagram.len() > 12 => {
            datagram[0] = 0x9f;
            datagram.truncate(random.random_range(12..=datagram.len().min(40)));
        }
        _ => {
            let first = [0x80, 0x90, 0xbf, 0x00, 0x01, 0x14, 0x16, 0x17, 0xff][random.random_range(0..9)];
            datagram = (0..random.random_range(0..1400))
                .map(|_| random.random())
                .collect();
            if let Some(byte) = datagram.first_mut() {
                *byte = first;
            }
            if random.random() && datagram.len() > 8 {
                datagram[1] = [102, 200, 201, 205, 206][random.random_range(0..5)];
            }
        }
    }
    datagram
}

/// Waits until the session has counted so many more frames.
async fn frames(process: &mut Process, more: u64) {
    let begun = Instant::now();
    let mut first = None;
    loop {
        assert!(begun.elapsed() < PATIENCE, "no frames come");
        match tokio::time::timeout(PATIENCE, process.report()).await.unwrap() {
            Some(Report::Progress(progress)) => {
                let now = progress.frames_out;
                if now >= *first.get_or_insert(now) + more {
                    return;
                }
            }
            Some(Report::Ice { .. } | Report::Running) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn ten_thousand_mangled_datagrams_change_nothing() {
    let relay = Relay::bind(own_address());
    let (socket, last) = relay.tap();
    let peer = Peer::new(&[VP8], true);
    let (offer, client) = relay.reroute(0, &peer.offer());
    let start = Start {
        offer: Some(offer),
        ..start(RECEIVE, Vec::new(), Some(WebRtc::default()), Network::default())
    };
    let (mut session, mut said) = run_with(start).await;
    let sdp = loop {
        match said {
            Some(Report::Described { sdp }) => break sdp,
            Some(Report::Ice { .. }) => said = report(&mut session).await,
            other => panic!("{other:?}"),
        }
    };
    let (answer, edge) = relay.reroute(1, &sdp);
    relay.start([client, edge], Duration::ZERO);
    peer.take_answer(&answer);
    frames(&mut session, 10).await;

    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for number in 0..DATAGRAMS {
        let own = last.lock().unwrap().clone();
        socket.send_to(&mangled(&own, &mut random), edge).unwrap();
        if number % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    frames(&mut session, 30).await;
    session.stop().await;
}
