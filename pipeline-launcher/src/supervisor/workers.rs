//! The worker pipelines of this launcher: each is kept running, with a growing pause between restarts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use sightline_protocol::inventa::{ServiceName, kind};
use sightline_protocol::rpc::info;
use tokio_util::sync::CancellationToken;

use super::process::Exit;
use super::spare::Spares;
use crate::control::{Command, Network, Report, Start};
use crate::description::{Resolved, Restart, RestartPolicy};
use crate::registration::Registration;

/// The first pause before a restart; it doubles with each restart within the window.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What every worker of a launcher has in common.
pub struct Plan {
    pub pipeline: Resolved,
    pub restart: Restart,
    pub model: String,
    pub spares: Arc<Spares>,
    pub registration: Registration,
}

/// Keeps one worker running until `shutdown`, or until its restart budget is used up.
pub async fn keep_running(plan: Arc<Plan>, id: String, shutdown: CancellationToken) {
    let window = Duration::from_secs(u64::from(plan.restart.window_secs));
    let mut restarts: VecDeque<Instant> = VecDeque::new();
    loop {
        let (exit, reason) = run_once(&plan, &id, &shutdown).await;
        if shutdown.is_cancelled() {
            return;
        }
        tracing::warn!(worker = id, %exit, reason, "a worker ended");
        let again = match plan.restart.policy {
            RestartPolicy::Never => false,
            RestartPolicy::OnFailure => exit != Exit::Success,
            RestartPolicy::Always => true,
        };
        restarts.retain(|at| at.elapsed() < window);
        if !again || restarts.len() >= plan.restart.max_restarts as usize {
            let count = restarts.len();
            tracing::error!(
                worker = id,
                reason,
                count,
                ?window,
                "the worker stays down after these restarts"
            );
            return;
        }
        let pause = pause_before(restarts.len());
        restarts.push_back(Instant::now());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Doubles with each restart, with a jitter so that workers do not start in step.
fn pause_before(restart: usize) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << restart.min(10));
    doubled
        .min(LONGEST_PAUSE)
        .mul_f64(rand::rng().random_range(0.75..1.25))
}

/// Runs a worker to its end: how its process ended, and what it said.
async fn run_once(plan: &Plan, id: &str, shutdown: &CancellationToken) -> (Exit, String) {
    let mut process = match plan.spares.take().await {
        Ok(process) => process,
        Err(error) => return (Exit::Unknown, format!("{error:#}")),
    };
    let name = ServiceName::new(kind::INFERENCE, id);
    let start = Start {
        pipeline: plan.pipeline.clone(),
        identity: name.to_string(),
        webrtc: Network::default(),
    };
    if let Err(error) = process.send(&Command::Start(Box::new(start))).await {
        return (process.wait().await, error.to_string());
    }
    // Registered for as long as this run lasts.
    let registered = shutdown.child_token();
    let _ended = registered.clone().drop_guard();
    let mut known = false;
    let mut reason = String::new();
    loop {
        let report = tokio::select! {
            report = process.report() => report,
            () = shutdown.cancelled() => return (process.stop().await, reason),
        };
        match report {
            Some(Report::Running) if !known => {
                tracing::info!(
                    worker = id,
                    pid = process.pid(),
                    model = plan.model,
                    "worker ready"
                );
                let model = plan.model.clone();
                let told = move || vec![(info::MODEL.to_owned(), model.clone())];
                plan.registration.keep(name.clone(), told, registered.clone());
                known = true;
            }
            Some(Report::Failed(failure)) => reason = failure.message,
            Some(_) => {}
            None => return (process.wait().await, reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        assert!(pause_before(0) < Duration::from_millis(300));
        assert!(pause_before(3) > pause_before(0));
        assert!(pause_before(1000) <= LONGEST_PAUSE.mul_f64(1.25));
    }
}
