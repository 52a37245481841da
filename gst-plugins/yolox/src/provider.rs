//! Execution providers: what ONNX Runtime computes with.

use ort::ep::{self, ExecutionProvider, ExecutionProviderDispatch};

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

    /// The provider to register; none for the CPU, which always is.
    pub fn dispatch(self, device: u32, threads: usize) -> Option<ExecutionProviderDispatch> {
        let device_id = i32::try_from(device).unwrap_or(i32::MAX);
        let dispatch: ExecutionProviderDispatch = match self {
            Self::Auto | Self::Cpu => return None,
            Self::OpenVino if threads > 0 => ep::OpenVINO::default().with_num_threads(threads).into(),
            Self::OpenVino => ep::OpenVINO::default().into(),
            Self::Cuda => ep::CUDA::default().with_device_id(device_id).into(),
            Self::TensorRt => ep::TensorRT::default().with_device_id(device_id).into(),
        };
        // Else ONNX Runtime would quietly use the CPU instead.
        Some(dispatch.error_on_failure())
    }
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
