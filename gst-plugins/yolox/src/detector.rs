//! A model with all that belongs to it: pictures in, objects out.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::batch::{BatchError, Membership};
use crate::engine::{self, Engine, EngineError, Normalisation, Row};
use crate::instance::{Config, Instance, InstanceError};
use crate::labels::{Labels, LabelsError};
use crate::model::Model;
use crate::normalise;
use crate::postprocess::{Object, Params, Postprocessor};
use crate::preprocess::{Picture, Preprocessor};
use crate::provider::Provider;

#[derive(Debug, thiserror::Error)]
pub enum DetectorError {
    #[error(transparent)]
    Instance(#[from] InstanceError),
    #[error(transparent)]
    Labels(#[from] LabelsError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("{model}: {source}")]
    Batch { model: String, source: BatchError },
}

/// How long each stage of one frame took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    pub preprocess: Duration,
    /// Until the model was free and the batch complete.
    pub wait: Duration,
    pub infer: Duration,
    pub postprocess: Duration,
    /// Number of frames in the batch.
    pub batch: usize,
}

/// Layouts of pictures whose rooms are kept: of sessions whose frames come in turn.
const LAYOUTS: usize = 4;

/// Room for pictures of one layout: the model's input, which goes to the batch and comes back, and what is found.
struct Room {
    preprocessor: Preprocessor,
    row: Row,
    /// The pixels of a legacy model, before they are normalised.
    pixels: Option<Vec<f32>>,
    postprocessor: Postprocessor,
}

impl Room {
    fn new(picture: &Picture, instance: &Instance) -> Result<Self, EngineError> {
        let (layout, model) = (*picture.layout(), &instance.model);
        let size = model.input_for((layout.width, layout.height));
        let preprocessor = Preprocessor::new(layout, size);
        let mut row = engine::row(size, instance.samples)?;
        let mut pixels = None;
        match &mut row {
            Row::Bytes(bytes) => preprocessor.pad(bytes),
            Row::Floats(tensor) => {
                let tensor = tensor.extract_tensor_mut().1;
                if instance.normalisation() == Normalisation::Legacy {
                    pixels = Some(vec![0.0; tensor.len()]);
                }
                preprocessor.pad(pixels.as_deref_mut().unwrap_or(tensor));
            }
        }
        Ok(Self {
            preprocessor,
            row,
            pixels,
            postprocessor: Postprocessor::new(model.classes, size, model.strides, model.decoded),
        })
    }

    fn fill(&mut self, picture: &Picture) {
        let tensor = match &mut self.row {
            Row::Bytes(bytes) => return self.preprocessor.fill(picture, bytes),
            Row::Floats(tensor) => tensor.extract_tensor_mut().1,
        };
        match &mut self.pixels {
            Some(pixels) => {
                self.preprocessor.fill(picture, pixels);
                normalise::legacy(pixels, tensor);
            }
            None => self.preprocessor.fill(picture, tensor),
        }
    }
}

pub struct Detector {
    instance: Arc<Instance>,
    membership: Arc<Membership<Engine>>,
    labels: Labels,
    /// The last used first.
    rooms: Vec<Room>,
}

impl Detector {
    /// Elements with the same `id` share a model; one without has its own.
    pub fn load(id: Option<&str>, config: &Config, labels: Option<PathBuf>) -> Result<Self, DetectorError> {
        let instance = Instance::get(id, config)?;
        let model = &instance.model;
        let labels = Labels::find(labels.as_deref(), &config.model, model.classes)?;
        Ok(Self {
            membership: Arc::new(instance.batcher.join()),
            rooms: Vec::new(),
            labels,
            instance,
        })
    }

    pub fn model(&self) -> &Model {
        &self.instance.model
    }

    pub fn provider(&self) -> Provider {
        self.instance.provider
    }

    /// Why the model does not run on each provider that `auto` would have taken rather.
    pub fn passed_over(&self) -> &[EngineError] {
        &self.instance.passed_over
    }

    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// By which other threads can end this one's waits.
    pub fn membership(&self) -> Arc<Membership<Engine>> {
        self.membership.clone()
    }

    /// Finds the objects of the classes that are `wanted`. A batch waits for others at most for `timeout`.
    pub fn detect(
        &mut self,
        picture: &Picture,
        params: &Params,
        wanted: &[bool],
        timeout: Duration,
    ) -> Result<(&[Object], Times), DetectorError> {
        let start = Instant::now();
        let layout = *picture.layout();
        // Room is made once for all pictures of a layout. One whose run failed is not seen again.
        let is_fit = |room: &Room| *room.preprocessor.layout() == layout;
        let mut room = match self.rooms.iter().position(is_fit) {
            Some(at) => self.rooms.remove(at),
            None => Room::new(picture, &self.instance)?,
        };
        room.fill(picture);
        let preprocess = start.elapsed();

        let done = self
            .membership
            .infer(room.row, timeout)
            .map_err(|source| DetectorError::Batch {
                model: self.instance.model.name.clone(),
                source,
            })?;
        room.row = done.row;
        self.rooms.truncate(LAYOUTS - 1);
        self.rooms.insert(0, room);

        let inferred = Instant::now();
        let frame = (layout.width, layout.height);
        let predictions = done.output.row(done.index)?;
        let Room {
            preprocessor,
            postprocessor,
            ..
        } = &mut self.rooms[0];
        let ratio = preprocessor.letterbox().ratio;
        let objects = postprocessor.objects(predictions, params, wanted, ratio, frame);
        let times = Times {
            preprocess,
            wait: done.wait,
            infer: done.run,
            postprocess: inferred.elapsed(),
            batch: done.size,
        };
        Ok((objects, times))
    }
}
