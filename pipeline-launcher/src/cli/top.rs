//! `top`: what all launchers of one Redis run at the moment, as a table that is renewed.

mod table;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use sightline_protocol::inventa::{ServiceName, kind};
use sightline_protocol::keys;
use sightline_protocol::rpc::info;
use sightline_service::redis::{Connection, DEFAULT_URL, RedisArgs, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::private_redis;
use crate::status::Status;

const EVERY: Duration = Duration::from_secs(1);
/// How long Redis, or a launcher, may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// A longer answer is no launcher's.
const LONGEST_ANSWER: u64 = 8 << 20;

#[derive(Debug, Args)]
pub struct TopArgs {
    /// Once, and no more
    #[arg(long)]
    pub once: bool,
    /// As JSON, once, for programs
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub redis: RedisArgs,
}

/// A launcher: what it tells through Redis, and what its own port says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Launcher {
    launcher: String,
    host: String,
    version: String,
    sessions: u64,
    max_sessions: u64,
    workers: u64,
    worker_trouble: String,
    http: String,
    /// None if its port cannot be reached from here; then why.
    status: Option<Status>,
    unreachable: Option<String>,
}

pub async fn top(args: TopArgs, until: CancellationToken) -> anyhow::Result<()> {
    let url = args.redis.url()?.map_or_else(default_url, Ok)?;
    let server = Server::new(&url)?;
    let mut redis = server.connect(ANSWER).await?;
    if args.json {
        let launchers = launchers(&mut redis).await?;
        println!("{}", serde_json::to_string_pretty(&launchers)?);
        return Ok(());
    }
    if args.once || !std::io::stdout().is_terminal() {
        print!("{}", table::render(&launchers(&mut redis).await?));
        return Ok(());
    }
    let _screen = Screen::open()?;
    while !until.is_cancelled() {
        let text = match launchers(&mut redis).await {
            Ok(launchers) => table::render(&launchers),
            // Redis may come back; a new connection finds out.
            Err(error) => {
                if let Ok(new) = server.connect(ANSWER).await {
                    redis = new;
                }
                format!("{error:#}\n")
            }
        };
        show(&text)?;
        until.run_until_cancelled(tokio::time::sleep(EVERY)).await;
    }
    Ok(())
}

/// The one that `up` has started here, if it has.
fn default_url() -> anyhow::Result<String> {
    let mut running = private_redis::running();
    match running.len() {
        0 => Ok(DEFAULT_URL.to_owned()),
        1 => Ok(running.remove(0)),
        _ => bail!(
            "several systems run here; name the Redis of one by --redis-url: {}",
            running.join(", ")
        ),
    }
}

/// The terminal's other screen: what was there before comes back when it is dropped.
struct Screen;

impl Screen {
    fn open() -> std::io::Result<Self> {
        // The cursor would only blink.
        print!("\x1b[?1049h\x1b[?25l");
        std::io::stdout().flush()?;
        Ok(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        print!("\x1b[?25h\x1b[?1049l");
        // The terminal may be gone.
        std::io::stdout().flush().ok();
    }
}

/// As much as the terminal holds, without a flicker.
fn show(text: &str) -> std::io::Result<()> {
    let (rows, columns) = rustix::termios::tcgetwinsize(std::io::stdout()).map_or((24, 80), |size| {
        (usize::from(size.ws_row), usize::from(size.ws_col))
    });
    let mut screen = String::from("\x1b[H");
    for (place, line) in text.lines().take(rows).enumerate() {
        if place > 0 {
            screen.push('\n');
        }
        screen.extend(line.chars().take(columns));
        screen.push_str("\x1b[K");
    }
    screen.push_str("\x1b[J");
    let mut out = std::io::stdout().lock();
    out.write_all(screen.as_bytes())?;
    out.flush()
}

/// All that tell of themselves, whether they take sessions or not.
async fn launchers(redis: &mut Connection) -> anyhow::Result<Vec<Launcher>> {
    let key = |id: &str| keys::service_info(&ServiceName::new(kind::MEDIA_BRIDGE, id).to_string());
    let mut found = redis.scan(&key("*")).await.context("Redis does not answer")?;
    found.sort();
    let mut launchers = Vec::new();
    for name in found {
        let told: BTreeMap<String, String> = redis::cmd("HGETALL")
            .arg(&name)
            .query_async(redis)
            .await
            .context("Redis does not answer")?;
        let id = name.strip_prefix(&key("")).unwrap_or(&name);
        if !told.is_empty() {
            launchers.push(launcher(id, &told));
        }
    }
    let asked = launchers.iter().map(|launcher| status(&launcher.http));
    let answers = futures_util::future::join_all(asked).await;
    for (launcher, answer) in launchers.iter_mut().zip(answers) {
        match answer {
            Ok(status) => launcher.status = Some(status),
            Err(error) => launcher.unreachable = Some(format!("{error:#}")),
        }
    }
    Ok(launchers)
}

fn launcher(id: &str, told: &BTreeMap<String, String>) -> Launcher {
    let text = |field: &str| told.get(field).map(|text| printable(text)).unwrap_or_default();
    let number = |field: &str| text(field).parse().unwrap_or(0);
    Launcher {
        launcher: printable(id),
        host: text(info::HOST),
        version: text(info::VERSION),
        sessions: number(info::SESSIONS),
        max_sessions: number(info::MAX_SESSIONS),
        workers: number(info::WORKERS),
        worker_trouble: text(info::WORKER_TROUBLE),
        http: text(info::HTTP),
        status: None,
        unreachable: None,
    }
}

/// What comes from others must not command the terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}

/// What a launcher's port says.
async fn status(address: &str) -> anyhow::Result<Status> {
    ensure!(!address.is_empty(), "it does not tell its port");
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        // Of the old version, whose answers end with the connection and come in one piece.
        let request = format!("GET /api/v1/status HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(LONGEST_ANSWER).read_to_end(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(ANSWER, asked)
        .await
        .with_context(|| format!("{address} does not answer"))?
        .with_context(|| format!("{address} cannot be reached from here"))?;
    let text = String::from_utf8_lossy(&answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        bail!("{address} is no launcher");
    };
    ensure!(
        head.split(' ').nth(1) == Some("200"),
        "{address} does not tell its status: is it older?"
    );
    serde_json::from_str(body)
        .with_context(|| format!("{address} tells its status in words that are not known"))
}
