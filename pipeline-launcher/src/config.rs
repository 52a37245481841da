//! What an operator sets: flags, or the environment.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sightline_protocol::keys;
use sightline_service::data_folder;
use sightline_service::ice::IceArgs;
use sightline_service::redis::RedisArgs;

use crate::media::Media;
use crate::sandbox::SandboxArgs;
use crate::supervisor::admission::Admission;
use crate::supervisor::health::Limits;
use crate::supervisor::ports::PortRange;

/// Where pipelines and models are.
#[derive(Debug, Clone, Args)]
pub struct Folders {
    /// Folder of the pipeline descriptions
    #[arg(long, env = "SIGHTLINE_PIPELINES", default_value_os_t = data_folder("pipelines"))]
    pub pipelines: PathBuf,
    /// Folder of models.toml, the label files and the built-in model
    #[arg(long, env = "SIGHTLINE_MODELS", default_value_os_t = data_folder("models"))]
    pub models: PathBuf,
    /// A folder that is searched for model files first
    #[arg(long, env = "SIGHTLINE_MODEL_DIR")]
    pub model_dir: Option<PathBuf>,
    /// Name of the model (in models.toml) that pipelines use unless they say another, or path of an .onnx file
    #[arg(long, env = "SIGHTLINE_MODEL", default_value = "yolox_nano")]
    pub model: String,
}

/// How many inference workers of a pipeline run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Workers {
    Number(usize),
    /// As many as there is work for, between these.
    Between(RangeInclusive<usize>),
    /// As many as there is work for, and at most one a core.
    Auto,
}

impl std::str::FromStr for Workers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|number| *number <= 256);
        let between = text
            .split_once('-')
            .and_then(|(least, most)| Some(number(least)?..=number(most)?));
        match (text, between, number(text)) {
            ("auto", ..) => Ok(Self::Auto),
            (_, Some(between), _) if between.start() <= between.end() => Ok(Self::Between(between)),
            (_, None, Some(number)) => Ok(Self::Number(number)),
            _ => Err(format!(
                "`{text}` is neither `auto` nor a number from 0 to 256 nor two such as 1-4"
            )),
        }
    }
}

impl Workers {
    pub fn replicas(&self) -> RangeInclusive<usize> {
        match self {
            Self::Number(number) => *number..=*number,
            Self::Between(between) => between.clone(),
            Self::Auto => 1..=std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// The most that run at once.
    pub fn count(&self) -> usize {
        *self.replicas().end()
    }
}

/// What one pipeline's process may do before it is ended.
#[derive(Debug, Clone, Args)]
pub struct LimitArgs {
    /// Seconds that a process may give no sign of life, or an element be busy with one frame
    #[arg(long, env = "SIGHTLINE_STALL_LIMIT_SECS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(2..=3600))]
    pub stall_limit_secs: u64,
    /// The same before its first frame is through: engines may be built then, models loaded
    #[arg(long, env = "SIGHTLINE_START_LIMIT_SECS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(2..=86_400))]
    pub start_limit_secs: u64,
    /// Memory in MiB, resident and swapped, that a session's process may take
    #[arg(long, env = "SIGHTLINE_MAX_SESSION_MEMORY_MIB", default_value_t = 1536, value_parser = clap::value_parser!(u64).range(64..=1_048_576))]
    pub max_session_memory_mib: u64,
    /// Memory in MiB, resident and swapped, that a worker's process may take
    #[arg(long, env = "SIGHTLINE_MAX_WORKER_MEMORY_MIB", default_value_t = 4096, value_parser = clap::value_parser!(u64).range(64..=1_048_576))]
    pub max_worker_memory_mib: u64,
    /// Files and sockets that a process may have open
    #[arg(long, env = "SIGHTLINE_MAX_OPEN_FILES", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(64..=1_048_576))]
    pub max_open_files: u64,
}

impl LimitArgs {
    pub fn of_sessions(&self) -> Limits {
        self.with_memory(self.max_session_memory_mib)
    }

    pub fn of_workers(&self) -> Limits {
        self.with_memory(self.max_worker_memory_mib)
    }

    fn with_memory(&self, mib: u64) -> Limits {
        Limits {
            stall: Duration::from_secs(self.stall_limit_secs),
            start: Duration::from_secs(self.start_limit_secs),
            silence: Duration::MAX,
            memory_bytes: mib * 1024 * 1024,
        }
    }
}

/// When no more sessions are taken.
#[derive(Debug, Clone, Args)]
pub struct AdmissionArgs {
    /// Sessions that this launcher takes at the same time
    #[arg(long, env = "SIGHTLINE_MAX_SESSIONS", default_value_t = 32)]
    pub max_sessions: usize,
    /// No more sessions while those that run use this share of the processors (0: no limit)
    #[arg(long, env = "SIGHTLINE_MAX_CPU_PERCENT", default_value_t = 90, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub max_cpu_percent: u8,
    /// No more sessions while the machine or container has less memory left than so many MiB
    #[arg(long, env = "SIGHTLINE_MIN_FREE_MEMORY_MIB", default_value_t = 256)]
    pub min_free_memory_mib: u32,
    /// No more sessions while the frames of most wait longer than so many milliseconds, and than three inferences, for a
    /// worker, or would with one more (0: no limit)
    #[arg(long, env = "SIGHTLINE_MAX_QUEUE_MS", default_value_t = 75)]
    pub max_queue_ms: u32,
}

impl AdmissionArgs {
    pub fn rule(&self) -> Admission {
        Admission {
            max_sessions: self.max_sessions,
            max_cpu_percent: f64::from(self.max_cpu_percent),
            min_free_memory_bytes: u64::from(self.min_free_memory_mib) << 20,
            max_queue: Duration::from_millis(self.max_queue_ms.into()),
        }
    }
}

/// Where the launcher tells of itself.
#[derive(Debug, Clone, Args)]
pub struct HttpArgs {
    /// Address of the launcher's own port (health, metrics, pipelines); beyond loopback only together with --insecure
    #[arg(long, env = "SIGHTLINE_LAUNCHER_BIND", default_value = "127.0.0.1")]
    pub launcher_bind: IpAddr,
    /// The launcher's own port; without it 9001, or any that is free
    #[arg(long, env = "SIGHTLINE_LAUNCHER_PORT")]
    pub launcher_port: Option<u16>,
    /// Let anybody who can reach the launcher's own port read it; sessions begin through signaling alone
    #[arg(
        long,
        env = "SIGHTLINE_INSECURE",
        num_args = 0..=1,
        default_value_t = false,
        default_missing_value = "true",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    pub insecure: bool,
}

/// Over how many streams frames are spread.
#[derive(Debug, Clone, Args)]
pub struct ShardArgs {
    /// Streams over which sessions are spread, `images:{0}`, `images:{1}`, …, the same number at all launchers of one
    /// Redis (0: the one stream `images`)
    #[arg(long, env = "SIGHTLINE_SHARDS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=i64::from(keys::MAX_SHARDS)))]
    pub shards: u32,
}

/// What `serve` and `up` are told.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub redis: RedisArgs,
    #[command(flatten)]
    pub sharding: ShardArgs,
    #[command(flatten)]
    pub folders: Folders,
    /// Inference workers of each worker pipeline: a number (0: none), MIN-MAX, or `auto` for 1 to the number of
    /// cores, as long as frames wait; without it, what the pipeline's file says
    #[arg(long, env = "SIGHTLINE_WORKERS")]
    pub workers: Option<Workers>,
    /// The pipelines that workers run; without it, all of kind "worker"
    #[arg(long, env = "SIGHTLINE_WORKER_PIPELINE", value_delimiter = ',')]
    pub worker_pipeline: Vec<String>,
    #[command(flatten)]
    pub admission: AdmissionArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub media: Media,
    #[command(flatten)]
    pub sandbox: SandboxArgs,
    #[command(flatten)]
    pub http: HttpArgs,
    /// UDP ports for WebRTC, one a session
    #[arg(long, env = "SIGHTLINE_UDP_PORTS", default_value = "12000-12199")]
    pub udp_ports: PortRange,
    /// Addresses to advertise instead of the host's own (behind NAT, in a container)
    #[arg(long, env = "SIGHTLINE_PUBLIC_IP", value_delimiter = ',')]
    pub public_ip: Vec<IpAddr>,
    #[command(flatten)]
    pub ice: IceArgs,
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
        assert_eq!(
            "1-4".parse::<Workers>().map(|workers| workers.replicas()),
            Ok(1..=4)
        );
        for text in ["-1", "4-1", "1-", "a", "", "257", "1-2-3"] {
            assert!(text.parse::<Workers>().is_err(), "{text}");
        }
    }
}
