//! Where Redis is, and a client for it.

use anyhow::Context;
use clap::Args;
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

/// A Redis as an operator names it: by URL, or as v1 does.
#[derive(Debug, Clone, Default, Args)]
pub struct RedisArgs {
    /// Redis to use: redis://…, rediss://… or unix:///path
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,

    /// Host of the Redis to use, where no URL is given
    #[arg(long, env = "REDIS_HOST")]
    pub redis_host: Option<String>,

    /// Port of the Redis to use, where no URL is given
    #[arg(long, env = "REDIS_PORT", default_value_t = 6379)]
    pub redis_port: u16,

    /// Password of the Redis to use, where no URL is given
    #[arg(long, env = "REDIS_PASSWORD", hide_env_values = true)]
    pub redis_password: Option<String>,
}

/// Where Redis is by default.
pub const DEFAULT_URL: &str = "redis://127.0.0.1:6379/";

impl RedisArgs {
    /// The URL, if any setting names a Redis.
    pub fn url(&self) -> Option<String> {
        // An empty variable is what compose files make of an unset one.
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

/// A client for the Redis at `url`; it connects later.
pub fn client(url: &str) -> anyhow::Result<Client> {
    // redis brings rustls without any cryptography. A second call finds the first one's: as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let info = info(url)?;
    let tcp = TcpSettings::default().set_nodelay(true);
    Client::open(info.set_tcp_settings(tcp)).context("REDIS_URL cannot be used")
}

fn info(url: &str) -> anyhow::Result<ConnectionInfo> {
    // The URL may hold a password: neither it nor the parser's words are shown.
    url.into_connection_info().ok().context(
        "REDIS_URL is not a URL of Redis: write redis://[[user]:password@]host[:port][/db], rediss://… or \
         unix:///path",
    )
}

/// A Redis's address for messages: without user and password.
pub fn masked(url: &str) -> String {
    info(url).map_or_else(|_| "an invalid URL".to_owned(), |info| shown(&info))
}

/// The same of a URL that has been read.
pub fn shown(info: &ConnectionInfo) -> String {
    let scheme = match info.addr() {
        ConnectionAddr::TcpTls { .. } => "rediss",
        ConnectionAddr::Unix(_) => "unix",
        _ => "redis",
    };
    let secret = if info.redis_settings().password().is_some() {
        "***@"
    } else {
        ""
    };
    format!("{scheme}://{secret}{}", info.addr())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v1s_settings_make_a_url() {
        let args = RedisArgs {
            redis_url: Some(String::new()),
            redis_host: Some("h".into()),
            redis_port: 6380,
            redis_password: Some("p@ss/:".into()),
        };
        let url = args.url().unwrap();
        assert_eq!(masked(&url), "redis://***@h:6380");
        assert_eq!(info(&url).unwrap().redis_settings().password(), Some("p@ss/:"));
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
    fn passwords_are_never_shown() {
        assert_eq!(
            masked("redis://user:hunter2@cache:7000/1"),
            "redis://***@cache:7000"
        );
        assert_eq!(masked("unix:///run/r.sock"), "unix:///run/r.sock");
        let error = client("http://user:hunter2@cache").unwrap_err();
        assert!(!format!("{error:#}").contains("hunter2"), "{error:#}");
        assert!(!masked("http://user:hunter2@cache").contains("hunter2"));
    }

    #[test]
    fn tls_has_its_cryptography() {
        assert!(client("rediss://cache:6379").is_ok());
    }
}
