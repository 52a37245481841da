use std::process::ExitCode;

use anyhow::Context;
use sightline_service::{healthcheck, settings, shutdown_signal};
use signaling::config::{Args, Config, Verb};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    let args: Args = settings::parse();
    sightline_service::log();
    match go(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("signaling: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn go(args: Args) -> anyhow::Result<()> {
    match &args.verb {
        Some(Verb::Healthcheck(question)) => healthcheck::ask(args.bind, args.port, question),
        None => run(args.resolve()?).await,
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
