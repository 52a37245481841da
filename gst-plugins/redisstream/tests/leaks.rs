//! Programs with our elements in them leave nothing behind.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod support;

use support::*;

/// Runs a launch line under GStreamer's leaks tracer, to its end.
fn run(redis: &Redis, line: &str) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("trace");
    let done = gst_launch(folder.path(), &redis.url(), line)
        .env("GST_TRACERS", "leaks")
        .env("GST_DEBUG", "GST_TRACER:7")
        .env("GST_DEBUG_NO_COLOR", "1")
        .env("GST_DEBUG_FILE", &log)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{line}: {said}");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(
        log.contains("object-alive"),
        "the tracer says what it would report: {log}"
    );
    let alive: Vec<_> = log
        .lines()
        .filter(|line| line.contains("object-alive, type-name=(string)") && !line.contains("%s"))
        .collect();
    assert!(alive.is_empty(), "{line}: {alive:#?}");
}

#[test]
fn nothing_leaks() {
    let redis = Redis::start();
    let session = "videotestsrc num-buffers=30 ! video/x-raw,width=64,height=48,framerate=30/1 ! jpegenc \
        ! redisstreamsink participant-id=abc";
    // Frames that are replaced and not answered, then frames that are, by a worker that ends.
    run(&redis, session);
    let worker = "redisstreamsrc num-buffers=10 max-age=60000 ! jpegdec ! videoconvert \
        ! redisstreamsink payload=detections async=false";
    run(
        &redis,
        &format!("{session} leaky=no expiry=60000 max-in-flight=0 {worker}"),
    );
    // A picture that ends before its viewer, and one that ends after.
    let picture = "videotestsrc is-live=true num-buffers=30 ! video/x-raw,width=64,height=48,framerate=30/1 \
        ! vp8enc deadline=1 ! redisvideosink session=abc redisvideosrc session=abc";
    run(&redis, &format!("{picture} ! vp8dec ! fakesink"));
    run(&redis, &format!("{picture} num-buffers=3 ! vp8dec ! fakesink"));
}
