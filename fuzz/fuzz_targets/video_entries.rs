//! Anybody who can write to Redis can write any entry: what is shown of a picture can be decoded from a keyframe on.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: gst::init().expect("GStreamer starts"), |bytes: &[u8]| gstredisstream::fuzz_video_entries(bytes));
