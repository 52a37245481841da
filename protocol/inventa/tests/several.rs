//! Both roles on a real cluster, and on a master that a sentinel looks after.

// The helpers here belong to tests.
#![allow(clippy::unwrap_used)]

#[path = "../../redis/tests/support/mod.rs"]
mod servers;

use std::time::{Duration, Instant};

use servers::{Cluster, Watched};
use sightline_inventa::{Answer, CallError, Config, Event, Inventa, Orchestrator};
use sightline_protocol::inventa::{Request, ServiceName};
use sightline_redis::Server;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);

fn name(text: &str) -> ServiceName {
    ServiceName::parse(text).unwrap()
}

async fn echo(request: Request) -> Answer {
    Ok(request.args)
}

async fn start(url: &str, service: &str) -> Inventa {
    let mut config = Config::new(Server::new(url).unwrap(), name(service));
    if config.name.kind == "sgn" {
        config.aliases = vec![name("svc:sgn:")];
    }
    Inventa::start(config, echo, CancellationToken::new())
        .await
        .unwrap()
}

/// A signaling and three launchers that are registered there.
async fn scene(url: &str) -> (Inventa, Orchestrator, Vec<Inventa>) {
    let signaling = start(url, "svc:sgn:one").await;
    let orchestrator = signaling.orchestrate().await.unwrap();
    let mut launchers = Vec::new();
    for id in ["a", "b", "c"] {
        let launcher = start(url, &format!("svc:mb:{id}")).await;
        let info = || vec![("workers".to_owned(), "2".to_owned())];
        launcher.register(&name("svc:sgn:"), info).await.unwrap();
        launchers.push(launcher);
    }
    (signaling, orchestrator, launchers)
}

async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < 30 * SECOND, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn calls_work_both_ways(signaling: &Inventa, launchers: &[Inventa]) {
    for launcher in launchers {
        for (caller, called) in [(signaling, launcher), (launcher, signaling)] {
            eventually("a call is answered", async || {
                let answer = caller.call(called.name(), "echo", &["x"], 2 * SECOND).await;
                answer.is_ok_and(|values| values == ["x"])
            })
            .await;
        }
    }
}

/// All launchers are known and alive, and none was ever given up.
async fn nobody_is_lost(
    signaling: &Inventa,
    orchestrator: &Orchestrator,
    launchers: &[Inventa],
    mut events: broadcast::Receiver<Event>,
) {
    eventually("the launchers are alive", async || {
        let mut alive = true;
        for launcher in launchers {
            alive &= signaling.is_alive(launcher.name()).await.unwrap_or(false);
        }
        alive
    })
    .await;
    assert_eq!(orchestrator.services("mb").len(), 3);
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, Event::Lost(_)), "{event:?}, though it lived");
    }
}

#[tokio::test]
async fn on_a_cluster_all_know_each_other_whatever_node_they_are_connected_to() {
    let cluster = Cluster::start(0);
    let (signaling, orchestrator, launchers) = scene(&cluster.url()).await;
    let names = ["svc:mb:a", "svc:mb:b", "svc:mb:c"].map(name);
    assert_eq!(orchestrator.services("mb"), names);
    calls_work_both_ways(&signaling, &launchers).await;
    for launcher in &names {
        assert_eq!(signaling.info(launcher).await.unwrap()["workers"], "2");
        assert!(signaling.is_alive(launcher).await.unwrap());
    }

    let none = name("svc:mb:none");
    let nobody = signaling.call(&none, "echo", &[], 20 * SECOND);
    let error = tokio::time::timeout(10 * SECOND, nobody)
        .await
        .expect("at once")
        .unwrap_err();
    assert!(matches!(error, CallError::NotThere(_)), "{error}");

    let other = start(&cluster.url(), "svc:sgn:two").await;
    let found = other.orchestrate().await.unwrap().services("mb");
    assert_eq!(
        found, names,
        "a new signaling finds those that live by their keys on all masters"
    );
}

#[tokio::test]
async fn on_a_cluster_a_node_may_die() {
    let mut cluster = Cluster::start(3);
    let (signaling, orchestrator, launchers) = scene(&cluster.url()).await;
    let events = orchestrator.events();
    cluster.nodes[0].kill();
    calls_work_both_ways(&signaling, &launchers).await;
    nobody_is_lost(&signaling, &orchestrator, &launchers, events).await;
}

#[tokio::test]
async fn with_a_sentinel_the_master_may_die() {
    let mut servers = Watched::start();
    let (signaling, orchestrator, launchers) = scene(&servers.url()).await;
    calls_work_both_ways(&signaling, &launchers).await;
    let events = orchestrator.events();
    servers.master.kill();
    servers.wait_until_replaced();
    calls_work_both_ways(&signaling, &launchers).await;
    nobody_is_lost(&signaling, &orchestrator, &launchers, events).await;
}
