//! A model with all that belongs to it: pictures in, objects out.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::engine::{Engine, EngineError, Provider};
use crate::labels::{Labels, LabelsError};
use crate::model::{Model, ModelError};
use crate::postprocess::{Object, Params, Postprocessor};
use crate::preprocess::{Picture, Preprocessor};

/// Which model to load, and how to run it.
#[derive(Debug, Clone, Default)]
pub struct Config {
    pub model: PathBuf,
    pub labels: Option<PathBuf>,
    pub provider: Provider,
    pub device: u32,
    pub threads: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum DetectorError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Labels(#[from] LabelsError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// How long each stage of one frame took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    pub preprocess: Duration,
    pub infer: Duration,
    pub postprocess: Duration,
}

pub struct Detector {
    model: Model,
    labels: Labels,
    engine: Engine,
    preprocessor: Option<Preprocessor>,
    postprocessor: Postprocessor,
}

impl Detector {
    pub fn load(config: &Config) -> Result<Self, DetectorError> {
        let (model, bytes) = Model::read(&config.model)?;
        let labels = Labels::find(config.labels.as_deref(), &config.model, model.classes)?;
        let engine = Engine::new(&model, &bytes, config.provider, config.device, config.threads)?;
        Ok(Self {
            postprocessor: Postprocessor::new(model.classes, model.size, model.strides, model.decoded),
            preprocessor: None,
            engine,
            labels,
            model,
        })
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Finds the objects of the classes that are `wanted`.
    pub fn detect(
        &mut self,
        picture: &Picture,
        params: &Params,
        wanted: &[bool],
    ) -> Result<(&[Object], Times), DetectorError> {
        let start = Instant::now();
        let layout = *picture.layout();
        let input = self.engine.input();
        let preprocessor = match &mut self.preprocessor {
            Some(preprocessor) if *preprocessor.layout() == layout => preprocessor,
            // Room is made once for all pictures of a layout.
            other => {
                let preprocessor = Preprocessor::new(layout, self.model.size);
                preprocessor.pad(input);
                other.insert(preprocessor)
            }
        };
        preprocessor.fill(picture, input);
        let ratio = preprocessor.letterbox().ratio;
        let prepared = Instant::now();
        let output = self.engine.run()?;
        let inferred = Instant::now();
        let frame = (layout.width, layout.height);
        let objects = self.postprocessor.objects(output, params, wanted, ratio, frame);
        let times = Times {
            preprocess: prepared - start,
            infer: inferred - prepared,
            postprocess: inferred.elapsed(),
        };
        Ok((objects, times))
    }
}
