//! `test-network`: says what of the network works for sessions, what does not, and what to do.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use sightline_service::ice::IceArgs;

use crate::network::{self, Outcome, Settings, Verdict};
use crate::supervisor::ports::PortRange;

#[derive(Debug, Args)]
pub struct TestNetworkArgs {
    /// UDP ports for WebRTC, one a session
    #[arg(long, env = "SIGHTLINE_UDP_PORTS", default_value = "12000-12199")]
    pub udp_ports: PortRange,
    /// Addresses to advertise instead of the host's own (behind NAT, in a container)
    #[arg(long, env = "SIGHTLINE_PUBLIC_IP", value_delimiter = ',')]
    pub public_ip: Vec<IpAddr>,
    #[command(flatten)]
    pub ice: IceArgs,
    /// Seconds that all may take; a busy machine needs more
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(5..=300))]
    pub limit_secs: u64,
    /// Print JSON, for programs
    #[arg(long)]
    pub json: bool,
}

/// Exits with 0 if nothing failed.
pub async fn test_network(args: TestNetworkArgs) -> anyhow::Result<ExitCode> {
    let settings = Settings {
        udp_ports: args.udp_ports,
        public_ips: args.public_ip,
        ice_servers: args.ice.servers()?,
        limit: Duration::from_secs(args.limit_secs),
    };
    let outcome = network::check(&std::env::current_exe()?, settings).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        print!("{}", text(&outcome));
    }
    Ok(if outcome.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn text(outcome: &Outcome) -> String {
    let mut text = String::new();
    for finding in &outcome.findings {
        let verdict = match finding.verdict {
            Verdict::Ok => "ok     ",
            Verdict::Warning => "warning",
            Verdict::Failed => "FAILED ",
        };
        text += &format!(
            "{verdict}  {}: {}: {}\n",
            finding.check, finding.subject, finding.message
        );
        if let Some(advice) = &finding.advice {
            text += &format!("         {advice}\n");
        }
    }
    for connection in &outcome.connections {
        let name = if connection.relay_only {
            " through TURN only"
        } else {
            ""
        };
        text += &format!("\nPairs of addresses tried{name} (peer to session):\n");
        for pair in &connection.pairs {
            let mark = if pair.selected { "*" } else { " " };
            text += &format!(
                "{mark} {:5} {:24} {:5} {:24} {}\n",
                pair.peer.kind,
                pair.peer.address,
                pair.session.kind,
                pair.session.address,
                pair.state.reason(connection.connected)
            );
        }
    }
    let overall = if outcome.ok {
        "The network carries sessions"
    } else {
        "Something failed: see above"
    };
    text + &format!("\n{overall}\n")
}
