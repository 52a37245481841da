//! How a frame's detections were found.

use gst::meta::CustomMeta;

const NAME: &str = "SightlineInferenceMeta";

/// Model and times of one inference, attached as the custom meta `SightlineInferenceMeta`.
///
/// Its presence says that the frame was inferred, even if nothing was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InferenceMeta {
    /// Name of the model.
    pub model: String,
    /// Unix time in microseconds at which the frame reached the detector.
    pub started: u64,
    /// Microseconds from pixels to tensor.
    pub preprocess_us: u64,
    /// Microseconds in the model.
    pub infer_us: u64,
    /// Microseconds from the model's output to detections.
    pub postprocess_us: u64,
}

impl InferenceMeta {
    pub fn attach(&self, buffer: &mut gst::BufferRef) -> Result<(), glib::BoolError> {
        crate::register(NAME);
        let mut meta = CustomMeta::add(buffer, NAME)?;
        let structure = meta.mut_structure();
        structure.set("model", &self.model);
        structure.set("started", self.started);
        structure.set("preprocess-us", self.preprocess_us);
        structure.set("infer-us", self.infer_us);
        structure.set("postprocess-us", self.postprocess_us);
        Ok(())
    }

    pub fn read(buffer: &gst::BufferRef) -> Option<Self> {
        crate::register(NAME);
        let meta = CustomMeta::from_buffer(buffer, NAME).ok()?;
        let structure = meta.structure();
        Some(Self {
            model: structure.get("model").ok()?,
            started: structure.get("started").ok()?,
            preprocess_us: structure.get("preprocess-us").ok()?,
            infer_us: structure.get("infer-us").ok()?,
            postprocess_us: structure.get("postprocess-us").ok()?,
        })
    }
}
