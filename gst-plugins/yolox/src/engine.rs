//! One model in ONNX Runtime.

use ort::logging::LogLevel;
use ort::memory::Allocator;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor, TensorRef};

use crate::CAT;
use crate::batch::Runner;
use crate::model::{Graph, Model, ModelError, rewrite};
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
}

/// A loaded model. One frame's input are planes of height × width.
pub struct Engine {
    session: Session,
    input: String,
    output: String,
    /// Batch (if it is fixed), 3, height, width.
    shape: (Option<usize>, [usize; 3]),
    /// Room for a batch.
    gathered: Vec<f32>,
    /// Predictions of a frame, and their length; zero until they are known.
    expected: [usize; 2],
}

/// Loads a model; also says what its facts are, and what it runs on.
pub fn load(
    graph: &Graph,
    bytes: &[u8],
    options: &Options,
) -> Result<(Engine, Model, Provider), EngineError> {
    graph.check_batch(options.batch)?;
    let (session, provider) = open(bytes, options)?;
    let (width, height) = graph.size;
    let mut engine = Engine {
        session,
        input: graph.input.clone(),
        output: graph.output.clone(),
        shape: (graph.batch, [3, height, width]),
        gathered: Vec::new(),
        expected: [0; 2],
    };
    let dims = engine.warm_up(options.batch)?;
    let model = graph.model(graph.is_open().then_some(&dims[..]))?;
    engine.expected = [model.anchors, 5 + model.classes];
    Ok((engine, model, provider))
}

/// The session, on the first provider that takes the model.
fn open(bytes: &[u8], options: &Options) -> Result<(Session, Provider), EngineError> {
    // The library must be there before it can be asked.
    runtime::environment()?;
    let is_built_in = |provider: Provider| provider.is_built_in().unwrap_or(false);
    let mut candidates = options.provider.candidates(is_built_in).into_iter().peekable();
    while let Some(provider) = candidates.next() {
        let error = match open_on(provider, bytes, options) {
            Ok(session) => return Ok((session, provider)),
            Err(error) => error,
        };
        if candidates.peek().is_none() {
            return Err(error);
        }
        gst::warning!(
            CAT,
            "execution-provider=auto goes on without {}: {error}",
            provider.name()
        );
    }
    Err(EngineError::NoProvider(options.provider.name()))
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

/// Room for one frame's input, of 3 × `height` × `width`, where ONNX Runtime likes it.
pub fn row((width, height): (usize, usize)) -> Result<Tensor<f32>, EngineError> {
    let mut row = Tensor::new(&Allocator::default(), [1, 3, height, width])?;
    row.extract_tensor_mut().1.fill(0.0);
    Ok(row)
}

impl Engine {
    /// The first run makes room and, on accelerators, chooses kernels: better now than with the first frames.
    /// Gives the dimensions of the last run's output.
    fn warm_up(&mut self, batch: usize) -> Result<Vec<usize>, EngineError> {
        let [_, height, width] = self.shape.1;
        let mut dims = Vec::new();
        let sizes = if batch > 1 { &[batch, 1][..] } else { &[1] };
        for size in sizes {
            let rows: Result<Vec<_>, _> = (0..*size).map(|_| row((width, height))).collect();
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
        let (batch, [planes, height, width]) = self.shape;
        let size = batch.unwrap_or(rows.len());
        let value: SessionInputValue = match rows {
            [row] if size == 1 => row.into(),
            rows => {
                let length = planes * height * width;
                self.gathered.resize(size * length, 0.0);
                for (row, room) in rows.iter().zip(self.gathered.chunks_exact_mut(length)) {
                    room.copy_from_slice(row.extract_tensor().1);
                }
                let shape = [size, planes, height, width];
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
        let [anchors, values] = self.expected;
        if !holds(shape, rows.len(), self.expected) {
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
}
