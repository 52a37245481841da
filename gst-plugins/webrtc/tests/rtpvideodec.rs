//! `rtpvideodec` in real pipelines.

#![allow(clippy::unwrap_used)]

use gst::prelude::*;
use sightline_gst_common::FrameMeta;

fn init() {
    gst::init().unwrap();
    gstsightlinewebrtc::plugin_register_static().unwrap();
}

/// Decodes ten frames of an encoder and returns the identities and whether an error came.
fn decode(encoder: &str) -> Result<Vec<FrameMeta>, String> {
    init();
    let launch = format!(
        "videotestsrc num-buffers=10 ! video/x-raw,width=176,height=144,framerate=30/1 ! {encoder} ! \
         rtpvideodec ! appsink name=sink sync=false"
    );
    let pipeline = gst::parse::launch(&launch)
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
    let sink = pipeline
        .by_name("sink")
        .unwrap()
        .downcast::<gst_app::AppSink>()
        .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut metas = Vec::new();
    while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(5)) {
        metas.push(FrameMeta::read(sample.buffer().unwrap()).expect("a frame without identity"));
    }
    let error = pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error]);
    pipeline.set_state(gst::State::Null).unwrap();
    match error.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(error)) => Err(error.error().to_string()),
        _ => Ok(metas),
    }
}

fn check(metas: &[FrameMeta]) {
    assert!(metas.len() >= 9, "only {} frames", metas.len());
    for pair in metas.windows(2) {
        let step = pair[1].header.timestamp.wrapping_sub(pair[0].header.timestamp);
        assert!((2999..=3001).contains(&step), "the RTP timestamp steps by {step}");
    }
    assert_eq!(
        (metas[0].header.width, metas[0].header.height),
        (Some(176), Some(144))
    );
    let age = sightline_protocol::unix_micros().abs_diff(metas[0].header.captured.unwrap());
    assert!(age < 60_000_000, "captured {age} µs ago");
}

#[test]
fn vp8_frames_keep_their_rtp_timestamp() {
    check(&decode("vp8enc deadline=1 ! rtpvp8pay").unwrap());
}

#[test]
fn vp9_frames_keep_their_rtp_timestamp() {
    check(&decode("vp9enc deadline=1 cpu-used=8 ! rtpvp9pay").unwrap());
}

#[test]
fn h264_frames_keep_their_rtp_timestamp() {
    check(&decode("openh264enc ! h264parse config-interval=-1 ! rtph264pay").unwrap());
}

#[test]
fn an_unknown_encoding_is_an_error_in_words() {
    let error = decode("jpegenc ! rtpjpegpay").unwrap_err();
    assert!(
        error.contains("JPEG video cannot be decoded here; send VP8 or VP9 or H264"),
        "{error}"
    );
}

#[test]
fn large_vp8_pictures_are_of_bt601_too() {
    init();
    let pipeline = gst::parse::launch(
        "videotestsrc num-buffers=2 ! video/x-raw,width=1280,height=720 ! vp8enc deadline=1 ! rtpvp8pay ! \
         rtpvideodec ! appsink name=sink sync=false",
    )
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let sink = pipeline
        .by_name("sink")
        .unwrap()
        .downcast::<gst_app::AppSink>()
        .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let sample = sink
        .try_pull_sample(gst::ClockTime::from_seconds(10))
        .expect("no frame");
    let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(info.colorimetry().matrix(), gst_video::VideoColorMatrix::Bt601);
    assert_eq!(info.height(), 720);
}
