//! What `sightline-sdp` makes of clients' SDP is what GStreamer's parser and a real `webrtcbin` take.

use gst::prelude::*;
use gst_webrtc::{
    WebRTCRTPTransceiver, WebRTCRTPTransceiverDirection, WebRTCSDPType, WebRTCSessionDescription,
};
use sightline_sdp::{Answer, Audio, Flow, Kind, Offer, Policy};

macro_rules! client {
    ($name:literal) => {
        include_str!(concat!("../../protocol/sdp/tests/clients/", $name, ".sdp"))
    };
}

const CHROMIUM: &str = client!("chromium");
const SENDERS: [(&str, &str); 7] = [
    ("chromium", CHROMIUM),
    ("firefox", client!("firefox")),
    ("safari", client!("safari")),
    ("obs", client!("obs")),
    ("aiortc", client!("aiortc")),
    ("whipclientsink", client!("whipclientsink")),
    ("simple-whip-client", client!("simple-whip-client")),
];

fn policy(flow: Flow) -> Policy {
    Policy {
        flow,
        audio: Audio::Accept,
        video_codecs: ["VP8", "H264"].map(str::to_owned).into(),
        sent_codecs: ["VP8", "H264"].map(str::to_owned).into(),
    }
}

/// A `webrtcbin` as the pipelines have it, until it is dropped.
struct Peer {
    pipeline: gst::Pipeline,
    webrtc: gst::Element,
}

impl Peer {
    fn new(direction: Option<WebRTCRTPTransceiverDirection>) -> Self {
        gst::init().expect("GStreamer starts");
        let webrtc = gst::ElementFactory::make("webrtcbin")
            .property_from_str("bundle-policy", "max-bundle")
            .build()
            .expect("webrtcbin is installed");
        let pipeline = gst::Pipeline::new();
        pipeline.add(&webrtc).expect("webrtcbin fits");
        pipeline.set_state(gst::State::Playing).expect("webrtcbin plays");
        let peer = Self { pipeline, webrtc };
        if let Some(direction) = direction {
            peer.add(direction, "video", &[("VP8", 96, 90_000), ("H264", 98, 90_000)]);
        }
        peer
    }

    fn add(&self, direction: WebRTCRTPTransceiverDirection, media: &str, codecs: &[(&str, i32, i32)]) {
        let caps = codecs.iter().map(|(name, payload, clock_rate)| {
            gst::Structure::builder("application/x-rtp")
                .field("media", media)
                .field("encoding-name", *name)
                .field("payload", *payload)
                .field("clock-rate", *clock_rate)
                .build()
        });
        let caps: gst::Caps = caps.collect();
        self.webrtc
            .emit_by_name::<Option<WebRTCRTPTransceiver>>("add-transceiver", &[&direction, &caps]);
    }

    fn set(&self, which: &str, kind: WebRTCSDPType, sdp: &str) {
        let message = gst_sdp::SDPMessage::parse_buffer(sdp.as_bytes()).expect("GStreamer's parser takes it");
        let description = WebRTCSessionDescription::new(kind, message);
        let promise = gst::Promise::new();
        self.webrtc
            .emit_by_name::<()>(&format!("set-{which}-description"), &[&description, &promise]);
        promise.wait();
        let error = promise
            .get_reply()
            .and_then(|reply| reply.get::<glib::Error>("error").ok());
        assert!(error.is_none(), "{which}: {error:?}\n{sdp}");
    }

    fn create(&self, what: &str) -> String {
        let promise = gst::Promise::new();
        self.webrtc
            .emit_by_name::<()>(&format!("create-{what}"), &[&None::<gst::Structure>, &promise]);
        promise.wait();
        let reply = promise.get_reply().expect("a reply");
        let made = reply.get::<WebRTCSessionDescription>(what);
        made.unwrap_or_else(|_| panic!("no {what}: {reply:?}"))
            .sdp()
            .as_text()
            .expect("it has a text")
    }

    /// Sets a client's offer, and our answer to it; returns the answer.
    fn answer(&self, offer: &Offer) -> String {
        self.set("remote", WebRTCSDPType::Offer, offer.text());
        let answer = self.create("answer");
        self.set("local", WebRTCSDPType::Answer, &answer);
        answer
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let stopped = self.pipeline.set_state(gst::State::Null);
        assert!(stopped.is_ok() || std::thread::panicking());
    }
}

/// The `m=` lines, and what of a section's attributes matters.
fn assert_answers(name: &str, offer: &Offer, answer: &str, direction: &str) {
    let sections: Vec<_> = answer.split("\r\nm=").skip(1).collect();
    assert_eq!(sections.len(), offer.media().len(), "{name}:\n{answer}");
    for (media, section) in offer.media().iter().zip(sections) {
        let says = |line: &str| section.lines().any(|own| own == line);
        let refused = section.starts_with(&format!("{} 0 ", media.kind));
        assert_eq!(refused, media.refused, "{name}:\n{answer}");
        if media.kind == Kind::Video && !refused {
            assert!(says(&format!("a={direction}")), "{name}:\n{answer}");
            assert!(says(&format!("a=mid:{}", media.mid)), "{name}:\n{answer}");
        }
    }
}

#[test]
fn webrtcbin_answers_every_client() {
    for (name, text) in SENDERS {
        let offer = Offer::parse(text, &policy(Flow::ClientSends)).unwrap();
        let answer = Peer::new(None).answer(&offer);
        assert_answers(name, &offer, &answer, "recvonly");
    }
}

#[test]
fn webrtcbin_answers_a_player() {
    let offer = Offer::parse(client!("whep-player"), &policy(Flow::ClientReceives)).unwrap();
    let peer = Peer::new(Some(WebRTCRTPTransceiverDirection::Sendonly));
    let answer = peer.answer(&offer);
    assert_answers("whep-player", &offer, &answer, "sendonly");
}

#[test]
fn webrtcbin_answers_what_was_mended() {
    for (what, text) in [
        ("no group", CHROMIUM.replace("a=group:BUNDLE 0 1\n", "")),
        (
            "no mids",
            CHROMIUM.replace("a=mid:0\n", "").replace("a=mid:1\n", ""),
        ),
        ("bad group", CHROMIUM.replace("BUNDLE 0 1", "BUNDLE nobody 1 0")),
        (
            "one section without a group",
            client!("safari").replace("a=group:BUNDLE 0\n", ""),
        ),
        ("active", CHROMIUM.replace("actpass", "active")),
        ("passive", CHROMIUM.replace("actpass", "passive")),
        ("data channels before video", data_first()),
    ] {
        let offer = Offer::parse(&text, &policy(Flow::ClientSends)).unwrap();
        let answer = Peer::new(None).answer(&offer);
        assert_answers(what, &offer, &answer, "recvonly");
    }
}

/// aiortc's offer with its sections exchanged.
fn data_first() -> String {
    let text: &str = client!("aiortc");
    let mut parts = text.split("m=");
    let (session, video, data) = (parts.next(), parts.next(), parts.next());
    let [session, video, data] = [session, video, data].map(Option::unwrap_or_default);
    format!("{session}m={data}m={video}")
}

#[test]
fn webrtcbin_takes_an_answer() {
    let peer = Peer::new(Some(WebRTCRTPTransceiverDirection::Recvonly));
    let offer = peer.create("offer");
    peer.set("local", WebRTCSDPType::Offer, &offer);
    let answer = Answer::parse(client!("chromium-answer"), &offer).unwrap();
    peer.set("remote", WebRTCSDPType::Answer, answer.text());
}

#[test]
fn webrtcbin_takes_an_answer_that_refuses_the_audio() {
    let peer = Peer::new(Some(WebRTCRTPTransceiverDirection::Recvonly));
    peer.add(
        WebRTCRTPTransceiverDirection::Recvonly,
        "audio",
        &[("OPUS", 100, 48_000)],
    );
    let offer = peer.create("offer");
    peer.set("local", WebRTCSDPType::Offer, &offer);
    let refused = "m=audio 0 UDP/TLS/RTP/SAVPF 100\n";
    let answer = Answer::parse(&format!("{}{refused}", client!("chromium-answer")), &offer).unwrap();
    assert!(answer.media()[1].refused);
    peer.set("remote", WebRTCSDPType::Answer, answer.text());
}
