use std::process::ExitCode;

use anyhow::Context;
use sightline_service::{settings, shutdown_signal};
use signaling::config::{Args, Config};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    let args: Args = settings::parse();
    sightline_service::log();
    let result = match args.resolve() {
        Ok(config) => run(config).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("signaling: {error:#}");
            ExitCode::FAILURE
        }
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
