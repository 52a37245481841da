//! One model in ONNX Runtime.

use ort::logging::LogLevel;
use ort::memory::Allocator;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor, TensorRef};

use crate::CAT;
use crate::batch::Runner;
use crate::model::{Graph, Model, ModelError, rewrite, sizes};
use crate::provider::Provider;
use crate::runtime::{self, RuntimeError};

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(
        "this ONNX Runtime was not built with {0}; point ORT_DYLIB_PATH to a build that was, \
         or set `execution-provider` to `auto` or `cpu`"
    )]
    NoProvider(&'static str),
    #[error("{0} does not load: {1}; check its driver and libraries, or set `execution-provider` to `cpu`")]
    Provider(&'static str, ort::Error),
    #[error("ONNX Runtime: {0}")]
    Ort(#[from] ort::Error),
}

/// How a model is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub provider: Provider,
    pub device: u32,
    /// Threads that work on one run together (0: as many as ONNX Runtime thinks fit).
    pub threads: usize,
    /// The most frames in one run.
    pub batch: usize,
    pub shape: InputShape,
}

/// The shape of the model's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InputShape {
    /// As it was exported; what a picture leaves free is padding.
    #[default]
    Model,
    /// As the picture, where the model can be run so: one frame at a time, on processors.
    Picture,
}

impl InputShape {
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Picture => "picture",
        }
    }
}

/// A loaded model. One frame's input are planes of height × width.
pub struct Engine {
    session: Session,
    input: String,
    output: String,
    /// If it is fixed.
    batch: Option<usize>,
    /// Room for a batch.
    gathered: Vec<f32>,
    /// What its output has to be; nothing until that is known.
    model: Option<Model>,
}

pub struct Loaded {
    pub engine: Engine,
    pub model: Model,
    /// What it runs on.
    pub provider: Provider,
    /// Why it does not run on each provider that `auto` would have taken rather.
    pub passed_over: Vec<EngineError>,
}

pub fn load(graph: &Graph, bytes: &[u8], options: &Options) -> Result<Loaded, EngineError> {
    graph.check_batch(options.batch)?;
    let is_wanted = options.shape == InputShape::Picture && options.batch == 1 && !graph.is_decoded();
    if let Some(free) = is_wanted.then(|| sizes::free(bytes)).flatten() {
        match load_as(graph, bytes, Some(&free), options) {
            Ok(loaded) => return Ok(loaded),
            Err(error) => gst::warning!(CAT, "goes on without input-shape=picture: {error}"),
        }
    }
    load_as(graph, bytes, None, options)
}

/// `free` is the model with its size left open, for processors.
fn load_as(
    graph: &Graph,
    bytes: &[u8],
    free: Option<&[u8]>,
    options: &Options,
) -> Result<Loaded, EngineError> {
    let (session, provider, passed_over) = open(bytes, free, options)?;
    let is_free = free.is_some() && provider == Provider::Cpu;
    let mut engine = Engine {
        session,
        input: graph.input.clone(),
        output: graph.output.clone(),
        batch: graph.batch,
        gathered: Vec::new(),
        model: None,
    };
    let dims = engine.warm_up(graph.size, options.batch)?;
    let ran = (is_free || graph.is_open()).then_some(&dims[..]);
    let model = Model {
        is_free,
        ..graph.model(ran)?
    };
    engine.model = Some(model.clone());
    if is_free {
        // Only a run shows that nothing else in the graph knows the size.
        let smallest = row(model.input_for((graph.size.0, 1)))?;
        engine.run(&[smallest]).map_err(ort::Error::new)?;
    }
    Ok(Loaded {
        engine,
        model,
        provider,
        passed_over,
    })
}

/// The session, on the first provider that takes the model, and why those before it did not.
fn open(
    bytes: &[u8],
    free: Option<&[u8]>,
    options: &Options,
) -> Result<(Session, Provider, Vec<EngineError>), EngineError> {
    // The library must be there before it can be asked.
    runtime::environment()?;
    let is_built_in = |provider: Provider| provider.is_built_in().unwrap_or(false);
    let mut passed_over = Vec::new();
    for provider in options.provider.candidates(is_built_in) {
        let model = free.filter(|_| provider == Provider::Cpu).unwrap_or(bytes);
        match open_on(provider, model, options) {
            Ok(session) => return Ok((session, provider, passed_over)),
            Err(error) => passed_over.push(error),
        }
    }
    let last = passed_over.pop();
    Err(last.unwrap_or(EngineError::NoProvider(options.provider.name())))
}

fn open_on(provider: Provider, bytes: &[u8], options: &Options) -> Result<Session, EngineError> {
    if !provider.is_built_in()? {
        return Err(EngineError::NoProvider(provider.name()));
    }
    let mut builder = configure(Session::builder(runtime::environment()?)?, options.threads)?;
    if let Some(dispatch) = provider.dispatch(options.device, options.threads) {
        builder = builder
            .with_execution_providers([dispatch])
            .map_err(|error| EngineError::Provider(provider.name(), error.into()))?;
    }
    // Accelerators compile graphs their own way.
    let faster = (provider == Provider::Cpu)
        .then(|| rewrite::faster(bytes, rewrite::RULES))
        .flatten();
    let session = builder.commit_from_memory(faster.as_deref().unwrap_or(bytes));
    session.map_err(|error| match provider {
        Provider::Cpu => EngineError::Ort(error),
        provider => EngineError::Provider(provider.name(), error),
    })
}

fn configure(builder: SessionBuilder, threads: usize) -> Result<SessionBuilder, ort::Error> {
    Ok(builder
        .with_log_level(LogLevel::Warning)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        // Threads that spin while they wait starve the decoder and the other workers of a busy machine.
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?)
}

/// Colours of a picture.
const PLANES: usize = 3;

/// Room for one frame's input, of 3 × `height` × `width`, where ONNX Runtime likes it.
pub fn row((width, height): (usize, usize)) -> Result<Tensor<f32>, EngineError> {
    let mut row = Tensor::new(&Allocator::default(), [1, PLANES, height, width])?;
    row.extract_tensor_mut().1.fill(0.0);
    Ok(row)
}

/// Width and height of a frame's input.
fn size_of(row: &Tensor<f32>) -> (usize, usize) {
    let side = |index: usize| {
        row.shape()
            .get(index)
            .and_then(|size| usize::try_from(*size).ok())
    };
    (side(3).unwrap_or_default(), side(2).unwrap_or_default())
}

impl Engine {
    /// The first run makes room and, on accelerators, chooses kernels: better now than with the first frames.
    /// Gives the dimensions of the last run's output.
    fn warm_up(&mut self, size: (usize, usize), batch: usize) -> Result<Vec<usize>, EngineError> {
        let mut dims = Vec::new();
        let batches = if batch > 1 { &[batch, 1][..] } else { &[1] };
        for frames in batches {
            let rows: Result<Vec<_>, _> = (0..*frames).map(|_| row(size)).collect();
            let output = self.compute(&rows?)?;
            let shape = output.try_extract_tensor::<f32>()?.0;
            dims = shape
                .iter()
                .filter_map(|size| usize::try_from(*size).ok())
                .collect();
        }
        Ok(dims)
    }

    fn compute(&mut self, rows: &[Tensor<f32>]) -> Result<DynValue, EngineError> {
        let size = self.batch.unwrap_or(rows.len());
        let value: SessionInputValue = match rows {
            [row] if size == 1 => row.into(),
            rows => {
                let (width, height) = rows.first().map_or((0, 0), size_of);
                let length = PLANES * height * width;
                self.gathered.resize(size * length, 0.0);
                for (row, room) in rows.iter().zip(self.gathered.chunks_exact_mut(length)) {
                    room.copy_from_slice(row.extract_tensor().1);
                }
                let shape = [size, PLANES, height, width];
                TensorRef::from_array_view((shape, &self.gathered[..]))?.into()
            }
        };
        let mut outputs = self.session.run(vec![(self.input.as_str(), value)])?;
        let name = self.output.as_str();
        let missing = || EngineError::Ort(ort::Error::new(format!("no output {name}")));
        outputs.remove(name).ok_or_else(missing)
    }
}

/// What the model said of a batch.
pub struct Output {
    value: DynValue,
    /// Of one frame.
    length: usize,
}

impl Output {
    /// The predictions of one frame.
    pub fn row(&self, index: usize) -> Result<&[f32], EngineError> {
        let (_, values) = self.value.try_extract_tensor()?;
        let row = values.chunks_exact(self.length).nth(index);
        row.ok_or_else(|| EngineError::Ort(ort::Error::new(format!("no row {index} in the output"))))
    }
}

impl Runner for Engine {
    type Row = Tensor<f32>;
    type Output = Output;

    fn run(&mut self, rows: &[Self::Row]) -> Result<Output, String> {
        let value = self.compute(rows).map_err(|error| error.to_string())?;
        let shape = value
            .try_extract_tensor::<f32>()
            .map_err(|error| error.to_string())?
            .0;
        let size = rows.first().map_or((0, 0), size_of);
        let expected = self
            .model
            .as_ref()
            .map_or([0; 2], |model| [model.predictions(size), 5 + model.classes]);
        let [anchors, values] = expected;
        if !holds(shape, rows.len(), expected) {
            let (found, batch) = (&shape[..], rows.len());
            return Err(format!(
                "the model's output is {found:?} for a batch of {batch}; expected {anchors}×{values} for each frame"
            ));
        }
        let length = anchors * values;
        Ok(Output { value, length })
    }
}

/// Whether an output of this shape holds `expected` values for each of `rows` frames. A graph may say one thing and
/// do another.
fn holds(shape: &[i64], rows: usize, expected: [usize; 2]) -> bool {
    let sizes: Vec<_> = shape
        .iter()
        .filter_map(|size| usize::try_from(*size).ok())
        .collect();
    matches!(sizes[..], [batch, anchors, values] if batch >= rows && [anchors, values] == expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_must_hold_every_frame() {
        assert!(holds(&[2, 2100, 8], 2, [2100, 8]));
        assert!(
            holds(&[2, 2100, 8], 1, [2100, 8]),
            "the last rows of a fixed batch may be empty"
        );
        assert!(!holds(&[1, 2100, 8], 2, [2100, 8]));
        assert!(!holds(&[2, 2100, 9], 2, [2100, 8]));
        assert!(!holds(&[2, 16800], 2, [2100, 8]));
        assert!(!holds(&[-1, 2, 2100, 8], 3, [2100, 8]));
    }

    fn loaded(bytes: &[u8], shape: InputShape) -> (Engine, Model) {
        let graph = Graph::parse(bytes, std::path::Path::new("head.onnx")).unwrap();
        let options = Options {
            provider: Provider::Cpu,
            device: 0,
            threads: 1,
            batch: 1,
            shape,
        };
        let Loaded { engine, model, .. } = load(&graph, bytes, &options).unwrap();
        (engine, model)
    }

    /// What the model says of a picture with `height` rows that are not grey.
    fn predicted(engine: &mut Engine, size: (usize, usize), height: usize) -> Vec<f32> {
        let mut input = row(size).unwrap();
        for (at, value) in input.extract_tensor_mut().1.iter_mut().enumerate() {
            let (x, y) = (at % size.0, at / size.0 % size.1);
            *value = if y < height { (x * y % 251) as f32 } else { 114.0 };
        }
        engine.run(&[input]).unwrap().row(0).unwrap().to_vec()
    }

    #[test]
    fn a_picture_of_any_shape_is_inferred_without_its_padding() {
        let head = crate::model::network::head();
        let (mut whole, model) = loaded(&head, InputShape::Model);
        assert_eq!(model.input_for((640, 270)), (64, 64));
        let (mut free, model) = loaded(&head, InputShape::Picture);
        assert_eq!(model.input_for((640, 270)), (64, 32));
        assert_eq!(model.input_for((270, 640)), (32, 64));
        let (before, after) = (
            predicted(&mut whole, (64, 64), 27),
            predicted(&mut free, (64, 32), 27),
        );
        // 8 × 4 cells of stride 8, 4 × 2 of 16, 2 × 1 of 32: the first half of each grid.
        let grids = [(0, 32), (64, 8), (80, 2)];
        let upper = grids
            .map(|(first, cells)| &before[first * 7..][..cells * 7])
            .concat();
        assert_eq!(upper, after);
        assert_eq!(predicted(&mut free, (32, 64), 64).len(), 42 * 7);
        assert_eq!(predicted(&mut free, (64, 64), 27), before);
    }

    #[test]
    fn a_model_that_knows_its_size_keeps_it() {
        let models = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        for name in ["blobs.onnx", "blobs_decoded.onnx", "blobs_p6.onnx"] {
            let bytes = std::fs::read(models.join(name)).unwrap();
            let (mut engine, model) = loaded(&bytes, InputShape::Picture);
            assert_eq!(
                (model.is_free, model.input_for((640, 100))),
                (false, model.size),
                "{name}"
            );
            assert_eq!(
                predicted(&mut engine, model.size, 9).len(),
                model.anchors * (5 + model.classes)
            );
        }
    }
}
