//! `detectionjoin` with real workers: whatever they do, each box is on its own frame.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use gst::prelude::*;
use sightline_gst_common::{InferenceMeta, detections};
use support::*;

const SIDE: usize = 320;
const BLOB: usize = 40;

/// A frame with a red square, nowhere near that of the frames before and after.
fn buffer(frame: usize) -> gst::Buffer {
    let place = |step: usize| (frame * step) % (SIDE - BLOB);
    let (left, top) = (place(67), place(101));
    let mut pixels = vec![128_u8; SIDE * SIDE * 3];
    for row in top..top + BLOB {
        for column in left..left + BLOB {
            pixels[(row * SIDE + column) * 3..][..3].copy_from_slice(&[255, 0, 0]);
        }
    }
    let mut buffer = gst::Buffer::from_mut_slice(pixels);
    let pts = gst::ClockTime::from_mseconds(frame as u64 * 10);
    buffer.get_mut().unwrap().set_pts(pts);
    buffer
}

/// Left, top, right and bottom of what is red in a picture.
fn red(pixels: &[u8]) -> [f64; 4] {
    let mut sides = [SIDE, SIDE, 0, 0];
    for (index, pixel) in pixels.chunks_exact(3).enumerate() {
        if pixel == [255, 0, 0] {
            let (row, column) = (index / SIDE, index % SIDE);
            sides = [
                sides[0].min(column),
                sides[1].min(row),
                sides[2].max(column + 1),
                sides[3].max(row + 1),
            ];
        }
    }
    sides.map(|side| side as f64)
}

fn worker(redis: &Redis) -> Pipeline {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        init();
        gstyolox::plugin_register_static().unwrap();
    });
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/blobs.onnx");
    let launch = format!(
        "redisstreamsrc ! jpegdec ! yoloxdetect model={} ! redisstreamsink payload=detections",
        model.display()
    );
    Pipeline::play(redis, &launch)
}

fn session(redis: &Redis, sink: &str, join: &str) -> Pipeline {
    let launch = format!(
        "appsrc name=in format=time caps=video/x-raw,format=RGB,width={SIDE},height={SIDE},framerate=0/1
           ! tee name=frames
         frames. ! queue ! videoconvert ! jpegenc quality=95 ! redisstreamsink participant-id=abc {sink}
         frames. ! queue ! detectionjoin name=join participant-id=abc {join} ! appsink name=out sync=false"
    );
    Pipeline::play(redis, &launch)
}

/// Looks at all frames that come out: whether each was inferred, in order.
fn look(pipeline: &Pipeline, frames: usize) -> Vec<bool> {
    let output: gst_app::AppSink = pipeline.element("out").downcast().unwrap();
    let look = |frame| {
        let sample = output.pull_sample().unwrap();
        let buffer = sample.buffer().unwrap();
        assert_eq!(buffer.pts().unwrap().mseconds(), frame as u64 * 10);
        let found = detections(buffer, (SIDE as u32, SIDE as u32));
        let inferred = InferenceMeta::read(buffer).is_some();
        assert_eq!(found.len(), usize::from(inferred), "frame {frame}");
        for found in found {
            assert_eq!(found.label, "red");
            let [x, y, w, h] = found.bbox.map(|value| value * SIDE as f64);
            let content = red(&buffer.map_readable().unwrap());
            let distance = [x, y, x + w, y + h]
                .into_iter()
                .zip(content)
                .map(|(side, expected)| (side - expected).abs());
            let distance = distance.fold(0.0, f64::max);
            assert!(distance < 4.0, "frame {frame}: {found:?} is not at {content:?}");
        }
        inferred
    };
    (0..frames).map(look).collect()
}

#[test]
fn of_frames_that_all_wait_each_gets_its_boxes() {
    const FRAMES: usize = 60;
    let redis = Redis::start();
    let _workers = [worker(&redis), worker(&redis)];
    let wait = "max-wait=60000000000";
    let pipeline = session(&redis, "leaky=no max-in-flight=4 expiry=60000", wait);
    let input = Input::of(&pipeline);
    for frame in 0..FRAMES {
        input.push(buffer(frame));
    }
    input.end();
    // Nothing is published before the pipeline plays, and for that the first frame must have left.
    let inferred = look(&pipeline, FRAMES);
    pipeline.message(gst::MessageType::Eos);
    let [prerolled, joined] = ["prerolled", "joined"].map(|field| pipeline.stat("join", field));
    assert!((1..10).contains(&prerolled), "{prerolled}");
    assert_eq!(prerolled + joined, FRAMES as u64);
    let without = inferred.iter().take_while(|inferred| !**inferred).count();
    assert_eq!(without as u64, prerolled);
}

#[test]
fn more_frames_than_workers_can_look_at_pass_and_boxes_stay_on_their_own() {
    const FRAMES: usize = 300;
    let redis = Redis::start();
    let _workers = [worker(&redis), worker(&redis)];
    let pipeline = session(&redis, "", "max-wait=2000000000 max-frames=1024");
    let input = Input::of(&pipeline);
    for frame in 0..FRAMES {
        input.push(buffer(frame));
        std::thread::sleep(Duration::from_millis(2));
    }
    input.end();
    let inferred = look(&pipeline, FRAMES);
    let inferred = inferred.into_iter().filter(|inferred| *inferred).count() as u64;
    pipeline.message(gst::MessageType::Eos);
    let [joined, superseded, timed_out, prerolled] =
        ["joined", "superseded", "timed-out", "prerolled"].map(|field| pipeline.stat("join", field));
    assert_eq!(joined, inferred);
    assert!(joined > 0 && superseded > 0, "{joined} {superseded}");
    assert_eq!(joined + superseded + timed_out + prerolled, FRAMES as u64);
    eprintln!("joined {joined}, superseded {superseded}, timed out {timed_out}");
}
