//! SECTION:element-rtpvideodec
//!
//! Decodes one RTP video stream: depayloader and decoder follow from the stream's caps, and change with them.
//! Frames that lost packets are not passed on; a keyframe is asked for instead: every 200 ms until the first picture,
//! later every 500 ms at most.
//!
//! Each frame carries its identity in a `SightlineFrameMeta`: its RTP timestamp, the time at which it came in, and
//! its size.
//!
//! ## Example pipeline
//!
//! ```bash
//! gst-launch-1.0 videotestsrc num-buffers=10 ! vp8enc deadline=1 ! rtpvp8pay ! rtpvideodec ! videoconvert ! fakesink
//! ```

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use gst::prelude::*;
use gst::subclass::prelude::*;
use sightline_gst_common::FrameMeta;
use sightline_protocol::{FrameHeader, unix_micros};

use super::codec;
use super::identity::{Arrival, Arrivals, rtp_timestamp};
use super::keyframes::Keyframes;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "rtpvideodec",
        gst::DebugColorFlags::empty(),
        Some("RTP video to frames with identity"),
    )
});

/// Longer than this no frame waits in a jitterbuffer; a larger difference means clocks that disagree.
const MAX_WAIT: gst::ClockTime = gst::ClockTime::from_seconds(5);

#[derive(Default)]
struct State {
    /// The encoding that `chain` decodes.
    encoding: String,
    chain: Vec<gst::Element>,
}

pub struct RtpVideoDec {
    sink: gst::GhostPad,
    src: gst::GhostPad,
    state: Mutex<State>,
    arrivals: Arc<Mutex<Arrivals>>,
    keyframes: Arc<Mutex<Keyframes>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RtpVideoDec {
    /// An event from inside on its way up: true if it is a request for a keyframe that comes too soon after another.
    fn holds_back(&self, event: &gst::Event) -> bool {
        gst_video::UpstreamForceKeyUnitEvent::parse(event).is_ok()
            && !lock(&self.keyframes).request(Instant::now())
    }

    fn sink_event(&self, pad: &gst::GhostPad, event: gst::Event) -> bool {
        if let gst::EventView::Caps(caps) = event.view()
            && let Err(message) = self.prepare(caps.caps())
        {
            gst::error!(CAT, imp = self, "{message}");
            gst::element_imp_error!(self, gst::StreamError::CodecNotFound, ("{message}"));
            return false;
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    /// Makes the chain that decodes these caps, unless it is there.
    fn prepare(&self, caps: &gst::CapsRef) -> Result<(), String> {
        let encoding = caps
            .structure(0)
            .and_then(|structure| structure.get::<String>("encoding-name").ok())
            .ok_or_else(|| format!("RTP caps without an encoding-name: {caps}"))?;
        let mut state = lock(&self.state);
        if state.encoding == encoding {
            return Ok(());
        }
        let chain = codec::stages(&encoding)?
            .iter()
            .map(codec::Stage::make)
            .collect::<Result<Vec<_>, _>>()?;
        self.remove_chain(&mut state);
        self.add_chain(&chain)
            .map_err(|error| format!("cannot link the decoder of {encoding}: {error}"))?;
        gst::info!(CAT, imp = self, "decoding {encoding}");
        *state = State { encoding, chain };
        Ok(())
    }

    fn add_chain(&self, chain: &[gst::Element]) -> Result<(), glib::BoolError> {
        let bin = self.obj();
        bin.add_many(chain)?;
        gst::Element::link_many(chain)?;
        let pad = |element: Option<&gst::Element>, name: &str| {
            element
                .and_then(|element| element.static_pad(name))
                .ok_or_else(|| glib::bool_error!("no pad {name}"))
        };
        let (sink, src) = (pad(chain.first(), "sink")?, pad(chain.last(), "src")?);
        self.watch(&sink, &src);
        self.sink.set_target(Some(&sink))?;
        self.src.set_target(Some(&src))?;
        for element in chain {
            element.sync_state_with_parent()?;
        }
        Ok(())
    }

    fn remove_chain(&self, state: &mut State) {
        for element in state.chain.drain(..) {
            if element.set_state(gst::State::Null).is_err() || self.obj().remove(&element).is_err() {
                gst::warning!(
                    CAT,
                    imp = self,
                    "{} does not let itself be removed",
                    element.name()
                );
            }
        }
        state.encoding.clear();
    }

    /// Notes what comes in on `sink`, and gives frames on `src` their identity.
    fn watch(&self, sink: &gst::Pad, src: &gst::Pad) {
        let (arrivals, keyframes) = (Arc::clone(&self.arrivals), Arc::clone(&self.keyframes));
        let upstream = self.sink.downgrade();
        let packets = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        sink.add_probe(packets, move |pad, info| {
            // A packet whose frame has another presentation time than it gets that.
            let note = |buffer: &gst::BufferRef| {
                let arrival = arrival_of(buffer, pad)?;
                let noted = lock(&arrivals).note(arrival);
                Some((
                    noted.is_first,
                    (noted.pts != arrival.pts).then(|| noted.pts.nseconds()),
                ))
            };
            let mut frames = 0;
            match &mut info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => {
                    if let Some((is_first, moved)) = note(buffer) {
                        frames += usize::from(is_first);
                        if moved.is_some() {
                            buffer.make_mut().set_pts(moved);
                        }
                    }
                }
                Some(gst::PadProbeData::BufferList(list)) => {
                    let noted: Vec<_> = list.iter().map(note).collect();
                    frames += noted.iter().flatten().filter(|(is_first, _)| *is_first).count();
                    if noted.iter().flatten().any(|(_, moved)| moved.is_some()) {
                        move_all(list.make_mut(), &noted);
                    }
                }
                _ => {}
            }
            if (0..frames).any(|_| lock(&keyframes).frame(Instant::now()))
                && let Some(upstream) = upstream.upgrade()
            {
                let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true);
                upstream.push_event(event.build());
            }
            gst::PadProbeReturn::Ok
        });
        let (arrivals, keyframes) = (Arc::clone(&self.arrivals), Arc::clone(&self.keyframes));
        src.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            lock(&keyframes).picture();
            if let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data {
                let arrival = buffer.pts().and_then(|pts| lock(&arrivals).take(pts.nseconds()));
                if let Some(arrival) = arrival
                    && let Err(error) = meta_of(arrival, pad).attach(buffer.make_mut())
                {
                    gst::warning!(CAT, obj = pad, "the frame stays without identity: {error}");
                }
            }
            gst::PadProbeReturn::Ok
        });
    }
}

/// The bin of the ghost pad that a proxy pad belongs to.
fn bin_of(ghost: Option<&gst::Object>) -> Option<super::RtpVideoDec> {
    let ghost = ghost?.downcast_ref::<gst::Pad>()?;
    ghost.parent_element()?.downcast().ok()
}

fn arrival_of(buffer: &gst::BufferRef, pad: &gst::Pad) -> Option<Arrival> {
    let pts = buffer.pts()?;
    let timestamp = rtp_timestamp(&buffer.map_readable().ok()?)?;
    // The jitterbuffer has held the packet since its time of arrival, which is its PTS.
    let waited = pad
        .parent_element()
        .and_then(|element| element.current_running_time())
        .and_then(|now| now.checked_sub(pts))
        .filter(|waited| *waited < MAX_WAIT)
        .unwrap_or_default();
    let captured = unix_micros().saturating_sub(waited.useconds());
    Some(Arrival {
        timestamp,
        pts: pts.nseconds(),
        captured,
    })
}

/// Gives the packets of a list the presentation times that they must have.
fn move_all(list: &mut gst::BufferListRef, noted: &[Option<(bool, Option<gst::ClockTime>)>]) {
    for (index, moved) in noted.iter().enumerate() {
        if let Some((_, Some(pts))) = moved
            && let Some(buffer) = list.get_mut(index)
        {
            buffer.set_pts(*pts);
        }
    }
}

fn meta_of(arrival: Arrival, pad: &gst::Pad) -> FrameMeta {
    let caps = pad.current_caps();
    let size = |name| {
        caps.as_ref()?
            .structure(0)?
            .get::<i32>(name)
            .ok()?
            .try_into()
            .ok()
    };
    let header = FrameHeader {
        timestamp: arrival.timestamp,
        captured: Some(arrival.captured),
        width: size("width"),
        height: size("height"),
        ..Default::default()
    };
    FrameMeta {
        header,
        entry: None,
        read_at: None,
    }
}

#[glib::object_subclass]
impl ObjectSubclass for RtpVideoDec {
    const NAME: &'static str = "SightlineRtpVideoDec";
    type Type = super::RtpVideoDec;
    type ParentType = gst::Bin;

    fn with_class(klass: &Self::Class) -> Self {
        let template = |name: &str| klass.pad_template(name);
        let sink = match template("sink") {
            Some(template) => gst::GhostPad::builder_from_template(&template),
            None => gst::GhostPad::builder(gst::PadDirection::Sink).name("sink"),
        };
        let sink = sink
            .event_function(|pad, parent, event| {
                RtpVideoDec::catch_panic_pad_function(parent, || false, |this| this.sink_event(pad, event))
            })
            .proxy_pad_event_function(|pad, parent, event| {
                // A probe cannot do this: bindings and GStreamer 1.22 disagree about who frees an event that it drops.
                bin_of(parent).is_some_and(|bin| bin.imp().holds_back(&event))
                    || gst::Pad::event_default(pad, parent, event)
            })
            .build();
        let src = match template("src") {
            Some(template) => gst::GhostPad::builder_from_template(&template).build(),
            None => gst::GhostPad::builder(gst::PadDirection::Src).name("src").build(),
        };
        Self {
            sink,
            src,
            state: Mutex::default(),
            arrivals: Arc::default(),
            keyframes: Arc::default(),
        }
    }
}

impl ObjectImpl for RtpVideoDec {
    fn constructed(&self) {
        self.parent_constructed();
        let bin = self.obj();
        for pad in [&self.sink, &self.src] {
            if let Err(error) = bin.add_pad(pad) {
                gst::error!(CAT, imp = self, "cannot add the pad {}: {error}", pad.name());
            }
        }
    }
}

impl GstObjectImpl for RtpVideoDec {}

impl ElementImpl for RtpVideoDec {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "RTP video decoder",
                "Codec/Decoder/Network/RTP/Video",
                "Decodes one RTP video stream into frames that carry their RTP timestamp",
                "The Sightline developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let template = |name, direction, caps: &gst::Caps| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps)
            };
            let rtp = gst::Caps::builder("application/x-rtp")
                .field("media", "video")
                .build();
            let video = gst::Caps::builder("video/x-raw").build();
            [
                template("sink", gst::PadDirection::Sink, &rtp),
                template("src", gst::PadDirection::Src, &video),
            ]
            .into_iter()
            .flatten()
            .collect()
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        let result = self.parent_change_state(transition)?;
        if transition == gst::StateChange::ReadyToNull {
            self.remove_chain(&mut lock(&self.state));
        }
        Ok(result)
    }
}

impl BinImpl for RtpVideoDec {}
