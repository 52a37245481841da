//! ByteTrack (Zhang et al., *ByteTrack: Multi-Object Tracking by Associating Every Detection Box*, ECCV 2022,
//! <https://arxiv.org/abs/2110.06864>): boxes of a frame are matched with the tracks so far, first the certain ones,
//! then the uncertain ones, which are often certain objects half hidden.
//!
//! [`Thresholds::default`] are the paper's numbers. What the paper leaves open is as in its authors' program
//! (`byte_tracker.py`), with these differences:
//! - A track is of one class, and only boxes of its class belong to it.
//! - A track that is not yet confirmed moves too, so that its speed is known one box earlier.
//! - An id is given when a track is confirmed, so that ids have no holes.
//! - A track not seen for longer than the buffer ends before boxes are matched, not after.

use sightline_protocol::Detection;

use crate::assignment::assign;
use crate::kalman::Motion;
use crate::place::Place;

/// Largest cost (1 - IoU) between a track and an uncertain box.
const UNCERTAIN_MATCH: f64 = 0.5;
/// Largest cost (1 - IoU × score) between an unconfirmed track and a box.
const UNCONFIRMED_MATCH: f64 = 0.7;
/// Overlap from which a lost track and one that is followed are the same.
const SAME: f64 = 0.85;
/// Bounds the work of matching, which grows with the cube: of a frame's boxes the most certain are tracked.
const MAX_OBJECTS: usize = 256;

/// Numbers that can be set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Score above which a box is certain.
    pub high: f64,
    /// Score that an uncertain box must exceed.
    pub low: f64,
    /// Score from which a box that belongs to no track begins one.
    pub new_track: f64,
    /// Largest cost (1 - IoU × score) between a track and a certain box.
    pub matching: f64,
    /// Frames for which an unseen track is kept.
    pub buffer: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            high: 0.6,
            low: 0.1,
            new_track: 0.7,
            matching: 0.8,
            buffer: 30,
        }
    }
}

/// How many tracks there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tracks that were seen in the last update.
    pub followed: usize,
    /// Tracks that were not, but may return.
    pub lost: usize,
    /// Tracks so far.
    pub created: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Seen once: ends unless it is seen in the next update.
    New,
    Followed,
    Lost,
}

#[derive(Debug)]
struct Track {
    /// What was seen last.
    detection: Detection,
    seen: Place,
    /// Motion when it was seen, and by now.
    then: Motion,
    motion: Motion,
    state: State,
    /// Frames in which it was first and last seen.
    first: u64,
    last: u64,
    /// Its box's index in the last update.
    index: Option<usize>,
}

impl Track {
    fn age(&self) -> u64 {
        self.last - self.first
    }
}

/// A box that can be tracked.
struct Object<'a> {
    index: usize,
    detection: &'a Detection,
    place: Place,
}

/// How far a track and a box are apart.
#[derive(Clone, Copy)]
enum Cost {
    /// 1 - IoU
    Iou,
    /// 1 - IoU × score
    IouAndScore,
}

/// The tracks of one video.
#[derive(Debug, Default)]
pub struct Tracker {
    tracks: Vec<Track>,
    /// Boxes of the last update that belong to no track.
    others: Vec<Detection>,
    /// The number of this frame, that of the last update, and whether there was one.
    frame: u64,
    updated: u64,
    begun: bool,
    ids: u64,
}

impl Tracker {
    /// Moves on by a number of frames. What was not seen for longer than `buffer` frames is forgotten.
    pub fn advance(&mut self, frames: u64, buffer: u32) {
        let buffer = u64::from(buffer);
        self.frame = self.frame.saturating_add(frames);
        self.tracks.retain(|track| self.frame - track.last <= buffer);
        if self.frame - self.updated > buffer {
            self.others.clear();
        }
        // None of the tracks that are left has been unseen for more frames than that.
        for _ in 0..frames.min(buffer) {
            for track in &mut self.tracks {
                if track.state == State::Lost {
                    track.motion.stop_growth();
                }
                track.motion.predict();
            }
        }
    }

    /// Takes what was found in this frame, of the given `shape` (width / height), and returns the track of each.
    /// The order of the detections does not matter.
    pub fn update(
        &mut self,
        detections: &[Detection],
        shape: f64,
        thresholds: &Thresholds,
    ) -> Vec<Option<u64>> {
        self.updated = self.frame;
        for track in &mut self.tracks {
            track.index = None;
        }
        let (mut certain, mut uncertain) = objects(detections, shape, thresholds);
        let (mut new, mut known): (Vec<_>, Vec<_>) =
            (0..self.tracks.len()).partition(|&index| self.tracks[index].state == State::New);

        self.associate(&mut known, &mut certain, Cost::IouAndScore, thresholds.matching);
        known.retain(|&index| self.tracks[index].state == State::Followed);
        self.associate(&mut known, &mut uncertain, Cost::Iou, UNCERTAIN_MATCH);
        for index in known {
            self.tracks[index].state = State::Lost;
        }
        self.associate(&mut new, &mut certain, Cost::IouAndScore, UNCONFIRMED_MATCH);
        self.tracks
            .retain(|track| track.state != State::New || track.index.is_some());

        certain.retain(|object| object.detection.score >= thresholds.new_track as f32);
        self.start(&certain);
        self.drop_duplicates();

        let mut ids = vec![None; detections.len()];
        let mut tracked = vec![false; detections.len()];
        for track in &self.tracks {
            if let Some(index) = track.index {
                (ids[index], tracked[index]) = (track.detection.track_id, true);
            }
        }
        let others = detections.iter().zip(tracked).filter(|(_, tracked)| !tracked);
        self.others = others.map(|(detection, _)| detection.clone()).collect();
        ids
    }

    /// What the last update found, where it is by now in a frame of the given `shape`: boxes that have a track went
    /// on with it, others are where they were.
    pub fn carried(&self, shape: f64) -> Vec<Detection> {
        let followed = self.tracks.iter().filter(|track| track.state != State::Lost);
        let moved = followed.filter_map(|track| {
            Some(Detection {
                bbox: track.motion.moved(track.seen, &track.then).to_bbox(shape)?,
                ..track.detection.clone()
            })
        });
        moved.chain(self.others.iter().cloned()).collect()
    }

    /// Ends all tracks; ids that were given are not given again.
    pub fn forget(&mut self) {
        *self = Self {
            ids: self.ids,
            ..Self::default()
        };
    }

    pub fn counts(&self) -> Counts {
        let count = |state| self.tracks.iter().filter(|track| track.state == state).count();
        Counts {
            followed: count(State::Followed),
            lost: count(State::Lost),
            created: self.ids,
        }
    }

    /// Matches tracks with boxes of their class, and takes those that found each other out of both lists.
    fn associate(&mut self, tracks: &mut Vec<usize>, objects: &mut Vec<Object<'_>>, cost: Cost, limit: f64) {
        let gain = |row: usize, column: usize| {
            let (track, object) = (&self.tracks[tracks[row]], &objects[column]);
            if track.detection.label != object.detection.label {
                return 0.0;
            }
            let iou = track.motion.place().iou(&object.place);
            let likeness = match cost {
                Cost::Iou => iou,
                Cost::IouAndScore => iou * f64::from(object.detection.score),
            };
            limit - (1.0 - likeness)
        };
        let pairs = assign(tracks.len(), objects.len(), gain);
        for &(row, column) in &pairs {
            self.see(tracks[row], &objects[column]);
        }
        let matched = |index: usize| self.tracks[index].index.is_some();
        tracks.retain(|&index| !matched(index));
        let mut column = 0;
        objects.retain(|_| {
            column += 1;
            pairs.iter().all(|pair| pair.1 != column - 1)
        });
    }

    /// A track's box was found.
    fn see(&mut self, index: usize, object: &Object<'_>) {
        let track = &mut self.tracks[index];
        let id = track.detection.track_id.unwrap_or_else(|| {
            self.ids += 1;
            self.ids
        });
        track.motion.correct(object.place);
        (track.seen, track.then) = (object.place, track.motion);
        track.state = State::Followed;
        track.last = self.frame;
        track.index = Some(object.index);
        track.detection = Detection {
            track_id: Some(id),
            ..object.detection.clone()
        };
    }

    /// Begins tracks; those of the very first update need no confirmation.
    fn start(&mut self, objects: &[Object<'_>]) {
        let confirmed = !std::mem::replace(&mut self.begun, true);
        let room = MAX_OBJECTS.saturating_sub(self.tracks.len());
        for object in objects.iter().take(room) {
            let motion = Motion::new(object.place);
            self.ids += u64::from(confirmed);
            self.tracks.push(Track {
                detection: Detection {
                    track_id: confirmed.then_some(self.ids),
                    ..object.detection.clone()
                },
                seen: object.place,
                then: motion,
                motion,
                state: if confirmed { State::Followed } else { State::New },
                first: self.frame,
                last: self.frame,
                index: Some(object.index),
            });
        }
    }

    /// Where a lost track and one that is followed have come to be the same, the older one stays.
    fn drop_duplicates(&mut self) {
        let mut doomed = vec![false; self.tracks.len()];
        for (a, lost) in self.tracks.iter().enumerate() {
            if lost.state != State::Lost {
                continue;
            }
            for (b, other) in self.tracks.iter().enumerate() {
                let same = other.state != State::Lost
                    && lost.detection.label == other.detection.label
                    && lost.motion.place().iou(&other.motion.place()) > SAME;
                if same {
                    doomed[if other.age() > lost.age() { a } else { b }] = true;
                }
            }
        }
        let mut doomed = doomed.into_iter();
        self.tracks.retain(|_| doomed.next() == Some(false));
    }
}

/// The certain and the uncertain boxes, each in an order that depends on nothing but themselves.
fn objects<'a>(
    detections: &'a [Detection],
    shape: f64,
    thresholds: &Thresholds,
) -> (Vec<Object<'a>>, Vec<Object<'a>>) {
    // Compared as f32, as scores are: 0.6 of one kind is not 0.6 of the other.
    let above = |detection: &Detection, threshold: f64| detection.score > threshold as f32;
    let object = |(index, detection): (usize, &'a Detection)| {
        let place = Place::from_bbox(detection.bbox, shape)?;
        let known = detection.score <= 1.0 && above(detection, thresholds.low.min(thresholds.high));
        known.then_some(Object {
            index,
            detection,
            place,
        })
    };
    let mut objects: Vec<_> = detections.iter().enumerate().filter_map(object).collect();
    objects.sort_by(|a, b| order(a.detection, b.detection));
    objects.truncate(MAX_OBJECTS);
    objects
        .into_iter()
        .partition(|object| above(object.detection, thresholds.high))
}

/// The more certain first; boxes of one score in any order, but always the same.
fn order(a: &Detection, b: &Detection) -> std::cmp::Ordering {
    let places = a.bbox.iter().zip(&b.bbox);
    let by_place = || {
        places
            .map(|(a, b)| a.total_cmp(b))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| a.label.cmp(&b.label))
    };
    b.score.total_cmp(&a.score).then_with(by_place)
}

#[cfg(test)]
mod tests;
