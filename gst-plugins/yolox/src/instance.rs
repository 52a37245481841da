//! Models that several elements share.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::batch::Batcher;
use crate::engine::{self, Engine, EngineError, Loaded, Normalisation, Options, Samples};
use crate::model::{Graph, Model};
use crate::provider::Provider;

#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(
        "`model-instance-id` {id:?} is in use with other settings: {differences}; \
         give elements that share a model the same settings, or this one another id"
    )]
    Differs { id: String, differences: String },
}

/// Which model to load, and how to run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub model: PathBuf,
    pub options: Options,
}

impl Config {
    /// What differs, for people.
    fn differences(&self, there: &Self) -> String {
        let mut differences = Vec::new();
        let mut compare = |name: &str, here: &dyn Display, there: &dyn Display| {
            let (here, there) = (here.to_string(), there.to_string());
            if here != there {
                differences.push(format!("`{name}` is {there} there and {here} here"));
            }
        };
        let (own, other) = (&self.options, &there.options);
        compare("model", &self.model.display(), &there.model.display());
        compare("execution-provider", &own.provider.name(), &other.provider.name());
        compare("device-id", &own.device, &other.device);
        compare("intra-threads", &own.threads, &other.threads);
        compare("batch-size", &own.batch, &other.batch);
        compare("input-shape", &own.shape.name(), &other.shape.name());
        let names = [own, other].map(|options| options.normalisation.name());
        compare("normalisation", &names[0], &names[1]);
        differences.join(", ")
    }
}

/// A loaded model.
pub struct Instance {
    config: Config,
    pub model: Model,
    /// What a frame's input is made of.
    pub samples: Samples,
    /// What the model runs on.
    pub provider: Provider,
    /// Why it does not run on each provider that `auto` would have taken rather.
    pub passed_over: Vec<EngineError>,
    pub batcher: Arc<Batcher<Engine>>,
}

impl Instance {
    fn load(config: &Config) -> Result<Arc<Self>, EngineError> {
        let (graph, bytes) = Graph::read(&config.model)?;
        let Loaded {
            engines,
            model,
            samples,
            provider,
            passed_over,
        } = engine::load(&graph, &bytes, &config.options)?;
        Ok(Arc::new(Self {
            config: config.clone(),
            model,
            samples,
            provider,
            passed_over,
            batcher: Batcher::new(engines, config.options.batch),
        }))
    }

    pub fn normalisation(&self) -> Normalisation {
        self.config.options.normalisation
    }

    /// The instance of an id, loaded if nobody has it; without an id one of its own.
    pub fn get(id: Option<&str>, config: &Config) -> Result<Arc<Self>, InstanceError> {
        let Some(id) = id else {
            return Ok(Self::load(config)?);
        };
        let slot = slot(id);
        // Who asks for the same id waits until it is loaded; others do not.
        let mut instance = lock(&slot);
        if let Some(instance) = instance.upgrade() {
            let differences = config.differences(&instance.config);
            return if differences.is_empty() {
                Ok(instance)
            } else {
                let id = id.to_owned();
                Err(InstanceError::Differs { id, differences })
            };
        }
        let loaded = Self::load(config)?;
        *instance = Arc::downgrade(&loaded);
        Ok(loaded)
    }
}

type Slot = Arc<Mutex<Weak<Instance>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the instance of an id is kept.
fn slot(id: &str) -> Slot {
    static SLOTS: Mutex<Option<HashMap<String, Slot>>> = Mutex::new(None);
    let mut slots = lock(&SLOTS);
    let slots = slots.get_or_insert_default();
    let is_used = |slot: &Slot| Arc::strong_count(slot) > 1 || lock(slot).strong_count() > 0;
    slots.retain(|_, slot| is_used(slot));
    slots.entry(id.to_owned()).or_default().clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::InputShape;

    fn config(model: &str, batch: usize) -> Config {
        let models = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        let options = Options {
            provider: Provider::Cpu,
            device: 0,
            threads: 1,
            batch,
            shape: InputShape::default(),
            normalisation: Normalisation::default(),
        };
        Config {
            model: models.join(model),
            options,
        }
    }

    #[test]
    fn an_id_is_one_model_and_the_last_frees_it() {
        let dynamic = config("blobs_dynamic.onnx", 2);
        let first = Instance::get(Some("a test"), &dynamic).unwrap();
        let second = Instance::get(Some("a test"), &dynamic).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert!(!Arc::ptr_eq(&first, &Instance::get(None, &dynamic).unwrap()));
        assert!(!Arc::ptr_eq(
            &first,
            &Instance::get(Some("another"), &dynamic).unwrap()
        ));

        let error = Instance::get(Some("a test"), &config("blobs.onnx", 1))
            .err()
            .unwrap();
        let message = error.to_string();
        for words in [
            "\"a test\"",
            "blobs_dynamic.onnx there",
            "blobs.onnx here",
            "`batch-size` is 2 there and 1 here",
        ] {
            assert!(message.contains(words), "{words:?} is not in {message}");
        }
        assert!(!message.contains("device-id"), "{message}");

        let weak = Arc::downgrade(&first);
        drop((first, second));
        assert!(weak.upgrade().is_none());
        assert!(
            Instance::get(Some("a test"), &config("blobs.onnx", 1)).is_ok(),
            "the id is free again"
        );
    }
}
