//! Starts and supervises GStreamer pipelines described in files, one process each.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use pipeline_launcher::cli::{check, healthcheck, list, run, serve, test_network, top, up};
use pipeline_launcher::config::ServeArgs;
use pipeline_launcher::description::schema;
use sightline_service::redis::DEFAULT_URL;
use sightline_service::{settings, shutdown_signal};

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
    List(list::ListArgs),
    /// What all launchers of a Redis run at the moment: sessions, workers, rates and latencies
    Top(top::TopArgs),
    /// Say what of the network works for sessions, what does not, and what to do
    TestNetwork(test_network::TestNetworkArgs),
    /// Ask the launcher on this host whether it is well; for containers, whose exit code says so
    Healthcheck(healthcheck::HealthcheckArgs),
    /// The JSON Schema of pipeline files, for editors
    Schema,
    /// The process of one pipeline; started by the launcher
    #[command(hide = true)]
    Child,
    /// The other end of a connection of `test-network`
    #[command(hide = true)]
    TestPeer,
}

fn main() -> ExitCode {
    let cli: Cli = settings::parse();
    sightline_service::log();
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
        Verb::TestPeer => pipeline_launcher::network::peer::run(),
        Verb::Check(args) => check::check(&args),
        Verb::List(args) => list::list(&args).map(|()| ExitCode::SUCCESS),
        Verb::Healthcheck(args) => healthcheck::healthcheck(&args).map(|()| ExitCode::SUCCESS),
        Verb::Schema => {
            print!("{}", schema::text());
            Ok(ExitCode::SUCCESS)
        }
        Verb::TestNetwork(args) => runtime()?.block_on(test_network::test_network(args)),
        Verb::Run(args) => runtime()?.block_on(run::run(args)),
        Verb::Top(args) => runtime()?.block_on(async {
            top::top(args, shutdown_signal()?)
                .await
                .map(|()| ExitCode::SUCCESS)
        }),
        Verb::Serve(args) => runtime()?.block_on(async {
            let url = args.redis.url()?.unwrap_or_else(|| DEFAULT_URL.to_owned());
            serve::serve(*args, url, shutdown_signal()?)
                .await
                .map(|()| ExitCode::SUCCESS)
        }),
        Verb::Up(args) => runtime()?.block_on(async {
            up::up(*args, shutdown_signal()?)
                .await
                .map(|()| ExitCode::SUCCESS)
        }),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no runtime")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_setting_of_a_daemon_can_stand_in_the_file() {
        let command = Cli::command();
        command.clone().debug_assert();
        for verb in ["serve", "up"] {
            let verb = command.find_subcommand(verb).unwrap();
            assert_eq!(
                settings::unknown_flags(verb),
                Vec::<String>::new(),
                "{}",
                verb.get_name()
            );
        }
    }
}
