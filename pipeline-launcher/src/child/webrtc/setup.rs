//! webrtcbin, set up for one peer.

use gst::prelude::*;
use gst_webrtc::{WebRTCRTPTransceiver, WebRTCRTPTransceiverDirection};
use sightline_protocol::Failure;
use sightline_sdp::{Audio, Flow, Policy};

use super::failed;
use crate::control::Network;
use crate::description::launch::{self, End, Node};
use crate::description::{self, Codec, WebRtc};

/// RTP header extension that lets the sender estimate the bandwidth.
const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// What the pipeline wants of a peer.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) flow: Flow,
    audio: Audio,
    /// Best first; those that can be decoded here.
    taken: Vec<Codec>,
    /// Those that the pipeline sends.
    sent: Vec<Codec>,
}

impl Wanted {
    pub(super) fn read(settings: &WebRtc, launch: &str) -> Result<Self, Failure> {
        let (flow, sent) = streams(launch);
        let decodable = |codec: &Codec| gstsightlinewebrtc::can_decode(codec.name());
        let taken: Vec<_> = settings.codecs.iter().copied().filter(decodable).collect();
        if taken.is_empty() && flow != Flow::ClientReceives {
            return Err(failed(
                "none of the pipeline's codecs can be decoded here: install GStreamer's decoders for one of them",
            ));
        }
        let audio = match settings.audio {
            description::Audio::Ignore => Audio::Accept,
            description::Audio::Refuse => Audio::Refuse,
        };
        let sent = sent.map_or_else(|| settings.codecs.clone(), |codec| vec![codec]);
        Ok(Self {
            flow,
            audio,
            taken,
            sent,
        })
    }

    /// The same, for reading a client's offer.
    pub(super) fn policy(&self) -> Policy {
        let names = |codecs: &[Codec]| codecs.iter().map(|codec| codec.name().to_owned()).collect();
        Policy {
            flow: self.flow,
            audio: self.audio,
            video_codecs: names(&self.taken),
            sent_codecs: names(&self.sent),
        }
    }

    /// What our own offer holds.
    fn offered(&self) -> Vec<Codec> {
        match self.flow {
            Flow::ClientSends => self.taken.clone(),
            Flow::ClientReceives => self.sent.clone(),
            Flow::Both => {
                let sent = |codec: &Codec| self.sent.contains(codec);
                self.taken.iter().copied().filter(sent).collect()
            }
        }
    }
}

/// Which way the video goes, by what is linked from webrtcbin and to it, and the codec of what is linked to it.
fn streams(text: &str) -> (Flow, Option<Codec>) {
    let launch = launch::read(text);
    let factory = |end: &End| {
        let index = match &end.node {
            Node::Element(index) => Some(*index),
            Node::Named(name) => launch.named(name),
        };
        index.map_or("", |index| launch.elements[index].factory.as_str())
    };
    let is_webrtc = |end: &Option<End>| end.as_ref().is_some_and(|end| factory(end) == "webrtcbin");
    let receives = launch.links.iter().any(|link| is_webrtc(&link.from));
    let sending = launch.links.iter().find(|link| is_webrtc(&link.to));
    let codec = sending.and_then(|link| match link.from.as_ref().map(factory)? {
        "rtpvp8pay" => Some(Codec::Vp8),
        "rtph264pay" => Some(Codec::H264),
        "rtpvp9pay" => Some(Codec::Vp9),
        "rtpav1pay" => Some(Codec::Av1),
        _ => None,
    });
    let flow = match (receives, sending.is_some()) {
        (true, true) => Flow::Both,
        (false, true) => Flow::ClientReceives,
        _ => Flow::ClientSends,
    };
    (flow, codec)
}

/// Ports, servers, delay: what holds for every peer.
pub(super) fn configure(webrtc: &gst::Element, settings: &WebRtc, network: &Network) {
    webrtc.set_property_from_str("bundle-policy", "max-bundle");
    webrtc.set_property("latency", settings.latency_ms);
    let agent = webrtc.property::<gst::Object>("ice-agent");
    if let Some(port) = network.udp_port {
        agent.set_property("min-rtp-port", u32::from(port));
        agent.set_property("max-rtp-port", u32::from(port));
    }
    // Its TCP candidates leak sockets in the versions people have.
    if let Some(nice) = agent
        .find_property("agent")
        .map(|_| agent.property::<glib::Object>("agent"))
        && nice.has_property("ice-tcp")
    {
        nice.set_property("ice-tcp", false);
    }
    for server in &network.ice_servers {
        if !add_ice_server(webrtc, server) {
            tracing::warn!("webrtcbin does not take one of the TURN servers");
        }
    }
    for transceiver in transceivers(webrtc) {
        transceiver.set_property("do-nack", true);
    }
    webrtc.connect("on-new-transceiver", false, |values| {
        if let Some(Ok(transceiver)) = values.get(1).map(glib::Value::get::<WebRTCRTPTransceiver>) {
            transceiver.set_property("do-nack", true);
        }
        None
    });
}

/// One for each section of media, and for each stream that the pipeline sends.
pub(super) fn transceivers(webrtc: &gst::Element) -> impl Iterator<Item = WebRTCRTPTransceiver> {
    (0..).map_while(|index: i32| {
        webrtc.emit_by_name::<Option<WebRTCRTPTransceiver>>("get-transceiver", &[&index])
    })
}

/// `server`: as `sightline_ice` writes it for webrtcbin. False if webrtcbin does not take it.
pub(crate) fn add_ice_server(webrtc: &gst::Element, server: &str) -> bool {
    if server.starts_with("stun:") {
        webrtc.set_property("stun-server", server);
        return true;
    }
    webrtc.emit_by_name("add-turn-server", &[&server])
}

/// What our offer holds: one section of video.
pub(super) fn prepare_offer(webrtc: &gst::Element, wanted: &Wanted) -> Result<(), Failure> {
    let caps = offered(&wanted.offered());
    let refused = || failed("webrtcbin refuses the codecs of the pipeline");
    let direction = match wanted.flow {
        Flow::ClientSends => {
            let added = webrtc.emit_by_name::<Option<WebRTCRTPTransceiver>>(
                "add-transceiver",
                &[&WebRTCRTPTransceiverDirection::Recvonly, &caps],
            );
            return added.map(drop).ok_or_else(refused);
        }
        Flow::ClientReceives => WebRTCRTPTransceiverDirection::Sendonly,
        Flow::Both => WebRTCRTPTransceiverDirection::Sendrecv,
    };
    // What the pipeline sends has one already.
    let own = transceivers(webrtc).next().ok_or_else(refused)?;
    own.set_property("codec-preferences", &caps);
    own.set_property("direction", direction);
    Ok(())
}

/// The codecs as webrtcbin offers them, with payload types of the dynamic range.
fn offered(codecs: &[Codec]) -> gst::Caps {
    let structures = codecs
        .iter()
        .zip((96..).step_by(2))
        .map(|(codec, payload): (_, i32)| {
            let structure = gst::Structure::builder("application/x-rtp")
                .field("media", "video")
                .field("encoding-name", codec.name())
                .field("payload", payload)
                .field("clock-rate", 90_000i32)
                .field("extmap-1", TRANSPORT_CC)
                .field("rtcp-fb-transport-cc", true)
                .field("rtcp-fb-nack-pli", true)
                .field("rtcp-fb-ccm-fir", true);
            match codec {
                // Constrained baseline: what every browser sends.
                Codec::H264 => structure
                    .field("packetization-mode", "1")
                    .field("profile-level-id", "42e01f")
                    .field("level-asymmetry-allowed", "1"),
                Codec::Vp8 | Codec::Vp9 | Codec::Av1 => structure,
            }
            .build()
        });
    structures.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_of_the_video_follows_from_the_links() {
        for (text, expected) in [
            (
                "webrtcbin name=w w. ! rtpvideodec ! fakesink",
                (Flow::ClientSends, None),
            ),
            (
                "videotestsrc ! vp8enc ! rtpvp8pay ! webrtcbin",
                (Flow::ClientReceives, Some(Codec::Vp8)),
            ),
            (
                "webrtcbin name=w w. ! rtpvideodec ! openh264enc ! rtph264pay ! w.",
                (Flow::Both, Some(Codec::H264)),
            ),
            ("webrtcbin name=w", (Flow::ClientSends, None)),
        ] {
            assert_eq!(streams(text), expected, "{text}");
        }
    }
}
