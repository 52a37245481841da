//! `overlay` draws the detections attached to a frame on it: boxes, labels, scores and track ids.
//!
//! ```bash
//! gst-launch-1.0 filesrc location=dog.jpg ! jpegdec ! yoloxdetect model=yolox_nano.onnx ! overlay ! \
//!     videoconvert ! pngenc ! filesink location=dog.png
//! ```
//!
//! The drawing is attached as a `GstVideoOverlayComposition` when downstream names the caps feature for it,
//! as video sinks do that draw on the GPU, and blended into the pixels otherwise. Frames with nothing to draw pass
//! untouched.
//!
//! Labels follow a format, and colours tell classes apart, or tracks:
//!
//! ```bash
//! gst-launch-1.0 filesrc location=bikes.mp4 ! decodebin ! yoloxdetect model=yolox_nano.onnx ! objecttrack ! \
//!     overlay colour-by=track label-format="{label} no. {track}" ! videoconvert ! jpegenc ! \
//!     matroskamux ! filesink location=bikes.mkv
//! ```

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use gst::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_transform::{BaseTransformMode, GenerateOutputSuccess};
use gst_base::subclass::prelude::*;
use gst_video::{
    CAPS_FEATURE_META_GST_VIDEO_OVERLAY_COMPOSITION as COMPOSITION, VideoCapsBuilder, VideoInfo,
    VideoOverlayComposition,
};
use sightline_protocol::Detection;

use super::{ColourBy, video};
use crate::drawing::{self, Shape, Style};
use crate::label_format::{self, FormatError, LabelFormat, Shown};
use crate::picture::Layout;
use crate::text::Typesetter;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "sightlineoverlay",
        gst::DebugColorFlags::empty(),
        Some("Draws detections on video"),
    )
});

#[derive(Debug, Clone)]
struct Settings {
    line_width: u32,
    font_size: u32,
    show_labels: bool,
    show_scores: bool,
    colour_by: ColourBy,
    /// As it was given, and as it was understood.
    label_format: (String, Result<Arc<LabelFormat>, FormatError>),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            line_width: 0,
            font_size: 0,
            show_labels: true,
            show_scores: true,
            colour_by: ColourBy::default(),
            label_format: parsed(label_format::DEFAULT.to_owned()),
        }
    }
}

fn parsed(format: String) -> (String, Result<Arc<LabelFormat>, FormatError>) {
    let parsed = format.parse().map(Arc::new);
    (format, parsed)
}

impl Settings {
    fn style(&self) -> Result<Style, String> {
        let (format, parsed) = &self.label_format;
        let label_format = parsed
            .clone()
            .map_err(|error| format!("label-format \"{format}\": {error}"))?;
        Ok(Style {
            line_width: self.line_width,
            font_size: self.font_size,
            shown: Shown {
                labels: self.show_labels,
                scores: self.show_scores,
            },
            colour_by_track: self.colour_by == ColourBy::Track,
            label_format,
        })
    }
}

/// What was negotiated.
struct Output {
    info: VideoInfo,
    layout: Layout,
    /// Whether the drawing is attached instead of blended.
    attach: bool,
}

impl Output {
    fn size(&self) -> (u32, u32) {
        (self.info.width(), self.info.height())
    }
}

/// What was drawn on the last frame that had detections.
struct Drawing {
    detections: Vec<Detection>,
    style: Style,
    shapes: Vec<Shape>,
    /// If it is attached.
    composition: Option<VideoOverlayComposition>,
}

impl Drawing {
    fn new(
        detections: Vec<Detection>,
        style: Style,
        output: &Output,
        typesetter: &mut Typesetter,
    ) -> Result<Self, glib::BoolError> {
        let shapes = drawing::shapes(&detections, &style, output.size(), typesetter);
        let attached = output.attach && !shapes.is_empty();
        Ok(Self {
            composition: attached.then(|| video::composition(&shapes)).transpose()?,
            detections,
            style,
            shapes,
        })
    }

    fn put_on(&self, buffer: &mut gst::Buffer, output: &Output) -> Result<(), glib::BoolError> {
        if self.shapes.is_empty() {
            return Ok(());
        }
        let buffer = buffer.make_mut();
        match &self.composition {
            Some(composition) => video::attach(buffer, composition),
            None => video::blend(buffer, &output.info, &output.layout, &self.shapes),
        }
    }
}

#[derive(Default)]
struct State {
    output: Option<Output>,
    drawing: Option<Drawing>,
    typesetter: Typesetter,
    frames: u64,
    /// Frames with detections.
    drawn: u64,
    /// Those of them that have the same as the one before.
    unchanged: u64,
}

impl State {
    fn stats(&self) -> gst::Structure {
        gst::Structure::builder("application/x-overlay-stats")
            .field("frames", self.frames)
            .field("drawn", self.drawn)
            .field("unchanged", self.unchanged)
            .build()
    }
}

/// The locks are never held together.
#[derive(Default)]
pub struct Overlay {
    state: Mutex<State>,
    settings: Mutex<Settings>,
}

/// No lock here guards an invariant that a panic could have broken.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Overlay {
    fn style(&self) -> Result<Style, gst::ErrorMessage> {
        let style = lock(&self.settings).style();
        style.map_err(|error| gst::error_msg!(gst::ResourceError::Settings, ["{error}"]))
    }

    fn draw(&self, buffer: &mut gst::Buffer) -> Result<(), gst::ErrorMessage> {
        let style = self.style()?;
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        state.frames += 1;
        let Some(output) = &state.output else {
            return Err(gst::error_msg!(
                gst::CoreError::Negotiation,
                ["A frame came before its caps"]
            ));
        };
        let detections = sightline_gst_common::detections(buffer, output.size());
        if detections.is_empty() {
            return Ok(());
        }
        state.drawn += 1;
        let same = |last: &Drawing| last.detections == detections && last.style == style;
        let drawn = match state.drawing.take().filter(same) {
            Some(last) => {
                state.unchanged += 1;
                Ok(last)
            }
            None => Drawing::new(detections, style, output, &mut state.typesetter),
        };
        let put = drawn.and_then(|drawing| {
            let put = drawing.put_on(buffer, output);
            state.drawing = Some(drawing);
            put
        });
        put.map_err(|error| {
            let caps = &output.info;
            gst::error_msg!(
                gst::StreamError::Failed,
                ["A frame cannot be drawn on: {error}; {caps:?}"]
            )
        })
    }
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
                    .blurb("Write the words of the label format that have no {score}")
                    .default_value(defaults.show_labels)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecBoolean::builder("show-scores")
                    .nick("Show scores")
                    .blurb("Write the words of the label format that have a {score} (0 to 1)")
                    .default_value(defaults.show_scores)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("colour-by", defaults.colour_by)
                    .nick("Colour by")
                    .blurb("What a colour stands for")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecString::builder("label-format")
                    .nick("Label format")
                    .blurb(
                        "What a label says, of {label}, {class} (its number), {track} and {score}; a word whose \
                         placeholder has no value is left out",
                    )
                    .default_value(defaults.label_format.0.as_str())
                    .mutable_playing()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb("Frames, those drawn on, and those drawn on with the same as the last one")
                    .read_only()
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
            "label-format" => {
                let format: Option<String> = value.get().expect("type checked by GObject");
                settings.label_format = parsed(format.unwrap_or_else(|| label_format::DEFAULT.to_owned()));
            }
            name => unreachable!("GObject lets no unknown property `{name}` through"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        if pspec.name() == "stats" {
            return lock(&self.state).stats().to_value();
        }
        let settings = lock(&self.settings);
        match pspec.name() {
            "line-width" => settings.line_width.to_value(),
            "font-size" => settings.font_size.to_value(),
            "show-labels" => settings.show_labels.to_value(),
            "show-scores" => settings.show_scores.to_value(),
            "colour-by" => settings.colour_by.to_value(),
            "label-format" => settings.label_format.0.to_value(),
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
                .format_list(sightline_gst_common::RAW_FORMATS.iter().copied())
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
        let mut state = lock(&self.state);
        state.drawing = None;
        state.output = Some(Output {
            layout: video::layout(&info),
            info,
            attach,
        });
        Ok(())
    }

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        // A mistake is said at once, not only when something has been found.
        self.style()?;
        *lock(&self.state) = State::default();
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        let mut state = lock(&self.state);
        (state.output, state.drawing) = (None, None);
        Ok(())
    }

    fn generate_output(&self) -> Result<GenerateOutputSuccess, gst::FlowError> {
        let Some(mut buffer) = self.take_queued_buffer() else {
            return Ok(GenerateOutputSuccess::NoOutput);
        };
        self.draw(&mut buffer).map_err(|error| {
            gst::error!(CAT, imp = self, "{error:?}");
            self.post_error_message(error);
            gst::FlowError::Error
        })?;
        Ok(GenerateOutputSuccess::Buffer(buffer))
    }
}
