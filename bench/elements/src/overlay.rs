//! `overlay` on frames of video: all that an element costs, from its sink pad to its source pad.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use gst::prelude::*;
use gst_video::{VideoFrameRef, VideoInfo, VideoOverlayCompositionMeta};
use serde_json::{Value, json};
use sightline_gst_common::add_detection;
use sightline_protocol::Detection;

use crate::timing::median_ms;

const TIME: Duration = Duration::from_millis(500);
const BOXES: usize = 20;
/// More frames than a cache holds.
const FRAMES: usize = 30;
const LABELS: [&str; 5] = ["person", "bicycle", "traffic light", "car", "backpack"];

/// Where boxes are in the frames that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Boxes {
    None,
    Still,
    /// Other places and scores in each frame.
    Moving,
}

/// What is behind the element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Downstream {
    Pixels,
    /// It takes compositions.
    Composition,
    /// It takes compositions and blends them by GStreamer's own function.
    Blending,
}

/// Arguments: format, width and height.
pub fn measure(arguments: &[String]) -> anyhow::Result<Value> {
    let [format, width, height] = arguments else {
        anyhow::bail!("overlay needs a format, a width and a height");
    };
    gst::init()?;
    gstoverlay::plugin_register_static()?;
    let info = VideoInfo::builder(format.parse()?, width.parse()?, height.parse()?).build()?;
    let time = |boxes, downstream| Bench::new(&info, boxes, downstream)?.run();
    Ok(json!({
        "boxes": BOXES,
        "blend_ms": time(Boxes::Moving, Downstream::Pixels)?,
        "blend_still_ms": time(Boxes::Still, Downstream::Pixels)?,
        "attach_ms": time(Boxes::Moving, Downstream::Composition)?,
        "attach_still_ms": time(Boxes::Still, Downstream::Composition)?,
        "nothing_found_ms": time(Boxes::None, Downstream::Pixels)?,
        "blend_by_gstreamer_ms": time(Boxes::Moving, Downstream::Blending)?,
    }))
}

type Arrived = Arc<Mutex<Option<gst::Buffer>>>;

/// The element between two pads.
struct Bench {
    frames: VecDeque<gst::Buffer>,
    arrived: Arrived,
    element: gst::Element,
    source: gst::Pad,
    /// Held for as long as the element sends to it.
    _sink: gst::Pad,
}

impl Bench {
    fn new(info: &VideoInfo, boxes: Boxes, downstream: Downstream) -> anyhow::Result<Self> {
        let element = gst::ElementFactory::make("overlay").build()?;
        let arrived = Arrived::default();
        let sink = sink(info, downstream, &arrived)?;
        let source = gst::Pad::builder(gst::PadDirection::Src).build();
        source.link(&element.static_pad("sink").context("a sink pad")?)?;
        element.static_pad("src").context("a source pad")?.link(&sink)?;
        element.set_state(gst::State::Playing)?;
        source.set_active(true)?;
        source.push_event(gst::event::StreamStart::new("bench"));
        source.push_event(gst::event::Caps::new(&info.to_caps()?));
        source.push_event(gst::event::Segment::new(
            &gst::FormattedSegment::<gst::ClockTime>::new(),
        ));
        Ok(Self {
            frames: (0..FRAMES)
                .map(|number| frame(info, boxes, number))
                .collect::<Result<_, _>>()?,
            arrived,
            element,
            source,
            _sink: sink,
        })
    }

    /// Milliseconds a frame.
    fn run(mut self) -> anyhow::Result<f64> {
        let milliseconds = median_ms(TIME, || {
            let Some(frame) = self.frames.pop_front() else {
                return;
            };
            self.source.push(frame).expect("the element takes the frame");
            let back = self.arrived.lock().unwrap_or_else(PoisonError::into_inner).take();
            self.frames.extend(back);
        });
        self.element.set_state(gst::State::Null)?;
        Ok(milliseconds)
    }
}

fn sink(info: &VideoInfo, downstream: Downstream, arrived: &Arrived) -> anyhow::Result<gst::Pad> {
    let mut caps = info.to_caps()?;
    if downstream != Downstream::Pixels {
        let features = ["memory:SystemMemory", "meta:GstVideoOverlayComposition"];
        caps.make_mut()
            .set_features_simple(Some(gst::CapsFeatures::new(features)));
    }
    let template = gst::PadTemplate::new("sink", gst::PadDirection::Sink, gst::PadPresence::Always, &caps)?;
    let (info, arrived) = (info.clone(), arrived.clone());
    let sink = gst::Pad::builder_from_template(&template)
        .chain_function(move |_, _, mut buffer| {
            if downstream != Downstream::Pixels {
                consume(buffer.make_mut(), &info, downstream);
            }
            *arrived.lock().unwrap_or_else(PoisonError::into_inner) = Some(buffer);
            Ok(gst::FlowSuccess::Ok)
        })
        .build();
    sink.set_active(true)?;
    Ok(sink)
}

/// Takes the composition off the frame, as the next round finds it without.
fn consume(buffer: &mut gst::BufferRef, info: &VideoInfo, downstream: Downstream) {
    let Some(meta) = buffer.meta_mut::<VideoOverlayCompositionMeta>() else {
        return;
    };
    let composition = meta.overlay_owned();
    meta.remove().expect("a composition can be removed");
    if downstream == Downstream::Blending {
        let mut frame = VideoFrameRef::from_buffer_ref_writable(buffer, info).expect("a frame in memory");
        composition
            .blend(&mut frame)
            .expect("a format that can be blended into");
    }
}

fn frame(info: &VideoInfo, boxes: Boxes, number: usize) -> anyhow::Result<gst::Buffer> {
    let mut buffer = gst::Buffer::from_mut_slice(vec![128; info.size()]);
    let buffer_mut = buffer.get_mut().context("a buffer of our own")?;
    let step = if boxes == Boxes::Moving { number } else { 0 };
    let count = if boxes == Boxes::None { 0 } else { BOXES };
    for index in 0..count {
        let (column, row) = ((index % 5) as f64, (index / 5) as f64);
        let detection = Detection {
            label: LABELS[index % LABELS.len()].to_owned(),
            class_id: (index % LABELS.len()) as u32,
            score: 0.3 + ((index * 31 + step * 7) % 70) as f32 / 100.0,
            bbox: [
                0.01 + 0.19 * column + 0.002 * step as f64,
                0.05 + 0.24 * row,
                0.15,
                0.2,
            ],
            track_id: Some(index as u64),
        };
        add_detection(buffer_mut, &detection, (info.width(), info.height()));
    }
    Ok(buffer)
}
