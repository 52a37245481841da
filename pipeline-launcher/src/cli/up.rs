//! `up`: everything on one machine: Redis if none is given, the launcher with its workers, and signaling.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio_util::sync::CancellationToken;

use super::serve::serve;
use crate::config::ServeArgs;
use crate::private_redis::PrivateRedis;
use crate::supervisor::process::tied_to_us;

const SIGNALING_STOP: Duration = Duration::from_secs(6);

#[derive(Debug, Args)]
pub struct UpArgs {
    #[command(flatten)]
    pub serve: ServeArgs,
    /// The signaling program; without it, the one beside this program
    #[arg(long, env = "SIGHTLINE_SIGNALING")]
    pub signaling: Option<PathBuf>,
}

pub async fn up(args: UpArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let redis_stop = CancellationToken::new();
    let (url, redis) = match args.serve.redis.url()? {
        Some(url) => (url, None),
        None => {
            let redis = PrivateRedis::start().await?;
            let url = redis.url();
            tracing::info!(url, "started a private redis-server, in memory only");
            (url, Some(tokio::spawn(redis.supervise(redis_stop.clone()))))
        }
    };
    let stop = shutdown.child_token();
    let result = run(&args, url, &stop).await;
    redis_stop.cancel();
    if let Some(redis) = redis {
        redis.await.context("the watch over redis-server failed")?;
    }
    result
}

/// Launcher and signaling: if one ends, so does the other.
async fn run(args: &UpArgs, url: String, stop: &CancellationToken) -> anyhow::Result<()> {
    let mut signaling = start_signaling(args, &url)?;
    let launcher = serve(args.serve.clone(), url, stop.clone());
    tokio::pin!(launcher);
    tokio::select! {
        result = &mut launcher => {
            stop_signaling(&mut signaling).await;
            result
        }
        status = signaling.wait() => {
            stop.cancel();
            let launcher = launcher.await;
            match status {
                // Ctrl-C may reach it first.
                Ok(status) if status.success() => launcher,
                Ok(status) => launcher.and_then(|()| bail!("signaling ended ({status}); its message stands above")),
                Err(error) => Err(error).context("nothing is known of signaling"),
            }
        }
    }
}

fn start_signaling(args: &UpArgs, url: &str) -> anyhow::Result<Child> {
    let program = match &args.signaling {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("signaling"),
    };
    // The wrapper would only say that it cannot execute it.
    anyhow::ensure!(
        program.is_file(),
        "there is no program {}; `make build` makes it",
        program.display()
    );
    let workers = args.serve.workers.as_ref();
    let expected = workers.map_or_else(|| "auto".to_owned(), |workers| workers.count().to_string());
    tied_to_us("TERM", &program)
        .env("REDIS_URL", url)
        .env("SIGHTLINE_WORKERS", expected)
        .env("SIGHTLINE_INSECURE", args.serve.http.insecure.to_string())
        .envs(args.serve.ice.environment())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}

async fn stop_signaling(signaling: &mut Child) {
    let pid = signaling
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid
        && kill_process(pid, Signal::TERM).is_ok()
    {
        let ended = tokio::time::timeout(SIGNALING_STOP, signaling.wait()).await;
        tracing::debug!(?ended, "signaling stopped");
    }
}
