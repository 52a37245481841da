//! Sessions and workers on a real cluster whose slots move and whose nodes die, and with a master that changes.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

#[path = "../../../protocol/redis/tests/support/mod.rs"]
mod servers;
mod support;

use gst::prelude::*;
use servers::{Cluster, Watched};
use sightline_protocol::keys;
use support::{Pipeline, wait_for};

const SHARDS: u32 = 8;

/// Sessions that publish, and workers that answer.
struct Scene {
    sessions: Vec<Pipeline>,
    workers: Vec<Pipeline>,
}

impl Scene {
    fn play(url: &str, shards: u32) -> Self {
        let play = |launch: &str| {
            let pipeline = Pipeline::parse(url, launch);
            pipeline.set_state(gst::State::Playing).unwrap();
            pipeline
        };
        let session = |name: &String| {
            play(&format!(
                "videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=20/1 ! jpegenc ! \
                 redisstreamsink name=sink shards={shards} participant-id={name}"
            ))
        };
        let worker = |_| {
            play(&format!(
                "redisstreamsrc name=src shards={shards} ! jpegdec ! videoconvert ! \
                 redisstreamsink name=answers payload=detections"
            ))
        };
        let scene = Self {
            sessions: session_names(shards).iter().map(session).collect(),
            workers: (0..2).map(worker).collect(),
        };
        scene.frames_flow();
        scene
    }

    /// Every session gets more answers, and nobody has given up.
    fn frames_flow(&self) {
        self.frames_of_flow(|_| true);
    }

    /// The same of the sessions of some shards.
    fn frames_of_flow(&self, shards: impl Fn(usize) -> bool) {
        let begun = std::time::Instant::now();
        let answered = |session: &Pipeline| session.stat("sink", "answered");
        let sessions: Vec<_> = (0..)
            .zip(&self.sessions)
            .filter(|(shard, _)| shards(*shard))
            .map(|(_, session)| (session, answered(session)))
            .collect();
        for (session, before) in sessions {
            wait_for("answers to a session", || answered(session) >= before + 10);
            session.no_error();
        }
        for worker in &self.workers {
            worker.no_error();
        }
        println!("ten more answers to each session within {:?}", begun.elapsed());
    }
}

/// One session of each shard.
fn session_names(shards: u32) -> Vec<String> {
    (0..shards.max(1))
        .map(|shard| {
            let shard = match shards {
                0 => keys::IMAGES.to_owned(),
                _ => format!("{}:{{{shard}}}", keys::IMAGES),
            };
            let mut names = (0..).map(|number| format!("session-{number}"));
            names
                .find(|name| keys::shard_of(keys::IMAGES, name, shards) == shard)
                .unwrap()
        })
        .collect()
}

#[test]
fn frames_flow_while_their_slots_move() {
    let cluster = Cluster::start(0);
    let scene = Scene::play(&cluster.url(), SHARDS);
    let owners: std::collections::BTreeSet<_> = keys::streams(keys::IMAGES, SHARDS)[1..]
        .iter()
        .map(|shard| cluster.owner(shard))
        .collect();
    assert_eq!(owners.len(), Cluster::MASTERS, "every node has shards");

    let keys = keys::streams(keys::IMAGES, SHARDS);
    for key in keys
        .iter()
        .map(String::as_str)
        .chain(["predictions", "images:dead"])
    {
        let to = (cluster.owner(key) + 1) % Cluster::MASTERS;
        let half_moved = || scene.frames_flow();
        // For one of them, the whole system runs on a slot that is half moved.
        match key {
            "images:{0}" | "predictions" => cluster.move_slot(key, to, half_moved),
            _ => cluster.move_slot(key, to, || {}),
        }
        assert_eq!(cluster.owner(key), to);
    }
    scene.frames_flow();
    let sum = |pipelines: &[Pipeline], element: &str, field: &str| -> u64 {
        pipelines
            .iter()
            .map(|pipeline| pipeline.stat(element, field))
            .sum()
    };
    assert_eq!(sum(&scene.workers, "src", "dead-lettered"), 0);
    // At most the frames under way: two of the session whose shard moved.
    let published = sum(&scene.sessions, "sink", "published");
    let answered = || sum(&scene.sessions, "sink", "answered");
    let bound = 2 * keys.len() as u64;
    wait_for("answers to all but a few", || answered() + bound >= published);
    println!("published {published}, answered {}", answered());
}

#[test]
fn frames_flow_again_after_a_node_died() {
    let mut cluster = Cluster::start(1);
    let scene = Scene::play(&cluster.url(), SHARDS);
    cluster.nodes[0].kill();
    scene.frames_flow();
    cluster.nodes[0].resume();
    scene.frames_flow();
    // It is a replica now, and gets its old place back.
    wait_for("the old master to follow", || cluster.nodes[0].follows());
    let () = cluster.nodes[0].run("CLUSTER FAILOVER");
    wait_for("the old master to be one again", || {
        cluster.nodes[0]
            .run::<String>("INFO replication")
            .contains("role:master")
    });
    scene.frames_flow();
}

#[test]
fn frames_flow_again_after_a_node_hung() {
    let cluster = Cluster::start(1);
    let scene = Scene::play(&cluster.url(), SHARDS);
    cluster.nodes[0].signal("STOP");
    scene.frames_flow();
    cluster.nodes[0].signal("CONT");
    scene.frames_flow();
}

#[test]
fn frames_flow_again_after_the_whole_cluster_was_down() {
    let mut cluster = Cluster::start(0);
    let scene = Scene::play(&cluster.url(), SHARDS);
    cluster.nodes.iter_mut().for_each(servers::Node::kill);
    cluster.nodes.iter_mut().for_each(servers::Node::resume);
    scene.frames_flow();
}

#[test]
fn a_node_that_nobody_replaces_holds_up_its_own_shards_only() {
    let mut cluster = Cluster::start_with(0, &["--cluster-require-full-coverage", "no"]);
    let scene = Scene::play(&cluster.url(), SHARDS);
    let streams = keys::streams(keys::IMAGES, SHARDS);
    let (answers, owners) = (
        cluster.owner(keys::PREDICTIONS),
        streams[1..]
            .iter()
            .map(|stream| cluster.owner(stream))
            .collect::<Vec<_>>(),
    );
    let dying = owners.iter().copied().find(|owner| *owner != answers).unwrap();
    cluster.nodes[dying].kill();
    for _ in 0..3 {
        scene.frames_of_flow(|shard| owners[shard] != dying);
    }
    cluster.nodes[dying].resume();
    scene.frames_flow();
}

#[test]
fn frames_flow_again_after_the_master_changed() {
    let mut servers = Watched::start();
    let scene = Scene::play(&servers.url(), 0);
    servers.fail_over();
    servers.wait_until_replaced();
    scene.frames_flow();
    wait_for("the old master to follow the new one", || {
        servers.master.follows()
    });
    servers.replica.kill();
    scene.frames_flow();
}

#[test]
fn the_join_and_the_picture_work_on_a_cluster() {
    let cluster = Cluster::start(0);
    let url = cluster.url();
    let play = |launch: &str| {
        let pipeline = Pipeline::parse(&url, launch);
        pipeline.set_state(gst::State::Playing).unwrap();
        pipeline
    };
    let _worker = play("redisstreamsrc ! jpegdec ! videoconvert ! redisstreamsink payload=detections");
    let session = play(
        "videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=20/1 ! tee name=frames \
         frames. ! queue ! jpegenc ! redisstreamsink participant-id=me \
         frames. ! queue ! detectionjoin name=join participant-id=me max-wait=2000000000 ! tee name=joined \
         joined. ! queue ! fakesink sync=false async=false \
         joined. ! queue ! videoconvert ! vp8enc deadline=1 keyframe-max-dist=10 ! redisvideosink session=me",
    );
    wait_for("joined frames", || session.stat("join", "joined") >= 10);
    let watcher = play("redisvideosrc name=watch session=me ! fakesink sync=false");
    wait_for("the picture", || watcher.stat("watch", "pushed") >= 10);
    session.no_error();
    watcher.no_error();
}
