//! Where Redis is, as an operator says it.

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
}

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
        assert_eq!(url, "redis://:p%40ss%2F%3A@h:6380/");
        assert_eq!(Server::new(&url).unwrap().to_string(), "redis://:***@h:6380/");
        let none = RedisArgs {
            redis_host: None,
            ..args
        };
        assert_eq!(none.url(), None);
    }
}
