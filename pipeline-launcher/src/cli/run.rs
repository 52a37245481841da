//! `run`: one pipeline in the foreground, until its end or Ctrl-C.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use sightline_protocol::rpc::Params;

use sightline_service::redis::RedisArgs;

use super::live::Live;
use super::serve;
use crate::config::{Folders, ShardArgs};
use crate::control::{Command, Network, Report, Start};
use crate::description::{self, Description, Problem, Severity, installed};
use crate::models::Models;
use crate::supervisor::process::{Exit, Process};
use crate::supervisor::spare::Spares;

#[derive(Debug, Args)]
pub struct RunArgs {
    /// The pipeline's file, or its name
    pub pipeline: String,
    /// A parameter: NAME=VALUE
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// What the Redis elements write as their session or worker
    #[arg(long, default_value = "run")]
    pub identity: String,
    #[command(flatten)]
    pub redis: RedisArgs,
    #[command(flatten)]
    pub sharding: ShardArgs,
    #[command(flatten)]
    pub folders: Folders,
}

pub async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    crate::plugins::init()?;
    let description = find(&args)?;
    if description.kind.has_peer() {
        bail!(
            "`{}` is a session's pipeline: it needs a peer. Start it from the page, or run another",
            description.name
        );
    }
    let mut pipeline = description
        .resolve(&given(&description, &args.params)?)
        .map_err(|errors| anyhow::anyhow!("{}", errors.join("\n")))?;
    let models = Models::new(args.folders.models.clone(), args.folders.model_dir.clone());
    let (models, default) = serve::with_default_model(models, &args.folders.model)?;
    pipeline
        .fill_in_models(&models, &default)
        .map_err(anyhow::Error::msg)?;

    let environment = serve::child_environment(args.redis.url()?, args.sharding.shards);
    let spares = Spares::new(std::env::current_exe()?, environment);
    let mut process = spares.take_last().await?;
    let start = Start {
        pipeline,
        identity: args.identity,
        webrtc: Network::default(),
        offer: None,
        max_open_files: None,
    };
    process.send(&Command::Start(Box::new(start))).await?;
    let mut live = Live::new();
    let exit = follow(process, &description.name, &mut live).await?;
    live.close();
    match exit {
        Exit::Success => Ok(ExitCode::SUCCESS),
        exit => {
            live.say(&format!("{}: {exit}", description.name));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Shows what the pipeline's process reports until it ends, or Ctrl-C ends it.
async fn follow(mut process: Process, name: &str, live: &mut Live) -> anyhow::Result<Exit> {
    let mut runs = false;
    loop {
        let report = tokio::select! {
            report = process.report() => report,
            signal = tokio::signal::ctrl_c() => {
                signal?;
                return Ok(process.stop().await);
            }
        };
        match report {
            Some(Report::Running) if !std::mem::replace(&mut runs, true) => {
                live.say(&format!("{name} runs; Ctrl-C ends it"));
            }
            Some(Report::Progress(progress)) => live.show(&progress),
            Some(Report::Failed(failure)) => live.say(&format!("{name} failed: {}", failure.message)),
            Some(_) => {}
            None => return Ok(process.wait().await),
        }
    }
}

fn find(args: &RunArgs) -> anyhow::Result<Description> {
    let path = PathBuf::from(&args.pipeline);
    let path = if path.extension().is_some_and(|extension| extension == "toml") {
        path
    } else {
        args.folders.pipelines.join(format!("{}.toml", args.pipeline))
    };
    let source = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read the pipeline description {}", path.display()))?;
    let (draft, mut problems) = description::draft(&source);
    if let Some(draft) = &draft {
        problems.extend(installed::check(draft, &source));
    }
    for problem in &problems {
        eprintln!("{}", problem.render(&path));
    }
    let is_error = |problem: &&Problem| problem.severity == Severity::Error;
    match (draft, problems.iter().filter(is_error).count()) {
        (Some(description), 0) => Ok(description),
        (_, errors) => bail!("{} cannot run as it is: errors: {errors}", path.display()),
    }
}

fn given(description: &Description, params: &[String]) -> anyhow::Result<Params> {
    let mut given = Params::new();
    for param in params {
        let (name, value) = param
            .split_once('=')
            .with_context(|| format!("--param {param}: write it as NAME=VALUE"))?;
        let value = match description.params.get(name) {
            Some(known) => known
                .kind
                .read_text(value)
                .map_err(|error| anyhow::anyhow!("parameter `{name}`: {error}"))?
                .to_json(),
            // `resolve` reports it, with a hint.
            None => serde_json::Value::from(value),
        };
        given.insert(name.to_owned(), value);
    }
    Ok(given)
}
