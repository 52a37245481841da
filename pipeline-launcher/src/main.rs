//! Starts and supervises GStreamer pipelines described in files, one process each.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use pipeline_launcher::cli::{check, list, run, serve, up};
use pipeline_launcher::config::{Folders, ServeArgs};
use tokio_util::sync::CancellationToken;

#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The daemon: takes sessions at signaling's request, and keeps workers running
    Serve(Box<ServeArgs>),
    /// Everything on one machine: Redis if none is given, launcher, workers and signaling
    Up(Box<up::UpArgs>),
    /// One pipeline in the foreground
    Run(run::RunArgs),
    /// Say all that is wrong with pipeline files
    Check(check::CheckArgs),
    /// The pipelines and their parameters
    List(Folders),
    /// The process of one pipeline; started by the launcher
    #[command(hide = true)]
    Child,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    log();
    match go(cli.verb) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("pipeline-launcher: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn go(verb: Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Child => pipeline_launcher::child::run(),
        Verb::Check(args) => check::check(&args),
        Verb::List(folders) => list::list(&folders).map(|()| ExitCode::SUCCESS),
        Verb::Run(args) => runtime()?.block_on(run::run(args)),
        Verb::Serve(args) => runtime()?.block_on(async {
            let url = args
                .redis
                .url()
                .unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
            serve::serve(*args, url, on_signal()?)
                .await
                .map(|()| ExitCode::SUCCESS)
        }),
        Verb::Up(args) => {
            runtime()?.block_on(async { up::up(*args, on_signal()?).await.map(|()| ExitCode::SUCCESS) })
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no runtime")
}

/// Cancelled by SIGINT or SIGTERM.
fn on_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        token.cancel();
    });
    Ok(shutdown)
}

/// To standard error; `RUST_LOG` chooses, `SIGHTLINE_LOG=json` makes it JSON lines.
fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,ort=warn"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::env::var("SIGHTLINE_LOG").is_ok_and(|format| format == "json") {
        log.json().init();
    } else {
        log.with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .compact()
            .init();
    }
}
