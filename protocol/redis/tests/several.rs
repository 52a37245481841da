//! The ways to several servers: a cluster whose slots move and whose nodes die, a master that changes.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use redis::AsyncCommands;
use sightline_redis::{Commands, Server};
use support::{Cluster, Watched};

const SECOND: Duration = Duration::from_secs(1);

async fn commands(url: &str) -> Commands {
    Server::new(url).unwrap().commands(2 * SECOND).await.unwrap()
}

/// Waits until a command succeeds again; it may fail meanwhile.
async fn eventually(what: &str, mut attempt: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !attempt().await {
        assert!(begun.elapsed() < 20 * SECOND, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn in_a_cluster_a_pipeline_reaches_every_key_and_a_scan_all_masters() {
    let cluster = Cluster::start(0);
    let mut commands = commands(&cluster.url()).await;
    let names: Vec<String> = (0..50).map(|number| format!("svc:{number}")).collect();
    let mut pipe = redis::pipe();
    for name in &names {
        pipe.set(name, name).ignore();
        pipe.get(name);
    }
    let values: Vec<String> = pipe.query_async(&mut commands).await.unwrap();
    assert_eq!(
        values, names,
        "in the order of the commands, and those of one key one after the other"
    );

    let () = commands.set("other", 1).await.unwrap();
    let mut found = commands.scan("svc:*").await.unwrap();
    found.sort_by_key(|name| name[4..].parse::<u32>().unwrap());
    assert_eq!(found, names);
}

#[tokio::test]
async fn in_a_cluster_a_refused_command_is_one_reply_among_others() {
    let cluster = Cluster::start(0);
    let mut commands = commands(&cluster.url()).await;
    let () = commands.set("text", "x").await.unwrap();
    let mut pipe = redis::pipe();
    pipe.ignore_errors();
    pipe.cmd("XLEN")
        .arg("text")
        .cmd("SET")
        .arg("a")
        .arg(1)
        .cmd("GET")
        .arg("text");
    let replies: Vec<redis::RedisResult<String>> = pipe.query_async(&mut commands).await.unwrap();
    assert_eq!(replies[0].as_ref().unwrap_err().code(), Some("WRONGTYPE"));
    assert_eq!(
        (replies[1].as_deref(), replies[2].as_deref()),
        (Ok("OK"), Ok("x"))
    );
}

#[tokio::test]
async fn in_a_cluster_a_message_reaches_listeners_at_any_node() {
    let cluster = Cluster::start(0);
    let server = Server::new(&cluster.url()).unwrap();
    let mut listener = server.subscribe("channel").await.unwrap().into_on_message();
    for node in &cluster.nodes {
        let () = node.run("PUBLISH channel hello");
        let message = tokio::time::timeout(5 * SECOND, listener.next())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(message.get_payload_bytes(), b"hello");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_fails_while_a_slot_moves() {
    let cluster = Cluster::start(0);
    let mut commands = commands(&cluster.url()).await;
    let mut count = 0;
    for _ in 0..3 {
        let to = (cluster.owner("stream") + 1) % Cluster::MASTERS;
        let runtime = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| {
            cluster.move_slot("stream", to, || {
                runtime.block_on(async {
                    for _ in 0..10 {
                        count += 1;
                        let mut pipe = redis::pipe();
                        pipe.xadd("stream", "*", &[("n", count)]).ignore().xlen("stream");
                        let (length,): (u64,) = pipe.query_async(&mut commands).await.unwrap();
                        assert_eq!(length, count, "each command ran once");
                    }
                });
            });
        });
        assert_eq!(cluster.owner("stream"), to);
        assert_eq!(commands.xlen::<_, u64>("stream").await.unwrap(), count);
    }
}

#[tokio::test]
async fn a_replica_takes_a_dead_nodes_place() {
    let mut cluster = Cluster::start(1);
    let server = Server::new(&cluster.url()).unwrap();
    let mut commands = server.commands(2 * SECOND).await.unwrap();
    let key = (0..)
        .map(|number| format!("key{number}"))
        .find(|key| cluster.owner(key) == 0)
        .unwrap();
    let () = commands.set(&key, 1).await.unwrap();
    cluster.nodes[0].kill();
    eventually("the key is written again", async || {
        commands.set::<_, _, ()>(&key, 2).await.is_ok()
    })
    .await;
    assert!(
        server.connect(2 * SECOND).await.is_ok(),
        "one of the nodes named is dead"
    );
    assert!(server.subscribe("channel").await.is_ok());
}

#[tokio::test]
async fn the_new_master_is_found_whether_the_old_one_lives_or_not() {
    let mut servers = Watched::start();
    let mut commands = commands(&servers.url()).await;
    let () = commands.set("key", 1).await.unwrap();
    servers.fail_over();
    servers.wait_until_replaced();
    eventually("the new master is written to", async || {
        let written = commands.set::<_, _, ()>("key", 2).await.is_ok();
        written
            && servers
                .replica
                .try_run::<u32>("GET key")
                .is_ok_and(|value| value == 2)
    })
    .await;

    // And back, this time by force.
    eventually("the old master follows the new one", async || {
        servers.master.follows()
    })
    .await;
    servers.replica.kill();
    eventually("the first master is written to again", async || {
        commands.set::<_, _, ()>("key", 3).await.is_ok()
    })
    .await;
    assert_eq!(servers.master.run::<u32>("GET key"), 3);
}

#[tokio::test]
async fn an_unknown_master_is_an_error_that_names_it() {
    let servers = Watched::start();
    let url = servers.url().replace("mymaster", "other");
    let error = Server::new(&url)
        .unwrap()
        .connect(SECOND)
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("no living master `other`"), "{error}");
}
