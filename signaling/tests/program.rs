//! The program itself: what it says when it cannot start, and how it ends.

#![allow(clippy::unwrap_used)]

#[path = "../../protocol/inventa/tests/support/redis.rs"]
mod redis_server;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use redis_server::RedisServer;

fn signaling(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signaling"));
    command.args(args);
    for (name, _) in std::env::vars() {
        if name.starts_with("SIGHTLINE_") || name.starts_with("REDIS_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
}

/// Runs it until it gives up; returns what it said.
fn gives_up(args: &[&str]) -> String {
    let begun = Instant::now();
    let Output { status, stderr, .. } = signaling(args).output().unwrap();
    let words = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{words}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    words
}

#[test]
fn redis_that_is_down_is_named_without_its_password() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("redis://user:hunter2@127.0.0.1:{free}");
    let words = gives_up(&["--port", "0", "--redis-url", &url]);
    assert!(
        words.contains(&format!("redis://user:***@127.0.0.1:{free}")),
        "{words}"
    );
    assert!(words.contains("REDIS_URL"), "{words}");
    assert!(!words.contains("hunter2"), "{words}");
}

#[test]
fn redis_that_is_silent_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let words = gives_up(&["--port", "0", "--redis-port", &port]);
    assert!(words.contains("cannot use Redis"), "{words}");
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let words = gives_up(&["--port", &port]);
    assert!(
        words.contains(&port) && words.contains("SIGHTLINE_PORT"),
        "{words}"
    );
}

#[test]
fn a_taken_port_for_operators_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let words = gives_up(&["--port", "0", "--metrics-bind", &address]);
    assert!(
        words.contains(&address) && words.contains("SIGHTLINE_METRICS_BIND"),
        "{words}"
    );
}

#[test]
fn an_empty_variable_counts_as_none() {
    let mut command = signaling(&["--bind", "0.0.0.0"]);
    for name in [
        "METRICS_BIND",
        "TLS",
        "TLS_CERT",
        "AUTH_ALGORITHM",
        "AUTH_KEY_FILE",
        "INSECURE",
        "PORT",
    ] {
        command.env(format!("SIGHTLINE_{name}"), "");
    }
    let Output { status, stderr, .. } = command.output().unwrap();
    let words = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{words}");
    assert!(words.contains("without authentication"), "{words}");
}

#[test]
fn the_network_needs_consent() {
    let words = gives_up(&["--bind", "0.0.0.0"]);
    assert!(words.contains("--insecure"), "{words}");
}

#[test]
fn it_ends_when_it_is_told_to() {
    let redis = RedisServer::start();
    for name in ["TERM", "INT"] {
        let mut child = signaling(&["--port", "0", "--redis-url", &redis.url()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = lines.any(|line| line.unwrap().contains("ready for connections"));
        assert!(ready);
        let begun = Instant::now();
        let pid = child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(sent.success());
        assert_eq!(child.wait().unwrap().code(), Some(0), "on SIG{name}");
        assert!(begun.elapsed() < Duration::from_secs(5), "on SIG{name}");
    }
}

#[test]
fn a_healthcheck_asks_the_service_on_its_port() {
    let redis = RedisServer::start();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
        .to_string();
    let check = |more: &[&str]| {
        let args: Vec<&str> = ["--port", &port, "healthcheck"]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        signaling(&args).output().unwrap()
    };
    let words = gives_up(&["--port", &port, "healthcheck"]);
    assert!(words.contains("/healthz does not answer"), "{words}");

    let mut child = signaling(&["--port", &port, "--redis-url", &redis.url()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("ready for connections")));
    assert_eq!(check(&[]).status.code(), Some(0));
    let Output { status, stderr, .. } = check(&["--ready"]);
    let words = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{words}");
    assert!(
        words.contains("/readyz says 503") && words.contains("no-launcher"),
        "{words}"
    );
    child.kill().unwrap();
    child.wait().unwrap();
}
