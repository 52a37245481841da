//! The process of one pipeline, seen from the launcher.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::control::{Command, Report, to_line};

/// After `Stop` a process has this long before it is killed; it kills itself a little earlier.
const STOP_GRACE: Duration = Duration::from_secs(4);

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Success,
    Failed(i32),
    /// By a signal.
    Killed(i32),
    Unknown,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Success => f.write_str("it ended in order"),
            Self::Failed(code) => write!(f, "it exited with code {code}"),
            Self::Killed(signal) => write!(f, "it was ended by signal {signal}"),
            Self::Unknown => f.write_str("nothing is known of its end"),
        }
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(0), _) => Self::Success,
            (Some(code), _) => Self::Failed(code),
            (None, Some(signal)) => Self::Killed(signal),
            (None, None) => Self::Unknown,
        }
    }
}

/// A command for a program that is not ours: the kernel sends it `signal` when this process is gone, even by SIGKILL.
pub fn tied_to_us(signal: &str, program: &Path) -> tokio::process::Command {
    // Doing it ourselves, between fork and exec, needs unsafe code; util-linux has a program for it.
    let mut command = tokio::process::Command::new("setpriv");
    command.args(["--pdeathsig", signal, "--"]).arg(program);
    command
}

/// A running process. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    child: tokio::process::Child,
    commands: OwnedWriteHalf,
    reports: Lines<BufReader<OwnedReadHalf>>,
    pid: u32,
}

impl Process {
    /// Starts the program `exe child`, with the launcher's environment and `env` added to it.
    pub fn spawn(exe: &Path, env: &[(String, String)]) -> anyhow::Result<Self> {
        let (ours, theirs) = UnixStream::pair().context("no socket for the pipeline's process")?;
        let theirs = OwnedFd::from(theirs.into_std()?);
        rustix::io::ioctl_fionbio(&theirs, false)?;
        // What GStreamer prints belongs to the log, not to the launcher's output.
        let output = std::io::stderr().as_fd().try_clone_to_owned()?;
        let child = tokio::process::Command::new(exe)
            .arg("child")
            // ONNX Runtime's builds phone home by default.
            .env("ORT_DISABLE_TELEMETRY", "1")
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::from(output))
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", exe.display()))?;
        let pid = child.id().context("the process has ended already")?;
        let (reading, commands) = ours.into_split();
        Ok(Self {
            child,
            commands,
            reports: BufReader::new(reading).lines(),
            pid,
        })
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub async fn send(&mut self, command: &Command) -> std::io::Result<()> {
        self.commands.write_all(to_line(command)?.as_bytes()).await
    }

    /// The next report; none when the process has closed its end. Safe to cancel.
    pub async fn report(&mut self) -> Option<Report> {
        loop {
            let line = self.reports.next_line().await.ok().flatten()?;
            match serde_json::from_str(&line) {
                Ok(report) => return Some(report),
                Err(error) => {
                    tracing::warn!(pid = self.pid, %error, "the process sent something else than a report")
                }
            }
        }
    }

    /// Asks the process to end, kills it if it does not, and says how it ended.
    pub async fn stop(mut self) -> Exit {
        let asked = self.send(&Command::Stop).await;
        if asked.is_ok()
            && let Ok(status) = tokio::time::timeout(STOP_GRACE, self.child.wait()).await
        {
            return self.ended(status);
        }
        self.kill().await
    }

    /// Waits for a process that is about to end by itself.
    pub async fn wait(mut self) -> Exit {
        match tokio::time::timeout(STOP_GRACE, self.child.wait()).await {
            Ok(status) => self.ended(status),
            Err(_) => self.kill().await,
        }
    }

    async fn kill(mut self) -> Exit {
        tracing::warn!(pid = self.pid, "the process does not end; it is killed");
        self.kill_group();
        let status = self.child.wait().await;
        self.ended(status)
    }

    fn ended(&self, status: std::io::Result<ExitStatus>) -> Exit {
        // Whatever it started ends with it.
        self.kill_group();
        status.map_or(Exit::Unknown, Exit::from)
    }

    fn kill_group(&self) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(Err(error)) = pid.map(|pid| kill_process_group(pid, Signal::KILL)) {
            tracing::trace!(pid = self.pid, %error, "no process of the group is left");
        }
    }
}
