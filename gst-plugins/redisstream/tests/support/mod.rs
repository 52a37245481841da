//! A Redis of the test's own, and pipelines that talk to it.

// Each test binary uses a part of this.
#![allow(dead_code)]

use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Once};
use std::time::{Duration, Instant};

use gst::prelude::*;
use redis::Commands;
use redis::streams::{StreamId, StreamRangeReply};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Long enough for a busy machine; a test that passes never waits that long.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        gstredisstream::plugin_register_static().unwrap();
    });
}

/// A redis-server on a socket in a directory of its own; it ends with this value.
pub struct Redis {
    child: Child,
    dir: TempDir,
    arguments: Vec<String>,
}

impl Redis {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let child = Self::spawn(&dir, &arguments);
        let redis = Self {
            child,
            dir,
            arguments,
        };
        redis.await_socket();
        redis
    }

    fn spawn(dir: &TempDir, arguments: &Vec<String>) -> Child {
        Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(dir.path().join("socket"))
            .arg("--dir")
            .arg(dir.path())
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server must be installed")
    }

    fn await_socket(&self) {
        let socket = self.dir.path().join("socket");
        wait_for("redis-server to listen", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.dir.path().join("socket").display())
    }

    pub fn connect(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn restart(&mut self) {
        self.kill();
        self.child = Self::spawn(&self.dir, &self.arguments);
        self.await_socket();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // A stopped process is killed all the same; one that a test has killed is no error.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A pipeline that is set to NULL at the end, whatever happens.
pub struct Pipeline(pub gst::Pipeline);

impl std::ops::Deref for Pipeline {
    type Target = gst::Pipeline;

    fn deref(&self) -> &gst::Pipeline {
        &self.0
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if let Err(error) = self.0.set_state(gst::State::Null) {
            eprintln!("The pipeline does not end: {error}");
        }
    }
}

impl Pipeline {
    /// Parses, points all our elements to the Redis, and plays.
    pub fn play(redis: &Redis, launch: &str) -> Self {
        let pipeline = Self::parse(&redis.url(), launch);
        pipeline.set_state(gst::State::Playing).unwrap();
        pipeline
    }

    pub fn parse(url: &str, launch: &str) -> Self {
        init();
        let pipeline = gst::parse::launch(launch).unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        for element in pipeline.iterate_elements().into_iter().flatten() {
            if element.has_property("url") {
                element.set_property("url", url);
            }
        }
        Self(pipeline)
    }

    pub fn element(&self, name: &str) -> gst::Element {
        self.by_name(name).unwrap()
    }

    pub fn stat(&self, element: &str, field: &str) -> u64 {
        let stats: gst::Structure = self.element(element).property("stats");
        stats.get(field).unwrap()
    }

    /// The next message of a kind.
    pub fn message(&self, kind: gst::MessageType) -> gst::Message {
        let bus = self.bus().unwrap();
        let patience = gst::ClockTime::from_mseconds(PATIENCE.as_millis() as u64);
        bus.timed_pop_filtered(patience, &[kind])
            .unwrap_or_else(|| panic!("no {kind:?} came"))
    }

    pub fn error(&self) -> glib::Error {
        match self.message(gst::MessageType::Error).view() {
            gst::MessageView::Error(error) => error.error(),
            _ => unreachable!(),
        }
    }

    pub fn warning(&self) -> String {
        match self.message(gst::MessageType::Warning).view() {
            gst::MessageView::Warning(warning) => warning.error().to_string(),
            _ => unreachable!(),
        }
    }

    pub fn no_error(&self) {
        let error = self.bus().unwrap().pop_filtered(&[gst::MessageType::Error]);
        assert!(error.is_none(), "{error:?}");
    }
}

/// A run of gst-launch-1.0 with our plugin and no other; `folder` is for what it leaves.
pub fn gst_launch(folder: &Path, url: &str, line: &str) -> Command {
    // The plugin is built beside this program, among much else.
    let plugin = "libgstredisstream.so";
    let built = std::env::current_exe().unwrap().with_file_name(plugin);
    std::os::unix::fs::symlink(built, folder.join(plugin)).unwrap();
    let mut command = Command::new("gst-launch-1.0");
    command
        .args(line.split_whitespace())
        .env("REDIS_URL", url)
        .env("GST_PLUGIN_PATH", folder)
        .env("GST_REGISTRY", folder.join("registry.bin"));
    command
}

/// Sends buffers into the element `sink` of a pipeline that begins with `appsrc name=in format=time`.
pub struct Input(gst_app::AppSrc);

impl Input {
    pub fn of(pipeline: &Pipeline) -> Self {
        let source = pipeline.element("in").downcast::<gst_app::AppSrc>().unwrap();
        Self(source)
    }

    pub fn push(&self, buffer: gst::Buffer) {
        self.0.push_buffer(buffer).unwrap();
    }

    /// A JPEG with a PTS.
    pub fn push_jpeg(&self, millis: u64) {
        self.push(jpeg_buffer(millis));
    }

    pub fn end(&self) {
        self.0.end_of_stream().unwrap();
    }
}

pub fn jpeg_buffer(millis: u64) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice(JPEG.clone());
    buffer
        .get_mut()
        .unwrap()
        .set_pts(gst::ClockTime::from_mseconds(millis));
    buffer
}

/// A real picture of 64×48 pixels.
pub static JPEG: LazyLock<Vec<u8>> = LazyLock::new(|| {
    init();
    let launch =
        "videotestsrc num-buffers=1 ! video/x-raw,width=64,height=48 ! jpegenc ! appsink name=out sync=false";
    let pipeline = Pipeline(gst::parse::launch(launch).unwrap().downcast().unwrap());
    pipeline.set_state(gst::State::Playing).unwrap();
    let sink = pipeline.element("out").downcast::<gst_app::AppSink>().unwrap();
    let sample = sink.pull_sample().unwrap();
    sample
        .buffer()
        .unwrap()
        .map_readable()
        .unwrap()
        .as_slice()
        .to_vec()
});

pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn range(connection: &mut redis::Connection, stream: &str) -> Vec<StreamId> {
    let reply: StreamRangeReply = connection.xrange_all(stream).unwrap();
    reply.ids
}

pub fn len(connection: &mut redis::Connection, stream: &str) -> usize {
    connection.xlen(stream).unwrap()
}

/// An entry's fields as text, without the picture.
pub fn texts(entry: &StreamId) -> HashMap<String, String> {
    entry
        .map
        .keys()
        .filter(|name| *name != "img")
        .map(|name| (name.clone(), entry.get(name).unwrap()))
        .collect()
}

pub fn add(connection: &mut redis::Connection, stream: &str, fields: &[(&str, &[u8])]) -> String {
    connection.xadd(stream, "*", fields).unwrap()
}

/// A frame as a v1 media bridge writes it.
pub fn add_v1(connection: &mut redis::Connection, stream: &str, timestamp: u32) -> String {
    let timestamp = timestamp.to_string();
    let fields = [
        ("participantId", &b"7"[..]),
        ("timestamp", timestamp.as_bytes()),
        ("img", &JPEG[..]),
    ];
    add(connection, stream, &fields)
}
