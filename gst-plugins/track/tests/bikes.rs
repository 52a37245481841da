//! `objecttrack` behind `yoloxdetect` on real video, if the test data is here.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{data, init};
use gst::prelude::*;
use sightline_protocol::Detection;

/// A cyclist stands at the kerb from the first to the last of these frames; a van hides him from 83 to 101, and a
/// passer-by is seen in 102. Each time the person of the highest score is he.
const CYCLIST: [std::ops::RangeInclusive<usize>; 2] = [76..=82, 103..=136];
/// The score from which a box that full-rate detection finds is to be there.
const SURE: f32 = 0.5;

/// Times and contents of the video's frames after the elements `launch`, of which the one named `from` posts messages.
fn run(from: &str, launch: &str) -> (Vec<u64>, Vec<Vec<Detection>>) {
    let data = data().unwrap();
    let pipeline = gst::parse::launch(&format!(
        "filesrc location={0}/video/bikes.mp4 ! qtdemux ! h264parse ! avdec_h264 ! \
         yoloxdetect model={0}/models/yolox_nano.onnx {launch} ! fakesink sync=false",
        data.display()
    ))
    .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let mut frames = BTreeMap::new();
    loop {
        let message = bus.timed_pop(gst::ClockTime::from_seconds(120)).expect("an end");
        match message.view() {
            gst::MessageView::Element(element) => {
                let structure = element.structure().unwrap();
                assert_eq!(structure.name(), from);
                let found = serde_json::from_str(structure.get("detections").unwrap()).unwrap();
                // The video has 25 frames a second.
                let number = structure.get::<u64>("pts").unwrap() / 40_000_000;
                assert!(
                    frames.insert(number, found).is_none(),
                    "frame {number} came twice"
                );
            }
            gst::MessageView::Error(error) => panic!("{} {:?}", error.error(), error.debug()),
            gst::MessageView::Eos(_) => break,
            _ => {}
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(frames.len(), 250);
    frames.into_iter().unzip()
}

fn overlap(a: [f64; 4], b: [f64; 4]) -> f64 {
    let side = |axis: usize| {
        let end = (a[axis] + a[axis + 2]).min(b[axis] + b[axis + 2]);
        (end - a[axis].max(b[axis])).max(0.0)
    };
    let common = side(0) * side(1);
    common / (a[2] * a[3] + b[2] * b[3] - common)
}

fn same(a: &Detection, b: &Detection) -> bool {
    a.label == b.label && overlap(a.bbox, b.bbox) >= 0.5
}

#[test]
fn bikes_are_tracked_with_a_third_of_the_inferences() {
    init();
    if data().is_none() {
        return;
    }
    let (times, full) = run("yoloxdetect", "messages=true");
    let (same_times, tracked) = run("objecttrack", "interval=2 ! objecttrack messages=true");
    assert_eq!(times, same_times);

    let sure = |number: usize| full[number].iter().filter(|found| found.score >= SURE);
    let expected: Vec<_> = (0..250)
        .flat_map(|number| sure(number).map(move |found| (number, found)))
        .collect();
    assert!(expected.len() > 300);
    let present =
        |(number, found): &&(usize, &Detection)| tracked[*number].iter().any(|other| same(other, found));
    let share = expected.iter().filter(present).count() as f64 / expected.len() as f64;
    assert!(share >= 0.9, "{share:.3} of {} boxes are there", expected.len());

    let (mut ids, mut with_id) = (BTreeSet::new(), 0);
    for number in CYCLIST.into_iter().flatten() {
        let persons = full[number].iter().filter(|found| found.label == "person");
        let cyclist = persons
            .max_by(|a, b| a.score.total_cmp(&b.score))
            .expect("he is found in each");
        let boxes = tracked[number].iter().filter(|other| same(other, cyclist));
        let his: Vec<_> = boxes.filter_map(|found| found.track_id).collect();
        with_id += usize::from(!his.is_empty());
        ids.extend(his);
    }
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert!(with_id >= 28, "he has an id in {with_id} frames");

    for (number, found) in tracked.iter().enumerate() {
        let ids: Vec<_> = found.iter().filter_map(|found| found.track_id).collect();
        let unique: BTreeSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "frame {number}: {ids:?}");
    }
}
