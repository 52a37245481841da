//! A WebRTC client: a test picture over a webrtcbin of its own.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use gst::prelude::*;
use gst_webrtc::{
    WebRTCDataChannel, WebRTCICEGatheringState, WebRTCPeerConnectionState, WebRTCSDPType,
    WebRTCSessionDescription,
};

const PATIENCE: Duration = Duration::from_secs(30);

pub const VP8: &str = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=15/1 ! \
                       vp8enc deadline=1 keyframe-max-dist=1000 ! rtpvp8pay ! \
                       application/x-rtp,media=video,encoding-name=VP8,payload=102 ! webrtc.";
pub const H264: &str = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=15/1 ! \
                        openh264enc ! h264parse config-interval=-1 ! rtph264pay aggregate-mode=zero-latency ! \
                        application/x-rtp,media=video,encoding-name=H264,payload=103 ! webrtc.";
pub const OPUS: &str = "audiotestsrc is-live=true ! opusenc ! rtpopuspay ! \
                        application/x-rtp,media=audio,encoding-name=OPUS,payload=111 ! webrtc.";

pub struct Peer {
    pipeline: gst::Pipeline,
    webrtc: gst::Element,
    gathered: Receiver<()>,
    connected: Receiver<()>,
    packets: Receiver<Option<gst::Caps>>,
    messages: Receiver<String>,
}

impl Peer {
    /// `streams` are linked to `webrtc.`; their tracks are only sent if `send_only`.
    pub fn new(streams: &[&str], send_only: bool) -> Self {
        gst::init().unwrap();
        let launch = format!(
            "webrtcbin name=webrtc bundle-policy=max-bundle {}",
            streams.join(" ")
        );
        let pipeline = gst::parse::launch(&launch)
            .unwrap()
            .downcast::<gst::Pipeline>()
            .unwrap();
        let webrtc = pipeline.by_name("webrtc").unwrap();
        for pad in webrtc.sink_pads() {
            let transceiver = pad.property::<glib::Object>("transceiver");
            // As browsers do: what was lost is sent again.
            transceiver.set_property("do-nack", true);
            if send_only {
                transceiver.set_property_from_str("direction", "sendonly");
            }
        }
        let gathered = on(&webrtc, "ice-gathering-state", WebRTCICEGatheringState::Complete);
        let connected = on(&webrtc, "connection-state", WebRTCPeerConnectionState::Connected);
        let packets = receive(&webrtc, &pipeline);
        let messages = listen(&webrtc);
        pipeline.set_state(gst::State::Playing).unwrap();
        Self {
            pipeline,
            webrtc,
            gathered,
            connected,
            packets,
            messages,
        }
    }

    /// An offer with all candidates in it.
    pub fn offer(&self) -> String {
        self.describe("create-offer", "offer")
    }

    /// An answer to this offer, with all candidates in it.
    pub fn answer(&self, offer: &str) -> String {
        self.take(WebRTCSDPType::Offer, offer);
        self.describe("create-answer", "answer")
    }

    pub fn take_answer(&self, answer: &str) {
        self.take(WebRTCSDPType::Answer, answer);
    }

    /// How many packets the other side has asked for again.
    pub fn asked_again(&self) -> u32 {
        let mut elements = self.pipeline.iterate_recurse();
        let mut asked = 0;
        while let Ok(Some(element)) = elements.next() {
            if element
                .factory()
                .is_some_and(|factory| factory.name() == "rtprtxsend")
            {
                asked += element.property::<u32>("num-rtx-requests");
            }
        }
        asked
    }

    /// The element of that name in `streams`.
    pub fn element(&self, name: &str) -> gst::Element {
        self.pipeline.by_name(name).unwrap()
    }

    fn describe(&self, signal: &str, field: &str) -> String {
        let promise = gst::Promise::new();
        self.webrtc
            .emit_by_name::<()>(signal, &[&None::<gst::Structure>, &promise]);
        promise.wait();
        let description = promise
            .get_reply()
            .unwrap()
            .get::<WebRTCSessionDescription>(field)
            .unwrap();
        self.webrtc
            .emit_by_name::<()>("set-local-description", &[&description, &None::<gst::Promise>]);
        self.gathered
            .recv_timeout(PATIENCE)
            .expect("gathering takes too long");
        let local = self
            .webrtc
            .property::<WebRTCSessionDescription>("local-description");
        local.sdp().as_text().unwrap()
    }

    fn take(&self, kind: WebRTCSDPType, sdp: &str) {
        let sdp = gst_sdp::SDPMessage::parse_buffer(sdp.as_bytes()).unwrap();
        let description = WebRTCSessionDescription::new(kind, sdp);
        let promise = gst::Promise::new();
        self.webrtc
            .emit_by_name::<()>("set-remote-description", &[&description, &promise]);
        promise.wait();
        let error = promise
            .get_reply()
            .and_then(|reply| reply.get::<glib::Error>("error").ok());
        assert!(error.is_none(), "{error:?}");
    }

    pub fn wait_until_connected(&self) {
        self.connected.recv_timeout(PATIENCE).expect("no connection");
    }

    /// The next text that comes in over a data channel, if one comes in time.
    pub fn message(&self, time: Duration) -> Option<String> {
        self.messages.recv_timeout(time).ok()
    }

    /// The caps of the next packet that comes in.
    pub fn packet(&self) -> gst::Caps {
        let packet = self.packets.recv_timeout(PATIENCE).expect("no packet");
        packet.expect("a packet without caps")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).ok();
    }
}

/// Hears of each packet of media.
fn receive(webrtc: &gst::Element, pipeline: &gst::Pipeline) -> Receiver<Option<gst::Caps>> {
    let (tell, packets) = channel();
    let pipeline = pipeline.downgrade();
    webrtc.connect_pad_added(move |_, pad| {
        let (Some(pipeline), gst::PadDirection::Src) = (pipeline.upgrade(), pad.direction()) else {
            return;
        };
        let sink = gst::ElementFactory::make("fakesink")
            .property("async", false)
            .property("sync", false)
            .build()
            .unwrap();
        pipeline.add(&sink).unwrap();
        let sink_pad = sink.static_pad("sink").unwrap();
        let tell = tell.clone();
        let media = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        sink_pad.add_probe(media, move |pad, _| {
            tell.send(pad.current_caps()).ok();
            gst::PadProbeReturn::Ok
        });
        pad.link(&sink_pad).unwrap();
        sink.sync_state_with_parent().unwrap();
    });
    packets
}

/// Hears of each text on the data channels that the other side opens.
fn listen(webrtc: &gst::Element) -> Receiver<String> {
    let (tell, messages) = channel();
    webrtc.connect("on-data-channel", false, move |values| {
        let channel: WebRTCDataChannel = values[1].get().unwrap();
        let tell = tell.clone();
        channel.connect_on_message_string(move |_, text| {
            tell.send(text.unwrap_or_default().to_owned()).ok();
        });
        None
    });
    messages
}

/// Hears when a property of webrtcbin has that value.
fn on<T>(webrtc: &gst::Element, property: &'static str, wanted: T) -> Receiver<()>
where
    T: for<'v> glib::value::FromValue<'v> + PartialEq + Send + Sync + 'static,
{
    let (tell, heard): (Sender<()>, _) = channel();
    webrtc.connect_notify(Some(property), move |webrtc, _| {
        if webrtc
            .property_value(property)
            .get::<T>()
            .is_ok_and(|value| value == wanted)
        {
            tell.send(()).ok();
        }
    });
    heard
}
