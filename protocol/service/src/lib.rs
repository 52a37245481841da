//! What Sightline's daemons share: settings, the way to Redis, the bridge for v1's workers, logs, metrics, readiness, health checks,
//! signals.

pub mod bridge;
pub mod healthcheck;
pub mod histogram;
pub mod ice;
pub mod metrics;
pub mod ready;
pub mod redis;
pub mod settings;
pub mod usage;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Logs to standard error: `RUST_LOG` chooses what, `SIGHTLINE_LOG=json` makes it JSON lines.
pub fn log() {
    // ONNX Runtime's crate greets with every session; what the Redis client meets, we tell ourselves.
    let chosen = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    // An empty variable is what compose files make of an unset one; it is no wish for errors only.
    let chosen = chosen.filter(|filter| !filter.is_empty());
    let filter = chosen
        .and_then(|filter| EnvFilter::try_new(filter).ok())
        .unwrap_or_else(|| EnvFilter::new("info,ort=warn,redis=off"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if std::env::var("SIGHTLINE_LOG").is_ok_and(|format| format == "json") {
        log.json().init();
    } else {
        log.with_target(false).compact().init();
    }
}

/// Where data of that name are: in the working folder, as in the repository, or else where `make install` puts them.
pub fn data_folder(name: &str) -> PathBuf {
    let here = PathBuf::from(name);
    let program = std::env::current_exe().ok();
    match program.as_deref().and_then(|program| installed(program, name)) {
        Some(folder) if !here.is_dir() => folder,
        _ => here,
    }
}

/// `share/sightline/NAME` beside the folder of an installed program.
fn installed(program: &Path, name: &str) -> Option<PathBuf> {
    let folder = program.parent()?.parent()?.join("share/sightline").join(name);
    folder.is_dir().then_some(folder)
}

/// Cancelled by SIGINT or SIGTERM.
pub fn shutdown_signal() -> anyhow::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        token.cancel();
    });
    Ok(shutdown)
}

/// The host's name, reduced to what may stand in a service's name.
pub fn host() -> String {
    let name = hostname::get()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_default();
    name.chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(40)
        .collect()
}

/// A service's id: the one given if it may be one, else the host's name and something random.
pub fn service_id(given: Option<&str>) -> anyhow::Result<String> {
    let Some(id) = given else {
        return Ok(format!("{}-{:08x}", host(), rand::random::<u32>()));
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    anyhow::ensure!(
        (1..=64).contains(&id.len()) && id.chars().all(allowed),
        "--id `{id}` must be 1 to 64 letters, digits, `-`, `_` or `.`"
    );
    Ok(id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installed_program_finds_its_data() {
        let prefix = tempfile::tempdir().unwrap();
        let program = prefix.path().join("bin/program");
        assert_eq!(installed(&program, "models"), None);
        let folder = prefix.path().join("share/sightline/models");
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(installed(&program, "models"), Some(folder));
        assert_eq!(data_folder("no-such-data"), PathBuf::from("no-such-data"));
    }

    #[test]
    fn ids_have_a_narrow_form() {
        let generated = service_id(None).unwrap();
        assert_eq!(service_id(Some(&generated)).unwrap(), generated);
        for id in ["", "a b", "a:b", "a|b", &"x".repeat(65)] {
            assert!(service_id(Some(id)).is_err(), "{id}");
        }
    }
}
