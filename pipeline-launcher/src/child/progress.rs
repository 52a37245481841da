//! What the launcher hears each second: how frames move, or why they do not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gst::prelude::*;
use sightline_protocol::rpc::Waiting;

use super::leaks::Leaks;
use super::stages::Stages;
use super::threads;
use crate::control::{Held, Progress, Stats};

pub(super) const EVERY: Duration = Duration::from_secs(1);
/// A push that takes less is nothing to speak of.
const HELD: Duration = Duration::from_secs(1);

/// Counts the frames of a pipeline, also of elements that it gets later.
pub(super) struct Meter {
    bin: gst::Bin,
    has_peer: bool,
    frames_in: Arc<AtomicU64>,
    frames_out: Arc<AtomicU64>,
    stages: Stages,
    leaks: Leaks,
    last: (Instant, u64, u64),
}

impl Meter {
    /// `has_peer`: frames come from webrtcbin.
    pub(super) fn new(bin: &gst::Bin, has_peer: bool) -> Self {
        threads::watch();
        let meter = Self {
            bin: bin.clone(),
            has_peer,
            frames_in: Arc::default(),
            frames_out: Arc::default(),
            stages: Stages::default(),
            leaks: Leaks::default(),
            last: (Instant::now(), 0, 0),
        };
        let (entering, leaving) = (meter.frames_in.clone(), meter.frames_out.clone());
        let mut elements = bin.iterate_recurse();
        while let Ok(Some(element)) = elements.next() {
            count(&element, &entering, &leaving);
            meter.stages.watch(&element);
            meter.leaks.watch(&element);
        }
        let (stages, leaks) = (meter.stages.clone(), meter.leaks.clone());
        bin.connect_deep_element_added(move |_, _, element| {
            count(element, &entering, &leaving);
            stages.watch(element);
            leaks.watch(element);
        });
        meter
    }

    /// When the next report is due.
    pub(super) fn due(&self) -> Instant {
        self.last.0 + EVERY
    }

    /// `connected`: of a session, whether its peer is there.
    pub(super) fn report(&mut self, connected: bool) -> Progress {
        let now = Instant::now();
        let frames_in = self.frames_in.load(Ordering::Relaxed);
        let frames_out = self.frames_out.load(Ordering::Relaxed);
        let (then, in_then, out_then) = std::mem::replace(&mut self.last, (now, frames_in, frames_out));
        let came_out = frames_out - out_then;
        let (held, at_sink) = self.held();
        let waiting = if came_out > 0 {
            None
        } else if self.has_peer && !connected {
            Some(Waiting::Peer)
        } else if at_sink {
            // Before it plays, the first frame waits there.
            let playing = self.bin.current_state() == gst::State::Playing;
            Some(if playing { Waiting::Sink } else { Waiting::Paused })
        } else if frames_in == in_then {
            Some(Waiting::Frames)
        } else if self.has_peer && frames_out == 0 {
            Some(Waiting::Keyframe)
        } else {
            Some(Waiting::Dropped)
        };
        Progress {
            frames_in,
            frames_out,
            rate: came_out as f64 / now.duration_since(then).as_secs_f64().max(0.001),
            waiting,
            held,
            stats: stats(&self.bin).into_iter().chain(self.leaks.stats()).collect(),
            stages: self.stages.so_far(),
        }
    }

    /// What has been busy with one frame for longest, and whether a sink is among the busy.
    fn held(&self) -> (Option<Held>, bool) {
        let mut longest: Option<Held> = None;
        let mut at_sink = false;
        for (pad, time) in threads::pushing(HELD) {
            let Some(element) = behind(&self.bin, pad) else {
                continue;
            };
            // A peer that gives and takes is the end of what it takes.
            if element.num_src_pads() == 0 || is_webrtc(&element) {
                at_sink = true;
            } else if !waits_for_others(&element) {
                let for_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                let element = element.name().to_string();
                let held = Held { element, for_ms };
                longest = longest.filter(|longest| longest.for_ms >= for_ms).or(Some(held));
            }
        }
        (longest, at_sink)
    }
}

/// True of elements whose input may wait: a queue that is full, one of several inputs that are joined.
fn waits_for_others(element: &gst::Element) -> bool {
    let own_thread = |pad: &gst::Pad| pad.task_state() == gst::TaskState::Started;
    element.num_sink_pads() > 1 || element.src_pads().iter().any(own_thread)
}

/// The element that a push on the pad at that address goes into.
fn behind(bin: &gst::Bin, address: usize) -> Option<gst::Element> {
    let is_it = |pad: &gst::Pad| pad.as_ptr() as usize == address;
    let mut elements = bin.iterate_recurse();
    while let Ok(Some(element)) = elements.next() {
        for pad in element.pads() {
            // Into a bin, its ghost pad pushes with a pad that is no element's.
            let inside = pad
                .downcast_ref::<gst::GhostPad>()
                .and_then(|ghost| ghost.internal())
                .map(|inside| inside.upcast::<gst::Pad>());
            let found = std::iter::once(pad).chain(inside).find(|pad| is_it(pad));
            if let Some(pad) = found {
                return pad.peer().and_then(|peer| peer.parent_element());
            }
        }
    }
    None
}

fn is_webrtc(element: &gst::Element) -> bool {
    element
        .factory()
        .is_some_and(|factory| factory.name() == "webrtcbin")
}

/// True if the element's own pads show what media come in: inside it receives and sends other things too, such as RTCP.
fn is_closed(element: &gst::Element) -> bool {
    let flags = element.element_flags();
    // A pipeline, and a bin that somebody wrote around parts of one, is what its elements are.
    let is_source = element.is::<gst::Bin>()
        && element.parent().is_some()
        && flags.contains(gst::ElementFlags::SOURCE)
        && !flags.contains(gst::ElementFlags::SINK);
    is_webrtc(element) || is_source
}

/// Counts at an element's pads, if frames come in or go out there.
fn count(element: &gst::Element, entering: &Arc<AtomicU64>, leaving: &Arc<AtomicU64>) {
    let mut parent = element.parent();
    while let Some(object) = parent {
        if object.downcast_ref().is_some_and(is_closed) {
            return;
        }
        parent = object.parent();
    }
    let flags = element.element_flags();
    let closed = is_closed(element);
    if !closed && element.is::<gst::Bin>() {
        return;
    }
    // A peer may be both where frames come from and where they go.
    if closed || flags.contains(gst::ElementFlags::SOURCE) {
        count_pads(element, gst::PadDirection::Src, entering);
    }
    if is_webrtc(element) || flags.contains(gst::ElementFlags::SINK) {
        count_pads(element, gst::PadDirection::Sink, leaving);
    }
}

fn count_pads(element: &gst::Element, direction: gst::PadDirection, counter: &Arc<AtomicU64>) {
    let later = Arc::clone(counter);
    element.connect_pad_added(move |_, pad| count_at(pad, direction, &later));
    for pad in element.pads() {
        count_at(&pad, direction, counter);
    }
}

/// Counts what passes there.
pub(super) fn count_at(pad: &gst::Pad, direction: gst::PadDirection, counter: &Arc<AtomicU64>) {
    if pad.direction() != direction {
        return;
    }
    let counter = Arc::clone(counter);
    let frames = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    pad.add_probe(frames, move |_, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
}

/// The `stats` of the elements that are ours.
fn stats(bin: &gst::Bin) -> BTreeMap<String, Stats> {
    const OURS: [&str; 8] = [
        "detectionjoin",
        "objecttrack",
        "overlay",
        "redisstreamsink",
        "redisstreamsrc",
        "redisvideosink",
        "redisvideosrc",
        "yoloxdetect",
    ];
    let mut all = BTreeMap::new();
    let mut elements = bin.iterate_recurse();
    while let Ok(Some(element)) = elements.next() {
        let ours = element
            .factory()
            .is_some_and(|factory| OURS.contains(&factory.name().as_str()));
        let spec = element.find_property("stats");
        if ours && spec.is_some_and(|spec| spec.value_type() == gst::Structure::static_type()) {
            let stats = element.property::<Option<gst::Structure>>("stats");
            all.extend(stats.map(|stats| (element.name().to_string(), to_json(&stats))));
        }
    }
    all
}

fn to_json(structure: &gst::StructureRef) -> Stats {
    let json = |value: &glib::SendValue| -> Option<serde_json::Value> {
        if let Ok(number) = value.get::<u64>() {
            Some(number.into())
        } else if let Ok(number) = value.get::<u32>() {
            Some(number.into())
        } else if let Ok(number) = value.get::<i64>() {
            Some(number.into())
        } else if let Ok(number) = value.get::<f64>() {
            Some(number.into())
        } else {
            value.get::<&str>().ok().map(Into::into)
        }
    };
    structure
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), json(value)?)))
        .collect()
}
