//! What Sightline's GStreamer plugins share.
//!
//! A frame keeps its identity from the network to its boxes, through decoders, scalers and encoders: it
//! travels in the custom meta [`FrameMeta`]. What was found in it travels in `GstVideoRegionOfInterestMeta`s
//! ([`detections`]; with `v1_24` also as GstAnalytics metadata), how long that took in [`InferenceMeta`].

#[cfg(feature = "v1_24")]
mod analytics;
mod detection_meta;
mod frame_meta;
mod inference_meta;
mod raw_formats;

pub use detection_meta::{add_detection, detections, detections_message, set_track_ids};
pub use frame_meta::{Entry, FrameMeta};
pub use inference_meta::InferenceMeta;
pub use raw_formats::RAW_FORMATS;

/// Registers a custom meta that is copied by every element, once per process.
///
/// Several of our plugins may be loaded into one process, each with its own copy of this code.
fn register(name: &str) {
    static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = LOCK.lock();
    if !gst::meta::CustomMeta::is_registered(name) {
        gst::meta::CustomMeta::register(name, &[]);
    }
}
