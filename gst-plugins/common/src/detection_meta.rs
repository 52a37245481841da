//! Detections as `GstVideoRegionOfInterestMeta`s, in the form that DL Streamer's elements read and write.

use gst_video::VideoRegionOfInterestMeta;
use sightline_protocol::Detection;

/// Attaches a detection to the buffer of a frame of `width` × `height` pixels.
///
/// The meta's type is the label, its rectangle the box in whole pixels. Its parameter `detection` holds
/// `label-id` (and DL Streamer's spelling `label_id`), `confidence`, and `x_min`, `y_min`, `x_max`, `y_max` in
/// 0..1 of the frame; a parameter `object_id` holds the track's `id`. With the feature `v1_24` the detection is also
/// an object-detection entry of the buffer's `GstAnalyticsRelationMeta`, related to a tracking entry if it has a track.
pub fn add_detection(buffer: &mut gst::BufferRef, detection: &Detection, (width, height): (u32, u32)) {
    let [x, y, w, h] = detection.bbox;
    let pixel = |value: f64, size: u32| (value.clamp(0.0, 1.0) * f64::from(size)).round() as u32;
    let (left, top) = (pixel(x, width), pixel(y, height));
    let rect = (
        left,
        top,
        pixel(x + w, width).saturating_sub(left),
        pixel(y + h, height).saturating_sub(top),
    );
    let mut meta = VideoRegionOfInterestMeta::add(buffer, &detection.label, rect);
    let class_id = i32::try_from(detection.class_id).unwrap_or(i32::MAX);
    meta.add_param(
        gst::Structure::builder("detection")
            .field("label-id", class_id)
            .field("label_id", class_id)
            .field("confidence", f64::from(detection.score))
            .field("x_min", x)
            .field("y_min", y)
            .field("x_max", x + w)
            .field("y_max", y + h)
            .build(),
    );
    if let Some(id) = detection.track_id.and_then(|id| i32::try_from(id).ok()) {
        meta.add_param(gst::Structure::builder("object_id").field("id", id).build());
    }
    #[cfg(feature = "v1_24")]
    crate::analytics::add(buffer, detection, rect);
}

/// The detections attached to the buffer of a frame of `width` × `height` pixels, in the order they were added.
///
/// Regions of other elements count too: without a `detection` parameter a region has score 1 and the box of its
/// rectangle. With the feature `v1_24` object-detection entries of GstAnalytics follow, unless a region says the same.
pub fn detections(buffer: &gst::BufferRef, size: (u32, u32)) -> Vec<Detection> {
    let regions = buffer.iter_meta::<VideoRegionOfInterestMeta>();
    let found = regions.map(|meta| region_detection(&meta, size));
    #[cfg(feature = "v1_24")]
    let found = found.chain(crate::analytics::detections(buffer, size));
    found.collect()
}

fn region_detection(meta: &VideoRegionOfInterestMeta, (width, height): (u32, u32)) -> Detection {
    let to_unit = |value: u32, size: u32| f64::from(value) / f64::from(size.max(1));
    let (x, y, w, h) = meta.rect();
    let rect = [
        to_unit(x, width),
        to_unit(y, height),
        to_unit(w, width),
        to_unit(h, height),
    ];
    let params: Vec<_> = meta.params().collect();
    let find = |name: &str| params.iter().find(|param| param.name() == name);
    let detection = find("detection");
    let number = |field: &str| detection.and_then(|param| param.get::<f64>(field).ok());
    let corners = [number("x_min"), number("y_min"), number("x_max"), number("y_max")];
    let bbox = match corners {
        [Some(x1), Some(y1), Some(x2), Some(y2)] => [x1, y1, x2 - x1, y2 - y1],
        _ => rect,
    };
    let class_id = detection
        .and_then(|param| {
            param
                .get::<i32>("label-id")
                .or_else(|_| param.get("label_id"))
                .ok()
        })
        .and_then(|id| u32::try_from(id).ok());
    Detection {
        label: meta.roi_type().to_owned(),
        class_id: class_id.unwrap_or(0),
        score: number("confidence").unwrap_or(1.0) as f32,
        bbox,
        // The last that was given counts.
        track_id: params
            .iter()
            .rfind(|param| param.name() == "object_id")
            .and_then(|param| param.get::<i32>("id").ok())
            .and_then(|id| u64::try_from(id).ok()),
    }
}

/// What an element posts on the bus of a frame of `width` × `height` pixels: `pts` (nanoseconds; 2⁶⁴-1 for none), `width`,
/// `height`, and `detections`, a JSON array in the form of the wire.
pub fn detections_message(
    name: &str,
    pts: Option<gst::ClockTime>,
    (width, height): (u32, u32),
    detections: &[Detection],
) -> gst::Structure {
    let json = serde_json::to_string(detections).unwrap_or_else(|_| "[]".into());
    gst::Structure::builder(name)
        .field("pts", pts.map_or(u64::MAX, gst::ClockTime::nseconds))
        .field("width", i32::try_from(width).unwrap_or(i32::MAX))
        .field("height", i32::try_from(height).unwrap_or(i32::MAX))
        .field("detections", json)
        .build()
}

/// Gives the detections attached to a buffer, in the order of [`detections`], their tracks' ids; `None` leaves
/// one as it is.
pub fn set_track_ids(buffer: &mut gst::BufferRef, ids: &[Option<u64>]) {
    #[cfg(feature = "v1_24")]
    crate::analytics::set_track_ids(buffer, ids);
    let metas = buffer.iter_meta_mut::<VideoRegionOfInterestMeta>();
    for (mut meta, id) in metas.zip(ids) {
        let Some(id) = id.and_then(|id| i32::try_from(id).ok()) else {
            continue;
        };
        meta.add_param(gst::Structure::builder("object_id").field("id", id).build());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detections_survive_with_full_precision() {
        gst::init().unwrap();
        let dog = Detection {
            label: "dog".into(),
            class_id: 16,
            score: 0.8551,
            bbox: [0.123_456_789, 0.25, 0.5, 0.25],
            track_id: Some(3),
        };
        let mut buffer = gst::Buffer::new();
        add_detection(buffer.get_mut().unwrap(), &dog, (640, 480));
        let found = detections(&buffer, (640, 480));
        assert_eq!(found.len(), 1);
        assert!((found[0].bbox[2] - dog.bbox[2]).abs() < 1e-12);
        assert_eq!(
            Detection {
                bbox: dog.bbox,
                ..found[0].clone()
            },
            dog
        );
        let meta = buffer.meta::<VideoRegionOfInterestMeta>().unwrap();
        assert_eq!(meta.rect(), (79, 120, 320, 120));
    }

    #[test]
    fn tracks_are_given_afterwards() {
        gst::init().unwrap();
        let mut buffer = gst::Buffer::new();
        let buffer = buffer.get_mut().unwrap();
        for label in ["cat", "dog", "cow"] {
            let detection = Detection {
                label: label.into(),
                class_id: 0,
                score: 0.5,
                bbox: [0.0, 0.0, 0.5, 0.5],
                track_id: None,
            };
            add_detection(buffer, &detection, (64, 64));
        }
        set_track_ids(buffer, &[Some(7), None, Some(9)]);
        set_track_ids(buffer, &[None, None, Some(4)]);
        let ids: Vec<_> = detections(buffer, (64, 64))
            .iter()
            .map(|found| found.track_id)
            .collect();
        assert_eq!(ids, [Some(7), None, Some(4)]);
    }

    #[test]
    fn regions_of_other_elements_are_read() {
        gst::init().unwrap();
        let mut buffer = gst::Buffer::new();
        VideoRegionOfInterestMeta::add(buffer.get_mut().unwrap(), "face", (10, 20, 30, 40));
        let found = detections(&buffer, (100, 100));
        assert_eq!(found[0].bbox, [0.1, 0.2, 0.3, 0.4]);
        assert_eq!((found[0].score, found[0].label.as_str()), (1.0, "face"));
    }
}
