//! What an operator says, and what it comes to.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use sightline_service::healthcheck::Question;
use sightline_service::ice::{IceArgs, IceServers};
use sightline_service::redis::{DEFAULT_URL, RedisArgs, Server};
use sightline_service::{data_folder, service_id};

use crate::auth::key::AuthArgs;
use crate::auth::{Access, Scope};
use crate::client::Proxies;
use crate::limits::LimitArgs;
use crate::origin::Origins;
use crate::tls::{Tls, TlsArgs};

/// Web page, WebSocket and sessions of Sightline.
#[derive(Debug, Parser)]
#[command(version)]
#[command(subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Address to listen on; beyond loopback only with authentication and TLS (or behind a proxy), or with --insecure
    #[arg(long, env = "SIGHTLINE_BIND", default_value = "127.0.0.1")]
    pub bind: IpAddr,

    /// Port to listen on
    #[arg(long, env = "SIGHTLINE_PORT", default_value_t = 9000)]
    pub port: u16,

    /// ADDRESS:PORT for operators: metrics and health, without tokens and TLS, for whoever the network lets there
    #[arg(long, env = "SIGHTLINE_METRICS_BIND")]
    pub metrics_bind: Option<SocketAddr>,

    #[command(flatten)]
    pub redis: RedisArgs,

    /// Folder of the built web page; by default ui/dist here or beside the program's build folder
    #[arg(long, env = "SIGHTLINE_UI_DIR")]
    pub ui_dir: Option<PathBuf>,

    #[command(flatten)]
    pub ice: IceArgs,

    /// Inference workers that are expected: with 0 the service is ready without any
    #[arg(long, env = "SIGHTLINE_WORKERS", default_value = "auto")]
    pub workers: String,

    #[command(flatten)]
    pub auth: AuthArgs,

    #[command(flatten)]
    pub tls: TlsArgs,

    #[command(flatten)]
    pub limits: LimitArgs,

    /// Origins of other web pages that may use this server, such as https://app.example.org; `*` for all
    #[arg(long, env = "SIGHTLINE_ORIGINS", value_delimiter = ',')]
    pub origins: Vec<String>,

    /// Addresses or networks of the proxies that stand before this server, whose `X-Forwarded-For` is believed
    #[arg(long, env = "SIGHTLINE_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<String>,

    /// Listen beyond loopback without authentication, or without TLS: for networks in which everybody is trusted
    #[arg(
        long,
        env = "SIGHTLINE_INSECURE",
        num_args = 0..=1,
        default_value_t = false,
        default_missing_value = "true",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    pub insecure: bool,

    /// Name of this service among others; by default the host's name and some random digits
    #[arg(long, env = "SIGHTLINE_ID")]
    pub id: Option<String>,
}

/// Beside serving, which needs no word.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a token, with the key that signs them (--auth-algorithm and --auth-key-file stand before `token`)
    Token {
        /// The tenant whose sessions its bearer may see, or start
        #[arg(long)]
        tenant: String,
        #[arg(long)]
        scope: Scope,
        /// Seconds that it is good for, at most 600
        #[arg(long, default_value_t = 600)]
        seconds: u64,
    },
    /// Make a pair of Ed25519 keys: `token.key` makes tokens, `token.pub` is the server's --auth-key-file
    Keys {
        /// Folder to write them into
        folder: PathBuf,
    },
    /// Ask the signaling service on this host whether it is well; for containers, whose exit code says so
    Healthcheck(Question),
}

/// What the arguments come to.
#[derive(Debug, Clone)]
pub struct Config {
    pub address: SocketAddr,
    /// Where operators are served, if anywhere.
    pub metrics_address: Option<SocketAddr>,
    pub redis: Server,
    pub ui_dir: PathBuf,
    pub ice_servers: IceServers,
    /// False where the operator runs no workers.
    pub workers_expected: bool,
    pub id: String,
    pub access: Access,
    pub tls: Option<Tls>,
    pub limits: LimitArgs,
    pub origins: Origins,
    pub proxies: Proxies,
}

impl Args {
    pub fn resolve(self) -> anyhow::Result<Config> {
        let access = self.auth.access()?;
        let tls = self.tls.certificate(self.bind)?;
        let proxies = Proxies::new(&self.trusted_proxies)?;
        ensure!(
            self.bind.is_loopback() || self.insecure || !access.is_open(),
            "--bind {} would let anybody on the network use the cameras and workers here, without \
             authentication. Give a key for tokens (--auth-algorithm, --auth-key-file), stay with 127.0.0.1, or say \
             --insecure (SIGHTLINE_INSECURE=1) if the network is trusted",
            self.bind
        );
        ensure!(
            self.bind.is_loopback() || self.insecure || tls.is_some() || !proxies.is_empty(),
            "--bind {} without TLS would send tokens and video's addresses readable over the network. Give a \
             certificate (--tls-cert, --tls-key, or --tls self-signed), name the proxy that has one \
             (--trusted-proxies), or say --insecure (SIGHTLINE_INSECURE=1) if the network is trusted",
            self.bind
        );
        let mut origins = Origins::new(&self.origins)?;
        origins.loopback_hosts_only = access.is_open() && self.bind.is_loopback() && proxies.is_empty();
        Ok(Config {
            address: SocketAddr::new(self.bind, self.port),
            metrics_address: self.metrics_bind,
            redis: Server::new(self.redis.url()?.as_deref().unwrap_or(DEFAULT_URL))?,
            ice_servers: self.ice.servers()?,
            workers_expected: workers_expected(&self.workers)?,
            id: service_id(self.id.as_deref())?,
            ui_dir: self.ui_dir.unwrap_or_else(default_ui_dir),
            access,
            tls,
            limits: self.limits,
            origins,
            proxies,
        })
    }
}

fn workers_expected(text: &str) -> anyhow::Result<bool> {
    match text.trim() {
        "auto" | "" => Ok(true),
        number => Ok(number
            .parse::<u32>()
            .ok()
            .with_context(|| format!("SIGHTLINE_WORKERS is `{text}`: write a number, or auto"))?
            > 0),
    }
}

/// Where the page is built, or where it is installed.
fn default_ui_dir() -> PathBuf {
    let beside_build = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.join("../../ui/dist")));
    [Some("ui/dist".into()), beside_build]
        .into_iter()
        .flatten()
        .find(|folder| folder.is_dir())
        .unwrap_or_else(|| data_folder("ui"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(args: &[&str]) -> anyhow::Result<Config> {
        Args::try_parse_from(std::iter::once(&"signaling").chain(args))?.resolve()
    }

    #[test]
    fn the_network_needs_consent() {
        let error = resolve(&["--bind", "0.0.0.0"]).unwrap_err().to_string();
        assert!(error.contains("--insecure"), "{error}");
        assert!(resolve(&["--bind", "0.0.0.0", "--insecure"]).is_ok());
        assert!(resolve(&["--bind", "::1"]).is_ok());
        let key = [
            "--auth-algorithm",
            "HS256",
            "--auth-key",
            "0123456789abcdef0123456789abcdef",
        ];
        let with_key = |more: &[&str]| resolve(&[&["--bind", "0.0.0.0"], &key[..], more].concat());
        let error = with_key(&[]).unwrap_err().to_string();
        assert!(error.contains("--tls"), "{error}");
        assert!(with_key(&["--tls", "self-signed"]).is_ok());
        assert!(with_key(&["--trusted-proxies", "10.0.0.0/8"]).is_ok());
        let tls_alone = resolve(&["--bind", "0.0.0.0", "--tls", "self-signed"]);
        assert!(tls_alone.unwrap_err().to_string().contains("--auth-key-file"));
    }

    #[test]
    fn every_setting_can_stand_in_the_file() {
        use clap::CommandFactory;
        assert_eq!(
            sightline_service::settings::unknown_flags(&Args::command()),
            Vec::<String>::new()
        );
    }

    #[test]
    fn ice_servers_are_checked() {
        let servers = resolve(&["--ice-servers", "stun:a:1, turn:u:p:@ss@b:2"])
            .unwrap()
            .ice_servers
            .for_client("s1", std::time::SystemTime::now());
        assert_eq!(
            (servers[0].urls[0].as_str(), servers[1].urls[0].as_str()),
            ("stun:a:1", "turn:b:2")
        );
        assert_eq!(servers[1].credential.as_deref(), Some("p:@ss"));
        for bad in ["http://a", "turn:hunter2@b:2", "turn:b"] {
            let error = resolve(&["--ice-servers", bad]).unwrap_err();
            assert!(!format!("{error:#}").contains("hunter2"), "{error:#}");
        }
    }

    #[test]
    fn no_workers_may_be_expected() {
        assert!(resolve(&["--workers", "auto"]).unwrap().workers_expected);
        assert!(resolve(&["--workers", "2"]).unwrap().workers_expected);
        assert!(!resolve(&["--workers", "0"]).unwrap().workers_expected);
        assert!(resolve(&["--workers", "many"]).is_err());
    }
}
