use super::*;
use proptest::prelude::*;

const SHAPE: f64 = 16.0 / 9.0;

fn seen(label: &str, score: f32, bbox: [f64; 4]) -> Detection {
    Detection {
        label: label.into(),
        class_id: 0,
        score,
        bbox,
        track_id: None,
    }
}

fn person(score: f32, x: f64) -> Detection {
    seen("person", score, [x, 0.2, 0.2, 0.5])
}

/// A tracker with the paper's numbers.
#[derive(Default)]
struct Video(Tracker);

impl Video {
    fn skip(&mut self, frames: u64) {
        self.0.advance(frames, Thresholds::default().buffer);
    }

    fn next(&mut self, detections: &[Detection]) -> Vec<Option<u64>> {
        self.skip(1);
        self.0.update(detections, SHAPE, &Thresholds::default())
    }
}

#[test]
fn the_numbers_are_the_papers() {
    let Thresholds {
        high,
        low,
        new_track,
        matching,
        buffer,
    } = Thresholds::default();
    assert_eq!((high, low, new_track, matching, buffer), (0.6, 0.1, 0.7, 0.8, 30));
}

#[test]
fn the_first_frame_needs_no_confirmation_and_later_ones_do() {
    let mut video = Video::default();
    assert_eq!(video.next(&[person(0.9, 0.1)]), [Some(1)]);
    assert_eq!(video.next(&[person(0.9, 0.1), person(0.8, 0.6)]), [Some(1), None]);
    assert_eq!(
        video.next(&[person(0.8, 0.6), person(0.9, 0.1)]),
        [Some(2), Some(1)]
    );
    let counts = Counts {
        followed: 2,
        lost: 0,
        created: 2,
    };
    assert_eq!(video.0.counts(), counts);
}

#[test]
fn what_is_seen_once_gets_no_id() {
    let mut video = Video::default();
    video.next(&[]);
    assert_eq!(video.next(&[person(0.9, 0.1)]), [None]);
    assert_eq!(video.next(&[]), []);
    assert_eq!(video.next(&[person(0.9, 0.1)]), [None]);
    assert_eq!(video.next(&[person(0.9, 0.1)]), [Some(1)], "ids have no holes");
}

#[test]
fn uncertain_boxes_continue_tracks_and_begin_none() {
    let mut video = Video::default();
    assert_eq!(
        video.next(&[person(0.9, 0.1), person(0.65, 0.6)]),
        [Some(1), None]
    );
    assert_eq!(video.next(&[person(0.15, 0.1)]), [Some(1)]);
    assert_eq!(
        video.next(&[person(0.1, 0.1)]),
        [None],
        "the low threshold must be exceeded"
    );
    assert_eq!(
        video.next(&[person(0.3, 0.1)]),
        [None],
        "a lost track needs a certain box"
    );
    assert_eq!(video.next(&[person(0.61, 0.1)]), [Some(1)]);
}

#[test]
fn a_track_is_of_one_class() {
    let mut video = Video::default();
    // A cyclist is a person and, at nearly the same place, a bicycle.
    let cyclist = [person(0.9, 0.3), seen("bicycle", 0.8, [0.3, 0.25, 0.2, 0.45])];
    assert_eq!(video.next(&cyclist), [Some(1), Some(2)]);
    assert_eq!(video.next(&cyclist[1..]), [Some(2)], "without the person");
    assert_eq!(video.next(&cyclist), [Some(1), Some(2)]);
    assert_eq!(video.next(&[seen("car", 0.9, cyclist[0].bbox)]), [None]);
}

#[test]
fn a_track_returns_until_the_buffer_ends() {
    for (unseen, id) in [
        (0, 1),
        (1, 1),
        (29, 1),
        (30, 2),
        (31, 2),
        (1000, 2),
        (u64::MAX - 2, 2),
    ] {
        let mut video = Video::default();
        video.next(&[person(0.9, 0.1)]);
        video.next(&[person(0.9, 0.1), person(0.9, 0.7)]);
        video.skip(unseen);
        video.next(&[person(0.9, 0.1)]);
        let ids = video.next(&[person(0.9, 0.1)]);
        assert_eq!(ids, [Some(id)], "after {unseen} frames");
        assert_eq!(video.0.counts().lost, 0, "seen once, the other was never a track");
    }
}

#[test]
fn two_that_cross_keep_their_ids() {
    let mut video = Video::default();
    for frame in 0..60 {
        let x = 0.01 * f64::from(frame);
        let left_to_right = seen("person", 0.9, [0.1 + x, 0.1, 0.1, 0.5]);
        let right_to_left = seen("person", 0.9, [0.7 - x, 0.3, 0.1, 0.5]);
        assert_eq!(
            video.next(&[left_to_right, right_to_left]),
            [Some(1), Some(2)],
            "frame {frame}"
        );
    }
}

#[test]
fn boxes_are_carried_along() {
    let mut video = Video::default();
    let at = |frame: f64| person(0.9, 0.1 + 0.01 * frame);
    let resting = seen("car", 0.4, [0.7, 0.7, 0.2, 0.2]);
    for frame in 0..10 {
        video.next(&[at(f64::from(frame)), resting.clone()]);
    }
    for frame in 10..13 {
        video.skip(1);
        let carried = video.0.carried(SHAPE);
        assert_eq!(carried.len(), 2);
        assert_eq!((carried[0].track_id, carried[0].score), (Some(1), 0.9));
        let expected = at(f64::from(frame)).bbox;
        for (a, b) in carried[0].bbox.iter().zip(expected) {
            assert!((a - b).abs() < 0.004, "{:?}, not {expected:?}", carried[0].bbox);
        }
        assert_eq!(carried[1], resting, "what has no track stays where it is");
    }
    video.next(&[]);
    video.skip(1);
    assert!(
        video.0.carried(SHAPE).is_empty(),
        "what was not found is not carried"
    );
}

#[test]
fn boxes_are_not_carried_for_ever() {
    let mut video = Video::default();
    video.next(&[person(0.9, 0.1), person(0.4, 0.6)]);
    video.skip(30);
    assert_eq!(video.0.carried(SHAPE).len(), 2);
    video.skip(1);
    assert!(video.0.carried(SHAPE).is_empty());
}

#[test]
fn a_box_that_leaves_the_frame_is_cut_and_then_gone() {
    let mut video = Video::default();
    for frame in 0..8 {
        video.next(&[person(0.9, 0.5 + 0.04 * f64::from(frame))]);
    }
    let mut widths = Vec::new();
    for _ in 0..8 {
        video.skip(1);
        let carried = video.0.carried(SHAPE);
        widths.push(carried.first().map_or(0.0, |detection| detection.bbox[2]));
        assert!(
            carried
                .iter()
                .all(|detection| detection.bbox[0] + detection.bbox[2] <= 1.0 + 1e-9)
        );
    }
    assert!(
        widths.is_sorted_by(|a, b| a >= b) && widths[0] > 0.1,
        "{widths:?}"
    );
    assert_eq!(widths[7], 0.0);
}

#[test]
fn forgotten_ids_do_not_come_back() {
    let mut video = Video::default();
    assert_eq!(video.next(&[person(0.9, 0.1)]), [Some(1)]);
    video.0.forget();
    assert_eq!(video.next(&[person(0.9, 0.1)]), [Some(2)]);
}

#[test]
fn a_lost_track_and_its_successor_become_one() {
    let mut video = Video::default();
    for _ in 0..5 {
        video.next(&[person(0.9, 0.1)]);
    }
    // So strict that the track is lost, and another begins at its place.
    let strict = Thresholds {
        matching: 0.05,
        ..Thresholds::default()
    };
    for _ in 0..3 {
        video.skip(1);
        let ids = video.0.update(&[person(0.9, 0.1)], SHAPE, &strict);
        assert_eq!(ids, [None], "the older one stays");
    }
    assert_eq!(video.next(&[person(0.9, 0.1)]), [Some(1)]);
}

#[test]
fn an_unseen_box_grows_no_more() {
    let mut video = Video::default();
    let growing = |frame: u32| {
        let side = 0.05 * f64::from(frame);
        seen("car", 0.9, [0.5 - side / 2.0, 0.5 - side / 2.0, side, side])
    };
    for frame in 4..12 {
        assert_eq!(video.next(&[growing(frame)]), [Some(1)]);
    }
    video.next(&[]);
    video.skip(20);
    assert_eq!(video.next(&[growing(12)]), [Some(1)]);
}

#[test]
fn a_crowd_is_bounded() {
    let mut video = Video::default();
    for frame in 0..4 {
        let row = |index: u32| 0.001 * f64::from(index % 1000) + 0.0001 * f64::from(frame % 2);
        let crowd: Vec<_> = (0..600)
            .map(|index| seen("ant", 0.9, [row(index), row(index * 7), 0.0005, 0.0005]))
            .collect();
        let ids = video.next(&crowd);
        assert!(ids.iter().flatten().count() <= MAX_OBJECTS);
        assert!(video.0.tracks.len() <= MAX_OBJECTS);
    }
}

/// Boxes of all kinds, most of them sane.
fn detection() -> impl Strategy<Value = Detection> {
    let odd = prop::sample::select(vec![
        f64::NAN,
        f64::INFINITY,
        f64::MIN,
        f64::MAX,
        0.0,
        -1.0,
        1e-300,
    ]);
    let side = prop_oneof![20 => 0.01..0.6, 1 => odd];
    let score =
        prop_oneof![20 => 0.0_f32..1.0, 1 => prop::sample::select(vec![f32::NAN, f32::INFINITY, -1.0])];
    let label = prop::sample::select(vec!["person", "car"]);
    (label, score, [side.clone(), side.clone(), side.clone(), side])
        .prop_map(|(label, score, bbox)| seen(label, score, bbox))
}

/// Inferred frames, each after a number of frames.
fn frames() -> impl Strategy<Value = Vec<(u64, Vec<Detection>)>> {
    let found = prop::collection::vec(detection(), 0..8);
    prop::collection::vec((1_u64..5, found), 1..20)
}

proptest! {
    #[test]
    fn whatever_comes_ids_are_unique_and_boxes_are_boxes(frames in frames(), buffer in 0_u32..10) {
        let thresholds = Thresholds { buffer, ..Thresholds::default() };
        let mut tracker = Tracker::default();
        let mut last_seen = std::collections::HashMap::new();
        let (mut frame, mut most) = (0, 0);
        for (passed, found) in frames {
            for _ in 0..passed {
                frame += 1;
                tracker.advance(1, buffer);
                for carried in tracker.carried(SHAPE).iter().filter(|carried| carried.track_id.is_some()) {
                    let [x, y, w, h] = carried.bbox;
                    prop_assert!(x >= 0.0 && y >= 0.0 && w > 0.0 && h > 0.0, "{carried:?}");
                    prop_assert!(x + w <= 1.0 + 1e-9 && y + h <= 1.0 + 1e-9, "{carried:?}");
                }
            }
            let ids: Vec<_> = tracker.update(&found, SHAPE, &thresholds);
            prop_assert_eq!(ids.len(), found.len());
            let ids: Vec<_> = ids.into_iter().flatten().collect();
            for (index, id) in ids.iter().enumerate() {
                prop_assert!(!ids[..index].contains(id), "{:?}", ids);
                match last_seen.insert(*id, frame) {
                    None => most = most.max(*id),
                    Some(last) => prop_assert!(frame - last <= u64::from(buffer), "{id} came back"),
                }
            }
            prop_assert_eq!(tracker.counts().created, most, "ids have no holes");
            prop_assert_eq!(last_seen.len() as u64, most);
        }
    }

    #[test]
    fn the_order_of_detections_does_not_matter(frames in frames(), turn in 0_usize..8) {
        let (mut straight, mut turned) = (Tracker::default(), Tracker::default());
        let thresholds = Thresholds::default();
        for (passed, mut found) in frames {
            straight.advance(passed, thresholds.buffer);
            turned.advance(passed, thresholds.buffer);
            let mut ids = straight.update(&found, SHAPE, &thresholds);
            let turn = turn.min(found.len());
            found.rotate_left(turn);
            ids.rotate_left(turn);
            prop_assert_eq!(turned.update(&found, SHAPE, &thresholds), ids);
        }
    }

    #[test]
    fn what_rests_keeps_its_id(
        bbox in [0.0..0.5, 0.0..0.5, 0.01..0.5, 0.01..0.5], noise in prop::collection::vec(-0.02..0.02, 200),
        interval in 1_u64..6,
    ) {
        let mut tracker = Tracker::default();
        for noise in noise {
            let [x, y, w, h] = bbox;
            let resting = seen("car", 0.9, [x + noise * w, y - noise * h, w * (1.0 + noise), h]);
            tracker.advance(interval, 30);
            prop_assert_eq!(tracker.update(&[resting], SHAPE, &Thresholds::default()), [Some(1)]);
        }
    }
}
