//! One model in ONNX Runtime, with the tensors it reads and writes.

use ort::ep::{self, ExecutionProviderDispatch};
use ort::logging::LogLevel;
use ort::memory::Allocator;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{IoBinding, Session};
use ort::value::Tensor;

use crate::model::Model;
use crate::runtime::{self, RuntimeError};

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Provider {
    #[default]
    Auto,
    Cpu,
    OpenVino,
    Cuda,
    TensorRt,
}

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("this ONNX Runtime has no {0}; install a build that has, or set `execution-provider` to `cpu`")]
    NoProvider(&'static str),
    #[error("ONNX Runtime: {0}")]
    Ort(#[from] ort::Error),
}

pub struct Engine {
    session: Session,
    binding: IoBinding,
    input_name: String,
    input: Tensor<f32>,
    output: Tensor<f32>,
}

impl Engine {
    /// Loads a model. `threads` work on one frame together (0: as many as ONNX Runtime thinks fit).
    pub fn new(
        model: &Model,
        bytes: &[u8],
        provider: Provider,
        device: u32,
        threads: usize,
    ) -> Result<Self, EngineError> {
        let environment = runtime::environment()?;
        let mut builder = Session::builder(environment)?;
        if let Some(provider) = dispatch(provider, device)? {
            builder = builder
                .with_execution_providers([provider])
                .map_err(ort::Error::from)?;
        }
        let session = configure(builder, threads)?.commit_from_memory(bytes)?;

        let allocator = Allocator::default();
        let (width, height) = model.size;
        let input = Tensor::<f32>::new(&allocator, [1, 3, height, width])?;
        let mut output = Tensor::<f32>::new(&allocator, [1, model.anchors, 5 + model.classes])?;
        let mut binding = session.create_binding()?;
        binding.bind_output(&*model.output, &mut output)?;
        let mut engine = Self {
            session,
            binding,
            input_name: model.input.clone(),
            input,
            output,
        };
        engine.warm_up()?;
        Ok(engine)
    }

    /// The first run makes room and, on accelerators, chooses kernels: better now than with the first frame.
    fn warm_up(&mut self) -> Result<(), EngineError> {
        self.input().fill(0.0);
        self.run().map(drop)
    }

    /// The input: planes of blue, green and red, each of height × width.
    pub fn input(&mut self) -> &mut [f32] {
        self.input.extract_tensor_mut().1
    }

    /// Runs the model on what is in the input.
    pub fn run(&mut self) -> Result<&[f32], EngineError> {
        // An accelerator reads its input when it is bound.
        self.binding.bind_input(&*self.input_name, &self.input)?;
        self.session.run_binding(&self.binding)?;
        Ok(self.output.extract_tensor().1)
    }
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

/// The execution provider to register; none for the CPU, which always is.
fn dispatch(provider: Provider, device: u32) -> Result<Option<ExecutionProviderDispatch>, EngineError> {
    let device_id = i32::try_from(device).unwrap_or(i32::MAX);
    match provider {
        Provider::Auto | Provider::Cpu => Ok(None),
        Provider::OpenVino => available(ep::OpenVINO::default()),
        Provider::Cuda => available(ep::CUDA::default().with_device_id(device_id)),
        Provider::TensorRt => available(ep::TensorRT::default().with_device_id(device_id)),
    }
}

/// Without this check ONNX Runtime would quietly use the CPU instead.
fn available<E>(provider: E) -> Result<Option<ExecutionProviderDispatch>, EngineError>
where
    E: ep::ExecutionProvider + Into<ExecutionProviderDispatch>,
{
    if !E::is_available()? {
        return Err(EngineError::NoProvider(E::NAME));
    }
    Ok(Some(provider.into().error_on_failure()))
}
