//! Where a frame's time went, read from what its buffer carries when it leaves a detector.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use sightline_gst_common::{FrameMeta, InferenceMeta};
use sightline_protocol::frame::published_micros;

use crate::control::StageTimes;

/// `off` leaves out what costs time with each frame: to measure how much.
const SWITCH: &str = "SIGHTLINE_STAGE_METRICS";

/// The times of all detectors of a pipeline, by model.
#[derive(Debug, Clone, Default)]
pub(super) struct Stages(Arc<Mutex<BTreeMap<String, StageTimes>>>);

impl Stages {
    /// Looks at what leaves this element, if it is a detector.
    pub(super) fn watch(&self, element: &gst::Element) {
        let is_detector = element
            .factory()
            .is_some_and(|factory| factory.name() == "yoloxdetect");
        if !is_detector || std::env::var(SWITCH).is_ok_and(|switch| switch == "off") {
            return;
        }
        for pad in element.src_pads() {
            let stages = self.clone();
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                if let Some(buffer) = info.buffer() {
                    stages.take(buffer);
                }
                gst::PadProbeReturn::Ok
            });
        }
    }

    /// A frame that was passed on without inference counts nothing.
    pub(super) fn take(&self, buffer: &gst::BufferRef) {
        let Some(inference) = InferenceMeta::read(buffer) else {
            return;
        };
        let frame = FrameMeta::read(buffer);
        let read_at = frame.as_ref().and_then(|frame| frame.read_at);
        let published = frame
            .and_then(|frame| frame.entry)
            .and_then(|entry| published_micros(&entry.id));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let times = match all.get_mut(&inference.model) {
            Some(times) => times,
            None => all.entry(inference.model).or_default(),
        };
        if let Some(read_at) = read_at {
            times.decode.observe(inference.started.saturating_sub(read_at));
            if let Some(published) = published {
                times.queue.observe(read_at.saturating_sub(published));
            }
        }
        let stages = [
            (&mut times.preprocess, inference.preprocess_us),
            (&mut times.inference, inference.infer_us),
            (&mut times.postprocess, inference.postprocess_us),
        ];
        let mut total = 0_u64;
        for (histogram, us) in stages {
            histogram.observe(us);
            total = total.saturating_add(us);
        }
        times.total.observe(total);
    }

    /// Since the start.
    pub(super) fn so_far(&self) -> BTreeMap<String, StageTimes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use sightline_gst_common::Entry;
    use sightline_protocol::FrameHeader;

    use super::*;

    #[test]
    fn a_frame_counts_once_in_each_stage_that_it_has_passed() {
        gst::init().unwrap();
        let stages = Stages::default();
        let mut buffer = gst::Buffer::new();
        stages.take(&buffer);
        assert!(stages.so_far().is_empty(), "nobody has inferred it");

        let inference = InferenceMeta {
            model: "m".into(),
            started: 1_003_000,
            preprocess_us: 200,
            infer_us: 9_000,
            postprocess_us: 50,
        };
        inference.attach(buffer.make_mut()).unwrap();
        stages.take(&buffer);
        let frame = FrameMeta {
            header: FrameHeader::default(),
            entry: Some(Entry {
                stream: "images".into(),
                id: "1000-0".into(),
                group: "g".into(),
            }),
            read_at: Some(1_001_000),
        };
        frame.attach(buffer.make_mut()).unwrap();
        stages.take(&buffer);

        let times = &stages.so_far()["m"];
        let counts = [
            &times.queue,
            &times.decode,
            &times.preprocess,
            &times.inference,
            &times.postprocess,
            &times.total,
        ]
        .map(sightline_service::histogram::Histogram::count);
        assert_eq!(counts, [1, 1, 2, 2, 2, 2]);
        let us = |quantile: Option<std::time::Duration>| quantile.unwrap().as_micros();
        assert!((500..=1000).contains(&us(times.queue.quantile(1.0))));
        assert!((1000..=2500).contains(&us(times.decode.quantile(1.0))));
    }
}
