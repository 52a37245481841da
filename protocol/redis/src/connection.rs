//! A connection, to one server or to all of a cluster.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use futures_util::future::join_all;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo, SingleNodeRoutingInfo};
use redis::{Arg, Cmd, Pipeline, RedisError, RedisFuture, RedisResult, ServerError, Value};

/// A connection that can be shared by cloning. Its clones share its fate.
///
/// A pipeline goes to one server in one round trip. In a cluster each of its commands goes to where its key is: those
/// of one key one after the other, those of different keys at the same time.
#[derive(Clone)]
pub enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    pub fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// All keys that match a pattern; what is no text is left out.
    pub async fn scan(&mut self, pattern: &str) -> RedisResult<Vec<String>> {
        let mut keys = Vec::new();
        let mut pending = self.begin_scan(pattern).await?;
        while let Some((node, (cursor, found))) = pending.pop() {
            keys.extend(found.into_iter().filter_map(|key| String::from_utf8(key).ok()));
            if cursor != 0 {
                let page = self.continue_scan(&node, cursor, pattern).await?;
                pending.push((node, page));
            }
        }
        Ok(keys)
    }

    /// The first page of each server that has keys.
    async fn begin_scan(&mut self, pattern: &str) -> RedisResult<Vec<(String, Page)>> {
        let command = scan_command(0, pattern);
        match self {
            Self::Single(connection) => Ok(vec![(String::new(), command.query_async(connection).await?)]),
            Self::Cluster(connection) => {
                let masters = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                let pages = connection.route_command(command, masters).await?;
                Ok(redis::from_redis_value(pages)?)
            }
        }
    }

    async fn continue_scan(&mut self, node: &str, cursor: u64, pattern: &str) -> RedisResult<Page> {
        let command = scan_command(cursor, pattern);
        match self {
            Self::Single(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => {
                let (host, port) = node.rsplit_once(':').unwrap_or_default();
                let node = SingleNodeRoutingInfo::ByAddress {
                    host: host.to_owned(),
                    port: port.parse().unwrap_or_default(),
                };
                let page = connection.route_command(command, RoutingInfo::SingleNode(node));
                Ok(redis::from_redis_value(page.await?.extract_error()?)?)
            }
        }
    }
}

/// Where to go on, and the keys found so far.
type Page = (u64, Vec<Vec<u8>>);

fn scan_command(cursor: u64, pattern: &str) -> Cmd {
    let mut command = redis::cmd("SCAN");
    command
        .arg(cursor)
        .arg("MATCH")
        .arg(pattern)
        .arg("COUNT")
        .arg(1000);
    command
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => match pipeline.is_transaction() {
                // Its keys are on one server, or it is refused.
                true => connection.req_packed_commands(pipeline, offset, count),
                false => scatter(connection, pipeline).boxed(),
            },
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// Runs each command of a pipeline where its key is. Not even those of one key go as a pipeline: while its slot moves,
/// a server takes only the first of them, and the others would be sent again together with it.
async fn scatter(connection: &ClusterConnection, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
    let mut lanes = BTreeMap::<_, Vec<_>>::new();
    for (place, command) in pipeline.cmd_iter().enumerate() {
        lanes.entry(key(command)).or_default().push((place, command));
    }
    let lanes = lanes.into_values().map(|lane| in_order(connection.clone(), lane));
    let mut replies = Vec::with_capacity(pipeline.len());
    // All of them, whatever becomes of the first.
    for lane in join_all(lanes).await {
        replies.extend(lane?);
    }
    replies.sort_by_key(|(place, _)| *place);
    Ok(replies.into_iter().map(|(_, reply)| reply).collect())
}

async fn in_order(
    mut connection: ClusterConnection,
    commands: Vec<(usize, &Cmd)>,
) -> RedisResult<Vec<(usize, Value)>> {
    let mut replies = Vec::with_capacity(commands.len());
    for (place, command) in commands {
        let reply = connection.req_packed_command(command).await;
        // As in a pipeline, a refusal is one reply among others.
        let reply =
            reply.or_else(|error| Ok::<_, RedisError>(Value::ServerError(ServerError::try_from(error)?)))?;
        replies.push((place, reply));
    }
    Ok(replies)
}

fn key(command: &Cmd) -> &[u8] {
    match command.args_iter().nth(1) {
        Some(Arg::Simple(key)) => key,
        _ => &[],
    }
}
