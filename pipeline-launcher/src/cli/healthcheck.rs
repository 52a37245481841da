//! `healthcheck`: whether the launcher on this host is well.

use clap::Args;
use sightline_service::healthcheck::{self, Question, Scheme};

use crate::config::HttpArgs;
use crate::http::USUAL_PORT;

#[derive(Debug, Args)]
pub struct HealthcheckArgs {
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    question: Question,
}

pub fn healthcheck(args: &HealthcheckArgs) -> anyhow::Result<()> {
    let port = args.http.launcher_port.unwrap_or(USUAL_PORT);
    healthcheck::ask(Scheme::Http, args.http.launcher_bind, port, &args.question)
}
