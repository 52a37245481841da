//! `overlay` draws the detections attached to a frame on it: boxes, labels, scores and track ids.
//!
//! ```bash
//! gst-launch-1.0 filesrc location=dog.jpg ! jpegdec ! yoloxdetect model=yolox_nano.onnx ! overlay ! \
//!     videoconvert ! pngenc ! filesink location=dog.png
//! ```
//!
//! The drawing is attached as a `GstVideoOverlayComposition` when downstream names the caps feature for it,
//! as video sinks do that draw on the GPU, and blended into the pixels otherwise.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use gst::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::{BaseTransformMode, GenerateOutputSuccess};
use gst_base::subclass::prelude::*;
use gst_video::{
    CAPS_FEATURE_META_GST_VIDEO_OVERLAY_COMPOSITION as COMPOSITION, VideoCapsBuilder, VideoFormat,
    VideoFrameFlags, VideoFrameRef, VideoInfo, VideoMeta, VideoOverlayComposition,
    VideoOverlayCompositionMeta, VideoOverlayFormatFlags, VideoOverlayRectangle,
};

use super::ColourBy;
use crate::drawing::{self, Patch, Style};

/// What is accepted: the formats that `yoloxdetect` takes and that a composition can be blended into.
const FORMATS: &[VideoFormat] = &[
    VideoFormat::I420,
    VideoFormat::Nv12,
    VideoFormat::Rgb,
    VideoFormat::Bgr,
    VideoFormat::Rgbx,
    VideoFormat::Bgrx,
    VideoFormat::Xrgb,
    VideoFormat::Xbgr,
    VideoFormat::Rgba,
    VideoFormat::Bgra,
    VideoFormat::Argb,
    VideoFormat::Abgr,
    VideoFormat::Yv12,
    VideoFormat::Nv21,
    VideoFormat::Y42b,
    VideoFormat::Y444,
    VideoFormat::Yuy2,
    VideoFormat::Uyvy,
    VideoFormat::Gray8,
];

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "sightlineoverlay",
        gst::DebugColorFlags::empty(),
        Some("Draws detections on video"),
    )
});

#[derive(Debug, Clone, Copy)]
struct Settings {
    line_width: u32,
    font_size: u32,
    show_labels: bool,
    show_scores: bool,
    colour_by: ColourBy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            line_width: 0,
            font_size: 0,
            show_labels: true,
            show_scores: true,
            colour_by: ColourBy::default(),
        }
    }
}

impl Settings {
    fn style(&self) -> Style {
        Style {
            line_width: self.line_width,
            font_size: self.font_size,
            labels: self.show_labels,
            scores: self.show_scores,
            colour_by_track: self.colour_by == ColourBy::Track,
        }
    }
}

/// What was negotiated.
#[derive(Debug, Clone)]
struct State {
    info: VideoInfo,
    /// Whether the drawing is attached instead of blended.
    attach: bool,
}

/// The locks are never held together.
#[derive(Default)]
pub struct Overlay {
    state: Mutex<Option<State>>,
    settings: Mutex<Settings>,
}

/// No lock here guards an invariant that a panic could have broken.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Overlay {
    fn draw(&self, state: &State, buffer: &mut gst::Buffer) -> Result<(), glib::BoolError> {
        let size = (state.info.width(), state.info.height());
        let detections = sightline_gst_common::detections(buffer, size);
        if detections.is_empty() {
            return Ok(());
        }
        let patches = drawing::draw(&detections, &lock(&self.settings).style(), size);
        let rectangles = patches
            .into_iter()
            .map(rectangle)
            .collect::<Result<Vec<_>, _>>()?;
        let buffer = buffer.make_mut();
        if state.attach {
            attach(buffer, &rectangles)
        } else {
            let mut frame = VideoFrameRef::from_buffer_ref_writable(buffer, &state.info)?;
            VideoOverlayComposition::new(&rectangles)?.blend(&mut frame)
        }
    }
}

/// Adds rectangles to the composition that the buffer has, or gives it one.
fn attach(buffer: &mut gst::BufferRef, rectangles: &[VideoOverlayRectangle]) -> Result<(), glib::BoolError> {
    let Some(mut meta) = buffer.meta_mut::<VideoOverlayCompositionMeta>() else {
        VideoOverlayCompositionMeta::add(buffer, &VideoOverlayComposition::new(rectangles)?);
        return Ok(());
    };
    let before: Vec<_> = meta.overlay_owned().iter().collect();
    meta.set_overlay(&VideoOverlayComposition::new(before.iter().chain(rectangles))?);
    Ok(())
}

fn rectangle(patch: Patch) -> Result<VideoOverlayRectangle, glib::BoolError> {
    let Patch { x, y, canvas } = patch;
    let size = |size: usize| u32::try_from(size).map_err(|_| glib::bool_error!("{size} pixels are too many"));
    let place = |place: usize| i32::try_from(place).map_err(|_| glib::bool_error!("{place} is too far off"));
    let (width, height) = (size(canvas.width)?, size(canvas.height)?);
    let mut buffer = gst::Buffer::from_mut_slice(canvas.pixels);
    // The format of compositions on little-endian machines.
    VideoMeta::add(
        buffer.make_mut(),
        VideoFrameFlags::empty(),
        VideoFormat::Bgra,
        width,
        height,
    )?;
    let flags = VideoOverlayFormatFlags::empty();
    Ok(VideoOverlayRectangle::new_raw(
        &buffer,
        place(x)?,
        place(y)?,
        width,
        height,
        flags,
    ))
}

fn has_composition(features: Option<&gst::CapsFeaturesRef>) -> bool {
    features.is_some_and(|features| !features.is_any() && features.contains(COMPOSITION))
}

/// The caps with the composition feature added to each of their structures, or taken away.
fn with_composition(caps: &gst::CapsRef, wanted: bool) -> gst::Caps {
    let structures = caps.iter_with_features().map(|(structure, features)| {
        let mut features = features.to_owned();
        if !features.is_any() {
            features.remove(COMPOSITION);
            if wanted {
                features.add(COMPOSITION);
            }
        }
        (structure.to_owned(), features)
    });
    structures.collect()
}

#[glib::object_subclass]
impl ObjectSubclass for Overlay {
    const NAME: &'static str = "GstSightlineOverlay";
    type Type = super::Overlay;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for Overlay {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let defaults = Settings::default();
            vec![
                glib::ParamSpecUInt::builder("line-width")
                    .nick("Line width")
                    .blurb("Width of a box's lines in pixels (0: by the frame's size)")
                    .maximum(100)
                    .default_value(defaults.line_width)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder("font-size")
                    .nick("Font size")
                    .blurb("Height of a line of text in pixels (0: by the frame's size)")
                    .maximum(500)
                    .default_value(defaults.font_size)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecBoolean::builder("show-labels")
                    .nick("Show labels")
                    .blurb("Write the object's class and track id")
                    .default_value(defaults.show_labels)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecBoolean::builder("show-scores")
                    .nick("Show scores")
                    .blurb("Write the detection's score, 0 to 1")
                    .default_value(defaults.show_scores)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("colour-by", defaults.colour_by)
                    .nick("Colour by")
                    .blurb("What a colour stands for")
                    .mutable_playing()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = lock(&self.settings);
        match pspec.name() {
            "line-width" => settings.line_width = value.get().expect("type checked by GObject"),
            "font-size" => settings.font_size = value.get().expect("type checked by GObject"),
            "show-labels" => settings.show_labels = value.get().expect("type checked by GObject"),
            "show-scores" => settings.show_scores = value.get().expect("type checked by GObject"),
            "colour-by" => settings.colour_by = value.get().expect("type checked by GObject"),
            name => unreachable!("GObject lets no unknown property `{name}` through"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings);
        match pspec.name() {
            "line-width" => settings.line_width.to_value(),
            "font-size" => settings.font_size.to_value(),
            "show-labels" => settings.show_labels.to_value(),
            "show-scores" => settings.show_scores.to_value(),
            "colour-by" => settings.colour_by.to_value(),
            name => unreachable!("GObject lets no unknown property `{name}` through"),
        }
    }
}

impl GstObjectImpl for Overlay {}

impl ElementImpl for Overlay {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Detection overlay",
                "Filter/Editor/Video",
                "Draws the detections attached to frames: boxes, labels, scores and track ids",
                "The Sightline developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let mut caps = VideoCapsBuilder::new()
                .format_list(FORMATS.iter().copied())
                .build();
            let attached = with_composition(&caps, true);
            caps.merge(attached);
            [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                .map(|(name, direction)| {
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps)
                        .expect("the template is constant")
                })
                .into()
        });
        &TEMPLATES
    }
}

impl BaseTransformImpl for Overlay {
    // `generate_output` makes writable what it draws on; a frame without detections passes as it is.
    const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = true;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    /// A frame may gain the composition on its way downstream, never lose it.
    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let mut other = if direction == gst::PadDirection::Sink {
            with_composition(caps, true)
        } else {
            with_composition(caps, false)
        };
        other.merge(caps.clone());
        Some(match filter {
            Some(filter) => filter.intersect_with_mode(&other, gst::CapsIntersectMode::First),
            None => other,
        })
    }

    /// Downstream that takes anything would drop the composition; so it must name it.
    fn fixate_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        mut others: gst::Caps,
    ) -> gst::Caps {
        let given = has_composition(caps.features(0));
        if direction == gst::PadDirection::Sink && !given {
            let peer = self.obj().src_pad().peer_query_caps(None);
            if !peer
                .iter_with_features()
                .any(|(_, features)| has_composition(Some(features)))
            {
                let plain: gst::Caps = others
                    .iter_with_features()
                    .filter(|(_, features)| !has_composition(Some(features)))
                    .map(|(structure, features)| (structure.to_owned(), features.to_owned()))
                    .collect();
                if !plain.is_empty() {
                    others = plain;
                }
            }
        }
        others.truncate();
        others.fixate();
        others
    }

    fn set_caps(&self, incaps: &gst::Caps, outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info =
            VideoInfo::from_caps(incaps).map_err(|_| gst::loggable_error!(CAT, "Not video: {incaps}"))?;
        let attach = has_composition(outcaps.features(0));
        gst::debug!(
            CAT,
            imp = self,
            "{incaps}: the drawing is {}",
            if attach { "attached" } else { "blended" }
        );
        *lock(&self.state) = Some(State { info, attach });
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.state) = None;
        Ok(())
    }

    fn generate_output(&self) -> Result<GenerateOutputSuccess, gst::FlowError> {
        let Some(mut buffer) = self.take_queued_buffer() else {
            return Ok(GenerateOutputSuccess::NoOutput);
        };
        let state = lock(&self.state).clone().ok_or(gst::FlowError::NotNegotiated)?;
        self.draw(&state, &mut buffer).map_err(|error| {
            gst::error!(CAT, imp = self, "Frame cannot be drawn on: {error}");
            gst::element_imp_error!(
                self,
                gst::StreamError::Failed,
                ("Frame cannot be drawn on: {error}")
            );
            gst::FlowError::Error
        })?;
        Ok(GenerateOutputSuccess::Buffer(buffer))
    }
}
