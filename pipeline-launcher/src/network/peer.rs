//! The other end of a test connection: a `webrtcbin` in a process of its own, as a browser would be.
//!
//! It says what libnice does with each pair of candidates, which only libnice's debug messages tell.

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use gst::prelude::*;
use gst_webrtc::{
    WebRTCICEGatheringState, WebRTCPeerConnectionState, WebRTCSDPType, WebRTCSessionDescription,
};
use serde::{Deserialize, Serialize};

use crate::child::add_ice_server;
use crate::control::to_line;

/// What makes libnice talk.
pub const DEBUG: [(&str, &str); 2] = [("NICE_DEBUG", "all"), ("G_MESSAGES_DEBUG", "libnice")];
/// Gathering may never say that it is complete.
const GATHERING: Duration = Duration::from_secs(2);
const PICTURE: &str = "videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=5/1 \
    ! vp8enc deadline=1 ! rtpvp8pay ! application/x-rtp,media=video,encoding-name=VP8,payload=96 \
    ! webrtcbin name=peer bundle-policy=max-bundle";

/// The first and only line that a peer is told; it ends when its input ends.
#[derive(Debug, Serialize, Deserialize)]
pub struct Start {
    pub offer: String,
    /// As webrtcbin takes them.
    pub ice_servers: Vec<String>,
    pub relay_only: bool,
}

/// What a peer says, a line each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    Answer(String),
    /// A debug message of libnice.
    Nice(String),
    /// ICE and DTLS: true if they succeeded, false if they are given up.
    Connected(bool),
    Failed(String),
}

/// The process of a peer.
pub fn run() -> anyhow::Result<ExitCode> {
    gst::init()?;
    let (said, saying) = mpsc::channel();
    let writer = std::thread::spawn(move || write(&saying));
    glib::log_set_default_handler({
        let said = said.clone();
        move |domain, _, message| {
            if domain.is_some_and(|domain| domain.starts_with("libnice")) {
                // At the end nobody listens any more.
                let _unheard = said.send(Said::Nice(message.to_owned()));
            }
        }
    });
    if let Err(error) = talk(&said) {
        let _unheard = said.send(Said::Failed(format!("{error:#}")));
        drop(said);
        // The log's handler keeps its end of the channel.
        std::thread::sleep(Duration::from_millis(100));
        return Ok(ExitCode::FAILURE);
    }
    drop(writer);
    Ok(ExitCode::SUCCESS)
}

fn write(saying: &Receiver<Said>) {
    let mut output = std::io::stdout().lock();
    for said in saying {
        let written = to_line(&said).and_then(|line| output.write_all(line.as_bytes()));
        if written.and_then(|()| output.flush()).is_err() {
            return;
        }
    }
}

fn talk(said: &Sender<Said>) -> anyhow::Result<()> {
    let mut lines = std::io::stdin().lock().lines();
    let start = lines.next().context("nothing was said to the peer")??;
    let start: Start =
        serde_json::from_str(&start).context("the peer was told something else than a start")?;
    let pipeline = gst::parse::launch(PICTURE).context("the test's picture cannot be made")?;
    let pipeline = pipeline
        .downcast::<gst::Pipeline>()
        .map_err(|_| anyhow!("the test's picture is no pipeline"))?;
    let webrtc = pipeline.by_name("peer").context("the test has no webrtcbin")?;
    configure(&webrtc, &start, said)?;
    pipeline
        .set_state(gst::State::Playing)
        .context("the test's picture does not start")?;
    said.send(Said::Answer(answer(&webrtc, &start.offer)?))?;
    // Until the other side has seen enough.
    lines.for_each(drop);
    pipeline.set_state(gst::State::Null)?;
    Ok(())
}

fn configure(webrtc: &gst::Element, start: &Start, said: &Sender<Said>) -> anyhow::Result<()> {
    for server in &start.ice_servers {
        if !add_ice_server(webrtc, server) {
            bail!("webrtcbin does not take a TURN server");
        }
    }
    if start.relay_only {
        webrtc.set_property_from_str("ice-transport-policy", "relay");
    }
    let agent = webrtc.property::<gst::Object>("ice-agent");
    if agent.find_property("agent").is_some() {
        agent
            .property::<glib::Object>("agent")
            .set_property("ice-tcp", false);
    }
    let said = said.clone();
    webrtc.connect_notify(Some("connection-state"), move |webrtc, _| {
        let connected = match webrtc.property("connection-state") {
            WebRTCPeerConnectionState::Connected => true,
            WebRTCPeerConnectionState::Failed => false,
            _ => return,
        };
        let _unheard = said.send(Said::Connected(connected));
    });
    Ok(())
}

/// The answer with all candidates in it.
fn answer(webrtc: &gst::Element, offer: &str) -> anyhow::Result<String> {
    let (gathered, gathering) = mpsc::channel();
    webrtc.connect_notify(Some("ice-gathering-state"), move |webrtc, _| {
        if webrtc.property::<WebRTCICEGatheringState>("ice-gathering-state")
            == WebRTCICEGatheringState::Complete
        {
            let _unheard = gathered.send(());
        }
    });
    let offer = gst_sdp::SDPMessage::parse_buffer(offer.as_bytes()).context("the offer is no SDP")?;
    let offer = WebRTCSessionDescription::new(WebRTCSDPType::Offer, offer);
    ask(webrtc, "set-remote-description", Some(&offer))?;
    let reply = ask(webrtc, "create-answer", None)?.context("no answer was made")?;
    let answer: WebRTCSessionDescription = reply.get("answer").context("no answer was made")?;
    ask(webrtc, "set-local-description", Some(&answer))?;
    let until = Instant::now() + GATHERING;
    let gathered = gathering.recv_timeout(until.saturating_duration_since(Instant::now()));
    if gathered == Err(RecvTimeoutError::Disconnected) {
        bail!("webrtcbin is gone");
    }
    let described: Option<WebRTCSessionDescription> = webrtc.property("local-description");
    let described = described.context("webrtcbin has no answer of its own")?;
    Ok(described.sdp().as_text()?)
}

fn ask(
    webrtc: &gst::Element,
    signal: &str,
    description: Option<&WebRTCSessionDescription>,
) -> anyhow::Result<Option<gst::Structure>> {
    let promise = gst::Promise::new();
    match description {
        Some(description) => webrtc.emit_by_name::<()>(signal, &[description, &promise]),
        None => webrtc.emit_by_name::<()>(signal, &[&None::<gst::Structure>, &promise]),
    }
    promise.wait();
    let reply = promise.get_reply().map(ToOwned::to_owned);
    if let Some(error) = reply
        .as_ref()
        .and_then(|reply| reply.get::<glib::Error>("error").ok())
    {
        bail!("webrtcbin refuses ({signal}): {}", error.message());
    }
    Ok(reply)
}
