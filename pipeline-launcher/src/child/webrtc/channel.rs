//! What was found in a session's frames, told to its peer over a data channel.

use gst::prelude::*;
use gst_webrtc::{WebRTCDataChannel, WebRTCDataChannelState};
use sightline_protocol::keys;
use sightline_redis::{Backoff, Server, Subscription, default_url, runtime};

/// Of the channel: a peer that offers opens one of this name.
pub(super) const LABEL: &str = "predictions";
/// A peer that takes so little gets the newest later: SCTP would keep what it does not take.
const MAX_BUFFERED: u64 = 64 * 1024;
/// What every SCTP stack takes (RFC 8841 §6.1).
const LONGEST_MESSAGE: usize = 64 * 1024;

/// Opens the channel; before our offer is made.
pub(super) fn open(webrtc: &gst::Element, session: &str) {
    // Old predictions are of no use: neither order nor a second try.
    let options = gst::Structure::builder("options")
        .field("ordered", false)
        .field("max-retransmits", 0i32)
        .build();
    let channel =
        webrtc.emit_by_name::<Option<WebRTCDataChannel>>("create-data-channel", &[&LABEL, &Some(options)]);
    match channel {
        Some(channel) => feed(&channel, session),
        None => tracing::warn!("webrtcbin opens no data channel"),
    }
}

/// Uses the channel that a peer opens.
pub(super) fn expect(webrtc: &gst::Element, session: &str) {
    let session = session.to_owned();
    webrtc.connect("on-data-channel", false, move |values| {
        let channel = values
            .get(1)
            .and_then(|value| value.get::<WebRTCDataChannel>().ok());
        if let Some(channel) = channel.filter(|channel| channel.label().as_deref() == Some(LABEL)) {
            feed(&channel, &session);
        }
        None
    });
}

/// Sends the session's predictions for as long as the channel is open.
fn feed(channel: &WebRTCDataChannel, session: &str) {
    let session = session.to_owned();
    let start = move |channel: &WebRTCDataChannel| {
        if let Err(error) = runtime::spawn(pass_on(channel.downgrade(), session.clone())) {
            tracing::warn!(%error, "no predictions over the data channel");
        }
    };
    if channel.ready_state() == WebRTCDataChannelState::Open {
        start(channel);
    } else {
        channel.connect_on_open(start);
    }
}

async fn pass_on(channel: glib::WeakRef<WebRTCDataChannel>, session: String) {
    let server = match Server::new(&default_url()) {
        Ok(server) => server,
        Err(error) => {
            tracing::warn!(%error, "no predictions over the data channel");
            return;
        }
    };
    let mut backoff = Backoff::default();
    while is_open(&channel) {
        match server.subscribe(&keys::predictions_channel(&session)).await {
            Ok(pubsub) => {
                let mut subscription = Subscription::new(pubsub);
                while let Some(message) = subscription.next(&mut backoff).await {
                    if !is_open(&channel) {
                        return;
                    }
                    if let Ok(text) = message.get_payload::<String>() {
                        send(&channel, &text);
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "predictions wait for Redis"),
        }
        tokio::time::sleep(backoff.step()).await;
    }
}

fn is_open(channel: &glib::WeakRef<WebRTCDataChannel>) -> bool {
    let channel = channel.upgrade();
    channel.is_some_and(|channel| channel.ready_state() == WebRTCDataChannelState::Open)
}

fn send(channel: &glib::WeakRef<WebRTCDataChannel>, text: &str) {
    let Some(channel) = channel.upgrade() else { return };
    if text.len() > LONGEST_MESSAGE || channel.buffered_amount() > MAX_BUFFERED {
        return;
    }
    if let Err(error) = channel.send_string_full(Some(text)) {
        tracing::debug!(%error, "a prediction is not sent");
    }
}
