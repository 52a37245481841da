use std::process::ExitCode;

use anyhow::Context;
use sightline_service::{healthcheck, settings, shutdown_signal};
use signaling::config::{Args, Command, Config};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    let args: Args = settings::parse();
    sightline_service::log();
    match perform(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("signaling: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn perform(args: Args) -> anyhow::Result<()> {
    match &args.command {
        None => run(args.resolve()?).await,
        Some(Command::Healthcheck(question)) => healthcheck::ask(args.bind, args.port, question),
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    let listener = TcpListener::bind(config.address).await.with_context(|| {
        format!(
            "cannot listen on {}: is another program using the port? Set SIGHTLINE_PORT to a free one",
            config.address
        )
    })?;
    let shutdown = shutdown_signal()?;
    signaling::run(config, listener, shutdown).await
}
