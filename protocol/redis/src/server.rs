//! A Redis by its URL.

use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value,
};

use crate::topology::Topology;
use crate::{Commands, Connection, Error, Tls, describe, mask};

/// How long a connection attempt may take: a stopped Redis accepts and then says nothing.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The same where several servers are asked, some of which may hang.
const CONNECT_TIMEOUT_OF_SEVERAL: Duration = Duration::from_secs(5);

/// A Redis to connect to: one server, one that sentinels look after, or a cluster. It is displayed as its URL without
/// secrets.
#[derive(Clone)]
pub struct Server {
    topology: Topology,
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
        let parse =
            |certificates| Topology::parse(url, certificates).map_err(|error| invalid(describe(&error)));
        let mut topology = parse(None)?;
        if !tls.is_empty() {
            if !matches!(topology.address(), Some(ConnectionAddr::TcpTls { .. })) {
                return Err(invalid(
                    "certificates are given, but only rediss:// uses TLS".into(),
                ));
            }
            topology = parse(Some(tls.certificates()?))?;
        }
        Ok(Self {
            topology,
            url: masked,
        })
    }

    /// Whether the keys are spread over servers. Then `PUBLISH` counts the listeners of one of them only.
    pub fn is_cluster(&self) -> bool {
        matches!(self.topology, Topology::Cluster(_))
    }

    /// The TCP ports by which it is reached: none of a Unix socket. Absent where there are several servers, whose ports
    /// are known only when they are asked.
    pub fn ports(&self) -> Option<Vec<u16>> {
        match (&self.topology, self.topology.address()) {
            (
                Topology::Single(_),
                Some(ConnectionAddr::Tcp(_, port) | ConnectionAddr::TcpTls { port, .. }),
            ) => Some(vec![*port]),
            (Topology::Single(_), Some(ConnectionAddr::Unix(_))) => Some(Vec::new()),
            _ => None,
        }
    }

    /// Connects, in bounded time; a request is given up after `response_timeout`.
    pub async fn connect(&self, response_timeout: Duration) -> Result<Connection, Error> {
        self.open(response_timeout)
            .await
            .map_err(|error| self.not_connected(&error))
    }

    /// Connects, for many who share the connection.
    pub async fn commands(&self, response_timeout: Duration) -> Result<Commands, Error> {
        let commands = Commands::new(self.clone(), response_timeout);
        commands
            .ready()
            .await
            .map_err(|error| self.not_connected(&error))?;
        Ok(commands)
    }

    pub(crate) async fn open(&self, response_timeout: Duration) -> RedisResult<Connection> {
        self.attempt(async {
            Ok(match &self.topology {
                Topology::Single(client) => Connection::Single(open(client, response_timeout).await?),
                Topology::Sentinel(sentinels) => {
                    Connection::Single(open(&sentinels.master().await?, response_timeout).await?)
                }
                // Each node has been asked already.
                Topology::Cluster(nodes) => Connection::Cluster(nodes.connect(response_timeout).await?),
            })
        })
        .await
    }

    async fn pubsub(&self) -> Result<PubSub, Error> {
        self.attempt(async {
            match &self.topology {
                Topology::Single(client) => client.get_async_pubsub().await,
                Topology::Sentinel(sentinels) => sentinels.master().await?.get_async_pubsub().await,
                Topology::Cluster(nodes) => nodes.pubsub().await,
            }
        })
        .await
        .map_err(|error| self.not_connected(&error))
    }

    /// Connects for listening to a channel.
    pub async fn subscribe(&self, channel: &str) -> Result<PubSub, Error> {
        self.subscribe_all(&[channel]).await
    }

    /// Connects for listening to several channels, or none yet.
    pub async fn subscribe_all(&self, channels: &[&str]) -> Result<PubSub, Error> {
        let mut pubsub = self.pubsub().await?;
        if !channels.is_empty() {
            let subscribed = bounded(CONNECT_TIMEOUT, pubsub.subscribe(channels)).await;
            subscribed.map_err(|error| {
                let channels = channels.join("`, `");
                self.refused(&format!("cannot listen to `{channels}`: {}", describe(&error)))
            })?;
        }
        Ok(pubsub)
    }

    /// The error of a Redis that answers, but not as wanted.
    pub fn refused(&self, cause: &str) -> Error {
        Error::Refused {
            url: self.url.clone(),
            cause: cause.to_owned(),
        }
    }

    async fn attempt<T>(&self, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        let limit = match self.topology {
            Topology::Single(_) => CONNECT_TIMEOUT,
            Topology::Sentinel(_) | Topology::Cluster(_) => CONNECT_TIMEOUT_OF_SEVERAL,
        };
        bounded(limit, work).await
    }

    fn not_connected(&self, error: &RedisError) -> Error {
        Error::Connect {
            url: self.url.clone(),
            cause: self.describe(error),
        }
    }

    fn describe(&self, error: &RedisError) -> String {
        let plain = matches!(self.topology.address(), Some(ConnectionAddr::Tcp(..)));
        let hung_up = error.is_connection_dropped() && !error.is_connection_refusal();
        match &self.topology {
            Topology::Sentinel(sentinels) if error.kind() == ErrorKind::MasterNameNotFoundBySentinel => {
                format!(
                    "the sentinels know no living master `{}`: is `sentinelServiceName` right?",
                    sentinels.master_name
                )
            }
            Topology::Single(_) if plain && hung_up => {
                format!("{error}; one that speaks TLS needs a URL with rediss://")
            }
            _ => describe(error),
        }
    }
}

async fn open(client: &Client, response_timeout: Duration) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(Some(response_timeout));
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    prove(&mut connection).await?;
    Ok(connection)
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.url).finish()
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
            "redis-cluster://joe:secret@a,,b",
            "redis-cluster://:secret@a/x",
            "redis-sentinel://joe:secret@a,b",
            "http-cluster://joe:secret@a,b",
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
            "redis-cluster://joe:secret@a:1,b,[::1]:3",
            "rediss-cluster://a/?protocol=resp3#insecure",
            "rediss-sentinel://:secret@a,b/1?sentinelServiceName=m",
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
        for url in ["redis://host", "redis-cluster://a,b", "unix:///a"] {
            let error = Server::with_tls(url, &tls).unwrap_err().to_string();
            assert!(error.contains("only rediss:// uses TLS"), "{error}");
        }
        let error = Server::with_tls("rediss-cluster://a,b", &tls)
            .unwrap_err()
            .to_string();
        assert!(error.contains("Cannot use `ca.pem` for TLS"), "{error}");
    }

    #[tokio::test]
    async fn a_silent_redis_is_an_error_in_bounded_time() {
        let never = std::future::pending::<RedisResult<()>>();
        let error = bounded(Duration::from_millis(10), never).await.unwrap_err();
        assert!(describe(&error).contains("no answer within 0.01 s"), "{error}");
    }
}
