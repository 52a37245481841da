//! What an operator sets: flags, or the environment.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::supervisor::ports::PortRange;

/// Where Redis is.
#[derive(Debug, Clone, Args)]
pub struct RedisArgs {
    /// URL of an existing Redis (redis://, rediss:// or unix://)
    #[arg(long, env = "REDIS_URL")]
    pub redis_url: Option<String>,
    /// Host of an existing Redis, if no URL is given
    #[arg(long, env = "REDIS_HOST")]
    pub redis_host: Option<String>,
    #[arg(long, env = "REDIS_PORT", default_value_t = 6379)]
    pub redis_port: u16,
    #[arg(long, env = "REDIS_PASSWORD", hide_env_values = true)]
    pub redis_password: Option<String>,
}

impl RedisArgs {
    /// The URL, if any setting names a Redis.
    pub fn url(&self) -> Option<String> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        given(&self.redis_url).or_else(|| {
            let host = given(&self.redis_host)?;
            let password =
                given(&self.redis_password).map(|password| format!(":{}@", percent_encoded(&password)));
            Some(format!(
                "redis://{}{host}:{}/",
                password.unwrap_or_default(),
                self.redis_port
            ))
        })
    }
}

/// A password as part of a URL (RFC 3986 §2.1).
fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    text.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// A Redis URL without its password, for messages.
pub fn masked(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => format!("{}***{}", &url[..scheme + 3], &url[at..]),
        _ => url.to_owned(),
    }
}

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

impl ServeArgs {
    /// The name given, or one from the host's name.
    pub fn launcher_id(&self) -> anyhow::Result<String> {
        if let Some(id) = &self.id {
            return Ok(id.clone());
        }
        let host = host()?;
        Ok(format!("{host}-{:04x}", rand::random::<u16>()))
    }
}

pub fn host() -> anyhow::Result<String> {
    let host = hostname::get().context("the host has no name")?;
    Ok(host
        .to_string_lossy()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_made_of_v1s_settings() {
        let args = RedisArgs {
            redis_url: None,
            redis_host: Some("redis".into()),
            redis_port: 6380,
            redis_password: Some("a@b".into()),
        };
        let url = args.url().unwrap();
        assert_eq!(url, "redis://:a%40b@redis:6380/");
        assert_eq!(masked(&url), "redis://***@redis:6380/");
        assert_eq!(
            RedisArgs {
                redis_host: None,
                ..args
            }
            .url(),
            None
        );
    }

    #[test]
    fn workers_are_a_number_or_auto() {
        assert_eq!("0".parse(), Ok(Workers::Number(0)));
        assert_eq!("auto".parse(), Ok(Workers::Auto));
        assert!("-1".parse::<Workers>().is_err());
    }
}
