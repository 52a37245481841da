//! A model with all that belongs to it: pictures in, objects out.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ort::value::Tensor;

use crate::batch::{BatchError, Membership};
use crate::engine::{self, Engine, EngineError};
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

/// How the model's input is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Normalisation {
    /// Blue, green, red; 0 to 255.
    #[default]
    None,
    /// As YOLOX up to 0.1.0 had it.
    Legacy,
}

/// The model's input of one frame, which goes to the batch and comes back.
struct Input {
    preprocessor: Preprocessor,
    row: Tensor<f32>,
    /// The pixels of a legacy model, before they are normalised.
    pixels: Option<Vec<f32>>,
}

impl Input {
    fn new(picture: &Picture, model: &Model, normalisation: Normalisation) -> Result<Self, EngineError> {
        let preprocessor = Preprocessor::new(*picture.layout(), model.size);
        let mut row = engine::row(model.size)?;
        let tensor = row.extract_tensor_mut().1;
        let mut pixels = (normalisation == Normalisation::Legacy).then(|| vec![0.0; tensor.len()]);
        preprocessor.pad(pixels.as_deref_mut().unwrap_or(tensor));
        Ok(Self {
            preprocessor,
            row,
            pixels,
        })
    }

    fn fill(&mut self, picture: &Picture) {
        let tensor = self.row.extract_tensor_mut().1;
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
    normalisation: Normalisation,
    input: Option<Input>,
    postprocessor: Postprocessor,
}

impl Detector {
    /// Elements with the same `id` share a model; one without has its own.
    pub fn load(
        id: Option<&str>,
        config: &Config,
        labels: Option<PathBuf>,
        normalisation: Normalisation,
    ) -> Result<Self, DetectorError> {
        let instance = Instance::get(id, config)?;
        let model = &instance.model;
        let labels = Labels::find(labels.as_deref(), &config.model, model.classes)?;
        Ok(Self {
            postprocessor: Postprocessor::new(model.classes, model.size, model.strides, model.decoded),
            membership: Arc::new(instance.batcher.join()),
            input: None,
            normalisation,
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
        // Room is made once for all pictures of a layout. An input whose run failed is not seen again.
        let mut input = match self.input.take() {
            Some(input) if *input.preprocessor.layout() == layout => input,
            _ => Input::new(picture, &self.instance.model, self.normalisation)?,
        };
        input.fill(picture);
        let preprocess = start.elapsed();

        let Input {
            preprocessor,
            row,
            pixels,
        } = input;
        let done = self
            .membership
            .infer(row, timeout)
            .map_err(|source| DetectorError::Batch {
                model: self.instance.model.name.clone(),
                source,
            })?;
        let ratio = preprocessor.letterbox().ratio;
        let row = done.row;
        self.input = Some(Input {
            preprocessor,
            row,
            pixels,
        });

        let inferred = Instant::now();
        let frame = (layout.width, layout.height);
        let predictions = done.output.row(done.index)?;
        let objects = self
            .postprocessor
            .objects(predictions, params, wanted, ratio, frame);
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
