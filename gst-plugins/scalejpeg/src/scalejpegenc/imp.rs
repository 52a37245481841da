//! SECTION:element-scalejpegenc
//!
//! Scales frames until they fit a square, and encodes them as JPEG, in one pass: what `videoscale`, a conversion to
//! full range and `jpegenc` do, for less than a third of their processor time. The JPEG has square pixels, full range and
//! BT.601's matrix, whatever the frame has.
//!
//! Scaling is bilinear without antialiasing, as YOLOX's demo scales pictures for its model.
//!
//! ## Example pipeline
//!
//! ```bash
//! gst-launch-1.0 videotestsrc num-buffers=10 ! video/x-raw,width=1280,height=720 ! scalejpegenc max-size=416 ! \
//!     multifilesink location=frame-%02d.jpg
//! ```

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use gst::prelude::*;
use gst_video::prelude::*;
use gst_video::subclass::prelude::*;
use gst_video::{VideoCodecFrame, VideoCodecState, VideoColorRange, VideoFormat, VideoFrameRef, VideoInfo};

use crate::jpeg::{Colour, Encoder, Layout, Picture, Plane};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "scalejpegenc",
        gst::DebugColorFlags::empty(),
        Some("Scales frames and encodes them as JPEG"),
    )
});

/// The largest side that a JPEG's header has room for.
const LARGEST: u32 = 65_535;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Settings {
    max_size: u32,
    quality: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_size: 0,
            quality: 85,
        }
    }
}

/// What frames are encoded with, and the settings that it was made for.
struct State {
    encoder: Encoder,
    settings: Settings,
    layout: Layout,
    input: VideoCodecState<'static, gst_video::video_codec_state::Readable>,
}

/// The locks are never held together.
#[derive(Default)]
pub struct ScaleJpegEnc {
    settings: Mutex<Settings>,
    state: Mutex<Option<State>>,
}

/// No lock here guards an invariant that a panic could have broken.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The size of the JPEG of a frame: with square pixels, its longest side not beyond `max_size` unless that is 0.
fn jpeg_size(info: &VideoInfo, max_size: u32) -> (u16, u16) {
    let ratio = info.par();
    let width = f64::from(info.width()) * f64::from(ratio.numer()) / f64::from(ratio.denom());
    let height = f64::from(info.height());
    let limit = f64::from(if max_size == 0 { LARGEST } else { max_size });
    let factor = (limit / width.max(height)).min(1.0);
    // Beyond what fits, the cast keeps the largest number.
    let [width, height] = [width, height].map(|side| (side * factor).round().max(1.0) as u16);
    (width, height)
}

fn layout(info: &VideoInfo) -> Layout {
    let format = info.format_info();
    Layout {
        width: info.width() as usize,
        height: info.height() as usize,
        components: [0, 1, 2].map(|index| {
            (
                format.plane()[index] as usize,
                format.poffset()[index] as usize,
                format.pixel_stride()[index].unsigned_abs() as usize,
            )
        }),
    }
}

fn colour(info: &VideoInfo) -> Colour {
    let colorimetry = info.colorimetry();
    let (kr, kb) = colorimetry
        .matrix()
        .kr_kb()
        .unwrap_or((Colour::JFIF.kr, Colour::JFIF.kb));
    Colour {
        kr,
        kb,
        full_range: colorimetry.range() == VideoColorRange::Range0_255,
    }
}

/// The planes of a mapped frame.
fn planes<'a>(frame: &'a VideoFrameRef<&gst::BufferRef>) -> Result<Vec<Plane<'a>>, String> {
    let plane = |index: u32| {
        let stride = frame.plane_stride()[index as usize];
        Ok(Plane {
            data: frame.plane_data(index).map_err(|error| error.to_string())?,
            stride: usize::try_from(stride)
                .map_err(|_| format!("plane {index} has a stride of {stride} bytes"))?,
        })
    };
    (0..frame.n_planes()).map(plane).collect()
}

impl ScaleJpegEnc {
    /// Makes an encoder for these frames, and says downstream what comes.
    fn prepare(
        &self,
        input: &VideoCodecState<'static, gst_video::video_codec_state::Readable>,
    ) -> Result<(), gst::FlowError> {
        let settings = *lock(&self.settings);
        let info = input.info();
        let (size, layout) = (jpeg_size(info, settings.max_size), layout(info));
        let quality = settings.quality.min(100) as u8;
        let encoder = Encoder::new(&layout, colour(info), size, quality);
        gst::debug!(CAT, imp = self, "{info:?} becomes {size:?}, quality {quality}");
        *lock(&self.state) = Some(State {
            encoder,
            settings,
            layout,
            input: input.clone(),
        });
        let caps = gst::Caps::builder("image/jpeg")
            .field("parsed", true)
            .field("sof-marker", 0)
            .build();
        let obj = self.obj();
        let mut output = obj.set_output_state(caps, Some(input))?;
        let jpeg = VideoInfo::builder(VideoFormat::I420, size.0.into(), size.1.into())
            .fps(info.fps())
            .par(gst::Fraction::new(1, 1))
            .colorimetry(&"1:4:0:0".parse().map_err(|_| gst::FlowError::NotNegotiated)?)
            .build()
            .map_err(|_| gst::FlowError::NotNegotiated)?;
        output.set_info(jpeg);
        obj.negotiate(output)
    }

    fn encode(&self, input: &gst::BufferRef) -> Result<gst::Buffer, String> {
        let mut state = lock(&self.state);
        let State {
            encoder,
            layout,
            input: caps,
            ..
        } = state.as_mut().ok_or("it came before its caps")?;
        let frame =
            VideoFrameRef::from_buffer_ref_readable(input, caps.info()).map_err(|error| error.to_string())?;
        let picture = Picture::new(*layout, &planes(&frame)?).map_err(|error| error.to_string())?;
        let jpeg = encoder.encode(&picture);
        let mut buffer = gst::Buffer::with_size(jpeg.len()).map_err(|error| error.to_string())?;
        let written = buffer.get_mut().map(|buffer| buffer.copy_from_slice(0, jpeg));
        match written {
            Some(Ok(())) => Ok(buffer),
            _ => Err("its JPEG finds no memory".to_owned()),
        }
    }
}

#[glib::object_subclass]
impl ObjectSubclass for ScaleJpegEnc {
    const NAME: &'static str = "SightlineScaleJpegEnc";
    type Type = super::ScaleJpegEnc;
    type ParentType = gst_video::VideoEncoder;
}

impl ObjectImpl for ScaleJpegEnc {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let defaults = Settings::default();
            vec![
                glib::ParamSpecUInt::builder("max-size")
                    .nick("Maximum size")
                    .blurb("Longest side of the JPEG in pixels (0: the frame's own); a smaller frame stays as it is")
                    .maximum(LARGEST)
                    .default_value(defaults.max_size)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecUInt::builder("quality")
                    .nick("Quality")
                    .blurb("Quality of the JPEG in percent, by libjpeg's scale")
                    .minimum(1)
                    .maximum(100)
                    .default_value(defaults.quality)
                    .mutable_playing()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = lock(&self.settings);
        match pspec.name() {
            "max-size" => settings.max_size = value.get().expect("type checked by GObject"),
            "quality" => settings.quality = value.get().expect("type checked by GObject"),
            name => unreachable!("GObject lets no unknown property `{name}` through"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings);
        match pspec.name() {
            "max-size" => settings.max_size.to_value(),
            "quality" => settings.quality.to_value(),
            name => unreachable!("GObject lets no unknown property `{name}` through"),
        }
    }
}

impl GstObjectImpl for ScaleJpegEnc {}

impl ElementImpl for ScaleJpegEnc {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Scaling JPEG encoder",
                "Codec/Encoder/Scaler/Image",
                "Scales frames until they fit a square, and encodes them as JPEG, in one pass",
                "The Sightline developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let largest = LARGEST as i32;
            let sink = gst_video::VideoCapsBuilder::new()
                .format_list([
                    VideoFormat::I420,
                    VideoFormat::Nv12,
                    VideoFormat::Yv12,
                    VideoFormat::Nv21,
                ])
                .width_range(1..=largest)
                .height_range(1..=largest)
                .build();
            let src = gst::Caps::builder("image/jpeg")
                .field("parsed", true)
                .field("sof-marker", 0)
                .field("width", gst::IntRange::new(1, largest))
                .field("height", gst::IntRange::new(1, largest))
                .build();
            [
                ("sink", gst::PadDirection::Sink, sink),
                ("src", gst::PadDirection::Src, src),
            ]
            .map(|(name, direction, caps)| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps)
                    .expect("the template is constant")
            })
            .into()
        });
        &TEMPLATES
    }
}

impl VideoEncoderImpl for ScaleJpegEnc {
    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.state) = None;
        Ok(())
    }

    /// Whatever size and colours downstream takes, they do not limit what comes in.
    fn caps(&self, filter: Option<&gst::Caps>) -> gst::Caps {
        let caps = self.obj().sink_pad().pad_template_caps();
        match filter {
            Some(filter) => filter.intersect_with_mode(&caps, gst::CapsIntersectMode::First),
            None => caps,
        }
    }

    fn set_format(
        &self,
        input: &VideoCodecState<'static, gst_video::video_codec_state::Readable>,
    ) -> Result<(), gst::LoggableError> {
        let caps = input.caps_owned();
        self.prepare(input)
            .map_err(|error| gst::loggable_error!(CAT, "No JPEG can be made of {caps:?}: {error}"))
    }

    /// Frames may have strides of their own.
    fn propose_allocation(&self, query: &mut gst::query::Allocation) -> Result<(), gst::LoggableError> {
        query.add_allocation_meta::<gst_video::VideoMeta>(None);
        self.parent_propose_allocation(query)
    }

    fn handle_frame(&self, mut frame: VideoCodecFrame) -> Result<gst::FlowSuccess, gst::FlowError> {
        let settings = *lock(&self.settings);
        let changed = lock(&self.state)
            .as_ref()
            .filter(|state| state.settings != settings)
            .map(|state| state.input.clone());
        if let Some(input) = changed {
            self.prepare(&input)?;
        }
        let encoded = match frame.input_buffer() {
            Some(buffer) => self.encode(buffer),
            None => Err("it has no buffer".to_owned()),
        };
        let jpeg = encoded.map_err(|error| {
            gst::error!(CAT, imp = self, "a frame cannot be encoded: {error}");
            gst::element_imp_error!(
                self,
                gst::StreamError::Encode,
                ["A frame cannot be encoded: {error}"]
            );
            gst::FlowError::Error
        })?;
        frame.set_flags(gst_video::VideoCodecFrameFlags::SYNC_POINT);
        frame.set_output_buffer(jpeg);
        self.obj().finish_frame(frame)
    }
}
