//! A program with `overlay` in it leaves nothing behind.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

fn check(rest: &str) {
    let folder = tempfile::tempdir().unwrap();
    // The plugins are built beside this program, among much else.
    let built = std::env::current_exe().unwrap();
    for plugin in ["libgstoverlay.so", "libgstyolox.so"] {
        std::os::unix::fs::symlink(built.with_file_name(plugin), folder.path().join(plugin)).unwrap();
    }
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/blobs.onnx");
    let line = format!(
        "videotestsrc num-buffers=20 ! video/x-raw,width=320,height=240 ! yoloxdetect model={} ! {rest}",
        model.display()
    );
    let log = folder.path().join("trace");
    let done = Command::new("gst-launch-1.0")
        .args(line.split_whitespace())
        .env("GST_PLUGIN_PATH", folder.path())
        .env("GST_REGISTRY", folder.path().join("registry.bin"))
        .env("GST_TRACERS", "leaks")
        .env("GST_DEBUG", "GST_TRACER:7,sightlineoverlay:5")
        .env("GST_DEBUG_NO_COLOR", "1")
        .env("GST_DEBUG_FILE", &log)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    let log = std::fs::read_to_string(log).unwrap();
    let way = if rest.contains("meta:") {
        "attached"
    } else {
        "blended"
    };
    assert!(log.contains(&format!("the drawing is {way}")), "{log}");
    assert!(
        log.contains("object-alive"),
        "the tracer says what it would report: {log}"
    );
    let alive: Vec<_> = log
        .lines()
        .filter(|line| line.contains("object-alive, type-name=(string)") && !line.contains("%s"))
        .collect();
    assert!(alive.is_empty(), "{alive:#?}");
}

#[test]
fn nothing_leaks_when_drawing_is_blended() {
    check("tee name=t ! queue ! overlay ! fakesink t. ! queue ! fakesink");
}

#[test]
fn nothing_leaks_when_drawing_is_attached() {
    check("overlay ! video/x-raw(memory:SystemMemory,meta:GstVideoOverlayComposition) ! fakesink");
}
