//! Users with few rights, TLS with a private authority, RESP3.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

#[path = "../../../protocol/redis/tests/support/mod.rs"]
mod servers;
mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use gst::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use support::*;
use tempfile::TempDir;

/// A session and the worker that answers it.
const BOTH: &str = "appsrc name=in format=time caps=image/jpeg
    ! redisstreamsink name=sink participant-id=abc
    redisstreamsrc name=src ! jpegdec ! videoconvert ! redisstreamsink name=answers payload=detections async=false";
const SINK: &str =
    "appsrc name=in format=time caps=image/jpeg ! redisstreamsink name=sink participant-id=abc";
const WORKER: &str =
    "redisstreamsrc name=src ! jpegdec ! videoconvert ! redisstreamsink name=answers payload=detections";
const SOURCE: &str = "redisstreamsrc name=src ! fakesink";

/// What the documentation tells an operator to allow.
const SESSION_RIGHTS: &str = "~images ~images:{*} &predictions:* +ping +xadd +subscribe";
const WORKER_RIGHTS: &str = "~images ~images:{*} ~images:dead ~predictions &predictions:* \
    +ping +xgroup|create +xreadgroup +xautoclaim +xack +xdel +xadd +publish";

const PICTURE_RIGHTS: &str = "~video:* &video:* +ping +xadd +pexpire +subscribe";
const VIEWER_RIGHTS: &str = "~video:* &video:* +ping +xread +xrevrange +exists +publish";

/// Plays, and goes on until answers to frames have come back.
fn round_trip(pipeline: &Pipeline) {
    if pipeline.set_state(gst::State::Playing).is_err() {
        panic!("{}", pipeline.error());
    }
    let input = Input::of(pipeline);
    let mut now = 0;
    wait_for("answers", || {
        now += 20;
        input.push_jpeg(now);
        std::thread::sleep(Duration::from_millis(20));
        pipeline.stat("sink", "answered") >= 3
    });
    pipeline.no_error();
}

fn refused(url: &str, launch: &str) -> String {
    let pipeline = Pipeline::parse(url, launch);
    let start = Instant::now();
    assert!(pipeline.set_state(gst::State::Playing).is_err());
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    pipeline.error().message().to_owned()
}

/// Certificates of an authority that nobody knows.
struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let dir = tempfile::tempdir().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(dir.path().join("ca.pem"), certificate.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Self { dir, issuer }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// Writes NAME.pem and NAME.key.
    fn certify(&self, name: &str, hosts: &[&str]) {
        let key = KeyPair::generate().unwrap();
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let certificate = CertificateParams::new(hosts).unwrap();
        let certificate = certificate.signed_by(&key, &self.issuer).unwrap();
        let base = PathBuf::from(self.path(name));
        std::fs::write(base.with_extension("pem"), certificate.pem()).unwrap();
        std::fs::write(base.with_extension("key"), key.serialize_pem()).unwrap();
    }

    /// A Redis that shows the certificate `server`, and the port it listens on.
    fn redis(&self, clients: &str) -> (Redis, u16) {
        self.redis_with(clients, &[])
    }

    fn redis_with(&self, clients: &str, more: &[&str]) -> (Redis, u16) {
        let port = free_port();
        let (number, cert, key) = (port.to_string(), self.path("server.pem"), self.path("server.key"));
        let ca = self.path("ca.pem");
        let own = [
            "--tls-port",
            &number,
            "--tls-cert-file",
            &cert,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &ca,
            "--tls-auth-clients",
            clients,
        ];
        (Redis::start_with(&[&own, more].concat()), port)
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Gives a property to all our elements of a launch line.
fn with(launch: &str, properties: &str) -> String {
    ["redisstreamsink ", "redisstreamsrc "]
        .iter()
        .fold(launch.to_owned(), |line, name| {
            line.replace(name, &format!("{name}{properties} "))
        })
}

#[test]
fn tls_of_a_private_authority_is_trusted_when_told() {
    let authority = Authority::new("ours");
    authority.certify("server", &["localhost", "127.0.0.1"]);
    let (_redis, port) = authority.redis("no");
    let trusting = with(BOTH, &format!("tls-ca-file={}", authority.path("ca.pem")));
    for host in ["localhost", "127.0.0.1"] {
        round_trip(&Pipeline::parse(&format!("rediss://{host}:{port}"), &trusting));
    }
    round_trip(&Pipeline::parse(
        &format!("rediss://127.0.0.1:{port}/#insecure"),
        BOTH,
    ));
    round_trip(&Pipeline::parse(
        &format!("rediss://127.0.0.1:{port}/?protocol=resp3"),
        &trusting,
    ));
}

#[test]
fn what_is_wrong_with_tls_is_said() {
    let (authority, other) = (Authority::new("ours"), Authority::new("theirs"));
    authority.certify("server", &["localhost"]);
    let (_redis, port) = authority.redis("no");
    let url = format!("rediss://localhost:{port}");
    let ca = |authority: &Authority| format!("tls-ca-file={}", authority.path("ca.pem"));
    for launch in [SOURCE, SINK] {
        let right = with(launch, &ca(&authority));
        for (url, launch, words) in [
            (url.as_str(), launch.to_owned(), "tls-ca-file"),
            (
                &url,
                with(launch, &ca(&other)),
                "no authority that is trusted here has signed it",
            ),
            (
                &format!("rediss://127.0.0.1:{port}"),
                right.clone(),
                "must name the host",
            ),
            (
                &url,
                with(launch, "tls-ca-file=/none.pem"),
                "Cannot use `/none.pem` for TLS",
            ),
            (&url, with(launch, "tls-key-file=/none.pem"), "give both files"),
            (
                &format!("redis://localhost:{port}"),
                launch.to_owned(),
                "rediss://",
            ),
            (
                &format!("redis://localhost:{port}"),
                right,
                "only rediss:// uses TLS",
            ),
        ] {
            let text = refused(url, &launch);
            assert!(text.contains(words), "{launch}: {text}");
        }
    }
    let wrong_file = Pipeline::parse(&url, &with(SOURCE, "tls-ca-file=/none.pem"));
    assert!(wrong_file.set_state(gst::State::Playing).is_err());
    assert!(wrong_file.error().matches(gst::ResourceError::Settings));
}

#[test]
fn a_redis_without_tls_does_not_pass_for_one_with_it() {
    let port = free_port();
    let _redis = Redis::start_with(&["--port", &port.to_string()]);
    for launch in [SOURCE, SINK] {
        let text = refused(&format!("rediss://127.0.0.1:{port}"), launch);
        assert!(
            text.contains("does not speak TLS") || text.contains("no answer within"),
            "{text}"
        );
    }
}

#[test]
fn client_certificates_are_shown() {
    let authority = Authority::new("ours");
    authority.certify("server", &["localhost"]);
    authority.certify("client", &["client"]);
    let (_redis, port) = authority.redis("yes");
    let url = format!("rediss://localhost:{port}");
    let ca = format!("tls-ca-file={}", authority.path("ca.pem"));
    for launch in [SOURCE, SINK] {
        let text = refused(&url, &with(launch, &ca));
        assert!(text.contains("`tls-cert-file` and `tls-key-file`"), "{text}");
    }
    let (cert, key) = (authority.path("client.pem"), authority.path("client.key"));
    let shown = format!("{ca} tls-cert-file={cert} tls-key-file={key}");
    round_trip(&Pipeline::parse(&url, &with(BOTH, &shown)));
}

#[test]
fn resp3_does_all_that_resp2_does() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let url = format!("{}?protocol=resp3", redis.url());
    let pipeline = Pipeline::parse(&url, BOTH);
    round_trip(&pipeline);
    let clients: String = redis::cmd("CLIENT").arg("LIST").query(&mut connection).unwrap();
    let ours = clients.lines().filter(|line| line.contains("resp=3")).count();
    assert!(ours >= 5, "{clients}");

    // The group is made again, entries that are none are buried, abandoned ones reclaimed.
    let _: () = redis::cmd("FLUSHALL").query(&mut connection).unwrap();
    add(&mut connection, "images", &[("participantId", b"7")]);
    wait_for("the dead letter", || len(&mut connection, "images:dead") == 1);
    let sos = JPEG.windows(2).position(|marker| marker == [0xff, 0xda]).unwrap();
    let fields = [
        ("participantId", &b"7"[..]),
        ("timestamp", b"1"),
        ("img", &JPEG[..sos]),
    ];
    add(&mut connection, "images", &fields);
    wait_for("the reclaimed entry", || pipeline.stat("src", "reclaimed") == 1);
    assert_eq!(len(&mut connection, "images"), 0);
    pipeline.no_error();
}

fn user(redis: &Redis, name: &str, rights: &str) -> String {
    let mut command = redis::cmd("ACL");
    command
        .arg("SETUSER")
        .arg(name)
        .arg("on")
        .arg(">secret")
        .arg("resetchannels");
    for right in rights.split_whitespace() {
        command.arg(right);
    }
    let _: () = command.query(&mut redis.connect()).unwrap();
    format!("{}?user={name}&pass=secret", redis.url())
}

#[test]
fn users_need_no_more_rights_than_documented() {
    let redis = Redis::start();
    let session = Pipeline::parse(&user(&redis, "session", SESSION_RIGHTS), SINK);
    let worker = Pipeline::parse(&user(&redis, "worker", WORKER_RIGHTS), WORKER);
    worker.set_state(gst::State::Playing).unwrap();
    round_trip(&session);
    // Its rights suffice for what goes wrong too.
    let mut connection = redis.connect();
    add(&mut connection, "images", &[("participantId", b"7")]);
    wait_for("the dead letter", || len(&mut connection, "images:dead") == 1);
    worker.no_error();
    nothing_was_refused(&mut connection);
}

/// Plays a session and a worker until the session has answers.
fn round_trip_as_users(session: &str, worker: &str, properties: &str) {
    let worker = Pipeline::parse(worker, &with(WORKER, properties));
    if worker.set_state(gst::State::Playing).is_err() {
        panic!("{}", worker.error());
    }
    round_trip(&Pipeline::parse(session, &with(SINK, properties)));
    worker.no_error();
}

#[test]
fn a_cluster_may_ask_for_tls_and_users() {
    let authority = Authority::new("ours");
    authority.certify("server", &["127.0.0.1"]);
    let bus = free_port().to_string();
    let cluster = [
        "--cluster-enabled",
        "yes",
        "--tls-cluster",
        "yes",
        "--cluster-port",
        &bus,
    ];
    let (redis, port) = authority.redis_with("no", &cluster);
    let mut connection = redis.connect();
    let mut add_slots = redis::cmd("CLUSTER");
    add_slots.arg("ADDSLOTSRANGE").arg(0).arg(16383);
    let () = add_slots.query(&mut connection).unwrap();
    wait_for("the cluster", || {
        let info: String = redis::cmd("CLUSTER").arg("INFO").query(&mut connection).unwrap();
        info.contains("cluster_state:ok")
    });
    let url = |name: &str, rights: &str| {
        user(&redis, name, &format!("{rights} +cluster|slots"));
        format!("rediss-cluster://{name}:secret@127.0.0.1:{port}")
    };
    let ca = format!("tls-ca-file={}", authority.path("ca.pem"));
    let (session, worker) = (url("session", SESSION_RIGHTS), url("worker", WORKER_RIGHTS));
    round_trip_as_users(&session, &worker, &ca);
    nothing_was_refused(&mut connection);
    let text = refused(&session, SINK);
    assert!(text.contains("rediss-cluster://session:***@127.0.0.1"), "{text}");
}

#[test]
fn a_sentinels_master_may_ask_for_users() {
    let servers = servers::Watched::start();
    let url = |name: &str, rights: &str| {
        let () = servers.master.run(&format!(
            "ACL SETUSER {name} on >secret resetchannels {rights} +role"
        ));
        servers
            .url()
            .replace("redis-sentinel://", &format!("redis-sentinel://{name}:secret@"))
    };
    let (session, worker) = (url("session", SESSION_RIGHTS), url("worker", WORKER_RIGHTS));
    round_trip_as_users(&session, &worker, "");
    nothing_was_refused(&mut servers.master.connect());
}

fn nothing_was_refused(connection: &mut redis::Connection) {
    let log: Vec<redis::Value> = redis::cmd("ACL").arg("LOG").query(connection).unwrap();
    let refused = log.iter().map(|entry| format!("{entry:?}"));
    // The client library introduces itself, and does not mind a refusal.
    let ours: Vec<_> = refused.filter(|entry| !entry.contains("setinfo")).collect();
    assert!(ours.is_empty(), "{ours:?}");
}

#[test]
fn a_picture_is_published_and_watched_with_the_rights_documented() {
    let redis = Redis::start();
    let mut connection = redis.connect();
    let session = Pipeline::parse(
        &user(&redis, "session", PICTURE_RIGHTS),
        "videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=30/1 \
         ! vp8enc deadline=1 keyframe-max-dist=1000 ! redisvideosink name=sink session=abc",
    );
    session.set_state(gst::State::Playing).unwrap();
    let url = user(&redis, "viewer", VIEWER_RIGHTS);
    for url in [url.clone(), format!("{url}&protocol=resp3")] {
        let before = session.stat("sink", "published");
        wait_for("more frames than a viewer looks back", || {
            session.stat("sink", "published") > before + 20
        });
        let viewer = Pipeline::parse(
            &url,
            "redisvideosrc name=src session=abc num-buffers=5 ! vp8dec ! fakesink",
        );
        viewer.set_state(gst::State::Playing).unwrap();
        viewer.message(gst::MessageType::Eos);
        assert!(viewer.stat("src", "keyframe-requests") >= 1);
    }
    session.no_error();
    nothing_was_refused(&mut connection);
}

#[test]
fn a_right_that_is_missing_is_named_with_its_command_and_key() {
    let redis = Redis::start();
    let push = |pipeline: &Pipeline| {
        pipeline.set_state(gst::State::Playing).unwrap();
        Input::of(pipeline).push_jpeg(0);
        pipeline.error()
    };
    let sink = |name: &str, rights: &str, properties: &str| {
        Pipeline::parse(&user(&redis, name, rights), &format!("{SINK} {properties}"))
    };
    // In words that Redis 7 and 8 share.
    for (name, rights, properties, words) in [
        (
            "s1",
            "~images &predictions:* +ping +subscribe",
            "",
            ["XADD `images`", "'xadd'"],
        ),
        (
            "s2",
            "~other &predictions:* +ping +subscribe +xadd",
            "",
            ["XADD `images`", "key"],
        ),
        (
            "s3",
            "~predictions +ping +xadd",
            "payload=detections",
            ["PUBLISH `predictions:abc`", "'publish'"],
        ),
        (
            "s4",
            "~predictions +ping +xadd +publish",
            "payload=detections",
            ["PUBLISH `predictions:abc`", "channel"],
        ),
    ] {
        let error = push(&sink(name, rights, properties));
        assert!(error.matches(gst::ResourceError::Write), "{error:?}");
        let text = error.message();
        for word in words.iter().chain(&["NOPERM", "ACL SETUSER"]) {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!text.contains("secret"), "{text}");
    }
    // What is needed at the start is missed at the start.
    for (name, rights, launch, word) in [
        ("s5", "~images +@all", SINK, "cannot listen to `predictions:abc`"),
        (
            "w1",
            "~images +ping +xreadgroup",
            SOURCE,
            "cannot read `images` as group `cg:images`",
        ),
    ] {
        let text = refused(&user(&redis, name, rights), launch);
        assert!(text.contains(word) && text.contains("NOPERM"), "{text}");
    }
}

#[test]
fn without_the_right_to_ping_a_user_is_let_in() {
    let redis = Redis::start();
    let url = user(&redis, "bare", "~images +xadd");
    let pipeline = Pipeline::parse(&url, &format!("{SINK} max-in-flight=0"));
    pipeline.set_state(gst::State::Playing).unwrap();
    Input::of(&pipeline).push_jpeg(0);
    wait_for("the frame", || pipeline.stat("sink", "published") == 1);
    pipeline.no_error();
}

#[test]
fn the_environment_names_authorities_for_the_whole_program() {
    let authority = Authority::new("ours");
    authority.certify("server", &["localhost"]);
    let (_redis, port) = authority.redis("no");
    let url = format!("rediss://localhost:{port}");
    let line = "videotestsrc num-buffers=1 ! jpegenc ! redisstreamsink participant-id=abc leaky=no";
    for (ca, trusted) in [
        (authority.path("ca.pem"), true),
        (authority.path("none.pem"), false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut program = gst_launch(folder.path(), &url, line);
        let done = program.env("SSL_CERT_FILE", ca).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.success(), trusted, "{said}");
        assert_eq!(said.contains("none.pem"), !trusted, "{said}");
    }
}
