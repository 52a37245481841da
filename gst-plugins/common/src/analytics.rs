//! Detections as GstAnalytics metadata, which GStreamer's own elements (`objectdetectionoverlay`) read and write.

use gst_analytics::{
    AnalyticsMetaRefExt, AnalyticsODMtd, AnalyticsRelationMeta, AnalyticsRelationMetaODExt,
    AnalyticsRelationMetaTrackingExt, AnalyticsTrackingMtd, RelTypes,
};
use gst_video::VideoRegionOfInterestMeta;
use sightline_protocol::Detection;

/// Left, top, width and height in pixels.
type PixelRect = (u32, u32, u32, u32);

/// What identifies a region of interest.
struct Region {
    label: &'static str,
    rect: PixelRect,
}

impl Region {
    fn all(buffer: &gst::BufferRef) -> Vec<Self> {
        let metas = buffer.iter_meta::<VideoRegionOfInterestMeta>();
        let region = |meta: gst::MetaRef<VideoRegionOfInterestMeta>| Self {
            label: meta.roi_type(),
            rect: meta.rect(),
        };
        metas.map(region).collect()
    }
}

/// An object-detection entry of a buffer's relation meta.
struct Object {
    id: u32,
    label: String,
    /// Left, top, width and height in pixels; other elements may place an object partly outside of the frame.
    place: [i32; 4],
    score: f32,
    track_id: Option<u64>,
}

impl Object {
    fn all(buffer: &gst::BufferRef) -> Vec<Self> {
        let Some(meta) = buffer.meta::<AnalyticsRelationMeta>() else {
            return Vec::new();
        };
        meta.iter::<AnalyticsODMtd>()
            .filter_map(|entry| {
                let place = entry.location().ok()?;
                let tracks =
                    meta.iter_direct_related::<AnalyticsTrackingMtd>(entry.id(), RelTypes::RELATE_TO);
                Some(Self {
                    id: entry.id(),
                    label: entry
                        .obj_type()
                        .map_or_else(String::new, |label| label.as_str().to_string()),
                    place: [place.x, place.y, place.w, place.h],
                    score: place.loc_conf_lvl,
                    track_id: tracks.last().map(|track| track.info().0),
                })
            })
            .collect()
    }

    fn is(&self, region: &Region) -> bool {
        let (x, y, width, height) = region.rect;
        let same = |a: i32, b: u32| i64::from(a).abs_diff(i64::from(b)) <= 1;
        let [left, top, right, bottom] = self.place;
        self.label == region.label
            && same(left, x)
            && same(top, y)
            && same(right, width)
            && same(bottom, height)
    }

    fn detection(&self, (width, height): (u32, u32)) -> Detection {
        let [x, y, w, h] = self.place;
        let to_unit = |value: i32, size: u32| f64::from(value) / f64::from(size.max(1));
        Detection {
            label: self.label.clone(),
            class_id: 0,
            score: self.score,
            bbox: [
                to_unit(x, width),
                to_unit(y, height),
                to_unit(w, width),
                to_unit(h, height),
            ],
            track_id: self.track_id,
        }
    }
}

/// Which region each object also is, if any: elements like ours attach both metas for one detection.
fn twins(objects: &[Object], regions: &[Region]) -> Vec<Option<usize>> {
    let mut taken = vec![false; regions.len()];
    let mut twin = |object: &Object| {
        let index = (0..regions.len()).find(|&index| !taken[index] && object.is(&regions[index]))?;
        taken[index] = true;
        Some(index)
    };
    objects.iter().map(&mut twin).collect()
}

/// Adds the entry of a detection. A label becomes a quark, as that of a region of interest does.
pub(crate) fn add(buffer: &mut gst::BufferRef, detection: &Detection, (x, y, width, height): PixelRect) {
    let seen = buffer.pts();
    if buffer.meta::<AnalyticsRelationMeta>().is_none() {
        AnalyticsRelationMeta::add(buffer);
    }
    let Some(mut meta) = buffer.meta_mut::<AnalyticsRelationMeta>() else {
        return;
    };
    let [x, y, width, height] = [x, y, width, height].map(|value| i32::try_from(value).unwrap_or(i32::MAX));
    let label = glib::Quark::from_str(&detection.label);
    let added = meta
        .add_od_mtd(label, x, y, width, height, detection.score)
        .map(|object| object.id());
    if let (Ok(object), Some(track)) = (added, detection.track_id) {
        relate(&mut meta, object, track, seen);
    }
}

/// The detections that are not regions of interest too.
pub(crate) fn detections(buffer: &gst::BufferRef, size: (u32, u32)) -> Vec<Detection> {
    let objects = Object::all(buffer);
    let twins = twins(&objects, &Region::all(buffer));
    let own = objects.iter().zip(twins).filter(|(_, twin)| twin.is_none());
    own.map(|(object, _)| object.detection(size)).collect()
}

/// Gives tracks to the entries: first those that are regions of interest too, in the order of [`crate::detections`].
pub(crate) fn set_track_ids(buffer: &mut gst::BufferRef, ids: &[Option<u64>]) {
    let seen = buffer.pts();
    let (objects, regions) = (Object::all(buffer), Region::all(buffer));
    let twins = twins(&objects, &regions);
    let Some(mut meta) = buffer.meta_mut::<AnalyticsRelationMeta>() else {
        return;
    };
    let mut next = regions.len();
    for (object, twin) in objects.iter().zip(twins) {
        let index = twin.unwrap_or_else(|| {
            next += 1;
            next - 1
        });
        if let Some(track) = ids.get(index).copied().flatten() {
            relate(&mut meta, object.id, track, seen);
        }
    }
}

/// Adds a track's entry, first and last seen at `seen`, and relates the object with it.
fn relate(
    meta: &mut gst::MetaRefMut<'_, AnalyticsRelationMeta, gst::meta::Standalone>,
    object: u32,
    track: u64,
    seen: Option<gst::ClockTime>,
) {
    let added = meta
        .add_tracking_mtd(track, seen.unwrap_or_default())
        .map(|entry| entry.id());
    // It fails where the meta has no more room: the object then has no track.
    if let Ok(entry) = added {
        drop(meta.set_relation(RelTypes::RELATE_TO, object, entry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{add_detection, set_track_ids};

    fn dog(x: f64, track_id: Option<u64>) -> Detection {
        Detection {
            label: "dog".into(),
            class_id: 16,
            score: 0.75,
            bbox: [x, 0.25, 0.5, 0.25],
            track_id,
        }
    }

    fn entries(buffer: &gst::BufferRef) -> Vec<(String, [i32; 4], f32, Option<u64>)> {
        let entry = |object: Object| (object.label, object.place, object.score, object.track_id);
        Object::all(buffer).into_iter().map(entry).collect()
    }

    #[test]
    fn a_detection_is_written_in_both_forms_and_read_once() {
        gst::init().unwrap();
        let mut buffer = gst::Buffer::new();
        let buffer = buffer.get_mut().unwrap();
        for detection in [dog(0.0, None), dog(0.0, Some(4)), dog(0.5, None)] {
            add_detection(buffer, &detection, (640, 480));
        }
        let dog_at = |x| ("dog".to_owned(), [x, 120, 320, 120], 0.75);
        let (left, right) = (dog_at(0), dog_at(320));
        let expected = [(&left, None), (&left, Some(4)), (&right, None)];
        let with_track = |((label, place, score), track): &(&(String, [i32; 4], f32), _)| {
            (label.clone(), *place, *score, *track)
        };
        assert_eq!(
            entries(buffer),
            expected.iter().map(with_track).collect::<Vec<_>>()
        );
        let found = crate::detections(buffer, (640, 480));
        assert_eq!(found, [dog(0.0, None), dog(0.0, Some(4)), dog(0.5, None)]);
    }

    #[test]
    fn entries_of_other_elements_are_read_and_tracked() {
        gst::init().unwrap();
        let mut buffer = gst::Buffer::new();
        let buffer = buffer.get_mut().unwrap();
        add_detection(buffer, &dog(0.5, None), (100, 100));
        let mut meta = buffer.meta_mut::<AnalyticsRelationMeta>().unwrap();
        meta.add_od_mtd(glib::Quark::from_str("cat"), -10, 20, 30, 40, 0.5)
            .unwrap();
        set_track_ids(buffer, &[Some(1), Some(2)]);
        let found = crate::detections(buffer, (100, 100));
        let track_of = |label: &str| found.iter().find(|found| found.label == label).unwrap().track_id;
        assert_eq!(
            (found.len(), track_of("dog"), track_of("cat")),
            (2, Some(1), Some(2))
        );
        assert_eq!(found[1].bbox, [-0.1, 0.2, 0.3, 0.4]);
        assert_eq!(
            entries(buffer).iter().map(|entry| entry.3).collect::<Vec<_>>(),
            [Some(1), Some(2)]
        );
    }
}
