//! What is no SDP, or almost one, against the program itself: it refuses, and goes on.

// The helpers here belong to tests.
#![allow(clippy::unwrap_used, dead_code)]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use support::http::Http;
use support::redis_server::RedisServer;
use support::sdp::{fragment, offer};
use support::{Service, eventually};

const CASES: usize = 10_000;
/// Connections that send them.
const CLIENTS: usize = 8;
const ENDPOINT: &str = "/whip/webrtc-annotated";
const SDP: &str = "Content-Type: application/sdp\r\n";

/// The program, which ends with the test.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    fn start(redis: &RedisServer) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_signaling"));
        command.args(["--port", "0", "--workers", "0", "--id", "test"]);
        command.args(["--redis-url", &redis.url(), "--max-requests-per-second", "0"]);
        for (name, _) in std::env::vars() {
            if name.starts_with("SIGHTLINE_") || name.starts_with("REDIS_") || name == "RUST_LOG" {
                command.env_remove(name);
            }
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.by_ref().find_map(|line| address_in(&line.unwrap()));
        // Nobody else reads what it says, and its pipe must not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            address: address.expect("an address in the log"),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line
        .contains("ready for connections")
        .then(|| line.split_once("127.0.0.1:"))??;
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    format!("127.0.0.1:{port}").parse().ok()
}

/// Breaks a text in some of the ways in which texts break.
fn broken(text: &str, random: &mut StdRng) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = text
        .split_inclusive('\n')
        .map(|line| line.as_bytes().to_vec())
        .collect();
    for _ in 0..random.random_range(1..=4) {
        let (at, other) = (
            random.random_range(0..lines.len()),
            random.random_range(0..lines.len()),
        );
        let byte = random.random_range(0..lines[at].len().max(1));
        match random.random_range(0..9) {
            0 if lines.len() > 1 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[other].clone()),
            2 => lines.swap(at, other),
            3 => lines[at].truncate(byte),
            4 => lines.truncate(at.max(1)),
            5 => {
                let end = lines[at].len();
                lines[at].insert(byte.min(end), random.random());
            }
            6 => lines[at].extend(b"a=x:".iter().chain(&[b'9'; 300])),
            7 => lines[at] = (0..40).map(|_| random.random()).collect(),
            _ => {
                if let Some(byte) = lines[at].get_mut(byte) {
                    *byte ^= 1 << random.random_range(0..8);
                }
            }
        }
    }
    lines.concat()
}

/// A session that is there all the time.
#[derive(Clone)]
struct Live {
    /// Of its resource.
    path: String,
    /// Where it can be watched.
    viewers: String,
    etag: String,
}

/// Publishes; waits while too many do.
async fn publish(http: &mut Http) -> Live {
    for _ in 0..100 {
        let answer = http
            .send("POST", ENDPOINT, SDP, offer("sendonly").as_bytes())
            .await;
        if answer.status == 201 {
            let location = answer.header("location").unwrap();
            let path = &location[location.find("/whip/").unwrap()..];
            return Live {
                path: path.to_owned(),
                viewers: format!("/whep/{}", path.rsplit('/').next().unwrap()),
                etag: answer.header("etag").unwrap().to_owned(),
            };
        }
        assert_eq!(answer.status, 429);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("never published");
}

/// One client's share of the cases; how many had which answer.
async fn client(address: SocketAddr, live: Live, seed: u64) -> BTreeMap<u16, usize> {
    let mut http = Http::new(address);
    let mut random = StdRng::seed_from_u64(seed);
    let (publisher, viewer) = (offer("sendonly"), offer("recvonly"));
    let trickled = fragment(&[
        "candidate:1 1 udp 2122260223 127.0.0.1 50000 typ host",
        "end-of-candidates",
    ]);
    let patch = format!(
        "Content-Type: application/trickle-ice-sdpfrag\r\nIf-Match: {}\r\n",
        live.etag
    );
    let mut answers = BTreeMap::new();
    for case in 0..CASES / CLIENTS {
        let (method, path, headers, text) = match case % 4 {
            0 => ("PATCH", live.path.as_str(), patch.as_str(), &trickled),
            1 => ("POST", live.viewers.as_str(), SDP, &viewer),
            _ => ("POST", ENDPOINT, SDP, &publisher),
        };
        let body = broken(text, &mut random);
        let answer = http.send(method, path, headers, &body).await;
        *answers.entry(answer.status).or_default() += 1;
        match answer.status {
            201 => {
                // Not broken enough.
                let location = answer.header("location").unwrap();
                let path = &location[location.find("/wh").unwrap()..];
                assert_eq!(http.send("DELETE", path, "", b"").await.status, 200, "{path}");
            }
            204 => assert_eq!(method, "PATCH"),
            400..500 => {}
            status => {
                let shown = String::from_utf8_lossy(&body);
                panic!("{status} to {method} {path} with {shown:?}")
            }
        }
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_malformed_texts_hurt_nobody() {
    let redis = RedisServer::start();
    let mut program = Program::start(&redis);
    let _launcher = Service::roomy_launcher(&redis).await;
    let mut http = Http::new(program.address);
    eventually("ready", async || {
        http.send("GET", "/readyz", "", b"").await.status == 200
    })
    .await;
    let live = publish(&mut http).await;
    let clients: Vec<_> = (0..CLIENTS as u64)
        .map(|seed| tokio::spawn(client(program.address, live.clone(), seed)))
        .collect();
    let mut answers: BTreeMap<u16, usize> = BTreeMap::new();
    for client in clients {
        for (status, count) in client.await.unwrap() {
            *answers.entry(status).or_default() += count;
        }
    }
    println!("answers by status: {answers:?}");
    assert_eq!(answers.values().sum::<usize>(), CASES);
    let told_apart = answers[&400] + answers[&422];
    assert!(
        told_apart > CASES / 3,
        "the cases are not broken enough: {answers:?}"
    );
    assert!(program.child.try_wait().unwrap().is_none(), "it has ended");
    // The other connection has been idle for long.
    let mut http = Http::new(program.address);
    assert_eq!(http.send("GET", &live.path, "", b"").await.status, 204);
    publish(&mut http).await;
}
