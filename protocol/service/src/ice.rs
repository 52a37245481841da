//! STUN and TURN servers, as an operator says them.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;

pub use sightline_ice::IceServers;
use sightline_ice::Secret;

/// The variable that no process needs which only runs a pipeline.
pub const SECRET: &str = "SIGHTLINE_TURN_SECRET";
/// Shorter ones are guessed from a single login that somebody was given.
const SHORTEST_SECRET: usize = 16;

/// What both daemons, and the browsers that signaling tells it, know of STUN and TURN servers.
#[derive(Debug, Clone, Args)]
pub struct IceArgs {
    /// STUN and TURN servers: stun:HOST:PORT, turn:HOST:PORT?transport=udp, turns:HOST:PORT, or with fixed
    /// credentials turn:USER:PASSWORD@HOST:PORT
    #[arg(
        long,
        env = "SIGHTLINE_ICE_SERVERS",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub ice_servers: Vec<String>,
    /// The secret that TURN servers share with Sightline (coturn: static-auth-secret): every session then gets
    /// credentials of its own for those that are named without any
    #[arg(long, env = SECRET, hide_env_values = true)]
    pub turn_secret: Option<String>,
    /// A file that holds this secret, instead
    #[arg(long, env = "SIGHTLINE_TURN_SECRET_FILE")]
    pub turn_secret_file: Option<OsString>,
    /// Seconds for which a session's credentials are good; coturn asks for them when the session begins, other
    /// servers may do so as long as it lasts
    #[arg(long, env = "SIGHTLINE_TURN_TTL_SECS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(60..=604_800))]
    pub turn_ttl_secs: u32,
}

impl IceArgs {
    pub fn servers(&self) -> anyhow::Result<IceServers> {
        let lifetime = Duration::from_secs(self.turn_ttl_secs.into());
        Ok(IceServers::new(&self.ice_servers, self.secret()?, lifetime)?)
    }

    /// The same settings for a program that this one starts.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let file = self.turn_secret_file.clone();
        vec![
            ("SIGHTLINE_ICE_SERVERS", self.ice_servers.join(",").into()),
            (SECRET, self.turn_secret.clone().unwrap_or_default().into()),
            ("SIGHTLINE_TURN_SECRET_FILE", file.unwrap_or_default()),
            ("SIGHTLINE_TURN_TTL_SECS", self.turn_ttl_secs.to_string().into()),
        ]
    }

    fn secret(&self) -> anyhow::Result<Option<Secret>> {
        // An empty variable is what compose files make of an unset one.
        let given = self.turn_secret.clone().filter(|secret| !secret.is_empty());
        let file = self
            .turn_secret_file
            .as_ref()
            .filter(|path| !path.is_empty())
            .map(Path::new);
        let secret = match (given, file) {
            (Some(_), Some(_)) => {
                anyhow::bail!("SIGHTLINE_TURN_SECRET and SIGHTLINE_TURN_SECRET_FILE are both set: choose one")
            }
            (Some(secret), None) => secret,
            (None, Some(path)) => std::fs::read_to_string(path)
                .with_context(|| format!("SIGHTLINE_TURN_SECRET_FILE: cannot read {}", path.display()))?
                .trim()
                .to_owned(),
            (None, None) => return Ok(None),
        };
        ensure!(
            secret.len() >= SHORTEST_SECRET,
            "SIGHTLINE_TURN_SECRET is too short: a login that any client gets would tell it. Take at least \
             {SHORTEST_SECRET} letters, as from `openssl rand -hex 32`, and give the TURN server the same"
        );
        Ok(Some(Secret::new(secret)))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        ice: IceArgs,
    }

    fn servers(args: &[&str]) -> anyhow::Result<IceServers> {
        Cli::try_parse_from(std::iter::once(&"program").chain(args))?
            .ice
            .servers()
    }

    #[test]
    fn a_secret_comes_from_a_setting_or_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        let path = path.to_str().unwrap();
        let now = std::time::SystemTime::UNIX_EPOCH;
        let urls = ["--ice-servers", "turn:t"];
        let given = servers(&[&urls[..], &["--turn-secret", "0123456789abcdef"]].concat()).unwrap();
        let read = servers(&[&urls[..], &["--turn-secret-file", path]].concat()).unwrap();
        assert_eq!(given.for_client("s", now), read.for_client("s", now));
        assert!(given.for_client("s", now)[0].username.as_deref() == Some("600:s"));
        assert!(servers(&["--turn-secret", "", "--turn-secret-file", ""]).is_ok());
    }

    #[test]
    fn bad_secrets_are_refused_and_not_shown() {
        for (args, words) in [
            (&["--turn-secret", "hunter2"][..], "too short"),
            (
                &["--turn-secret-file", "/nowhere/secret"],
                "cannot read /nowhere/secret",
            ),
            (
                &[
                    "--turn-secret",
                    "hunter2hunter2hunter2",
                    "--turn-secret-file",
                    "/x",
                ],
                "both set",
            ),
        ] {
            let error = format!("{:#}", servers(args).unwrap_err());
            assert!(error.contains(words) && !error.contains("hunter2"), "{error}");
        }
    }
}
