//! Watches the folder of pipelines: what is good of a change serves the next session.
//!
//! Files are judged as `check` judges them, in a process of its own: plugins are loaded for it, which can hang or crash.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Serialize;
use sightline_protocol::unix_micros;
use tokio_util::sync::CancellationToken;

use super::process::tied_to_us;
use crate::description::catalogue::{self, Catalogue, Change, Texts};
use crate::description::judge::Verdict;
use crate::metrics;

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// After a check that itself failed.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How long files may take to be read: they may lie on a network.
const READ: Duration = Duration::from_secs(10);
/// GStreamer's first start on a machine reads all its plugins.
const CHECK: Duration = Duration::from_secs(60);

/// Why changes are not seen at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// Unix time in microseconds.
    pub since_us: u64,
    pub message: String,
}

#[derive(Debug)]
pub struct Reloader {
    folder: PathBuf,
    exe: PathBuf,
    catalogue: Arc<Catalogue>,
    trouble: Mutex<Option<Trouble>>,
}

impl Reloader {
    /// Reads the folder. That it cannot be read, or that it holds no good file, is an error. `exe` is this program.
    pub async fn open(folder: &Path, exe: PathBuf) -> anyhow::Result<Self> {
        let reloader = Self {
            folder: folder.to_owned(),
            exe,
            catalogue: Arc::default(),
            trouble: Mutex::default(),
        };
        reloader.look().await?;
        ensure!(
            !reloader.catalogue.list().pipelines.is_empty(),
            "no usable pipeline description (*.toml) in {}; `pipeline-launcher check` says what is wrong",
            folder.display()
        );
        Ok(reloader)
    }

    pub fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.catalogue)
    }

    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub async fn watch(self: Arc<Self>, shutdown: CancellationToken) {
        let mut pause = LOOK;
        while shutdown
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_some()
        {
            let Some(looked) = shutdown.run_until_cancelled(self.look()).await else {
                return;
            };
            pause = if looked.is_ok() { LOOK } else { LOOK_AGAIN };
            self.note(looked.err());
        }
    }

    fn note(&self, error: Option<anyhow::Error>) {
        let message = error.map(|error| format!("{error:#}"));
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let known = trouble.as_ref().map(|trouble| &trouble.message);
        if message.as_ref() == known {
            return;
        }
        match &message {
            Some(error) => {
                metrics::reloaded(false);
                tracing::error!(
                    error,
                    "changes of pipelines are not seen; the known ones serve on"
                );
            }
            None => tracing::info!("changes of pipelines are seen again"),
        }
        *trouble = message.map(|message| Trouble {
            since_us: unix_micros(),
            message,
        });
    }

    /// Judges and takes what has changed.
    async fn look(&self) -> anyhow::Result<()> {
        let texts = self.read().await?;
        let Some(order) = self.catalogue.to_judge(&texts) else {
            return Ok(());
        };
        let verdicts = self.judge(&order).await?;
        ensure!(
            verdicts.len() == order.len(),
            "the check did not judge every pipeline"
        );
        // One that changes just now was judged by another text; the next look has it.
        if self.read().await? == texts {
            let changes = self
                .catalogue
                .take(texts, order.into_iter().zip(verdicts).collect());
            for change in changes {
                metrics::reloaded(!matches!(change, Change::Refused(_)));
            }
        }
        Ok(())
    }

    async fn read(&self) -> anyhow::Result<Texts> {
        let folder = self.folder.clone();
        let read = tokio::task::spawn_blocking(move || catalogue::read(&folder));
        let texts = tokio::time::timeout(READ, read).await.with_context(|| {
            format!(
                "the folder {} was not read within {READ:?}",
                self.folder.display()
            )
        })?;
        texts?.map_err(anyhow::Error::msg)
    }

    async fn judge(&self, files: &[PathBuf]) -> anyhow::Result<Vec<Verdict>> {
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let check = tied_to_us("KILL", &self.exe)
            .args(["check", "--json", "--"])
            .args(files)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the check of the pipelines cannot be started")?;
        let Ok(output) = tokio::time::timeout(CHECK, check.wait_with_output()).await else {
            bail!(
                "the check of the pipelines did not end within {CHECK:?}; `pipeline-launcher check` shows where"
            );
        };
        let output = output?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!(
                "the check of the pipelines ended without a verdict: {}",
                output.status
            )
        })
    }
}
