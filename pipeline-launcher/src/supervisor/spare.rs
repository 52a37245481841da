//! Processes that are already initialised, so that the next pipelines start fast.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::bail;
use futures_util::future::join_all;

use super::process::Process;
use crate::control::Report;

/// GStreamer's first start on a machine reads all its plugins.
const INITIALISED: Duration = Duration::from_secs(60);

/// So many sessions start fast, one right after the other.
pub const SPARES: usize = 2;

#[derive(Debug)]
pub struct Spares {
    exe: PathBuf,
    env: Vec<(String, String)>,
    ready: Mutex<VecDeque<Process>>,
    /// One at a time: on a busy machine, two would both be late.
    making: tokio::sync::Mutex<()>,
}

impl Spares {
    pub fn new(exe: PathBuf, env: Vec<(String, String)>) -> Arc<Self> {
        Arc::new(Self {
            exe,
            env,
            ready: Mutex::default(),
            making: tokio::sync::Mutex::default(),
        })
    }

    fn ready(&self) -> MutexGuard<'_, VecDeque<Process>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An initialised process; while it is used, the next is made ready.
    pub async fn take(self: &Arc<Self>) -> anyhow::Result<Process> {
        let process = self.take_last().await?;
        tokio::spawn(Arc::clone(self).refill());
        Ok(process)
    }

    /// An initialised process, where no other will be wanted.
    pub async fn take_last(&self) -> anyhow::Result<Process> {
        let ready = self.ready().pop_front();
        if let Some(process) = ready {
            return Ok(process);
        }
        // As often as not, the next is being made.
        let _making = self.making.lock().await;
        let made = self.ready().pop_front();
        match made {
            Some(process) => Ok(process),
            None => self.make().await,
        }
    }

    /// Ends the spare ones.
    pub async fn stop(&self) {
        let _making = self.making.lock().await;
        let ready = std::mem::take(&mut *self.ready());
        join_all(ready.into_iter().map(Process::stop)).await;
    }

    /// Makes spare ones ready until there are enough.
    pub async fn refill(self: Arc<Self>) {
        loop {
            // Let go of between two: who waits for one is served first.
            let _making = self.making.lock().await;
            if self.ready().len() >= SPARES {
                return;
            }
            match self.make().await {
                Ok(process) => self.ready().push_back(process),
                Err(error) => return tracing::error!("no spare process: {error:#}"),
            }
        }
    }

    async fn make(&self) -> anyhow::Result<Process> {
        let mut process = Process::spawn(&self.exe, &self.env)?;
        match tokio::time::timeout(INITIALISED, process.report()).await {
            Ok(Some(Report::Ready)) => Ok(process),
            Ok(_) => bail!(
                "a pipeline's process ended before it was ready: {}",
                process.wait().await
            ),
            Err(_) => bail!("a pipeline's process was not ready after {INITIALISED:?}"),
        }
    }
}
