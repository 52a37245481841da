//! One peer, over `webrtcbin`: one side offers, the other answers.
//!
//! | module | what |
//! |---|---|
//! | here | the exchange of descriptions and candidates, and what the connection's states mean |
//! | `setup` | what webrtcbin is told before |
//! | `media` | its streams |
//! | `channel` | predictions over its data channel |
//! | `trust` | is the peer the one that its SDP names? |
//! | `repair` | what was lost is sent again |
//! | `silence` | is the peer still there? |

mod channel;
mod media;
mod repair;
mod setup;
mod silence;
mod trust;

use std::sync::Arc;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst_webrtc::{
    WebRTCICEConnectionState, WebRTCICEGatheringState, WebRTCPeerConnectionState, WebRTCSDPType,
    WebRTCSessionDescription,
};
use sightline_protocol::rpc::{IceCandidate, SessionStart};
use sightline_protocol::{ErrorId, Failure};
use sightline_sdp::candidate::{Candidate, advertise, advertise_description};
use sightline_sdp::{Answer, Fingerprint, Flow, Offer};

use super::pipeline::Pipeline;
use crate::control::{Network, Report, Start};
use crate::description::WebRtc;
use repair::Repair;
use setup::Wanted;
pub(crate) use setup::add_ice_server;
use silence::Ear;
use trust::Gate;

/// `ice-gathering-state` may never say complete: a description with at least one candidate goes out after this.
const GATHERING: Duration = Duration::from_secs(2);
/// Without a single candidate for so long, there will be none.
const NO_CANDIDATE: Duration = Duration::from_secs(8);
/// From the exchange of descriptions to a connection.
const CONNECT: Duration = Duration::from_secs(30);
/// How often a connected peer is listened for.
const LISTEN: Duration = Duration::from_millis(500);

/// What webrtcbin says from its own threads.
#[derive(Debug)]
pub(super) enum Event {
    /// Our offer, or our answer.
    Described(Result<WebRTCSessionDescription, String>),
    DescriptionSet,
    Candidate {
        line: u32,
        candidate: String,
    },
    Gathered,
    Ice(WebRTCICEConnectionState),
    Connection(WebRTCPeerConnectionState),
}

type Tell = Arc<dyn Fn(Event) + Send + Sync>;

pub(super) struct Session {
    webrtc: gst::Element,
    network: Network,
    /// The peer's, if it is the peer that offers.
    offer: Option<Offer>,
    /// Whose predictions go over a data channel, if they do.
    told: Option<String>,
    wanted: Wanted,
    tell: Tell,
    stage: Stage,
    candidates: usize,
    ice: WebRTCICEConnectionState,
    /// What the peer's certificate must hash to.
    named: Vec<Fingerprint>,
    gate: Gate,
    ear: Ear,
    repair: Repair,
}

/// How far a peer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Our description is being made.
    New,
    /// It waits for candidates until then.
    Gathering { since: Instant, until: Instant },
    /// It is with the peer, whose answer is awaited.
    Offered,
    /// Both descriptions are there; the paths are tried until then.
    Connecting { until: Instant },
    /// Since when it is listened for next.
    Connected { listen: Instant },
}

fn failed(message: impl Into<String>) -> Failure {
    Failure::new(ErrorId::SessionFailed, message)
}

impl Session {
    pub(super) fn prepare(
        pipeline: &Pipeline,
        settings: &WebRtc,
        start: &Start,
        tell: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Self, Failure> {
        let bin = pipeline.bin();
        let webrtc = find(bin, "webrtcbin").ok_or_else(|| failed("the pipeline has no webrtcbin"))?;
        let wanted = Wanted::read(settings, &start.pipeline.launch)?;
        let offer = start.offer.as_deref();
        let offer = offer
            .map(|offer| Offer::parse(offer, &wanted.policy()))
            .transpose()?;
        let session = Self {
            wanted,
            offer,
            repair: Repair::prepare(&webrtc, settings),
            webrtc,
            network: start.webrtc.clone(),
            told: settings.data_channel.then(|| start.identity.clone()),
            tell: Arc::new(tell),
            stage: Stage::New,
            candidates: 0,
            ice: WebRTCICEConnectionState::New,
            named: Vec::new(),
            gate: Gate::default(),
            ear: Ear::new(),
        };
        let (gate, ear, repair) = (session.gate.clone(), session.ear.clone(), session.repair.clone());
        bin.connect_deep_element_added(move |_, _, element| {
            gate.guard(element);
            ear.listen(element);
            repair.equip(element);
        });
        setup::configure(&session.webrtc, settings, &session.network);
        media::sort_streams(&session.webrtc, bin);
        if let Some(offer) = &session.offer {
            media::prepare_answer(&session.webrtc, offer);
        }
        session.connect_signals();
        Ok(session)
    }

    fn connect_signals(&self) {
        let tell = Arc::clone(&self.tell);
        self.webrtc.connect("on-ice-candidate", false, move |values| {
            let line = values.get(1).and_then(|value| value.get().ok());
            let candidate = values.get(2).and_then(|value| value.get().ok());
            if let (Some(line), Some(candidate)) = (line, candidate) {
                tell(Event::Candidate { line, candidate });
            }
            None
        });
        self.on_change("ice-gathering-state", |webrtc, property| {
            let complete =
                webrtc.property::<WebRTCICEGatheringState>(property) == WebRTCICEGatheringState::Complete;
            complete.then_some(Event::Gathered)
        });
        self.on_change("ice-connection-state", |webrtc, property| {
            Some(Event::Ice(webrtc.property(property)))
        });
        self.on_change("connection-state", |webrtc, property| {
            Some(Event::Connection(webrtc.property(property)))
        });
    }

    fn on_change(
        &self,
        property: &'static str,
        event: impl Fn(&gst::Element, &str) -> Option<Event> + Send + Sync + 'static,
    ) {
        let tell = Arc::clone(&self.tell);
        self.webrtc.connect_notify(Some(property), move |webrtc, _| {
            if let Some(event) = event(webrtc, property) {
                tell(event);
            }
        });
    }

    /// Starts the exchange; webrtcbin must be running.
    pub(super) fn begin(&mut self) -> Result<(), Failure> {
        let make = match self.offer.take() {
            None => {
                setup::prepare_offer(&self.webrtc, &self.wanted)?;
                if let Some(session) = &self.told {
                    channel::open(&self.webrtc, session);
                }
                "create-offer"
            }
            Some(offer) => {
                if let Some(session) = &self.told {
                    channel::expect(&self.webrtc, session);
                }
                self.take_offer(&offer)?;
                "create-answer"
            }
        };
        let tell = Arc::clone(&self.tell);
        let promise =
            gst::Promise::with_change_func(move |reply| tell(Event::Described(read_description(reply))));
        self.webrtc
            .emit_by_name::<()>(make, &[&None::<gst::Structure>, &promise]);
        Ok(())
    }

    fn take_offer(&mut self, offer: &Offer) -> Result<(), Failure> {
        self.named = offer.fingerprints().to_vec();
        if self.wanted.flow == Flow::Both && !offer.media().iter().any(media::takes_picture) {
            media::send_nothing(&self.webrtc).map_err(|error| failed(format!("{error:#}")))?;
        }
        self.set_remote(WebRTCSDPType::Offer, offer.text())
    }

    /// Takes the peer's answer to our offer.
    pub(super) fn take_answer(&mut self, answer: &str) -> Report {
        match self.read_answer(answer) {
            Ok(()) => {
                self.connect_by(Instant::now());
                Report::AnswerTaken
            }
            Err(failure) => Report::AnswerRefused(failure),
        }
    }

    fn read_answer(&mut self, answer: &str) -> Result<(), Failure> {
        if self.stage != Stage::Offered {
            return Err(Failure::new(ErrorId::BadMessage, "no offer waits for an answer"));
        }
        let ours = self
            .local_description()
            .and_then(|description| description.sdp().as_text().ok())
            .ok_or_else(|| failed("our offer is lost"))?;
        let answer = Answer::parse(answer, &ours)?;
        self.named = answer.fingerprints().to_vec();
        self.set_remote(WebRTCSDPType::Answer, answer.text())
    }

    fn set_remote(&self, kind: WebRTCSDPType, text: &str) -> Result<(), Failure> {
        let refused = |words: String| Failure::new(ErrorId::BadSdp, words);
        let message = gst_sdp::SDPMessage::parse_buffer(text.as_bytes())
            .map_err(|_| refused("GStreamer cannot read the SDP".into()))?;
        let description = WebRTCSessionDescription::new(kind, message);
        let promise = gst::Promise::new();
        self.webrtc
            .emit_by_name::<()>("set-remote-description", &[&description, &promise]);
        promise.wait();
        let error = promise
            .get_reply()
            .and_then(|reply| reply.get::<glib::Error>("error").ok());
        match error {
            Some(error) => Err(refused(format!("webrtcbin refuses the SDP: {}", error.message()))),
            None => Ok(()),
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(self.stage, Stage::Connected { .. })
    }

    /// When [`Self::deadline_passed`] wants to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::New | Stage::Offered => None,
            Stage::Gathering { until, .. } | Stage::Connecting { until } => Some(until),
            Stage::Connected { listen } => Some(listen),
        }
    }

    pub(super) fn deadline_passed(&mut self) -> Result<Option<Report>, Failure> {
        let now = Instant::now();
        match self.stage {
            Stage::Gathering { since, .. } if self.candidates > 0 || now >= since + NO_CANDIDATE => {
                Ok(self.send_description())
            }
            Stage::Gathering { since, .. } => {
                let until = now + Duration::from_millis(100);
                self.stage = Stage::Gathering { since, until };
                Ok(None)
            }
            Stage::Connecting { .. } => Err(failed(format!(
                "no connection within {} s: {NO_PATH}",
                CONNECT.as_secs()
            ))),
            Stage::Connected { .. } => {
                self.stage = Stage::Connected { listen: now + LISTEN };
                self.repair.look(&self.webrtc);
                self.listen(now).map(|()| None)
            }
            Stage::New | Stage::Offered => Ok(None),
        }
    }

    fn listen(&self, now: Instant) -> Result<(), Failure> {
        let secs = self.network.silence_secs.unwrap_or(SessionStart::SILENCE_SECS);
        if self.ear.silent_for(now) < Duration::from_secs(secs.into()) {
            return Ok(());
        }
        Err(Failure::new(
            ErrorId::SessionEnded,
            format!("the peer has sent nothing for {secs} s: it is gone, or its network is"),
        ))
    }

    pub(super) fn handle(&mut self, event: Event) -> Result<Option<Report>, Failure> {
        match event {
            Event::Described(Ok(description)) => {
                let tell = Arc::clone(&self.tell);
                let promise = gst::Promise::with_change_func(move |_| tell(Event::DescriptionSet));
                self.webrtc
                    .emit_by_name::<()>("set-local-description", &[&description, &promise]);
                Ok(None)
            }
            Event::Described(Err(error)) => Err(failed(format!("webrtcbin describes nothing: {error}"))),
            Event::DescriptionSet => Ok(self.description_set()),
            Event::Candidate { line, candidate } => {
                self.candidates += 1;
                Ok(self
                    .network
                    .trickle
                    .then(|| self.candidates_report(line, &candidate)))
            }
            Event::Gathered if matches!(self.stage, Stage::Gathering { .. }) => Ok(self.send_description()),
            Event::Gathered => Ok(None),
            Event::Ice(state) => {
                let old = std::mem::replace(&mut self.ice, state);
                Ok((old != state).then(|| Report::Ice {
                    new: ice_name(state).into(),
                    old: ice_name(old).into(),
                }))
            }
            Event::Connection(WebRTCPeerConnectionState::Connected) if !self.is_connected() => {
                trust::verify(&self.webrtc, &self.named).map_err(failed)?;
                self.gate.open();
                self.stage = Stage::Connected {
                    listen: Instant::now() + LISTEN,
                };
                Ok(Some(Report::Running))
            }
            Event::Connection(WebRTCPeerConnectionState::Failed) => Err(failed(self.why_failed())),
            Event::Connection(_) => Ok(None),
        }
    }

    fn why_failed(&self) -> &'static str {
        use WebRTCICEConnectionState::{Completed, Connected};
        match self.ice {
            Connected | Completed => NO_DTLS,
            _ => NO_PATH,
        }
    }

    fn description_set(&mut self) -> Option<Report> {
        if let Some(description) = self.local_description() {
            media::use_agreed_payloads(&self.webrtc, description.sdp());
        }
        if self.network.trickle {
            return self.send_description();
        }
        let since = Instant::now();
        let until = since + GATHERING;
        self.stage = Stage::Gathering { since, until };
        None
    }

    fn candidates_report(&self, line: u32, candidate: &str) -> Report {
        let advertised = advertise(candidate, &self.network.public_ips);
        Report::Candidates(
            advertised
                .into_iter()
                .map(|candidate| IceCandidate {
                    candidate,
                    sdp_m_line_index: Some(line),
                    sdp_mid: None,
                })
                .collect(),
        )
    }

    fn local_description(&self) -> Option<WebRTCSessionDescription> {
        self.webrtc.property("local-description")
    }

    fn send_description(&mut self) -> Option<Report> {
        // The fingerprints are known if the peer offered; then it is for ICE to go on.
        if self.named.is_empty() {
            self.stage = Stage::Offered;
        } else {
            self.connect_by(Instant::now());
        }
        let text = self.local_description()?.sdp().as_text().ok()?;
        let sdp = advertise_description(&text, &self.network.public_ips);
        Some(Report::Described { sdp })
    }

    fn connect_by(&mut self, now: Instant) {
        if !self.is_connected() {
            self.stage = Stage::Connecting { until: now + CONNECT };
        }
    }

    /// Tries a candidate of the peer; what cannot be used is left out.
    pub(super) fn take_candidate(&self, candidate: &IceCandidate) {
        let has_remote = !self.named.is_empty();
        if let Some(usable) = Candidate::parse(&candidate.candidate).filter(|_| has_remote) {
            // All sections share the first one's transport; webrtcbin ignores candidates of the others.
            self.webrtc
                .emit_by_name::<()>("add-ice-candidate", &[&0u32, &usable.to_string()]);
        }
    }
}

const NO_PATH: &str = "no network path to the peer works: UDP may be blocked, or SIGHTLINE_PUBLIC_IP or a TURN server \
                       is needed";

const NO_DTLS: &str = "the network path works, but no encryption (DTLS) could be agreed on: the peer must take an RSA \
                       certificate, and have the fingerprint in its SDP";

fn read_description(
    reply: Result<Option<&gst::StructureRef>, gst::PromiseError>,
) -> Result<WebRTCSessionDescription, String> {
    let reply = reply
        .map_err(|error| format!("{error:?}"))?
        .ok_or("an empty reply")?;
    let description = reply.get("offer").or_else(|_| reply.get("answer"));
    description.map_err(|_| {
        reply.get::<glib::Error>("error").map_or_else(
            |_| "no description in the reply".into(),
            |error| error.to_string(),
        )
    })
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
