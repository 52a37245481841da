//! One model in ONNX Runtime.

use ort::logging::LogLevel;
use ort::memory::Allocator;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor, TensorRef};

use crate::CAT;
use crate::batch::Runner;
use crate::model::{Graph, Model, ModelError, bytes, rewrite, sizes};
use crate::provider::Provider;
use crate::runtime::{self, RuntimeError};

mod device;
#[cfg(test)]
mod tests;

pub use device::Memory;
use device::{Lane, Lent};

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
    pub normalisation: Normalisation,
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

impl Normalisation {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Legacy => "legacy",
        }
    }
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

/// What runs a loaded model.
pub struct Engine {
    way: Way,
    model: Model,
}

enum Way {
    /// In memory of the host, by the thread that asks for it.
    Direct(Direct),
    /// On a device with memory of its own.
    Device(Lane),
}

/// A model of which ONNX Runtime takes and gives tensors of the host.
struct Direct {
    session: Session,
    input: String,
    output: String,
    /// If it is fixed.
    batch: Option<usize>,
    /// Room for a batch.
    gathered: Vec<f32>,
}

/// One frame's input: planes of height × width.
pub enum Row {
    /// Where ONNX Runtime likes it.
    Floats(Tensor<f32>),
    Bytes(Vec<u8>),
}

/// What a frame's input is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Samples {
    Floats,
    Bytes,
}

pub struct Loaded {
    /// More than one if a batch can be made ready while another runs.
    pub engines: Vec<Engine>,
    pub model: Model,
    /// What the engines take.
    pub samples: Samples,
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
    // The library must be there before it can be asked.
    runtime::environment()?;
    let is_built_in = |provider: Provider| provider.is_built_in().unwrap_or(false);
    let mut passed_over = Vec::new();
    for provider in options.provider.candidates(is_built_in) {
        let free = free.filter(|_| provider == Provider::Cpu);
        let loaded = match provider.memory(options.device) {
            Some(memory) => on_device(graph, bytes, provider, &memory, options),
            None => direct(graph, bytes, free, provider, options),
        };
        match loaded {
            Ok(loaded) => {
                return Ok(Loaded {
                    passed_over,
                    ..loaded
                });
            }
            Err(error) => passed_over.push(error),
        }
    }
    let last = passed_over.pop();
    Err(last.unwrap_or(EngineError::NoProvider(options.provider.name())))
}

/// A model that runs where the frames are.
fn direct(
    graph: &Graph,
    bytes: &[u8],
    free: Option<&[u8]>,
    provider: Provider,
    options: &Options,
) -> Result<Loaded, EngineError> {
    let is_free = free.is_some();
    let mut direct = Direct {
        session: open_on(provider, free.unwrap_or(bytes), options, false)?,
        input: graph.input.clone(),
        output: graph.output.clone(),
        batch: graph.batch,
        gathered: Vec::new(),
    };
    let dims = direct.warm_up(graph.size, options.batch)?;
    let ran = (is_free || graph.is_open()).then_some(&dims[..]);
    let model = Model {
        is_free,
        ..graph.model(ran)?
    };
    let mut engine = Engine {
        way: Way::Direct(direct),
        model: model.clone(),
    };
    if is_free {
        // Only a run shows that nothing else in the graph knows the size.
        let smallest = row(model.input_for((graph.size.0, 1)), Samples::Floats)?;
        engine.run(&[smallest]).map_err(ort::Error::new)?;
    }
    Ok(Loaded {
        engines: vec![engine],
        model,
        samples: Samples::Floats,
        provider,
        passed_over: Vec::new(),
    })
}

/// Batches in a device at a time: one runs, and the next is made ready.
const LANES: usize = 2;

/// A model on a device with memory of its own, in the fastest way that it takes.
fn on_device(
    graph: &Graph,
    bytes: &[u8],
    provider: Provider,
    memory: &Memory,
    options: &Options,
) -> Result<Loaded, EngineError> {
    let is_whole = options.normalisation == Normalisation::None;
    let Some(taken) = is_whole.then(|| bytes::taken(bytes)).flatten() else {
        return direct(graph, bytes, None, provider, options);
    };
    let load = |records| -> Result<Loaded, EngineError> {
        let is_allowed = device::beside_others();
        let session = open_on(provider, &taken, options, records)?;
        drop(is_allowed);
        let setup = device::Setup {
            session,
            input: graph.input.clone(),
            output: graph.output.clone(),
            size: graph.size,
            batches: device::batches(options.batch, graph.batch),
            memory: memory.clone(),
            records,
        };
        let (lanes, dims) = device::start(setup, LANES)?;
        let model = graph.model(graph.is_open().then_some(&dims[..]))?;
        let engine = |lane| Engine {
            way: Way::Device(lane),
            model: model.clone(),
        };
        Ok(Loaded {
            engines: lanes.into_iter().map(engine).collect(),
            samples: Samples::Bytes,
            provider,
            passed_over: Vec::new(),
            model: model.clone(),
        })
    };
    // What the device cannot do by itself cannot be recorded.
    let slower =
        |error: EngineError| gst::warning!(CAT, "{} runs slower than it could: {error}", provider.name());
    load(true)
        .or_else(|error| {
            slower(error);
            load(false)
        })
        .or_else(|error| {
            slower(error);
            direct(graph, bytes, None, provider, options)
        })
}

/// A session on this provider; `records` if its runs will be recorded.
fn open_on(
    provider: Provider,
    bytes: &[u8],
    options: &Options,
    records: bool,
) -> Result<Session, EngineError> {
    if !provider.is_built_in()? {
        return Err(EngineError::NoProvider(provider.name()));
    }
    let mut builder = configure(Session::builder(runtime::environment()?)?, options.threads)?;
    if let Some(dispatch) = provider.dispatch(options.device, options.threads, records) {
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

/// Room for one frame's input, of 3 × `height` × `width`.
pub fn row(size: (usize, usize), samples: Samples) -> Result<Row, EngineError> {
    Ok(match samples {
        Samples::Floats => Row::Floats(floats(size)?),
        Samples::Bytes => Row::Bytes(vec![0; PLANES * size.0 * size.1]),
    })
}

fn floats((width, height): (usize, usize)) -> Result<Tensor<f32>, ort::Error> {
    let mut row = Tensor::new(&Allocator::default(), [1, PLANES, height, width])?;
    row.extract_tensor_mut().1.fill(0.0);
    Ok(row)
}

/// The sizes of a tensor's dimensions.
fn sizes_of(shape: &[i64]) -> Vec<usize> {
    let sizes = shape.iter().filter_map(|size| usize::try_from(*size).ok());
    sizes.collect()
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

impl Direct {
    /// The first run makes room and, on accelerators, chooses kernels: better now than with the first frames.
    /// Gives the dimensions of the last run's output.
    fn warm_up(&mut self, size: (usize, usize), batch: usize) -> Result<Vec<usize>, EngineError> {
        let mut dims = Vec::new();
        let batches = if batch > 1 { &[batch, 1][..] } else { &[1] };
        for frames in batches {
            let rows: Result<Vec<_>, _> = (0..*frames).map(|_| floats(size)).collect();
            let output = self.compute(&rows?.iter().collect::<Vec<_>>())?;
            dims = sizes_of(output.try_extract_tensor::<f32>()?.0);
        }
        Ok(dims)
    }

    fn compute(&mut self, rows: &[&Tensor<f32>]) -> Result<DynValue, EngineError> {
        let size = self.batch.unwrap_or(rows.len());
        let value: SessionInputValue = match rows {
            [row] if size == 1 => (*row).into(),
            rows => {
                let (width, height) = rows.first().map_or((0, 0), |row| size_of(row));
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
    values: Values,
    /// Of one frame.
    length: usize,
}

enum Values {
    Own(DynValue),
    Lent(Lent),
}

impl Values {
    fn extract(&self) -> Result<(&[i64], &[f32]), ort::Error> {
        match self {
            Self::Own(value) => {
                let (shape, values) = value.try_extract_tensor()?;
                Ok((shape, values))
            }
            Self::Lent(lent) => lent.values().ok_or_else(|| ort::Error::new("no output")),
        }
    }
}

impl Output {
    /// The predictions of one frame.
    pub fn row(&self, index: usize) -> Result<&[f32], EngineError> {
        let (_, values) = self.values.extract()?;
        let row = values.chunks_exact(self.length).nth(index);
        row.ok_or_else(|| EngineError::Ort(ort::Error::new(format!("no row {index} in the output"))))
    }
}

impl Runner for Engine {
    type Row = Row;
    type Output = Output;

    fn run(&mut self, rows: &[Row]) -> Result<Output, String> {
        let (values, size) = match &mut self.way {
            Way::Direct(direct) => {
                let floats: Vec<_> = rows.iter().filter_map(Row::floats).collect();
                let size = floats.first().map_or((0, 0), |row| size_of(row));
                let value = direct.compute(&floats).map_err(|error| error.to_string())?;
                (Values::Own(value), size)
            }
            Way::Device(lane) => {
                let bytes: Vec<_> = rows.iter().filter_map(Row::bytes).collect();
                (Values::Lent(lane.run(&bytes)?), self.model.size)
            }
        };
        let (shape, _) = values.extract().map_err(|error| error.to_string())?;
        let [anchors, length] = [self.model.predictions(size), 5 + self.model.classes];
        if !holds(shape, rows.len(), [anchors, length]) {
            let batch = rows.len();
            return Err(format!(
                "the model's output is {shape:?} for a batch of {batch}; expected {anchors}×{length} for each frame"
            ));
        }
        let length = anchors * length;
        Ok(Output { values, length })
    }
}

impl Row {
    fn floats(&self) -> Option<&Tensor<f32>> {
        match self {
            Self::Floats(row) => Some(row),
            Self::Bytes(_) => None,
        }
    }

    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(row) => Some(row),
            Self::Floats(_) => None,
        }
    }
}

/// Whether an output of this shape holds `expected` values for each of `rows` frames. A graph may say one thing and
/// do another.
fn holds(shape: &[i64], rows: usize, expected: [usize; 2]) -> bool {
    matches!(sizes_of(shape)[..], [batch, anchors, values] if batch >= rows && [anchors, values] == expected)
}
