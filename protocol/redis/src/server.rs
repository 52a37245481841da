//! A Redis by its URL.

use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisError, RedisResult,
    ServerErrorKind, Value,
};

use crate::{Error, Tls, describe, mask};

/// How long a connection attempt may take: a stopped Redis accepts and then says nothing.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A Redis to connect to. It is displayed as its URL without secrets.
#[derive(Debug, Clone)]
pub struct Server {
    client: Client,
    url: String,
}

impl Server {
    pub fn new(url: &str) -> Result<Self, Error> {
        Self::with_tls(url, &Tls::default())
    }

    /// The same with certificates of its own, for `rediss://`.
    pub fn with_tls(url: &str, tls: &Tls) -> Result<Self, Error> {
        // redis brings rustls without any cryptography. If the process has chosen a provider already, that is used.
        drop(rustls::crypto::ring::default_provider().install_default());
        let masked = mask(url);
        let invalid = |reason: String| Error::Url {
            url: masked.clone(),
            reason,
        };
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(5))
            .with_interval(Duration::from_secs(2))
            .with_retries(3);
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        let info = url
            .into_connection_info()
            .map_err(|error| invalid(describe(&error)))?
            .set_tcp_settings(tcp);
        let client = if tls.is_empty() {
            Client::open(info)
        } else if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            return Err(invalid(
                "certificates are given, but only rediss:// uses TLS".into(),
            ));
        } else {
            Client::build_with_tls(info, tls.certificates()?)
        };
        let client = client.map_err(|error| invalid(describe(&error)))?;
        Ok(Self { client, url: masked })
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Connects, within [`CONNECT_TIMEOUT`]; a request is given up after `response_timeout`.
    pub async fn connect(&self, response_timeout: Duration) -> Result<MultiplexedConnection, Error> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(Some(response_timeout));
        self.attempt(async {
            let mut connection = self
                .client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            prove(&mut connection).await?;
            Ok(connection)
        })
        .await
    }

    /// Connects for listening to a channel.
    pub async fn subscribe(&self, channel: &str) -> Result<PubSub, Error> {
        let mut pubsub = self.attempt(self.client.get_async_pubsub()).await?;
        let subscribed = bounded(CONNECT_TIMEOUT, pubsub.subscribe(channel)).await;
        subscribed
            .map_err(|error| self.refused(&format!("cannot listen to `{channel}`: {}", describe(&error))))?;
        Ok(pubsub)
    }

    /// The error of a Redis that answers, but not as wanted.
    pub fn refused(&self, cause: &str) -> Error {
        Error::Refused {
            url: self.url.clone(),
            cause: cause.to_owned(),
        }
    }

    async fn attempt<T>(&self, work: impl Future<Output = RedisResult<T>>) -> Result<T, Error> {
        bounded(CONNECT_TIMEOUT, work)
            .await
            .map_err(|error| Error::Connect {
                url: self.url.clone(),
                cause: self.describe(&error),
            })
    }

    fn describe(&self, error: &RedisError) -> String {
        let plain = matches!(self.client.get_connection_info().addr(), ConnectionAddr::Tcp(..));
        let hung_up = error.is_connection_dropped() && !error.is_connection_refusal();
        if plain && hung_up {
            return format!("{error}; one that speaks TLS needs a URL with rediss://");
        }
        describe(error)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// The kernel accepts for a Redis that hangs, and a password may be asked for: only an answer is proof.
async fn prove(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    let answer = redis::cmd("PING").query_async::<Value>(connection).await;
    match answer {
        // A user who may not even PING has been let in all the same.
        Err(error) if error.kind() == ServerErrorKind::NoPerm.into() => Ok(()),
        answer => answer.map(drop),
    }
}

/// Gives a Redis operation that has no timeout of its own one.
pub async fn bounded<T>(timeout: Duration, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| {
        let secs = timeout.as_secs_f64();
        let text = format!("no answer within {secs} s: is it stopped, or the address wrong?");
        Err(RedisError::from(io::Error::new(io::ErrorKind::TimedOut, text)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_are_none_say_what_to_write() {
        for url in [
            "",
            "127.0.0.1:6379",
            "http://host",
            "redis://",
            "redis://:secret@host/x",
            "http://joe:secret@host",
        ] {
            let error = Server::new(url).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("Write redis://") && error.is_setting(), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
        for url in [
            "redis://[::1]:7",
            "rediss://host",
            "rediss://host/#insecure",
            "unix:///a?protocol=resp3",
            "redis+unix:///a",
        ] {
            assert!(Server::new(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn certificates_are_for_tls() {
        let tls = Tls {
            ca_file: Some("ca.pem".into()),
            ..Default::default()
        };
        let error = Server::with_tls("redis://host", &tls).unwrap_err().to_string();
        assert!(error.contains("only rediss:// uses TLS"), "{error}");
    }

    #[tokio::test]
    async fn a_silent_redis_is_an_error_in_bounded_time() {
        let never = std::future::pending::<RedisResult<()>>();
        let error = bounded(Duration::from_millis(10), never).await.unwrap_err();
        assert!(describe(&error).contains("no answer within 0.01 s"), "{error}");
    }
}
