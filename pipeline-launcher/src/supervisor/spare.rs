//! A process that is already initialised, so that the next pipeline starts fast.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use tokio::sync::Mutex;

use super::process::Process;
use crate::control::Report;

/// GStreamer's first start on a machine reads all its plugins.
const INITIALISED: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Spares {
    exe: PathBuf,
    env: Vec<(String, String)>,
    spare: Mutex<Option<Process>>,
}

impl Spares {
    pub fn new(exe: PathBuf, env: Vec<(String, String)>) -> Arc<Self> {
        Arc::new(Self {
            exe,
            env,
            spare: Mutex::default(),
        })
    }

    /// An initialised process; while it is used, the next is made ready.
    pub async fn take(self: &Arc<Self>) -> anyhow::Result<Process> {
        let process = self.take_last().await?;
        tokio::spawn(Arc::clone(self).refill());
        Ok(process)
    }

    /// An initialised process, where no other will be wanted.
    pub async fn take_last(&self) -> anyhow::Result<Process> {
        match self.spare.lock().await.take() {
            Some(process) => Ok(process),
            None => self.make().await,
        }
    }

    /// Ends the spare one.
    pub async fn stop(&self) {
        if let Some(process) = self.spare.lock().await.take() {
            process.stop().await;
        }
    }

    /// Makes a spare one ready, unless there is one.
    pub async fn refill(self: Arc<Self>) {
        let mut spare = self.spare.lock().await;
        if spare.is_none() {
            match self.make().await {
                Ok(process) => *spare = Some(process),
                Err(error) => tracing::error!("no spare process: {error:#}"),
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
