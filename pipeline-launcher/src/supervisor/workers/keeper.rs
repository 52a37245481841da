//! One worker: started, started again when it ends, and drained when it is not wanted any more.

use std::time::{Duration, Instant};

use rand::RngExt;
use sightline_protocol::inventa::{ServiceName, kind};
use sightline_protocol::rpc::info;
use tokio_util::sync::CancellationToken;

use super::budget::{Budget, Verdict};
use super::{Plan, Status};
use crate::control::{Command, Network, Progress, Report, Start};
use crate::metrics;
use crate::supervisor::exits::Role;
use crate::supervisor::process::{Ending, Exit, Next, Process};
use crate::supervisor::recent::Recent;
use crate::supervisor::tally::Purpose;

/// So long may the frames take that a worker has when it is to stop.
const DRAIN: Duration = Duration::from_secs(3);

/// Keeps a worker running until `unwanted`; then it has finished its frames.
pub(super) async fn keep_running(plan: &Plan, worker: &str, unwanted: CancellationToken) {
    let mut budget = Budget::new(plan.restart);
    // Wanted from now on, though it takes a while to run.
    plan.board
        .note(worker, |status| status.model.clone_from(&plan.model));
    while !unwanted.is_cancelled() {
        let started = Instant::now();
        let Ending { exit, reason } = run_once(plan, worker, &unwanted).await;
        plan.exits.count(Role::Worker, exit);
        if unwanted.is_cancelled() {
            break;
        }
        let reason = reason.map_or_else(|| exit.to_string(), |failure| failure.message);
        tracing::warn!(worker, exit = exit.kind(), reason, "a worker ended");
        let verdict = budget.after(exit == Exit::Success, started, Instant::now());
        plan.board
            .note(worker, |status| status.ended(verdict, budget.used(), &reason));
        let pause = match verdict {
            Verdict::RestartAfter(pause) => pause.mul_f64(rand::rng().random_range(0.75..1.25)),
            Verdict::RestFor(rest) => {
                let seconds = rest.as_secs();
                tracing::error!(
                    worker,
                    reason,
                    "the worker keeps crashing and stays down; it is tried again in {seconds} s, or at once when \
                     the launcher is restarted"
                );
                rest
            }
            Verdict::Over => break,
        };
        metrics::restarted(Role::Worker, exit);
        unwanted.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    plan.board.remove(worker);
}

impl Status {
    fn ended(&mut self, verdict: Verdict, restarts: usize, reason: &str) {
        self.running = false;
        // Its successor counts from nothing.
        self.recent = Recent::default();
        self.reason = reason.to_owned();
        self.crashes = match verdict {
            Verdict::RestartAfter(_) => restarts,
            Verdict::RestFor(_) | Verdict::Over => usize::MAX,
        };
        self.rests = matches!(verdict, Verdict::RestFor(_));
    }
}

async fn start(plan: &Plan, worker: &str, identity: String) -> Result<Process, Ending> {
    let failed = |error: anyhow::Error| Ending {
        exit: Exit::FailedToSpawn,
        reason: Some(sightline_protocol::Failure::new(
            sightline_protocol::ErrorId::Internal,
            format!("{error:#}"),
        )),
    };
    let mut process = plan.spares.take_last().await.map_err(failed)?;
    let start = Start {
        pipeline: plan.pipeline.clone(),
        identity,
        webrtc: Network::default(),
        offer: None,
        max_open_files: Some(plan.max_open_files),
    };
    let sent = process.send(&Command::Start(Box::new(start))).await;
    sent.map_err(|error| failed(error.into()))?;
    let purpose = Purpose {
        role: Role::Worker,
        pipeline: plan.pipeline.name.clone(),
        worker: worker.to_owned(),
    };
    process.limit(purpose, plan.limits);
    Ok(process)
}

/// Runs a worker to its end.
async fn run_once(plan: &Plan, worker: &str, unwanted: &CancellationToken) -> Ending {
    let name = ServiceName::new(kind::INFERENCE, worker);
    let mut process = match start(plan, worker, name.to_string()).await {
        Ok(process) => process,
        Err(ending) => return ending,
    };
    // Registered for as long as it takes frames.
    let registered = unwanted.child_token();
    let _ended = registered.clone().drop_guard();
    let mut known = false;
    let mut providers = Vec::new();
    loop {
        let next = tokio::select! {
            next = process.next() => next,
            () = unwanted.cancelled() => return drain(process).await,
        };
        match next {
            Next::Report(Report::Running) if !known => {
                known = true;
                let pid = process.pid();
                tracing::info!(worker, pid, model = plan.model, "worker ready");
                plan.board.note(worker, |status| {
                    status.running = true;
                    status.pid = pid;
                    status.answered = 0;
                    status.rests = false;
                });
                let model = plan.model.clone();
                let told = move || vec![(info::MODEL.to_owned(), model.clone())];
                plan.registration.keep(name.clone(), told, registered.clone());
            }
            Next::Report(Report::Progress(progress)) => {
                if providers.is_empty() {
                    providers = execution_providers(&progress);
                    for (element, provider) in &providers {
                        tracing::info!(worker, element, provider, "the model is loaded");
                    }
                }
                plan.board.note(worker, |status| {
                    status.drops = drops(&progress);
                    status.answered = progress.frames_out;
                    status.recent.take(&progress.stages);
                });
            }
            Next::Report(_) => {}
            Next::Over(ending) => return ending,
        }
    }
}

/// Lets a worker finish what it has taken, and ends it.
async fn drain(mut process: Process) -> Ending {
    let finished = async {
        if process.send(&Command::Drain).await.is_err() {
            return None;
        }
        loop {
            if let Next::Over(ending) = process.next().await {
                return Some(ending);
            }
        }
    };
    match tokio::time::timeout(DRAIN, finished).await {
        Ok(Some(ending)) => ending,
        Ok(None) | Err(_) => Ending {
            exit: process.stop().await,
            reason: None,
        },
    }
}

/// What the models of a pipeline run on, by the detector's name.
fn execution_providers(progress: &Progress) -> Vec<(String, String)> {
    let of = |(element, stats): (&String, &crate::control::Stats)| {
        let provider = stats.get("execution-provider")?.as_str()?;
        (!provider.is_empty()).then(|| (element.clone(), provider.to_owned()))
    };
    progress.stats.iter().filter_map(of).collect()
}

/// Frames that were too old when this worker took them.
fn drops(progress: &Progress) -> u64 {
    let of = |stats: &crate::control::Stats| stats.get("dropped-expired").and_then(serde_json::Value::as_u64);
    progress.stats.values().filter_map(of).sum()
}
