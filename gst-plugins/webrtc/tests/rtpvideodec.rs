//! `rtpvideodec` in real pipelines.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
fn a_lost_keyframe_is_asked_for_again() {
    init();
    let pipeline = gst::parse::launch(
        "videotestsrc is-live=true num-buffers=40 ! video/x-raw,width=176,height=144,framerate=30/1 ! \
         vp8enc deadline=1 keyframe-max-dist=10000 ! rtpvp8pay name=pay ! rtpvideodec ! \
         appsink name=sink sync=false",
    )
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let pad = pipeline.by_name("pay").unwrap().static_pad("src").unwrap();
    let first = std::sync::OnceLock::new();
    pad.add_probe(
        gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST,
        move |_, info| {
            let pts = match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => buffer.pts(),
                Some(gst::PadProbeData::BufferList(list)) => list.get(0).and_then(|buffer| buffer.pts()),
                _ => None,
            };
            if pts == *first.get_or_init(|| pts) {
                return gst::PadProbeReturn::Drop;
            }
            gst::PadProbeReturn::Ok
        },
    );
    let requests = Arc::new(AtomicUsize::new(0));
    pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, {
        let requests = requests.clone();
        move |_, info| {
            if let Some(gst::PadProbeData::Event(event)) = &info.data
                && gst_video::UpstreamForceKeyUnitEvent::parse(event).is_ok()
            {
                requests.fetch_add(1, Ordering::Relaxed);
            }
            gst::PadProbeReturn::Ok
        }
    });
    let sink = pipeline
        .by_name("sink")
        .unwrap()
        .downcast::<gst_app::AppSink>()
        .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut frames = 0;
    while sink.try_pull_sample(gst::ClockTime::from_seconds(10)).is_some() {
        frames += 1;
    }
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(frames > 10, "{frames} frames");
    let requests = requests.load(Ordering::Relaxed);
    assert!((1..=5).contains(&requests), "{requests} requests");
}

#[test]
fn an_unknown_encoding_is_an_error_in_words() {
    let error = decode("jpegenc ! rtpjpegpay").unwrap_err();
    assert!(
        error.contains("JPEG video cannot be decoded here; send VP8 or VP9 or H264 or AV1"),
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
