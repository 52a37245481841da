//! The process of one pipeline, seen from the launcher.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};
pub use sightline_protocol::rpc::Exit;
use sightline_protocol::{ErrorId, Failure};
use sightline_service::usage;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Interval, MissedTickBehavior};

use super::health::{Fault, Health, Limits};
use super::tally::{Purpose, Tally};
use crate::control::{Command, Report, to_line};
use crate::sandbox;

/// After `Stop` a process has this long before it is killed; it kills itself a little earlier.
const STOP_GRACE: Duration = Duration::from_secs(4);

/// The end of a process, and what is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    pub exit: Exit,
    /// Why, unless it ended in order.
    pub reason: Option<Failure>,
}

/// What comes next from a process that is looked after.
#[derive(Debug)]
pub enum Next {
    Report(Report),
    /// The process is gone.
    Over(Ending),
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(0), _) => Exit::Success,
        (Some(code), _) => Exit::Failed { code },
        (None, Some(signal)) => Exit::Killed { signal },
        (None, None) => Exit::Unknown,
    }
}

/// A command for a program that is not ours: the kernel sends it `signal` when this process is gone, even by SIGKILL.
pub fn tied_to_us(signal: &str, program: &Path) -> tokio::process::Command {
    // Doing it ourselves, between fork and exec, needs unsafe code; util-linux has a program for it.
    let mut command = tokio::process::Command::new("setpriv");
    command.args(["--pdeathsig", signal, "--"]).arg(program);
    command
}

/// How often a process is looked at.
const CHECK: Duration = Duration::from_millis(500);

fn checks() -> Interval {
    let mut checks = tokio::time::interval(CHECK);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    checks
}

/// A running process. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    child: tokio::process::Child,
    commands: OwnedWriteHalf,
    reports: Lines<BufReader<OwnedReadHalf>>,
    pid: u32,
    last_words: Option<Failure>,
    fault: Option<Fault>,
    health: Health,
    tally: Option<Tally>,
    check: Interval,
}

impl Process {
    /// Starts the program `exe child`, with what it needs of the launcher's environment, and `env` added to it.
    pub fn spawn(exe: &Path, env: &[(String, String)]) -> anyhow::Result<Self> {
        let (ours, theirs) = UnixStream::pair().context("no socket for the pipeline's process")?;
        let theirs = OwnedFd::from(theirs.into_std()?);
        rustix::io::ioctl_fionbio(&theirs, false)?;
        // What GStreamer prints belongs to the log, not to the launcher's output.
        let output = std::io::stderr().as_fd().try_clone_to_owned()?;
        let child = tokio::process::Command::new(exe)
            .arg("child")
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(sandbox::is_kept)))
            // ONNX Runtime's builds phone home by default.
            .env("ORT_DISABLE_TELEMETRY", "1")
            // GIO would keep a desktop's settings in a file of the user's, which it cannot.
            .env("GSETTINGS_BACKEND", "memory")
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
            last_words: None,
            fault: None,
            health: Health::new(Limits::NONE, Instant::now()),
            tally: None,
            check: checks(),
        })
    }

    /// From now on [`Self::next`] counts its frames, and ends the process if it goes beyond these limits.
    pub fn limit(&mut self, purpose: Purpose, limits: Limits) {
        self.tally = Some(Tally::new(purpose));
        self.health = Health::new(limits, Instant::now());
        self.check = checks();
    }

    /// Bytes of memory that it had when it was last looked at.
    pub fn memory(&self) -> u64 {
        self.health.memory()
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub async fn send(&mut self, command: &Command) -> std::io::Result<()> {
        self.commands.write_all(to_line(command)?.as_bytes()).await
    }

    /// The next report; none when the process has closed its end. Safe to cancel.
    pub async fn report(&mut self) -> Option<Report> {
        next_of(&mut self.reports, self.pid).await
    }

    /// The next report, or its end: its own, or ours because of a fault. Safe to cancel.
    pub async fn next(&mut self) -> Next {
        loop {
            let report = tokio::select! {
                // What was said in time counts, however late we read it.
                biased;
                report = next_of(&mut self.reports, self.pid) => report,
                _ = self.check.tick() => {
                    self.look();
                    continue;
                }
            };
            match report {
                Some(Report::Failed(failure)) => self.last_words = Some(failure),
                Some(Report::Ended) => {}
                Some(report) => {
                    self.health.heard(&report);
                    self.count(&report);
                    return Next::Report(report);
                }
                None => return Next::Over(self.over().await),
            }
        }
    }

    fn count(&mut self, report: &Report) {
        if let (Report::Progress(progress), Some(tally)) = (report, &mut self.tally) {
            tally.take(progress);
        }
    }

    /// What it has said and nobody has read yet.
    async fn hear_out(&mut self) {
        const READ: Duration = Duration::from_millis(100);
        while let Ok(Some(report)) = tokio::time::timeout(READ, next_of(&mut self.reports, self.pid)).await {
            self.count(&report);
        }
    }

    /// Kills the process if it is at fault; its end is then seen as that of any other.
    fn look(&mut self) {
        let memory = usage::memory_of(self.pid);
        if let Some(tally) = &mut self.tally {
            tally.used(usage::cpu_of(self.pid), memory);
        }
        if self.fault.is_none()
            && let Some(fault) = self.health.judge(memory, Instant::now())
        {
            tracing::error!(pid = self.pid, exit = fault.exit.kind(), "{}", fault.words);
            self.kill_group();
            self.fault = Some(fault);
        }
    }

    /// It has closed its end: how it ends.
    async fn over(&mut self) -> Ending {
        let exit = match tokio::time::timeout(STOP_GRACE, self.child.wait()).await {
            Ok(status) => self.ended(status),
            Err(_) => self.kill().await,
        };
        let failed = |words: String| Some(Failure::new(ErrorId::SessionFailed, words));
        match (exit, self.fault.take(), self.last_words.take()) {
            (_, Some(Fault { exit, words }), _) => Ending {
                exit,
                reason: failed(words),
            },
            // It failed, whatever happened to it while it tidied up.
            (Exit::Killed { .. }, None, Some(said)) => Ending {
                exit: Exit::Failed { code: 1 },
                reason: Some(said),
            },
            (Exit::Success, None, said) => Ending { exit, reason: said },
            (exit, None, said) => Ending {
                exit,
                reason: said.or_else(|| failed(format!("the pipeline's process died: {exit}"))),
            },
        }
    }

    /// Asks the process to end, kills it if it does not, and says how it ended.
    pub async fn stop(mut self) -> Exit {
        let asked = self.send(&Command::Stop).await;
        if asked.is_ok()
            && let Ok(status) = tokio::time::timeout(STOP_GRACE, self.child.wait()).await
        {
            let exit = self.ended(status);
            self.hear_out().await;
            return exit;
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

    async fn kill(&mut self) -> Exit {
        tracing::warn!(pid = self.pid, "the process does not end; it is killed");
        self.kill_group();
        let status = self.child.wait().await;
        self.ended(status)
    }

    fn ended(&self, status: std::io::Result<ExitStatus>) -> Exit {
        // Whatever it started ends with it.
        self.kill_group();
        status.map_or(Exit::Unknown, exit_of)
    }

    fn kill_group(&self) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(Err(error)) = pid.map(|pid| kill_process_group(pid, Signal::KILL)) {
            tracing::trace!(pid = self.pid, %error, "no process of the group is left");
        }
    }
}

async fn next_of(reports: &mut Lines<BufReader<OwnedReadHalf>>, pid: u32) -> Option<Report> {
    loop {
        let line = reports.next_line().await.ok().flatten()?;
        match serde_json::from_str(&line) {
            Ok(report) => return Some(report),
            Err(error) => tracing::warn!(pid, %error, "the process sent something else than a report"),
        }
    }
}
