//! One peer, over `webrtcbin`: we offer to receive one video, the peer answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst_webrtc::{
    WebRTCICEConnectionState, WebRTCICEGatheringState, WebRTCPeerConnectionState, WebRTCRTPTransceiver,
    WebRTCRTPTransceiverDirection, WebRTCSDPType, WebRTCSessionDescription,
};
use sightline_protocol::rpc::IceCandidate;
use sightline_protocol::{ErrorId, Failure};
use sightline_sdp::{Answer, candidate};

use super::pipeline::Pipeline;
use crate::control::{Network, Report};
use crate::description::{Codec, WebRtc};

/// `ice-gathering-state` may never say complete: an offer with at least one candidate goes out after this.
const GATHERING: Duration = Duration::from_secs(2);
/// Without a single candidate for so long, there will be none.
const NO_CANDIDATE: Duration = Duration::from_secs(8);
/// RTP header extension that lets the sender estimate the bandwidth.
const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// What webrtcbin says from its own threads.
#[derive(Debug)]
pub(super) enum Event {
    OfferMade(Result<WebRTCSessionDescription, String>),
    OfferSet,
    Candidate { line: u32, candidate: String },
    Gathered,
    Ice(WebRTCICEConnectionState),
    Connection(WebRTCPeerConnectionState),
}

type Tell = Arc<dyn Fn(Event) + Send + Sync>;

pub(super) struct Session {
    webrtc: gst::Element,
    network: Network,
    tell: Tell,
    offer: Offer,
    candidates: usize,
    ice: WebRTCICEConnectionState,
    connected: bool,
}

/// Where our offer is on its way to the peer.
enum Offer {
    None,
    /// Waiting for candidates until then.
    Gathering {
        since: Instant,
        until: Instant,
    },
    Sent,
}

fn failed(message: impl Into<String>) -> Failure {
    Failure::new(ErrorId::SessionFailed, message)
}

impl Session {
    pub(super) fn prepare(
        pipeline: &Pipeline,
        settings: &WebRtc,
        network: &Network,
        tell: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Self, Failure> {
        let webrtc =
            find(pipeline.bin(), "webrtcbin").ok_or_else(|| failed("the pipeline has no webrtcbin"))?;
        let session = Self {
            webrtc,
            network: network.clone(),
            tell: Arc::new(tell),
            offer: Offer::None,
            candidates: 0,
            ice: WebRTCICEConnectionState::New,
            connected: false,
        };
        session.configure(settings)?;
        session.connect_signals(pipeline);
        Ok(session)
    }

    fn configure(&self, settings: &WebRtc) -> Result<(), Failure> {
        let webrtc = &self.webrtc;
        webrtc.set_property_from_str("bundle-policy", "max-bundle");
        webrtc.set_property("latency", settings.latency_ms);
        let agent = webrtc.property::<gst::Object>("ice-agent");
        if let Some(port) = self.network.udp_port {
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
        for server in &self.network.ice_servers {
            let uri = |scheme: &str| {
                let rest = server.strip_prefix(scheme)?;
                Some(format!("{scheme}//{}", rest.trim_start_matches("//")))
            };
            if let Some(uri) = uri("stun:") {
                webrtc.set_property("stun-server", uri);
            } else if let Some(uri) = uri("turn:").or_else(|| uri("turns:")) {
                if !webrtc.emit_by_name::<bool>("add-turn-server", &[&uri]) {
                    tracing::warn!("webrtcbin does not take one of the TURN servers");
                }
            } else {
                tracing::warn!("an ICE server's URL starts with none of stun:, turn:, turns:");
            }
        }
        let caps = offered(&settings.codecs);
        let transceiver = webrtc.emit_by_name::<Option<WebRTCRTPTransceiver>>(
            "add-transceiver",
            &[&WebRTCRTPTransceiverDirection::Recvonly, &caps],
        );
        let transceiver =
            transceiver.ok_or_else(|| failed("webrtcbin refuses the codecs of the pipeline"))?;
        transceiver.set_property("do-nack", true);
        Ok(())
    }

    fn connect_signals(&self, pipeline: &Pipeline) {
        let tell = Arc::clone(&self.tell);
        let public = self.network.public_ips.clone();
        self.webrtc.connect("on-ice-candidate", false, move |values| {
            let line = values.get(1).and_then(|value| value.get().ok());
            let candidate: Option<String> = values.get(2).and_then(|value| value.get().ok());
            if let (Some(line), Some(candidate)) = (line, candidate) {
                for candidate in candidate::advertise(&candidate, &public) {
                    tell(Event::Candidate { line, candidate });
                }
            }
            None
        });
        let tell = Arc::clone(&self.tell);
        self.webrtc
            .connect_notify(Some("ice-gathering-state"), move |webrtc, _| {
                if webrtc.property::<WebRTCICEGatheringState>("ice-gathering-state")
                    == WebRTCICEGatheringState::Complete
                {
                    tell(Event::Gathered);
                }
            });
        let tell = Arc::clone(&self.tell);
        self.webrtc
            .connect_notify(Some("ice-connection-state"), move |webrtc, _| {
                tell(Event::Ice(webrtc.property("ice-connection-state")));
            });
        let tell = Arc::clone(&self.tell);
        self.webrtc
            .connect_notify(Some("connection-state"), move |webrtc, _| {
                tell(Event::Connection(webrtc.property("connection-state")));
            });
        // The description links the video; whatever else comes must not stop the bundle.
        let bin = pipeline.bin().downgrade();
        self.webrtc.connect_pad_added(move |_, pad| {
            if let (Some(bin), gst::PadDirection::Src, false) =
                (bin.upgrade(), pad.direction(), pad.is_linked())
                && let Err(error) = discard(&bin, pad)
            {
                tracing::warn!(%error, "an unexpected stream cannot be discarded");
            }
        });
    }

    /// Starts the exchange; webrtcbin must be running.
    pub(super) fn create_offer(&mut self) {
        let tell = Arc::clone(&self.tell);
        let promise = gst::Promise::with_change_func(move |reply| tell(Event::OfferMade(read_offer(reply))));
        self.webrtc
            .emit_by_name::<()>("create-offer", &[&None::<gst::Structure>, &promise]);
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected
    }

    /// When [`Self::deadline_passed`] wants to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.offer {
            Offer::Gathering { until, .. } => Some(until),
            _ => None,
        }
    }

    pub(super) fn deadline_passed(&mut self) -> Option<Report> {
        let Offer::Gathering { since, .. } = self.offer else {
            return None;
        };
        if self.candidates > 0 || since.elapsed() >= NO_CANDIDATE {
            return self.send_offer();
        }
        self.offer = Offer::Gathering {
            since,
            until: Instant::now() + Duration::from_millis(100),
        };
        None
    }

    pub(super) fn handle(&mut self, event: Event) -> Result<Option<Report>, Failure> {
        match event {
            Event::OfferMade(Ok(offer)) => {
                let tell = Arc::clone(&self.tell);
                let promise = gst::Promise::with_change_func(move |_| tell(Event::OfferSet));
                self.webrtc
                    .emit_by_name::<()>("set-local-description", &[&offer, &promise]);
                Ok(None)
            }
            Event::OfferMade(Err(error)) => Err(failed(format!("webrtcbin makes no offer: {error}"))),
            Event::OfferSet if self.network.trickle => Ok(self.send_offer()),
            Event::OfferSet => {
                let since = Instant::now();
                self.offer = Offer::Gathering {
                    since,
                    until: since + GATHERING,
                };
                Ok(None)
            }
            Event::Candidate { line, candidate } => {
                self.candidates += 1;
                let candidate = IceCandidate {
                    candidate,
                    sdp_m_line_index: Some(line),
                    sdp_mid: None,
                };
                Ok(self.network.trickle.then_some(Report::Candidate(candidate)))
            }
            Event::Gathered if matches!(self.offer, Offer::Gathering { .. }) => Ok(self.send_offer()),
            Event::Gathered => Ok(None),
            Event::Ice(state) => {
                let old = std::mem::replace(&mut self.ice, state);
                Ok((old != state).then(|| Report::Ice {
                    new: ice_name(state).into(),
                    old: ice_name(old).into(),
                }))
            }
            Event::Connection(WebRTCPeerConnectionState::Connected) => {
                self.connected = true;
                Ok(Some(Report::Running))
            }
            Event::Connection(WebRTCPeerConnectionState::Failed) => Err(failed(
                "no network path to the peer works: UDP may be blocked, or SIGHTLINE_PUBLIC_IP or a TURN server \
                 is needed",
            )),
            Event::Connection(_) => Ok(None),
        }
    }

    fn send_offer(&mut self) -> Option<Report> {
        self.offer = Offer::Sent;
        let sdp = candidate::advertise_description(&self.local_description()?, &self.network.public_ips);
        Some(Report::Offer { sdp })
    }

    fn local_description(&self) -> Option<String> {
        let description = self
            .webrtc
            .property::<Option<WebRTCSessionDescription>>("local-description")?;
        description.sdp().as_text().ok()
    }

    pub(super) fn take_answer(&mut self, answer: &str) -> Option<Report> {
        let refused = |message: String| Some(Report::AnswerRefused { message });
        let Some(offer) = self.local_description() else {
            return refused("nothing has been offered yet".into());
        };
        let answer = match Answer::parse(answer, &offer) {
            Ok(answer) => answer,
            Err(refusal) => return refused(refusal.to_string()),
        };
        let message = match gst_sdp::SDPMessage::parse_buffer(answer.text().as_bytes()) {
            Ok(message) => message,
            Err(_) => return refused("the answer is not valid SDP".into()),
        };
        let description = WebRTCSessionDescription::new(WebRTCSDPType::Answer, message);
        let promise = gst::Promise::new();
        self.webrtc
            .emit_by_name::<()>("set-remote-description", &[&description, &promise]);
        promise.wait();
        match promise
            .get_reply()
            .and_then(|reply| reply.get::<glib::Error>("error").ok())
        {
            Some(error) => refused(format!("webrtcbin refuses the answer: {}", error.message())),
            None => Some(Report::AnswerTaken),
        }
    }

    pub(super) fn take_candidate(&self, candidate: &IceCandidate) {
        if candidate::is_usable(&candidate.candidate) {
            let line = candidate.sdp_m_line_index.unwrap_or(0);
            self.webrtc
                .emit_by_name::<()>("add-ice-candidate", &[&line, &candidate.candidate]);
        }
    }
}

fn read_offer(
    reply: Result<Option<&gst::StructureRef>, gst::PromiseError>,
) -> Result<WebRTCSessionDescription, String> {
    let reply = reply
        .map_err(|error| format!("{error:?}"))?
        .ok_or("an empty reply")?;
    reply.get("offer").map_err(|_| {
        reply
            .get::<glib::Error>("error")
            .map_or_else(|_| "no offer in the reply".into(), |error| error.to_string())
    })
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
                Codec::Vp8 | Codec::Vp9 => structure,
            }
            .build()
        });
    structures.collect()
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

/// The first element of that factory, at any depth.
fn find(bin: &gst::Bin, factory: &str) -> Option<gst::Element> {
    let mut elements = bin.iterate_recurse();
    while let Ok(Some(element)) = elements.next() {
        if element.factory().is_some_and(|own| own.name() == factory) {
            return Some(element);
        }
    }
    None
}

/// As W3C's RTCIceConnectionState names it.
fn ice_name(state: WebRTCICEConnectionState) -> &'static str {
    match state {
        WebRTCICEConnectionState::Checking => "checking",
        WebRTCICEConnectionState::Connected => "connected",
        WebRTCICEConnectionState::Completed => "completed",
        WebRTCICEConnectionState::Failed => "failed",
        WebRTCICEConnectionState::Disconnected => "disconnected",
        WebRTCICEConnectionState::Closed => "closed",
        _ => "new",
    }
}
