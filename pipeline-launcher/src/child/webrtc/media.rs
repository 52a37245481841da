//! The streams of a peer's connection.

use gst::prelude::*;
use gst_sdp::SDPMessageRef;
use gst_webrtc::WebRTCRTPTransceiver;

/// The description links the video; whatever else comes must not stop the bundle.
pub(super) fn discard_the_rest(webrtc: &gst::Element, bin: &gst::Bin) {
    let bin = bin.downgrade();
    webrtc.connect_pad_added(move |_, pad| {
        if let (Some(bin), gst::PadDirection::Src, false) = (bin.upgrade(), pad.direction(), pad.is_linked())
            && let Err(error) = discard(&bin, pad)
        {
            tracing::warn!(%error, "an unexpected stream cannot be discarded");
        }
    });
}

fn discard(bin: &gst::Bin, pad: &gst::Pad) -> anyhow::Result<()> {
    let sink = gst::ElementFactory::make("fakesink")
        .property("async", false)
        .property("sync", false)
        .build()?;
    bin.add(&sink)?;
    let sink_pad = sink
        .static_pad("sink")
        .ok_or_else(|| anyhow::anyhow!("fakesink without a pad"))?;
    pad.link(&sink_pad)?;
    sink.sync_state_with_parent()?;
    Ok(())
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
            _ => tracing::warn!(pad = %pad.name(), "nothing was agreed upon for what the pipeline sends"),
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
