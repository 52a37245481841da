use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use sightline_service::healthcheck::{self, Scheme};
use sightline_service::{settings, shutdown_signal};
use signaling::Listeners;
use signaling::auth::{key, token};
use signaling::config::{Args, Command, Config};
use tokio::net::{TcpListener, TcpSocket};

/// Bytes that wait in the kernel for one client.
const SEND_BUFFER: u32 = 64 * 1024;
const BACKLOG: u32 = 1024;

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
        Some(Command::Token {
            tenant,
            scope,
            seconds,
        }) => {
            let (algorithm, key) = args.auth.signing()?;
            let (audience, life) = (&args.auth.auth_audience, Duration::from_secs(*seconds));
            let now = SystemTime::now();
            let token = token::mint((algorithm, &key), audience, tenant, *scope, life, now)?;
            println!("{token}");
            Ok(())
        }
        Some(Command::Healthcheck(question)) => {
            let scheme = if args.tls.is_on() {
                Scheme::Https
            } else {
                Scheme::Http
            };
            healthcheck::ask(scheme, args.bind, args.port, question)
        }
        Some(Command::Keys { folder }) => {
            let (private, public) = key::make(folder)?;
            println!("{} makes tokens; keep it secret", private.display());
            println!("{} is the server's SIGHTLINE_AUTH_KEY_FILE", public.display());
            Ok(())
        }
    }
}

/// Connections have the listener's buffers: with the kernel's own, minutes of predictions would wait there for a client that reads
/// nothing, and nobody would know.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // As `TcpListener::bind` does: the last server's connections may still be known.
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn run(config: Config) -> anyhow::Result<()> {
    let bound = |address: SocketAddr, setting| {
        listen(address).with_context(|| {
            format!(
                "cannot listen on {address}: is another program using the port? Set {setting} to a free one"
            )
        })
    };
    let listeners = Listeners {
        clients: bound(config.address, "SIGHTLINE_PORT")?,
        operators: config
            .metrics_address
            .map(|address| bound(address, "SIGHTLINE_METRICS_BIND"))
            .transpose()?,
    };
    let shutdown = shutdown_signal()?;
    signaling::run(config, listeners, shutdown).await
}
