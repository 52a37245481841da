//! Execution providers: what ONNX Runtime computes with.

use ort::ep::cuda::ConvAlgorithmSearch;
use ort::ep::{self, ExecutionProvider, ExecutionProviderDispatch};
use ort::memory::AllocationDevice;

use crate::engine::Memory;

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

impl Provider {
    /// As the property `execution-provider` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::OpenVino => "openvino",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
        }
    }

    /// What to try, in this order, of what the library `has`.
    ///
    /// TensorRT is never chosen by `auto`: it builds its engine anew for minutes at each start.
    pub fn candidates(self, has: impl Fn(Self) -> bool) -> Vec<Self> {
        match self {
            Self::Auto => {
                let accelerators = [Self::Cuda, Self::OpenVino].into_iter().filter(|own| has(*own));
                accelerators.chain([Self::Cpu]).collect()
            }
            provider => vec![provider],
        }
    }

    /// Whether the library was built with it. That it loads is another matter.
    pub fn is_built_in(self) -> Result<bool, ort::Error> {
        match self {
            Self::Auto | Self::Cpu => Ok(true),
            Self::OpenVino => ep::OpenVINO::is_available(),
            Self::Cuda => ep::CUDA::is_available(),
            Self::TensorRt => ep::TensorRT::is_available(),
        }
    }

    /// The provider to register; none for the CPU, which always is. `records` lets CUDA record a run as a graph and replay it.
    pub fn dispatch(self, device: u32, threads: usize, records: bool) -> Option<ExecutionProviderDispatch> {
        let device_id = device_id(device);
        let dispatch: ExecutionProviderDispatch = match self {
            Self::Auto | Self::Cpu => return None,
            Self::OpenVino if threads > 0 => ep::OpenVINO::default().with_num_threads(threads).into(),
            Self::OpenVino => ep::OpenVINO::default().into(),
            Self::Cuda => ep::CUDA::default()
                .with_device_id(device_id)
                .with_cuda_graph(records)
                // Trying all kernels out takes twice as long for each size of a batch, and saves 4 % of a run.
                .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic)
                .into(),
            Self::TensorRt => ep::TensorRT::default().with_device_id(device_id).into(),
        };
        // Else ONNX Runtime would quietly use the CPU instead.
        Some(dispatch.error_on_failure())
    }

    /// Memory that frames have to be brought to; none if it takes them where they are.
    ///
    /// TensorRT has the same, but there it was never tried.
    pub fn memory(self, device: u32) -> Option<Memory> {
        (self == Self::Cuda).then(|| Memory {
            host: AllocationDevice::CUDA_PINNED,
            device: AllocationDevice::CUDA,
            id: device_id(device),
        })
    }
}

/// A device's number as ONNX Runtime wants it.
fn device_id(device: u32) -> i32 {
    i32::try_from(device).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_takes_what_is_there_and_the_cpu_last() {
        let auto = |has: &[Provider]| Provider::Auto.candidates(|own| has.contains(&own));
        assert_eq!(auto(&[]), [Provider::Cpu]);
        assert_eq!(auto(&[Provider::OpenVino]), [Provider::OpenVino, Provider::Cpu]);
        assert_eq!(
            auto(&[Provider::TensorRt, Provider::OpenVino, Provider::Cuda]),
            [Provider::Cuda, Provider::OpenVino, Provider::Cpu]
        );
        assert_eq!(Provider::TensorRt.candidates(|_| false), [Provider::TensorRt]);
    }
}
