//! Both roles against a real Redis.

// The helpers here belong to tests.
#![allow(clippy::unwrap_used)]

#[path = "support/redis.rs"]
mod redis_server;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use redis::AsyncCommands;
use redis_server::RedisServer;
use sightline_inventa::{Answer, CallError, Config, Event, Handler, Inventa, Orchestrator, unknown_command};
use sightline_protocol::inventa::{Request, ServiceName};
use sightline_redis::Server;
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);

fn name(text: &str) -> ServiceName {
    ServiceName::parse(text).unwrap()
}

fn at(url: &str) -> Server {
    Server::new(url).unwrap()
}

async fn echo(request: Request) -> Answer {
    match request.method.as_str() {
        "echo" => Ok(request.args),
        "slow" => {
            tokio::time::sleep(20 * SECOND).await;
            Ok(vec![])
        }
        "refuse" => Err("not-today: come back|tomorrow!".into()),
        other => Err(unknown_command(other)),
    }
}

/// A participant that is stopped with its test.
struct Participant {
    inventa: Inventa,
    shutdown: CancellationToken,
}

impl Participant {
    async fn stop(self) {
        self.shutdown.cancel();
        self.inventa.stopped().await;
    }
}

async fn start(server: &RedisServer, service: &str, handler: impl Handler) -> Participant {
    let shutdown = CancellationToken::new();
    let mut config = Config::new(at(&server.url()), name(service));
    if config.name.kind == "sgn" {
        config.aliases = vec![name("svc:sgn:")];
    }
    let inventa = Inventa::start(config, handler, shutdown.clone()).await.unwrap();
    Participant { inventa, shutdown }
}

async fn orchestrator(server: &RedisServer) -> (Participant, Orchestrator) {
    let participant = start(server, "svc:sgn:one", echo).await;
    let orchestrator = participant.inventa.orchestrate().await.unwrap();
    (participant, orchestrator)
}

async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < 20 * SECOND, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn calls_carry_values_and_refusals() {
    let server = RedisServer::start();
    let (a, b) = (
        start(&server, "svc:mb:a", echo).await,
        start(&server, "svc:mb:b", echo).await,
    );
    let to = b.inventa.name();
    let args = ["v=0\r\na=x|y!z", "{\"sdp\":\"…\"}"];
    let values = a.inventa.call(to, "echo", &args, SECOND).await.unwrap();
    assert_eq!(values, args);

    let Err(CallError::Refused(text)) = a.inventa.call(to, "refuse", &[], SECOND).await else {
        panic!("not refused")
    };
    assert_eq!(text, "not-today: come back|tomorrow!");
    let Err(CallError::Refused(text)) = a.inventa.call(to, "dance", &[], SECOND).await else {
        panic!("not refused")
    };
    assert_eq!(text, "unknown command type: dance");
    // Only an orchestrator takes registrations.
    let register = a.inventa.call(to, "register", &["svc:mb:a"], SECOND).await;
    assert!(matches!(register, Err(CallError::Refused(_))), "{register:?}");
}

#[tokio::test]
async fn many_calls_at_once_find_their_callers() {
    let server = RedisServer::start();
    let (a, b) = (
        start(&server, "svc:mb:a", echo).await,
        start(&server, "svc:mb:b", echo).await,
    );
    let calls = (0..50).map(|i| {
        let (from, to) = (a.inventa.clone(), b.inventa.name().clone());
        async move {
            let text = i.to_string();
            let answer = from.call(&to, "echo", &[&text], 5 * SECOND).await.unwrap();
            assert_eq!(answer, [text]);
        }
    });
    futures_util::future::join_all(calls).await;
}

#[tokio::test]
async fn silence_times_out_and_absence_fails_at_once() {
    let server = RedisServer::start();
    let (a, b) = (
        start(&server, "svc:mb:a", echo).await,
        start(&server, "svc:mb:b", echo).await,
    );
    let slow = a
        .inventa
        .call(b.inventa.name(), "slow", &[], Duration::from_millis(100))
        .await;
    assert!(matches!(slow, Err(CallError::Timeout { .. })), "{slow:?}");
    let absent = a
        .inventa
        .call(&name("svc:mb:nobody"), "echo", &[], 60 * SECOND)
        .await;
    assert!(matches!(absent, Err(CallError::NotThere(_))), "{absent:?}");
}

#[tokio::test]
async fn more_requests_than_allowed_are_dropped_and_counted() {
    let server = RedisServer::start();
    let a = start(&server, "svc:mb:a", echo).await;
    let mut config = Config::new(at(&server.url()), name("svc:mb:b"));
    config.max_requests = 2;
    let b = Inventa::start(config, echo, a.shutdown.clone()).await.unwrap();
    let calls = (0..5).map(|_| a.inventa.call(b.name(), "slow", &[], Duration::from_millis(300)));
    futures_util::future::join_all(calls).await;
    assert_eq!(b.overflow(), 3);
}

#[tokio::test]
async fn malformed_messages_are_counted_and_ignored() {
    let server = RedisServer::start();
    let a = start(&server, "svc:mb:a", echo).await;
    let b = start(&server, "svc:mb:b", echo).await;
    let mut raw = server.client().get_multiplexed_async_connection().await.unwrap();
    let messages: [&[u8]; 4] = [b"", b"req|", b"\xff\xfe", b"resp|x|nobody|"];
    for message in messages {
        let _: () = raw.publish("ch:svc:mb:a", message).await.unwrap();
    }
    eventually("counted", async || a.inventa.malformed() == 4).await;
    let answer = b
        .inventa
        .call(a.inventa.name(), "echo", &["on"], SECOND)
        .await
        .unwrap();
    assert_eq!(answer, ["on"]);
}

/// The bytes of v1: a service that publishes by itself, and listens on its own channel.
#[tokio::test]
async fn a_v1_service_is_answered_to_the_letter() {
    let server = RedisServer::start();
    let (_sgn, orchestrator) = orchestrator(&server).await;
    let mut raw = server.client().get_multiplexed_async_connection().await.unwrap();
    let mut own = server.client().get_async_pubsub().await.unwrap();
    own.subscribe("ch:svc:mb:old").await.unwrap();
    let mut heard = own.into_on_message();
    let requests = [
        (
            "req|aBcDe-1700000000|svc:mb:old|register|svc:mb:old",
            "resp|aBcDe-1700000000|svc:sgn:|registered",
        ),
        (
            "req|x-1|svc:mb:old|register|svc:sgn:",
            "resp|x-1|svc:sgn:|ignored-self",
        ),
        (
            "req|x-2|svc:mb:old|what|",
            "resp|x-2|svc:sgn:|error!unknown command type: what",
        ),
        (
            "req|x-3|svc:mb:old|orchestrator-alive|svc:sgn:",
            "resp|x-3|svc:sgn:|ignored-not-service",
        ),
    ];
    for (request, response) in requests {
        let _: () = raw.publish("ch:svc:sgn:", request).await.unwrap();
        let answer = tokio::time::timeout(5 * SECOND, heard.next())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(answer.get_payload::<String>().unwrap(), response);
    }
    assert_eq!(orchestrator.services("mb"), [name("svc:mb:old")]);
    // v1's services look at this key to see whether signaling lives.
    assert!(raw.exists::<_, bool>("svc:sgn:").await.unwrap());
}

#[tokio::test]
async fn a_service_is_known_while_it_lives() {
    let server = RedisServer::start();
    let (_sgn, orchestrator) = orchestrator(&server).await;
    let mut events = orchestrator.events();
    let mb = start(&server, "svc:mb:a", echo).await;
    let load = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&load);
    let info = move || vec![("sessions".to_owned(), counter.load(Ordering::Relaxed).to_string())];
    mb.inventa.register(&name("svc:sgn:"), info).await.unwrap();
    assert_eq!(events.recv().await, Ok(Event::Registered(name("svc:mb:a"))));
    assert_eq!(orchestrator.services("mb"), [name("svc:mb:a")]);
    assert!(orchestrator.services("inf").is_empty());

    let mut raw = server.client().get_multiplexed_async_connection().await.unwrap();
    for key in ["svc:mb:a", "info:svc:mb:a"] {
        let ttl: i64 = raw.ttl(key).await.unwrap();
        assert!((1..=5).contains(&ttl), "{key} lives for {ttl} s");
    }
    load.store(3, Ordering::Relaxed);
    eventually("the info follows", async || {
        mb.inventa.info(mb.inventa.name()).await.unwrap()["sessions"] == "3"
    })
    .await;
    // Longer than a key lives.
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(orchestrator.services("mb"), [name("svc:mb:a")]);

    mb.stop().await;
    let keys: Vec<String> = raw.keys("*svc:mb:a").await.unwrap();
    assert!(keys.is_empty(), "left behind: {keys:?}");
    let lost = tokio::time::timeout(10 * SECOND, events.recv()).await.unwrap();
    assert_eq!(lost, Ok(Event::Lost(name("svc:mb:a"))));
}

#[tokio::test]
async fn a_service_can_tell_of_itself_without_being_registered() {
    let server = RedisServer::start();
    let (sgn, orchestrator) = orchestrator(&server).await;
    let workers_only = start(&server, "svc:mb:workers", echo).await;
    let info = || vec![("worker_trouble".to_owned(), "out of memory".to_owned())];
    workers_only.inventa.tell(info);
    let telling = async || sgn.inventa.telling("mb").await.unwrap();
    eventually("it tells", async || telling().await == [name("svc:mb:workers")]).await;
    assert_eq!(
        sgn.inventa.info(&name("svc:mb:workers")).await.unwrap()["worker_trouble"],
        "out of memory"
    );
    assert!(sgn.inventa.telling("inf").await.unwrap().is_empty());
    // Longer than a hash lives, and than a scan takes to come round.
    tokio::time::sleep(17 * SECOND).await;
    assert_eq!(telling().await, [name("svc:mb:workers")]);
    assert!(orchestrator.services("mb").is_empty());
    workers_only.stop().await;
    assert!(telling().await.is_empty());
}

#[tokio::test]
async fn a_new_orchestrator_finds_the_living() {
    let server = RedisServer::start();
    let (first, _) = orchestrator(&server).await;
    let mb = start(&server, "svc:mb:a", echo).await;
    mb.inventa.register(&name("svc:sgn:"), Vec::new).await.unwrap();
    first.stop().await;
    let second = start(&server, "svc:sgn:two", echo).await;
    let orchestrator = second.inventa.orchestrate().await.unwrap();
    assert_eq!(orchestrator.services("mb"), [name("svc:mb:a")]);
}

#[tokio::test]
async fn all_survive_a_restart_of_redis() {
    let mut server = RedisServer::start();
    let (sgn, orchestrator) = orchestrator(&server).await;
    let mb = start(&server, "svc:mb:a", echo).await;
    mb.inventa.register(&name("svc:sgn:"), Vec::new).await.unwrap();
    let mut events = orchestrator.events();

    server.kill();
    let away = sgn.inventa.call(mb.inventa.name(), "echo", &[], SECOND).await;
    assert!(away.is_err());
    tokio::time::sleep(6 * SECOND).await;
    server.resume();

    eventually("calls work again", async || {
        let call = sgn.inventa.call(mb.inventa.name(), "echo", &["x"], SECOND).await;
        call.is_ok()
    })
    .await;
    eventually("the key is back", async || {
        mb.inventa.is_alive(mb.inventa.name()).await.unwrap_or(false)
    })
    .await;
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(orchestrator.services("mb"), [name("svc:mb:a")]);
    while let Ok(event) = events.try_recv() {
        assert!(
            matches!(event, Event::RegisteredAgain(_)),
            "a restart of Redis is not the end of a service: {event:?}"
        );
    }
}

#[tokio::test]
async fn a_full_redis_forgets_nobody() {
    let server = RedisServer::start();
    let (_sgn, orchestrator) = orchestrator(&server).await;
    let mb = start(&server, "svc:mb:a", echo).await;
    mb.inventa.register(&name("svc:sgn:"), Vec::new).await.unwrap();
    let mut raw = server.client().get_multiplexed_async_connection().await.unwrap();
    let limit = async |raw: &mut redis::aio::MultiplexedConnection, bytes: &str| {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg("maxmemory").arg(bytes);
        command.query_async::<()>(raw).await.unwrap();
    };
    limit(&mut raw, "1").await;
    assert!(raw.set::<_, _, ()>("more", "x").await.is_err());
    // Much longer than a key lives.
    let begun = Instant::now();
    while begun.elapsed() < 12 * SECOND {
        for service in ["svc:sgn:one", "svc:sgn:", "svc:mb:a"] {
            assert!(raw.exists::<_, bool>(service).await.unwrap(), "{service}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    limit(&mut raw, "0").await;
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(orchestrator.services("mb"), [name("svc:mb:a")]);
}

#[tokio::test]
async fn no_redis_is_an_error_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("redis+unix://{}/none.sock", folder.path().display());
    let config = Config::new(at(&url), name("svc:mb:a"));
    let begun = Instant::now();
    assert!(
        Inventa::start(config, echo, CancellationToken::new())
            .await
            .is_err()
    );
    assert!(begun.elapsed() < 3 * SECOND);
}
