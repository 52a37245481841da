//! What the elements need of Redis besides reaching it: notices for people, and a connection that comes back.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use glib::prelude::*;
use redis::{Cmd, Pipeline, RedisError, Value};
pub(crate) use sightline_redis::runtime::{spawn, wait};
use sightline_redis::{Backoff, is_lost};
pub(crate) use sightline_redis::{Connection, Error, Server, describe};

/// A warning is told to people at most this often.
const WARNING_INTERVAL: Duration = Duration::from_secs(5);

/// A pipeline whose commands may fail one by one.
pub(crate) fn pipe() -> Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.ignore_errors();
    pipeline
}

/// A command of a [`pipe`] that failed.
pub(crate) struct CommandError {
    pub(crate) error: RedisError,
    /// Its name and key; none if the pipe failed as a whole.
    command: Option<String>,
}

impl From<RedisError> for CommandError {
    fn from(error: RedisError) -> Self {
        Self { error, command: None }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(command) = &self.command {
            write!(f, "{command}: ")?;
        }
        f.write_str(&describe(&self.error))
    }
}

/// Runs the commands of a [`pipe`], all of them; the first error is the result.
pub(crate) async fn execute(connection: &mut Connection, pipeline: &Pipeline) -> Result<(), CommandError> {
    let results: Vec<Result<Value, RedisError>> = pipeline.query_async(connection).await?;
    for (command, result) in pipeline.cmd_iter().zip(results) {
        result.map_err(|error| CommandError {
            error,
            command: Some(name(command)),
        })?;
    }
    Ok(())
}

fn name(command: &Cmd) -> String {
    let mut words = command.args_iter().map(|arg| match arg {
        redis::Arg::Simple(word) => String::from_utf8_lossy(word).into_owned(),
        _ => String::new(),
    });
    let (command, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    format!("{command} `{key}`")
}

/// What an error means for the connection or command that met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The connection is of no use any more, or this Redis is not for now.
    Lost,
    /// Redis has no room; the next command may succeed.
    Full,
    /// The consumer group is gone, with its stream or without.
    NoGroup,
    /// Asking again will not help: wrong type of key, missing permission.
    Permanent,
}

impl Severity {
    pub(crate) fn of(error: &RedisError) -> Self {
        match error.code() {
            _ if is_lost(error) => Self::Lost,
            Some("OOM") => Self::Full,
            // UNBLOCKED: the stream was deleted while a read waited for it.
            Some("NOGROUP" | "UNBLOCKED") => Self::NoGroup,
            _ => Self::Permanent,
        }
    }
}

/// Tells people what a task met, on its element's bus and in the log; warnings not too often.
#[derive(Clone)]
pub(crate) struct Reporter {
    element: glib::WeakRef<gst::Element>,
    category: gst::DebugCategory,
    kind: gst::ResourceError,
    last_warning: Arc<Mutex<Option<Instant>>>,
}

impl Reporter {
    pub(crate) fn new(
        element: &impl IsA<gst::Element>,
        category: gst::DebugCategory,
        kind: gst::ResourceError,
    ) -> Self {
        Self {
            element: element.upcast_ref().downgrade(),
            category,
            kind,
            last_warning: Arc::default(),
        }
    }

    pub(crate) fn warn(&self, text: impl fmt::Display) {
        let mut last = self.last_warning.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|time| time.elapsed() < WARNING_INTERVAL) {
            return;
        }
        *last = Some(Instant::now());
        drop(last);
        let Some(element) = self.element.upgrade() else {
            return;
        };
        gst::warning!(self.category, obj = element, "{text}");
        gst::element_warning!(element, self.kind, ("{text}"));
    }

    pub(crate) fn fail(&self, text: impl fmt::Display) {
        let Some(element) = self.element.upgrade() else {
            return;
        };
        gst::error!(self.category, obj = element, "{text}");
        gst::element_error!(element, self.kind, ("{text}"));
    }
}

/// State of a link that others may look at.
#[derive(Debug, Default)]
pub(crate) struct LinkState {
    pub(crate) down: AtomicBool,
    pub(crate) reconnects: AtomicU64,
}

/// A connection that comes back after it was lost.
pub(crate) struct Link {
    server: Server,
    response_timeout: Duration,
    connection: Option<Connection>,
    backoff: Backoff,
    state: Arc<LinkState>,
    reporter: Reporter,
}

impl Link {
    pub(crate) fn new(
        server: Server,
        connection: Connection,
        response_timeout: Duration,
        state: Arc<LinkState>,
        reporter: Reporter,
    ) -> Self {
        Self {
            server,
            response_timeout,
            connection: Some(connection),
            backoff: Backoff::default(),
            state,
            reporter,
        }
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The connection, if need be after waiting until there is one again. Safe to drop while it waits.
    pub(crate) async fn connection(&mut self) -> Connection {
        loop {
            if let Some(connection) = &self.connection {
                return connection.clone();
            }
            tokio::time::sleep(self.backoff.step()).await;
            match self.server.connect(self.response_timeout).await {
                Ok(connection) => {
                    self.connection = Some(connection);
                    self.state.reconnects.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => self.reporter.warn(format_args!("{error}; trying again")),
            }
        }
    }

    /// Drops a connection that has failed.
    pub(crate) fn lost(&mut self, error: &RedisError) {
        self.connection = None;
        self.state.down.store(true, Ordering::Relaxed);
        let (server, cause) = (&self.server, describe(error));
        let what = match error.code() {
            Some(_) => format!("Redis at {server} cannot serve now: {cause}"),
            None => format!("Lost the connection to Redis at {server}: {cause}"),
        };
        self.reporter.warn(format_args!("{what}; trying again"));
    }

    /// Redis refuses something that is not worth stopping for.
    pub(crate) fn warn(&self, cause: &str) {
        self.reporter.warn(self.server.refused(cause));
    }

    /// Redis has answered a real command: only this, not a connect alone, ends the backing off.
    pub(crate) fn healthy(&mut self) {
        self.backoff.reset();
        self.state.down.store(false, Ordering::Relaxed);
    }
}
