//! How a Redis is laid out, as its URL says: one server, one that sentinels look after, or a cluster.

use std::time::Duration;

use rand::seq::SliceRandom;
use redis::aio::PubSub;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisConnectionInfo, RedisError,
    RedisResult, TlsCertificates, TlsMode,
};

use crate::server::bounded;

/// How long one node of several may take to be connected to: it may hang while the others serve.
const NODE_TIMEOUT: Duration = Duration::from_secs(1);
/// So often a command is sent again within its time: slots move, masters change. The pauses add up to half a second.
const RETRIES: u32 = 5;
const RETRY_PAUSE_MS: (u64, u64) = (10, 200);
const SENTINEL_PORT: u16 = 26379;

#[derive(Clone)]
pub(crate) enum Topology {
    Single(Client),
    Sentinel(Sentinels),
    Cluster(Nodes),
}

impl Topology {
    pub(crate) fn parse(url: &str, certificates: Option<TlsCertificates>) -> RedisResult<Self> {
        let open = |url: &str| open(url, certificates.clone());
        let Some(several) = Several::split(url) else {
            return open(url).map(Self::Single);
        };
        match several.kind {
            Kind::Cluster => {
                let nodes = several.urls().map(|url| open(&url)).collect::<Result<_, _>>()?;
                let nodes = Nodes { nodes, certificates };
                nodes.builder(NODE_TIMEOUT).build()?;
                Ok(Self::Cluster(nodes))
            }
            Kind::Sentinel => Sentinels::parse(&several, certificates.clone()).map(Self::Sentinel),
        }
    }

    /// The first address that is named.
    pub(crate) fn address(&self) -> Option<&ConnectionAddr> {
        match self {
            Self::Single(client) => Some(client.get_connection_info().addr()),
            Self::Sentinel(sentinels) => sentinels.addresses.first(),
            Self::Cluster(nodes) => Some(nodes.nodes.first()?.get_connection_info().addr()),
        }
    }
}

/// A client of one server. Without certificates of its own, a TLS connection trusts whom the system trusts.
fn open(url: &str, certificates: Option<TlsCertificates>) -> RedisResult<Client> {
    let info = url.into_connection_info()?.set_tcp_settings(tcp_settings());
    match certificates {
        None => Client::open(info),
        Some(certificates) => Client::build_with_tls(info, certificates),
    }
}

fn tcp_settings() -> TcpSettings {
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(5))
        .with_interval(Duration::from_secs(2))
        .with_retries(3);
    TcpSettings::default().set_nodelay(true).set_keepalive(keepalive)
}

fn invalid(text: &'static str) -> RedisError {
    (ErrorKind::InvalidClientConfig, text).into()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Cluster,
    Sentinel,
}

/// A URL that names several servers: `redis-cluster://USER:PASSWORD@HOST:PORT,HOST:PORT/?QUERY`.
#[derive(Debug, PartialEq, Eq)]
struct Several<'a> {
    kind: Kind,
    scheme: &'a str,
    /// With its `@`.
    user_info: &'a str,
    hosts: Vec<&'a str>,
    /// Path, query and fragment.
    tail: &'a str,
}

impl<'a> Several<'a> {
    fn split(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (scheme, kind) = scheme.split_once('-')?;
        let kind = match kind {
            "cluster" => Kind::Cluster,
            "sentinel" => Kind::Sentinel,
            _ => return None,
        };
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (user_info, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        Some(Self {
            kind,
            scheme,
            user_info,
            hosts: hosts.split(',').map(str::trim).collect(),
            tail,
        })
    }

    /// The URL of each server.
    fn urls(&self) -> impl Iterator<Item = String> {
        let Self {
            scheme,
            user_info,
            hosts,
            tail,
            ..
        } = self;
        hosts
            .iter()
            .map(move |host| format!("{scheme}://{user_info}{host}{tail}"))
    }
}

/// Servers that know which one is the master of a name now.
#[derive(Clone)]
pub(crate) struct Sentinels {
    addresses: Vec<ConnectionAddr>,
    pub(crate) master_name: String,
    /// How they let us in.
    settings: RedisConnectionInfo,
    /// How the master lets us in.
    master_settings: RedisConnectionInfo,
    tls: Option<TlsMode>,
    certificates: Option<TlsCertificates>,
}

impl Sentinels {
    fn parse(several: &Several, certificates: Option<TlsCertificates>) -> RedisResult<Self> {
        let Several {
            scheme, hosts, tail, ..
        } = several;
        let fragment = tail.find('#').map_or("", |start| &tail[start..]);
        let addresses = hosts
            .iter()
            .map(|host| {
                let url = format!("{scheme}://{}/{fragment}", with_port(host));
                Ok(open(&url, certificates.clone())?
                    .get_connection_info()
                    .addr()
                    .clone())
            })
            .collect::<RedisResult<Vec<_>>>()?;
        let url = several.urls().next().unwrap_or_default();
        let master_settings = url.as_str().into_connection_info()?.redis_settings().clone();
        let mut settings = RedisConnectionInfo::default();
        let mut master_name = String::new();
        for (name, value) in redis::parse_redis_url(&url)
            .iter()
            .flat_map(|url| url.query_pairs())
        {
            match &*name {
                "sentinelServiceName" => master_name = value.into_owned(),
                "sentinelUsername" => settings = settings.set_username(value),
                "sentinelPassword" => settings = settings.set_password(value),
                _ => {}
            }
        }
        if master_name.is_empty() {
            return Err(invalid(
                "it does not say which master the sentinels are to be asked for: ?sentinelServiceName=NAME",
            ));
        }
        let tls = match addresses.first() {
            Some(ConnectionAddr::TcpTls { insecure: true, .. }) => Some(TlsMode::Insecure),
            Some(ConnectionAddr::TcpTls { .. }) => Some(TlsMode::Secure),
            _ => None,
        };
        Ok(Self {
            addresses,
            master_name,
            settings,
            master_settings,
            tls,
            certificates,
        })
    }

    /// Asks for the master, which must say itself that it is one.
    pub(crate) async fn master(&self) -> RedisResult<Client> {
        let (own, master) = (&self.settings, &self.master_settings);
        let mut builder = SentinelClientBuilder::new(
            self.addresses.clone(),
            &self.master_name,
            SentinelServerType::Master,
        )?
        .set_client_to_redis_db(master.db())
        .set_client_to_redis_protocol(master.protocol())
        .set_client_to_redis_tcp_settings(tcp_settings())
        .set_client_to_sentinel_tcp_settings(tcp_settings());
        if let Some(user) = master.username() {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = master.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(user) = own.username() {
            builder = builder.set_client_to_sentinel_username(user);
        }
        if let Some(password) = own.password() {
            builder = builder.set_client_to_sentinel_password(password);
        }
        if let Some(tls) = self.tls {
            builder = builder.set_client_to_redis_tls_mode(tls);
        }
        if let Some(certificates) = &self.certificates {
            builder = builder.set_client_to_redis_certificates(certificates.clone());
        }
        builder.build()?.async_get_client().await
    }
}

fn with_port(host: &str) -> String {
    if host.is_empty() || host.rfind(':') > host.rfind(']') {
        host.to_owned()
    } else {
        format!("{host}:{SENTINEL_PORT}")
    }
}

/// Some nodes of a cluster: they tell of the others.
#[derive(Clone)]
pub(crate) struct Nodes {
    nodes: Vec<Client>,
    certificates: Option<TlsCertificates>,
}

impl Nodes {
    fn builder(&self, response_timeout: Duration) -> ClusterClientBuilder {
        let info = |node: &Client| -> ConnectionInfo { node.get_connection_info().clone() };
        let builder = ClusterClientBuilder::new(self.nodes.iter().map(info))
            .tcp_settings(tcp_settings())
            .connection_timeout(NODE_TIMEOUT)
            .response_timeout(response_timeout)
            .retries(RETRIES)
            .min_retry_wait(RETRY_PAUSE_MS.0)
            .max_retry_wait(RETRY_PAUSE_MS.1);
        match &self.certificates {
            Some(certificates) => builder.certs(certificates.clone()),
            None => builder,
        }
    }

    pub(crate) async fn connect(&self, response_timeout: Duration) -> RedisResult<ClusterConnection> {
        self.builder(response_timeout)
            .build()?
            .get_async_connection()
            .await
    }

    /// Any node will do: they pass messages on to each other.
    pub(crate) async fn pubsub(&self) -> RedisResult<PubSub> {
        let mut nodes = self.nodes.clone();
        nodes.shuffle(&mut rand::rng());
        let mut last = invalid("it names no node");
        for node in nodes {
            match bounded(NODE_TIMEOUT, node.get_async_pubsub()).await {
                Ok(pubsub) => return Ok(pubsub),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_several_are_taken_apart() {
        let several =
            Several::split("rediss-cluster://joe:p%40ss@a:1, [::1]:2/?protocol=resp3#insecure").unwrap();
        assert_eq!(several.kind, Kind::Cluster);
        assert_eq!(
            several.urls().collect::<Vec<_>>(),
            [
                "rediss://joe:p%40ss@a:1/?protocol=resp3#insecure",
                "rediss://joe:p%40ss@[::1]:2/?protocol=resp3#insecure"
            ]
        );
        for url in ["redis://a", "redis+unix:///a-cluster", "a", "redis-other://a"] {
            assert_eq!(Several::split(url), None, "{url}");
        }
    }

    #[test]
    fn sentinels_have_a_port_and_a_password_of_their_own() {
        let url =
            "redis-sentinel://joe:pass@a,[::1],b:7/3?sentinelServiceName=my%20master&sentinelPassword=s%3d";
        let Topology::Sentinel(sentinels) = Topology::parse(url, None).unwrap() else {
            panic!("no sentinels");
        };
        let addresses: Vec<_> = sentinels.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["a:26379", "::1:26379", "b:7"]);
        assert_eq!(sentinels.master_name, "my master");
        assert_eq!(sentinels.settings.password(), Some("s="));
        let master = &sentinels.master_settings;
        assert_eq!(
            (master.username(), master.password(), master.db()),
            (Some("joe"), Some("pass"), 3)
        );
    }
}
