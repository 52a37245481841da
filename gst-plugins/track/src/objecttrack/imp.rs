//! `objecttrack` gives detections ids that stay from frame to frame ([ByteTrack](crate::tracker)), and carries them
//! over frames that were not inferred. It attaches metas only, and passes the frames on untouched.
//!
//! ```bash
//! gst-launch-1.0 filesrc location=bikes.mp4 ! decodebin ! yoloxdetect model=yolox_nano.onnx interval=2 ! \
//!     objecttrack ! overlay ! videoconvert ! jpegenc ! matroskamux ! filesink location=tracked.mkv
//! ```
//!
//! A frame was inferred if it says so (`yoloxdetect` and `detectionjoin` do, even if nothing was found) or if there
//! are detections on it. As long as no frame of a stream says so, all count as inferred from the first detection on.
//!
//! With `messages=true` each frame also posts an element message `objecttrack` with `pts`, `width`, `height`,
//! `inferred` and `detections`, a JSON array.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::subclass::base_transform::{BaseTransformMode, GenerateOutputSuccess};
use gst_base::subclass::prelude::*;
use sightline_gst_common::{InferenceMeta, add_detection, detections, detections_message, set_track_ids};
use sightline_protocol::Detection;

use crate::CAT;
use crate::clock::Clock;
use crate::tracker::{Thresholds, Tracker};

#[derive(Debug, Clone, Copy)]
struct Settings {
    thresholds: Thresholds,
    carry: bool,
    messages: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            thresholds: Thresholds::default(),
            carry: true,
            messages: false,
        }
    }
}

/// How it is known which frames were inferred.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Detector {
    #[default]
    Unknown,
    /// It marks the frames that it inferred.
    Marks,
    /// It leaves nothing but detections.
    Silent,
}

/// What a stream has.
#[derive(Default)]
struct State {
    tracker: Tracker,
    clock: Clock,
    detector: Detector,
    /// Width and height in pixels, of the negotiated caps.
    size: Option<(u32, u32)>,
    frames: u64,
    inferred: u64,
    /// Boxes added to frames that were not inferred.
    carried: u64,
}

impl State {
    fn is_inferred(&mut self, buffer: &gst::BufferRef, found: bool) -> bool {
        let marked = InferenceMeta::read(buffer).is_some();
        if marked {
            self.detector = Detector::Marks;
        } else if found && self.detector == Detector::Unknown {
            self.detector = Detector::Silent;
        }
        marked || found || self.detector == Detector::Silent
    }

    /// Everything but the size begins again.
    fn restart(&mut self) {
        *self = Self {
            size: self.size,
            ..Self::default()
        };
    }

    fn stats(&self) -> gst::Structure {
        let counts = self.tracker.counts();
        gst::Structure::builder("application/x-objecttrack-stats")
            .field("frames", self.frames)
            .field("inferred", self.inferred)
            .field("carried-boxes", self.carried)
            .field("tracks", counts.followed as u64)
            .field("lost", counts.lost as u64)
            .field("created", counts.created)
            .build()
    }
}

/// The locks are never held together.
#[derive(Default)]
pub struct ObjectTrack {
    state: Mutex<State>,
    settings: Mutex<Settings>,
}

/// No lock here guards an invariant that a panic could have broken.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Width / height.
fn shape((width, height): (u32, u32)) -> f64 {
    f64::from(width) / f64::from(height)
}

impl ObjectTrack {
    fn process(&self, buffer: &mut gst::Buffer) -> Result<(), gst::FlowError> {
        let settings = *lock(&self.settings);
        let mut state = lock(&self.state);
        let size = state.size.ok_or(gst::FlowError::NotNegotiated)?;
        let frames = state.clock.tick(buffer.pts().map(gst::ClockTime::nseconds));
        state.tracker.advance(frames, settings.thresholds.buffer);
        state.frames += 1;

        let mut found = detections(buffer, size);
        let inferred = state.is_inferred(buffer, !found.is_empty());
        if inferred {
            state.inferred += 1;
            let ids = state.tracker.update(&found, shape(size), &settings.thresholds);
            if ids.iter().any(Option::is_some) {
                set_track_ids(buffer.make_mut(), &ids);
            }
            for (detection, id) in found.iter_mut().zip(ids) {
                detection.track_id = id.or(detection.track_id);
            }
        } else if settings.carry {
            found = state.tracker.carried(shape(size));
            state.carried += found.len() as u64;
            for detection in &found {
                add_detection(buffer.make_mut(), detection, size);
            }
        }
        gst::log!(
            CAT,
            imp = self,
            "{:?}: {frames} frames on, {} objects, inferred: {inferred}, {:?}",
            buffer.pts(),
            found.len(),
            state.tracker.counts()
        );
        drop(state);
        if settings.messages {
            self.post(buffer.pts(), size, inferred, &found);
        }
        Ok(())
    }

    /// Posts what is on the frame as a message.
    fn post(&self, pts: Option<gst::ClockTime>, size: (u32, u32), inferred: bool, detections: &[Detection]) {
        let mut structure = detections_message("objecttrack", pts, size, detections);
        structure.set("inferred", inferred);
        let message = gst::message::Element::builder(structure)
            .src(&*self.obj())
            .build();
        if self.obj().post_message(message).is_err() {
            gst::debug!(CAT, imp = self, "Nobody takes messages");
        }
    }
}

#[glib::object_subclass]
impl ObjectSubclass for ObjectTrack {
    const NAME: &'static str = "GstObjectTrack";
    type Type = super::ObjectTrack;
    type ParentType = gst_base::BaseTransform;
}

/// A number from 0 to 1.
fn unit(name: &str, nick: &str, blurb: &str, default: f64) -> glib::ParamSpec {
    glib::ParamSpecDouble::builder(name)
        .nick(nick)
        .blurb(blurb)
        .minimum(0.0)
        .maximum(1.0)
        .default_value(default)
        .mutable_playing()
        .build()
}

fn thresholds() -> Vec<glib::ParamSpec> {
    let defaults = Thresholds::default();
    vec![
        unit(
            "high-threshold",
            "High threshold",
            "Score above which a detection is certain: matched with all tracks, first, 0 to 1",
            defaults.high,
        ),
        unit(
            "low-threshold",
            "Low threshold",
            "Score that a detection must exceed to be matched with the tracks that are left then, 0 to 1",
            defaults.low,
        ),
        unit(
            "new-track-threshold",
            "New track threshold",
            "Score from which a certain detection that matches no track begins one, 0 to 1",
            defaults.new_track,
        ),
        unit(
            "match-threshold",
            "Match threshold",
            "Distance (1 - intersection over union × score, 0 to 1) up to which a certain detection can match a track",
            defaults.matching,
        ),
        glib::ParamSpecUInt::builder("track-buffer")
            .nick("Track buffer")
            .blurb(
                "Number of frames for which a track that is not seen, and boxes that are carried, are kept",
            )
            .maximum(100_000)
            .default_value(defaults.buffer)
            .mutable_playing()
            .build(),
    ]
}

impl ObjectImpl for ObjectTrack {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let defaults = Settings::default();
            let mut properties = thresholds();
            properties.extend([
                glib::ParamSpecBoolean::builder("carry")
                    .nick("Carry")
                    .blurb("Put the boxes of the last inferred frame, moved along, on frames that were not inferred")
                    .default_value(defaults.carry)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecBoolean::builder("messages")
                    .nick("Messages")
                    .blurb("Post an element message with the detections of each frame")
                    .default_value(defaults.messages)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                    .nick("Statistics")
                    .blurb("Of this stream: frames, inferred frames, carried boxes, tracks followed, lost and created")
                    .read_only()
                    .build(),
            ]);
            properties
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let number = || value.get::<f64>().expect("type checked by GObject");
        let flag = || value.get::<bool>().expect("type checked by GObject");
        let mut settings = lock(&self.settings);
        match pspec.name() {
            "high-threshold" => settings.thresholds.high = number(),
            "low-threshold" => settings.thresholds.low = number(),
            "new-track-threshold" => settings.thresholds.new_track = number(),
            "match-threshold" => settings.thresholds.matching = number(),
            "track-buffer" => settings.thresholds.buffer = value.get().expect("type checked by GObject"),
            "carry" => settings.carry = flag(),
            "messages" => settings.messages = flag(),
            name => unreachable!("GObject lets no unknown property `{name}` through"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        if pspec.name() == "stats" {
            return lock(&self.state).stats().to_value();
        }
        let settings = *lock(&self.settings);
        match pspec.name() {
            "high-threshold" => settings.thresholds.high.to_value(),
            "low-threshold" => settings.thresholds.low.to_value(),
            "new-track-threshold" => settings.thresholds.new_track.to_value(),
            "match-threshold" => settings.thresholds.matching.to_value(),
            "track-buffer" => settings.thresholds.buffer.to_value(),
            "carry" => settings.carry.to_value(),
            "messages" => settings.messages.to_value(),
            name => unreachable!("GObject lets no unknown property `{name}` through"),
        }
    }
}

impl GstObjectImpl for ObjectTrack {}

impl ElementImpl for ObjectTrack {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Object tracker",
                "Filter/Analyzer/Video",
                "Gives detections stable ids (ByteTrack) and carries them over frames that were not inferred",
                "The Sightline developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            // Pixels are not looked at: any format will do, in any memory.
            let caps = gst::Caps::builder("video/x-raw").any_features().build();
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

impl BaseTransformImpl for ObjectTrack {
    // Pixels are never touched: allocation and format are between upstream and downstream. Metas are added in
    // `generate_output`, to a writable copy of the buffer that shares its memory.
    const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = true;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.state) = State::default();
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.state) = State::default();
        Ok(())
    }

    fn set_caps(&self, incaps: &gst::Caps, _outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        // Not by `VideoInfo`, which does not know the formats of every kind of memory.
        let structure = incaps
            .structure(0)
            .ok_or_else(|| gst::loggable_error!(CAT, "No caps"))?;
        let side = |name: &str| {
            let side = structure.get::<i32>(name).ok();
            let side = side
                .and_then(|side| u32::try_from(side).ok())
                .filter(|&side| side > 0);
            side.ok_or_else(|| gst::loggable_error!(CAT, "No {name} in {incaps}"))
        };
        let size = (side("width")?, side("height")?);
        let rate = structure
            .get::<gst::Fraction>("framerate")
            .unwrap_or_else(|_| gst::Fraction::new(0, 1));

        let mut state = lock(&self.state);
        state.clock.set_rate(rate.numer(), rate.denom());
        // A mere change of scale, as WebRTC makes them, leaves everything at its place.
        let same_shape = |old| (shape(old) / shape(size) - 1.0).abs() < 0.02;
        if !state.size.replace(size).is_some_and(same_shape) {
            gst::debug!(CAT, imp = self, "A new picture: {incaps}");
            state.tracker.forget();
        }
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        match event.type_() {
            gst::EventType::StreamStart => lock(&self.state).restart(),
            gst::EventType::FlushStop => {
                lock(&self.state).tracker.forget();
            }
            _ => {}
        }
        self.parent_sink_event(event)
    }

    fn generate_output(&self) -> Result<GenerateOutputSuccess, gst::FlowError> {
        let Some(mut buffer) = self.take_queued_buffer() else {
            return Ok(GenerateOutputSuccess::NoOutput);
        };
        self.process(&mut buffer)?;
        Ok(GenerateOutputSuccess::Buffer(buffer))
    }
}
