//! Publishers of video, as light as they can be: dozens of sessions on a core, for tests and measurements.

mod args;
mod peer;
mod report;
mod server;
mod session;
mod video;

use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::future::join_all;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::args::Args;
use crate::video::Video;

/// One thread: its processor time is that of all sessions, and nothing has to be shared.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // The HTTP client takes what is installed. Installed already: as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let video = Video::open(&args.video)?;
    let (to_stop, stop) = watch::channel(false);
    let begun = Instant::now();
    let sessions = (0..args.sessions).map(|number| {
        let mut stop = stop.clone();
        let (args, video) = (&args, &video);
        async move {
            tokio::select! {
                () = sleep(Duration::from_secs_f64(args.apart * number as f64)) => {}
                _ = stop.changed() => return,
            }
            session::run(args, video, number, stop).await;
        }
    });
    let mut all = Box::pin(join_all(sessions));
    tokio::select! {
        _ = &mut all => {}
        asked = asked_to_end(args.seconds) => {
            asked?;
            to_stop.send(true)?;
            all.await;
        }
    }
    let cpu = processor_seconds().unwrap_or(f64::NAN);
    let seconds = begun.elapsed().as_secs_f64();
    let share = cpu / seconds / args.sessions as f64;
    report::print(&json!({
        "what": "process",
        "sessions": args.sessions,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "cpu_percent_per_session": (share * 10_000.0).round() / 100.0,
    }));
    Ok(())
}

async fn asked_to_end(seconds: Option<f64>) -> std::io::Result<()> {
    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let time = async {
        match seconds {
            Some(seconds) => sleep(Duration::from_secs_f64(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
        () = time => {}
    }
    Ok(())
}

/// Of this process, so far: user's and system's.
fn processor_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name, in parentheses, may hold anything; behind it the fields are plain.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) as f64 / rustix::param::clock_ticks_per_second() as f64)
}
