//! Where Redis is, as an operator says it.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Context;
use clap::Args;

pub use sightline_redis::{Commands, Connection, DEFAULT_URL, Error, Server};

/// A Redis as an operator names it: by URL, or as v1 does.
#[derive(Debug, Clone, Default, Args)]
pub struct RedisArgs {
    /// Redis to use: redis://…, rediss://… or unix:///path; redis-cluster://… or redis-sentinel://… for several
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

    /// A file that holds this password, instead
    #[arg(long, env = "REDIS_PASSWORD_FILE")]
    pub redis_password_file: Option<OsString>,
}

impl RedisArgs {
    /// The URL, if any setting names a Redis.
    pub fn url(&self) -> anyhow::Result<Option<String>> {
        if let Some(url) = given(&self.redis_url) {
            return Ok(Some(url));
        }
        let Some(host) = given(&self.redis_host) else {
            return Ok(None);
        };
        let password = self
            .password()?
            .map(|password| format!(":{}@", percent_encoded(&password)));
        Ok(Some(format!(
            "redis://{}{host}:{}/",
            password.unwrap_or_default(),
            self.redis_port
        )))
    }

    fn password(&self) -> anyhow::Result<Option<String>> {
        let file = self
            .redis_password_file
            .as_ref()
            .filter(|path| !path.is_empty())
            .map(Path::new);
        match (given(&self.redis_password), file) {
            (Some(_), Some(_)) => {
                anyhow::bail!("REDIS_PASSWORD and REDIS_PASSWORD_FILE are both set: choose one")
            }
            (given, None) => Ok(given),
            (None, Some(path)) => std::fs::read_to_string(path)
                .map(|text| Some(text.trim().to_owned()))
                .with_context(|| format!("REDIS_PASSWORD_FILE: cannot read {}", path.display())),
        }
    }
}

/// An empty variable is what compose files make of an unset one.
fn given(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
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
            redis_password_file: Some(OsString::new()),
        };
        let url = args.url().unwrap().unwrap();
        assert_eq!(url, "redis://:p%40ss%2F%3A@h:6380/");
        assert_eq!(Server::new(&url).unwrap().to_string(), "redis://:***@h:6380/");
        let none = RedisArgs {
            redis_host: None,
            ..args
        };
        assert_eq!(none.url().unwrap(), None);
    }

    #[test]
    fn a_password_may_stand_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "secret\n").unwrap();
        let args = RedisArgs {
            redis_host: Some("h".into()),
            redis_port: 6379,
            redis_password_file: Some(path.into()),
            ..RedisArgs::default()
        };
        assert_eq!(args.url().unwrap().as_deref(), Some("redis://:secret@h:6379/"));
        let both = RedisArgs {
            redis_password: Some("other".into()),
            ..args.clone()
        };
        assert!(both.url().unwrap_err().to_string().contains("both set"));
        let missing = RedisArgs {
            redis_password_file: Some("/nowhere/password".into()),
            ..args
        };
        let error = missing.url().unwrap_err().to_string();
        assert!(error.contains("cannot read /nowhere/password"), "{error}");
    }
}
