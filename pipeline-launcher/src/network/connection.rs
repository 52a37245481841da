//! A session's process and a peer, connected as a browser would be: the offer, the answer, ICE and DTLS.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::{Instant, timeout_at};

use super::Settings;
use super::pairs::{Pair, Table};
use super::peer;
use crate::control::{Command, Network, Report, Start, to_line};
use crate::description::{Resolved, WebRtc};
use crate::supervisor::ports::Lease;
use crate::supervisor::process::Process;

/// The pairs that lose have this long to show that they would work too.
const LINGER: Duration = Duration::from_secs(3);
const LAUNCH: &str = "webrtcbin name=webrtc webrtc. ! fakesink async=false sync=false";

/// What became of a connection.
#[derive(Debug, Serialize)]
pub struct Connection {
    /// The peer used its TURN servers only.
    pub relay_only: bool,
    pub connected: bool,
    /// Of the session, as the peer is told them.
    pub session_candidates: Vec<String>,
    pub peer_candidates: Vec<String>,
    pub pairs: Vec<Pair>,
}

/// Connects, sees what has happened by then, and ends both processes.
pub async fn connect(
    exe: &Path,
    settings: &Settings,
    lease: Option<Lease>,
    relay_only: bool,
    until: Instant,
) -> anyhow::Result<Connection> {
    let name = if relay_only { "test-relay" } else { "test" };
    let port = lease.as_ref().map(|lease| lease.port);
    let starting = timeout_at(until, start_session(exe, settings, port, name)).await;
    let mut session = starting.context(
        "the session's process does not start in time; a busy machine needs a larger --limit-secs",
    )??;
    let result = run(exe, settings, relay_only, &mut session, until).await;
    session.stop().await;
    result
}

async fn run(
    exe: &Path,
    settings: &Settings,
    relay_only: bool,
    session: &mut Process,
    mut until: Instant,
) -> anyhow::Result<Connection> {
    let offer = timeout_at(until, next(session)).await;
    let offer = match offer
        .context("the session makes no offer in time; a busy machine needs a larger --limit-secs")??
    {
        Report::Described { sdp } => sdp,
        other => bail!("the session's process made no offer but said {other:?}"),
    };
    let mut peer = Peer::start(exe).await?;
    let servers = settings.ice_servers.for_webrtcbin("test-peer", SystemTime::now());
    let start = peer::Start {
        offer: offer.clone(),
        ice_servers: servers,
        relay_only,
    };
    peer.tell(&start).await?;
    let mut connection = Connection {
        relay_only,
        connected: false,
        session_candidates: candidates(&offer),
        peer_candidates: Vec::new(),
        pairs: Vec::new(),
    };
    let mut table = Table::default();
    let (mut answered, mut decided) = (false, false);
    while let Ok(said) = timeout_at(until, peer.next()).await {
        match said? {
            peer::Said::Answer(sdp) => {
                connection.peer_candidates = candidates(&sdp);
                answered = true;
                // A peer without addresses will find none later.
                if connection.peer_candidates.is_empty() {
                    break;
                }
                // libnice gives a pair up after four seconds, a connection never.
                until = until.min(Instant::now() + settings.limit / 2);
                session.send(&Command::Answer { sdp }).await?;
            }
            peer::Said::Nice(line) => table.read(&line),
            peer::Said::Connected(connected) if !decided => {
                (decided, connection.connected) = (true, connected);
                until = until.min(Instant::now() + LINGER);
            }
            peer::Said::Connected(_) => {}
            peer::Said::Failed(error) => bail!("the test's peer failed: {error}"),
        }
        if decided && table.is_settled() {
            break;
        }
    }
    ensure!(
        answered,
        "the test's peer makes no answer in time; a busy machine needs a larger --limit-secs"
    );
    connection.pairs = table.pairs();
    Ok(connection)
}

async fn start_session(
    exe: &Path,
    settings: &Settings,
    port: Option<u16>,
    name: &str,
) -> anyhow::Result<Process> {
    let mut process = Process::spawn(exe, &[])?;
    match process.report().await {
        Some(Report::Ready) => {}
        other => bail!("the session's process does not start: {other:?}"),
    }
    let start = Start {
        pipeline: Resolved {
            name: "test-network".into(),
            webrtc: Some(WebRtc::default()),
            launch: LAUNCH.into(),
            assignments: Vec::new(),
        },
        identity: name.into(),
        webrtc: Network {
            udp_port: port,
            public_ips: settings.public_ips.clone(),
            ice_servers: settings.ice_servers.for_webrtcbin(name, SystemTime::now()),
            ..Network::default()
        },
        offer: None,
        max_open_files: None,
    };
    process.send(&Command::Start(Box::new(start))).await?;
    Ok(process)
}

/// The next report that is no sign of life.
async fn next(session: &mut Process) -> anyhow::Result<Report> {
    loop {
        match session.report().await.context("the session's process ended")? {
            Report::Progress(_) => {}
            Report::Failed(failure) => bail!("the session failed: {}", failure.message),
            report => return Ok(report),
        }
    }
}

/// The candidates in a description, without their `a=`.
fn candidates(sdp: &str) -> Vec<String> {
    let lines = sdp.lines().filter_map(|line| line.strip_prefix("a="));
    let candidates = lines.filter(|line| line.starts_with("candidate:"));
    candidates.map(str::to_owned).collect()
}

/// The process of [`peer::run`]. Dropped, it ends.
struct Peer {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    async fn start(exe: &Path) -> anyhow::Result<Self> {
        let mut child = tokio::process::Command::new(exe)
            .arg("test-peer")
            .envs(peer::DEBUG)
            .env_remove(sightline_service::ice::SECRET)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", exe.display()))?;
        let input = child.stdin.take().context("the peer takes no input")?;
        let output = child.stdout.take().context("the peer has no output")?;
        Ok(Self {
            _child: child,
            input,
            output: BufReader::new(output).lines(),
        })
    }

    async fn tell(&mut self, start: &peer::Start) -> anyhow::Result<()> {
        Ok(self.input.write_all(to_line(start)?.as_bytes()).await?)
    }

    async fn next(&mut self) -> anyhow::Result<peer::Said> {
        let line = self.output.next_line().await?.context("the test's peer ended")?;
        Ok(serde_json::from_str(&line)?)
    }
}
