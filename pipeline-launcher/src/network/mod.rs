//! Does the network carry sessions, with these settings? Each part is tried, and says what is wrong and what to do.

mod addresses;
mod connection;
mod pairs;
pub mod peer;
mod servers;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sightline_service::ice::IceServers;
use tokio::time::Instant;

use crate::supervisor::ports::{PortRange, Ports};
use connection::Connection;

/// Of the time that there is, the last part is for ending the processes.
const ENDING: Duration = Duration::from_secs(2);

/// What is tried.
#[derive(Debug)]
pub struct Settings {
    pub udp_ports: PortRange,
    pub public_ips: Vec<IpAddr>,
    pub ice_servers: IceServers,
    /// Longest that all may take.
    pub limit: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Ok,
    /// It works, but not for everybody.
    Warning,
    Failed,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing: ports, address, stun, nat, turn, relay, connection.
    pub check: &'static str,
    /// Which one of them.
    pub subject: String,
    pub verdict: Verdict,
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    fn new(
        check: &'static str,
        subject: impl Into<String>,
        verdict: Verdict,
        message: impl Into<String>,
    ) -> Self {
        Self {
            check,
            subject: subject.into(),
            verdict,
            message: message.into(),
            advice: None,
        }
    }

    fn advise(self, advice: impl Into<String>) -> Self {
        Self {
            advice: Some(advice.into()),
            ..self
        }
    }
}

/// All that was found.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// False if anything failed.
    pub ok: bool,
    pub findings: Vec<Finding>,
    pub connections: Vec<Connection>,
}

/// Tries everything; what is not decided in time is given up. `exe` is this program.
pub async fn check(exe: &Path, settings: Settings) -> anyhow::Result<Outcome> {
    let until = Instant::now() + settings.limit.saturating_sub(ENDING);
    let mut findings = addresses::check_ports(&settings.udp_ports);
    let settings = Arc::new(settings);
    let asking = tokio::task::spawn_blocking({
        let settings = Arc::clone(&settings);
        move || servers::check(&settings)
    });
    // Before the connections: they take ports, and servers count what is allocated.
    let (answers, seen) = asking.await?;
    findings.extend(answers);
    findings.extend(addresses::check_public(&settings, &seen));
    findings.extend(addresses::check_nat(&seen));
    let only = settings.ice_servers.only_for_clients();
    if !only.is_empty() {
        findings.push(addresses::only_for_clients(&only));
    }

    let ports = Ports::new(settings.udp_ports.clone());
    let has_relay = settings.ice_servers.has_turn_for_webrtcbin();
    let any = connection::connect(exe, &settings, ports.lease(), false, until);
    let relayed = async {
        match has_relay {
            true => Some(connection::connect(exe, &settings, ports.lease(), true, until).await),
            false => None,
        }
    };
    let (any, relayed) = tokio::join!(any, relayed);
    let mut connections = Vec::new();
    for (relay_only, result) in [(false, Some(any)), (true, relayed)] {
        match result {
            Some(Ok(connection)) => {
                findings.push(addresses::of_connection(&connection));
                connections.push(connection);
            }
            Some(Err(error)) => findings.push(Finding::new(
                "connection",
                addresses::name(relay_only),
                Verdict::Failed,
                format!("{error:#}"),
            )),
            None => {}
        }
    }
    let ok = findings.iter().all(|finding| finding.verdict != Verdict::Failed);
    Ok(Outcome {
        ok,
        findings,
        connections,
    })
}
