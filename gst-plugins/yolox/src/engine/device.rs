//! A model on a device with memory of its own.
//!
//! One thread runs the model, since CUDA's provider keeps its libraries' handles and recorded graphs by thread, and takes
//! seconds to make them. Who has brought a batch together copies it into page-locked memory (a [`Lane`]), while the
//! device may still work on the batch before. Pictures travel as bytes.
//!
//! Batches have a few sizes: kernels are chosen anew for each, which takes seconds too, and a run of each is recorded as a graph,
//! which one call starts instead of hundreds. A batch between two sizes runs as the larger.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;

use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, NoSelectedOutputs, RunOptions, Session, SessionInputValue};
use ort::value::Tensor;

use super::{EngineError, PLANES, sizes_of};
use crate::CAT;

/// A size of a batch is at most this many times the next smaller.
const STEP: usize = 4;

/// Which recorded graph to run, by a number of one's own; -1 is none.
const GRAPH: &str = "gpu_graph_id";
const NO_GRAPH: &str = "-1";

const ENDED: &str = "the model's thread has ended";

/// Where tensors lie.
#[derive(Debug, Clone)]
pub struct Memory {
    /// Of the host, where the device reaches it without the processor.
    pub host: AllocationDevice<'static>,
    pub device: AllocationDevice<'static>,
    pub id: i32,
}

/// A model that has not been run yet.
pub struct Setup {
    pub session: Session,
    pub input: String,
    pub output: String,
    /// Width and height.
    pub size: (usize, usize),
    /// Of batches, ascending.
    pub batches: Vec<usize>,
    pub memory: Memory,
    /// Whether a run is recorded and replayed.
    pub records: bool,
}

/// Sizes of batches of up to `most` frames.
pub fn batches(most: usize, fixed: Option<usize>) -> Vec<usize> {
    if let Some(fixed) = fixed {
        return vec![fixed];
    }
    let smaller = std::iter::successors(Some(1), |size| Some(size * STEP));
    smaller.take_while(|size| *size < most).chain([most]).collect()
}

struct Request {
    input: Tensor<u8>,
    answer: Sender<Answer>,
}

struct Answer {
    input: Tensor<u8>,
    output: Result<Tensor<f32>, String>,
}

/// The thread, which ends with its last lane.
struct Thread {
    requests: Option<Sender<Request>>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    fn send(&self, request: Request) -> Result<(), String> {
        let requests = self.requests.as_ref().ok_or(ENDED)?;
        requests.send(request).map_err(|_| ENDED.into())
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(handle) = self.handle.take() {
            // What it died of was told to those who asked it.
            drop(handle.join());
        }
    }
}

/// A way into the device: room for a batch, which is filled while another lane's is worked on.
pub struct Lane {
    thread: Arc<Thread>,
    /// Page-locked, for each size of a batch; absent while it is with the thread.
    inputs: Vec<Option<Tensor<u8>>>,
    /// To where outputs that nobody reads any more go.
    used: Sender<Tensor<f32>>,
}

/// So many lanes into a new thread, and the dimensions of the model's output.
pub fn start(setup: Setup, lanes: usize) -> Result<(Vec<Lane>, Vec<usize>), EngineError> {
    let is_allowed = beside_others();
    let host = setup.for_inputs();
    let (batches, (width, height)) = (setup.batches.clone(), setup.size);
    let inputs = || -> Result<Vec<_>, ort::Error> {
        let room = |frames: &usize| Tensor::new(&host, [*frames, PLANES, height, width]).map(Some);
        batches.iter().map(room).collect()
    };
    let inputs = (0..lanes).map(|_| inputs()).collect::<Result<Vec<_>, _>>()?;
    drop(is_allowed);
    let (requests, asked) = channel();
    let (used, returned) = channel();
    let (ready, is_ready) = channel();
    let handle = std::thread::Builder::new()
        .name("yolox-device".into())
        .spawn(move || match Device::new(setup, returned) {
            Ok((mut device, dims)) => {
                drop(ready.send(Ok(dims)));
                device.serve(&asked);
            }
            Err(error) => drop(ready.send(Err(error))),
        })
        .map_err(|error| ort::Error::new(format!("no thread for the model: {error}")))?;
    let thread = Arc::new(Thread {
        requests: Some(requests),
        handle: Some(handle),
    });
    let dims = is_ready.recv().map_err(|_| ort::Error::new(ENDED))??;
    let lane = |inputs| Lane {
        thread: thread.clone(),
        inputs,
        used: used.clone(),
    };
    Ok((inputs.into_iter().map(lane).collect(), dims))
}

impl Lane {
    /// Runs a batch of frames.
    pub fn run(&mut self, rows: &[&[u8]]) -> Result<Lent, String> {
        let frames = rows.len();
        let holds =
            |room: &Option<Tensor<u8>>| room.as_ref().is_some_and(|room| batch_of(room.shape()) >= frames);
        let at = self.inputs.iter().position(holds).ok_or(ENDED)?;
        let mut input = self.inputs[at].take().ok_or(ENDED)?;
        let (shape, room) = input.extract_tensor_mut();
        let length = room.len() / batch_of(shape).max(1);
        for (row, room) in rows.iter().zip(room.chunks_exact_mut(length.max(1))) {
            room.copy_from_slice(row);
        }
        // Of this request alone: if the thread ends, so does the wait.
        let (answer, answered) = channel();
        self.thread.send(Request { input, answer })?;
        let answer = answered.recv().map_err(|_| ENDED)?;
        self.inputs[at] = Some(answer.input);
        Ok(Lent {
            values: Some(answer.output?),
            home: self.used.clone(),
        })
    }
}

/// Output of a batch, whose memory is used again.
pub struct Lent {
    values: Option<Tensor<f32>>,
    home: Sender<Tensor<f32>>,
}

impl Lent {
    pub fn values(&self) -> Option<(&[i64], &[f32])> {
        let (shape, values) = self.values.as_ref()?.extract_tensor();
        Some((shape, values))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(values) = self.values.take() {
            // If the thread has ended, it is freed.
            drop(self.home.send(values));
        }
    }
}

fn batch_of(shape: &[i64]) -> usize {
    shape
        .first()
        .and_then(|frames| usize::try_from(*frames).ok())
        .unwrap_or_default()
}

/// A run of a size that is recorded when it is first made, and the memory that it was recorded with.
struct Recorded {
    frames: usize,
    input: Tensor<u8>,
    output: Tensor<f32>,
    binding: IoBinding,
    options: RunOptions<NoSelectedOutputs>,
}

impl Setup {
    fn allocator(
        &self,
        device: &AllocationDevice<'static>,
        kind: MemoryType,
    ) -> Result<Allocator, ort::Error> {
        let memory = MemoryInfo::new(device.clone(), self.memory.id, AllocatorType::Device, kind)?;
        Allocator::new(&self.session, memory)
    }

    fn on_device(&self) -> Result<Allocator, ort::Error> {
        self.allocator(&self.memory.device, MemoryType::Default)
    }

    /// Of the host.
    fn page_locked(&self) -> Result<Allocator, ort::Error> {
        self.allocator(&self.memory.host, MemoryType::CPUOutput)
    }

    /// Memory of the host for inputs: where the device reaches it by itself, if it does.
    fn for_inputs(&self) -> Allocator {
        let page_locked = || {
            let host = self.page_locked()?;
            self.check(&host, |there| copy(there, &Allocator::default()))?;
            Ok(host)
        };
        page_locked().unwrap_or_else(|error: ort::Error| {
            gst::info!(CAT, "inputs are not page-locked, so copies take longer: {error}");
            Allocator::default()
        })
    }

    /// Memory of the host for outputs, likewise.
    fn for_outputs(&self) -> Outputs {
        let reused = || {
            let host = self.page_locked()?;
            self.check(&Allocator::default(), |there| copy(there, &host))?;
            Ok(Outputs::Reused(host))
        };
        // ONNX Runtime 1.31 does not copy from CUDA to memory that is there already.
        let new = || {
            let (device, id) = (self.memory.host.clone(), self.memory.id);
            self.check(&Allocator::default(), |there| there.to(device.clone(), id))?;
            Ok(Outputs::New(device, id))
        };
        reused()
            .or_else(|_: ort::Error| new())
            .unwrap_or_else(|error: ort::Error| {
                gst::info!(CAT, "outputs are not page-locked, so copies take longer: {error}");
                Outputs::Reused(Allocator::default())
            })
    }

    /// Whether a byte from `host` is still the same when it has been on the device and is `back`.
    fn check(
        &self,
        host: &Allocator,
        back: impl Fn(&Tensor<u8>) -> Result<Tensor<u8>, ort::Error>,
    ) -> Result<(), ort::Error> {
        let device = self.on_device()?;
        let mut here = Tensor::<u8>::new(host, [1_usize])?;
        here.extract_tensor_mut().1.fill(0x5a);
        let there = copy(&here, &device)?;
        let is_same = back(&there)?.extract_tensor().1 == here.extract_tensor().1;
        is_same
            .then_some(())
            .ok_or_else(|| ort::Error::new("another byte came back"))
    }

    fn blank(&self, frames: usize) -> Result<Tensor<u8>, ort::Error> {
        let (width, height) = self.size;
        Tensor::new(&Allocator::default(), [frames, PLANES, height, width])
    }

    /// Makes ready to record a run of so many frames; `dims` are those of an output.
    fn record(&self, frames: usize, dims: &[usize]) -> Result<Recorded, ort::Error> {
        let device = self.on_device()?;
        let (width, height) = self.size;
        let dims: Vec<_> = [frames].into_iter().chain(dims.iter().skip(1).copied()).collect();
        let input = Tensor::<u8>::new(&device, [frames, PLANES, height, width])?;
        let mut output = Tensor::<f32>::new(&device, dims)?;
        let mut binding = self.session.create_binding()?;
        binding.bind_input(self.input.as_str(), &input)?;
        binding.bind_output(self.output.as_str(), &mut output)?;
        let mut options = RunOptions::new()?;
        options.set(GRAPH, frames.to_string())?;
        Ok(Recorded {
            frames,
            input,
            output,
            binding,
            options,
        })
    }

    /// A run of ONNX Runtime's own kind, with copies to and from the device.
    fn run(&mut self, input: &Tensor<u8>) -> Result<Tensor<f32>, ort::Error> {
        let mut options = RunOptions::new()?;
        options.set(GRAPH, NO_GRAPH)?;
        let inputs = vec![(self.input.as_str(), SessionInputValue::from(input))];
        let mut outputs = self.session.run_with_options(inputs, &options)?;
        let output = outputs.remove(self.output.as_str());
        let output = output.ok_or_else(|| ort::Error::new(format!("no output {}", self.output)))?;
        output.downcast()
    }
}

/// A single byte, in memory that is there.
fn copy(byte: &Tensor<u8>, to: &Allocator) -> Result<Tensor<u8>, ort::Error> {
    let mut copied = Tensor::new(to, [1_usize])?;
    byte.copy_into(&mut copied)?;
    Ok(copied)
}

/// Where the host gets outputs.
enum Outputs {
    /// In memory that was read out.
    Reused(Allocator),
    /// In memory that ONNX Runtime finds for each.
    New(AllocationDevice<'static>, i32),
}

/// A run that is recorded must be the only thing that CUDA does meanwhile in the process.
static RECORDING: RwLock<()> = RwLock::new(());

fn alone() -> RwLockWriteGuard<'static, ()> {
    RECORDING.write().unwrap_or_else(PoisonError::into_inner)
}

/// Held wherever else CUDA does something.
pub fn beside_others() -> RwLockReadGuard<'static, ()> {
    RECORDING.read().unwrap_or_else(PoisonError::into_inner)
}

/// What the thread has. The session goes last: all else lies in its memory.
struct Device {
    recorded: Vec<Recorded>,
    /// Outputs of the host that nobody reads.
    free: Vec<Tensor<f32>>,
    returned: Receiver<Tensor<f32>>,
    outputs: Outputs,
    setup: Setup,
}

impl Device {
    /// Runs each size of a batch once. Also gives the dimensions of an output.
    fn new(mut setup: Setup, returned: Receiver<Tensor<f32>>) -> Result<(Self, Vec<usize>), EngineError> {
        let is_allowed = beside_others();
        let mut dims = Vec::new();
        let mut recorded = Vec::new();
        for frames in setup.batches.clone() {
            let output = setup.run(&setup.blank(frames)?)?;
            dims = sizes_of(output.shape());
            if setup.records {
                recorded.push(setup.record(frames, &dims)?);
            }
        }
        let mut device = Self {
            recorded,
            free: Vec::new(),
            returned,
            outputs: setup.for_outputs(),
            setup,
        };
        drop(is_allowed);
        if device.setup.records {
            for frames in device.setup.batches.clone() {
                let blank = device.setup.blank(frames)?;
                let is_alone = alone();
                device.run(&blank)?;
                drop(is_alone);
            }
        }
        Ok((device, dims))
    }

    fn serve(&mut self, asked: &Receiver<Request>) {
        for Request { input, answer } in asked {
            let is_allowed = beside_others();
            let output = self.run(&input).map_err(|error| error.to_string());
            drop(is_allowed);
            // Nobody waits for it any more if that fails.
            drop(answer.send(Answer { input, output }));
        }
    }

    fn run(&mut self, input: &Tensor<u8>) -> Result<Tensor<f32>, ort::Error> {
        let frames = batch_of(input.shape());
        // Room that came back, unless nobody fills it again.
        let returned = self.returned.try_iter();
        let Some(recorded) = self
            .recorded
            .iter_mut()
            .find(|recorded| recorded.frames == frames)
        else {
            returned.for_each(drop);
            return self.setup.run(input);
        };
        input.copy_into(&mut recorded.input)?;
        self.setup
            .session
            .run_binding_with_options(&recorded.binding, &recorded.options)?;
        let allocator = match &self.outputs {
            Outputs::Reused(allocator) => allocator,
            Outputs::New(device, id) => {
                returned.for_each(drop);
                return recorded.output.to(device.clone(), *id);
            }
        };
        self.free.extend(returned);
        let of_this_size = |output: &Tensor<f32>| batch_of(output.shape()) == frames;
        let mut output = match self.free.iter().position(of_this_size) {
            Some(at) => self.free.swap_remove(at),
            None => Tensor::new(allocator, recorded.output.shape().clone())?,
        };
        recorded.output.copy_into(&mut output)?;
        Ok(output)
    }
}
