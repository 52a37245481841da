//! The streams of a peer's connection.

use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use gst::prelude::*;
use gst_sdp::SDPMessageRef;
use gst_webrtc::{WebRTCRTPTransceiver, WebRTCSessionDescription};
use sightline_sdp::{Kind, Media, Offer};

/// Lets the description's link from webrtcbin have the video; whatever else comes must not stop the bundle.
///
/// gst-launch's link takes the first pad that appears, before its caps are known: that may be the audio's.
pub(super) fn sort_streams(webrtc: &gst::Element, bin: &gst::Bin) {
    let bin = bin.downgrade();
    let left = Mutex::new(None);
    webrtc.connect_pad_added(move |webrtc, pad| {
        let (Some(bin), gst::PadDirection::Src) = (bin.upgrade(), pad.direction()) else {
            return;
        };
        let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = sort(webrtc, &bin, pad, &mut left) {
            tracing::warn!(%error, pad = %pad.name(), "a stream cannot be linked");
        }
    });
}

/// `left`: where the video goes, if another stream was linked there.
fn sort(
    webrtc: &gst::Element,
    bin: &gst::Bin,
    pad: &gst::Pad,
    left: &mut Option<gst::Pad>,
) -> anyhow::Result<()> {
    let linked = pad.peer();
    if !is_video(webrtc, pad) {
        if let Some(sink) = linked {
            pad.unlink(&sink)?;
            *left = Some(sink);
        }
        return discard(bin, pad);
    }
    match (linked, left.take()) {
        (Some(_), _) => Ok(()),
        (None, Some(sink)) => Ok(pad.link(&sink).map(drop)?),
        (None, None) => discard(bin, pad),
    }
}

fn is_video(webrtc: &gst::Element, pad: &gst::Pad) -> bool {
    let description = webrtc.property::<Option<WebRTCSessionDescription>>("local-description");
    let transceiver = pad.property::<Option<WebRTCRTPTransceiver>>("transceiver");
    let section = transceiver.map(|transceiver| transceiver.mlineindex());
    let media = description
        .as_ref()
        .zip(section)
        .and_then(|(description, section)| description.sdp().media(section)?.media().map(str::to_owned));
    media.as_deref() == Some("video")
}

fn discard(bin: &gst::Bin, pad: &gst::Pad) -> anyhow::Result<()> {
    let sink = gst::ElementFactory::make("fakesink")
        .property("async", false)
        .property("sync", false)
        .build()?;
    bin.add(&sink)?;
    let sink_pad = sink.static_pad("sink").context("fakesink without a pad")?;
    pad.link(&sink_pad)?;
    sink.sync_state_with_parent()?;
    Ok(())
}

/// The peer takes no picture: what the pipeline would send it is thrown away.
pub(super) fn send_nothing(webrtc: &gst::Element) -> anyhow::Result<()> {
    let bin = webrtc
        .parent()
        .and_downcast::<gst::Bin>()
        .context("webrtcbin is in no bin")?;
    for pad in webrtc.sink_pads() {
        let Some(source) = pad.peer() else { continue };
        source.unlink(&pad)?;
        webrtc.release_request_pad(&pad);
        discard(&bin, &source)?;
    }
    Ok(())
}

pub(super) fn takes_picture(media: &Media) -> bool {
    media.kind == Kind::Video && media.direction.receives()
}

/// Gives what the pipeline sends the payload type that the offer has for it, and an SSRC, before anything flows: with caps of
/// another payload type, webrtcbin answers that it sends nothing.
pub(super) fn prepare_answer(webrtc: &gst::Element, offer: &Offer) {
    let taken = offer.media().iter().find(|media| takes_picture(media));
    let Some(codec) = taken.and_then(|media| media.codecs.first()) else {
        return;
    };
    for pad in webrtc.sink_pads() {
        if let Some(payloader) = payloader(&pad) {
            payloader.set_property("pt", u32::from(codec.payload));
            choose_ssrc(&pad, &payloader);
        }
    }
}

/// Our answer is made before anything flows. Where the SSRC is not known by then, webrtcbin names that of the repairs alone,
/// and Chromium decodes the other's frames and hands them out to nobody.
fn choose_ssrc(pad: &gst::Pad, payloader: &gst::Element) {
    let Some(transceiver) = pad.property::<Option<WebRTCRTPTransceiver>>("transceiver") else {
        return;
    };
    // The largest number means a random one to payloaders.
    let ssrc = rand::random_range(1..u32::MAX);
    payloader.set_property("ssrc", ssrc);
    let caps = gst::Caps::builder("application/x-rtp").field("ssrc", ssrc);
    transceiver.set_property("codec-preferences", caps.build());
}

/// Gives what the pipeline sends the payload types that were agreed upon: a peer that offers chooses them.
pub(super) fn use_agreed_payloads(webrtc: &gst::Element, agreed: &SDPMessageRef) {
    for pad in webrtc.sink_pads() {
        let transceiver = pad.property::<Option<WebRTCRTPTransceiver>>("transceiver");
        let payload = transceiver.and_then(|transceiver| {
            let media = agreed.media(transceiver.mlineindex())?;
            media.format(0)?.parse::<u32>().ok()
        });
        match (payload, payloader(&pad)) {
            (Some(payload), Some(payloader)) => payloader.set_property("pt", payload),
            // Our own offer: it has the payloader's.
            _ => tracing::debug!(pad = %pad.name(), "nothing is agreed upon yet for what the pipeline sends"),
        }
    }
}

/// The payloader from which a sink pad of webrtcbin is fed, directly or through elements with one input.
fn payloader(pad: &gst::Pad) -> Option<gst::Element> {
    let mut pad = pad.clone();
    loop {
        let element = pad.peer()?.parent_element()?;
        if element.has_property("pt") {
            return Some(element);
        }
        pad = element.static_pad("sink")?;
    }
}
