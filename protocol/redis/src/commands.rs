//! A connection that many share and nobody looks after.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value};

use crate::{Connection, Server, is_lost};

/// A connection for commands that do not wait, shared by cloning. Commands sent while Redis is away fail; the first
/// one after its return works again.
#[derive(Clone)]
pub struct Commands {
    server: Server,
    response_timeout: Duration,
    connection: Arc<Mutex<Connecting>>,
}

/// Made once, by the first who waits for it.
type Connecting = Shared<BoxFuture<'static, RedisResult<Connection>>>;

impl Commands {
    pub(crate) fn new(server: Server, response_timeout: Duration) -> Self {
        let connection = connecting(server.clone(), response_timeout);
        Self {
            server,
            response_timeout,
            connection: Arc::new(Mutex::new(connection)),
        }
    }

    /// Waits for the connection.
    pub(crate) async fn ready(&self) -> RedisResult<()> {
        let connecting = self.current().clone();
        connecting.await.map(drop)
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// All keys that match a pattern; what is no text is left out.
    pub async fn scan(&self, pattern: &str) -> RedisResult<Vec<String>> {
        let connecting = self.current().clone();
        let scanned = async { connecting.clone().await?.scan(pattern).await }.await;
        self.judge(&connecting, scanned.as_ref().err());
        scanned
    }

    fn current(&self) -> MutexGuard<'_, Connecting> {
        // One value, whole whatever panicked.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After an error that means so, the next command makes a new connection.
    fn judge(&self, used: &Connecting, error: Option<&RedisError>) {
        if error.is_some_and(is_lost) {
            let mut current = self.current();
            // Another has done so already, perhaps.
            if current.ptr_eq(used) {
                *current = connecting(self.server.clone(), self.response_timeout);
            }
        }
    }
}

fn connecting(server: Server, response_timeout: Duration) -> Connecting {
    async move { server.open(response_timeout).await }
        .boxed()
        .shared()
}

/// The error that a reply is, if it is one.
fn refusal(reply: &Value) -> Option<RedisError> {
    match reply {
        Value::ServerError(error) => Some(error.clone().into()),
        _ => None,
    }
}

impl ConnectionLike for Commands {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        async move {
            let connecting = self.current().clone();
            let reply = async { connecting.clone().await?.req_packed_command(command).await }.await;
            match &reply {
                Ok(reply) => self.judge(&connecting, refusal(reply).as_ref()),
                Err(error) => self.judge(&connecting, Some(error)),
            }
            reply
        }
        .boxed()
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        async move {
            let connecting = self.current().clone();
            let replies = async {
                let mut connection = connecting.clone().await?;
                connection.req_packed_commands(pipeline, offset, count).await
            }
            .await;
            match &replies {
                Ok(replies) => self.judge(
                    &connecting,
                    replies.iter().filter_map(refusal).find(is_lost).as_ref(),
                ),
                Err(error) => self.judge(&connecting, Some(error)),
            }
            replies
        }
        .boxed()
    }

    fn get_db(&self) -> i64 {
        0
    }
}
