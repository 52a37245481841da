//! What an operator sets: flags, or the environment.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use sightline_service::redis::RedisArgs;

use crate::supervisor::ports::PortRange;

/// Where pipelines and models are.
#[derive(Debug, Clone, Args)]
pub struct Folders {
    /// Folder of the pipeline descriptions
    #[arg(long, env = "SIGHTLINE_PIPELINES", default_value = "pipelines")]
    pub pipelines: PathBuf,
    /// Folder of models.toml, the label files and the built-in model
    #[arg(long, env = "SIGHTLINE_MODELS", default_value = "models")]
    pub models: PathBuf,
    /// A folder that is searched for model files first
    #[arg(long, env = "SIGHTLINE_MODEL_DIR")]
    pub model_dir: Option<PathBuf>,
    /// Name of the model (in models.toml) that pipelines use unless they say another, or path of an .onnx file
    #[arg(long, env = "SIGHTLINE_MODEL", default_value = "yolox_nano")]
    pub model: String,
}

/// How many inference workers run here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    Number(usize),
    /// As many as there are cores.
    Auto,
}

impl std::str::FromStr for Workers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => match text.parse() {
                Ok(number) if number <= 256 => Ok(Self::Number(number)),
                _ => Err(format!("`{text}` is neither `auto` nor a number from 0 to 256")),
            },
        }
    }
}

impl Workers {
    pub fn count(self) -> usize {
        match self {
            Self::Number(number) => number,
            Self::Auto => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// What `serve` and `up` are told.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub redis: RedisArgs,
    #[command(flatten)]
    pub folders: Folders,
    /// Inference workers of this launcher: a number (0: none), or `auto` for one a core
    #[arg(long, env = "SIGHTLINE_WORKERS", default_value = "auto")]
    pub workers: Workers,
    /// The pipeline that workers run
    #[arg(long, env = "SIGHTLINE_WORKER_PIPELINE", default_value = "yolox-worker")]
    pub worker_pipeline: String,
    /// Sessions that this launcher takes at the same time
    #[arg(long, env = "SIGHTLINE_MAX_SESSIONS", default_value_t = 32)]
    pub max_sessions: usize,
    /// UDP ports for WebRTC, one a session
    #[arg(long, env = "SIGHTLINE_UDP_PORTS", default_value = "12000-12199")]
    pub udp_ports: PortRange,
    /// Addresses to advertise instead of the host's own (behind NAT, in a container)
    #[arg(long, env = "SIGHTLINE_PUBLIC_IP", value_delimiter = ',')]
    pub public_ip: Vec<IpAddr>,
    /// STUN and TURN servers: stun:HOST:PORT, turn:USER:PASSWORD@HOST:PORT
    #[arg(long, env = "SIGHTLINE_ICE_SERVERS", value_delimiter = ',')]
    pub ice_servers: Vec<String>,
    /// This launcher's name among all; unique
    #[arg(long, env = "SIGHTLINE_ID")]
    pub id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_a_number_or_auto() {
        assert_eq!("0".parse(), Ok(Workers::Number(0)));
        assert_eq!("auto".parse(), Ok(Workers::Auto));
        assert!("-1".parse::<Workers>().is_err());
    }
}
