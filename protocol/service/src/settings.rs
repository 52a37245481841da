//! Settings: flag over environment over file over default.
//!
//! The file, `sightline.toml` in the working folder or the one that `SIGHTLINE_CONFIG` names, is shared by all
//! daemons: each takes the keys that it has a flag for.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Command, Parser};
use toml::{Table, Value};

const FILE: &str = "sightline.toml";
const VARIABLE: &str = "SIGHTLINE_CONFIG";

/// All keys of the file: the daemons' flags, with `_` for `-`.
pub const KEYS: [&str; 54] = [
    "auth_algorithm",
    "auth_audience",
    "auth_key",
    "auth_key_file",
    "bind",
    "ice_servers",
    "id",
    "insecure",
    "launcher_bind",
    "launcher_port",
    "max_connections_per_address",
    "max_connections_per_tenant",
    "max_cpu_percent",
    "max_open_files",
    "max_queue_ms",
    "max_requests_per_second",
    "max_session_memory_mib",
    "max_sessions",
    "max_worker_memory_mib",
    "media_folder",
    "media_schemes",
    "metrics_bind",
    "min_free_memory_mib",
    "model",
    "model_dir",
    "models",
    "origins",
    "pipelines",
    "plugins",
    "port",
    "public_ip",
    "readable",
    "redis_host",
    "redis_password",
    "redis_password_file",
    "redis_port",
    "redis_url",
    "sandbox",
    "shards",
    "signaling",
    "stall_limit_secs",
    "start_limit_secs",
    "tls",
    "tls_cert",
    "tls_key",
    "trusted_proxies",
    "turn_secret",
    "turn_secret_file",
    "turn_ttl_secs",
    "udp_ports",
    "ui_dir",
    "worker_pipeline",
    "workers",
    "writable",
];

/// The program's arguments, completed from environment and file. Ends the program with words if they are wrong.
pub fn parse<T: Parser>() -> T {
    let table = match read(&path()) {
        Ok(table) => table,
        Err(error) => {
            eprintln!("{error:#}");
            std::process::exit(2);
        }
    };
    parse_from(&table, std::env::args_os()).unwrap_or_else(|error| error.exit())
}

fn parse_from<T: Parser>(table: &Table, args: impl IntoIterator<Item = OsString>) -> Result<T, clap::Error> {
    let matches = with_defaults(T::command(), table).try_get_matches_from(args)?;
    T::from_arg_matches(&matches)
}

/// The file to read, and whether it must be there.
fn path() -> (PathBuf, bool) {
    match std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        Some(path) => (path.into(), true),
        None => (FILE.into(), false),
    }
}

fn read((path, required): &(PathBuf, bool)) -> anyhow::Result<Table> {
    if !required && !path.exists() {
        return Ok(Table::new());
    }
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the settings in {}", path.display()))?;
    checked(&text, path)
}

fn checked(text: &str, path: &Path) -> anyhow::Result<Table> {
    let path = path.display();
    let table: Table = text
        .parse()
        .with_context(|| format!("{path} is not valid TOML"))?;
    for (key, value) in &table {
        if !KEYS.contains(&key.as_str()) {
            let close = KEYS
                .into_iter()
                .max_by(|a, b| similar(key, a).total_cmp(&similar(key, b)));
            let hint = close.filter(|close| similar(key, close) > 0.7);
            let hint = hint.map_or_else(|| KEYS.join(", "), |close| format!("did you mean `{close}`?"));
            bail!("{path}: there is no setting `{key}`: {hint}");
        }
        if as_text(value).is_none() {
            bail!("{path}: `{key}` is not a text, number, boolean or array of those");
        }
    }
    Ok(table)
}

fn similar(a: &str, b: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(a, b)
}

/// A value as it would stand on the command line.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(flag) => Some(flag.to_string()),
        Value::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(as_text).collect();
            items.map(|items| items.join(","))
        }
        Value::Datetime(_) | Value::Table(_) => None,
    }
}

/// The command with the file's values as the defaults of its flags, and of its subcommands' flags. A variable that is empty
/// counts as not set: it is what compose files make of one that nobody sets.
fn with_defaults(command: Command, table: &Table) -> Command {
    let mut command = command.mut_args(|argument| match argument.get_env().map(std::env::var_os) {
        Some(Some(value)) if value.is_empty() => argument.env(None::<&'static str>),
        _ => argument,
    });
    for (key, value) in table {
        let known = command
            .get_arguments()
            .any(|argument| argument.get_id() == key.as_str());
        if let (true, Some(value)) = (known, as_text(value)) {
            command = command.mut_arg(key, |argument| argument.default_value(value));
        }
    }
    command.mut_subcommands(|subcommand| with_defaults(subcommand, table))
}

/// The flags of a command that the file does not know: for a test that the list above is complete.
pub fn unknown_flags(command: &Command) -> Vec<String> {
    let own = command
        .get_arguments()
        .filter(|argument| argument.get_long().is_some());
    let names = own.map(|argument| argument.get_id().to_string());
    let not_settings = ["help", "version"];
    names
        .filter(|name| !KEYS.contains(&name.as_str()) && !not_settings.contains(&name.as_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[arg(long, env = "SIGHTLINE_TEST_PORT", default_value_t = 9000)]
        port: u16,
        #[arg(long, value_delimiter = ',')]
        ice_servers: Vec<String>,
        #[arg(long)]
        id: Option<String>,
    }

    fn parsed(file: &str, args: &[&str]) -> Cli {
        let table = checked(file, Path::new("f")).unwrap();
        parse_from(
            &table,
            std::iter::once(&"program").chain(args).map(OsString::from),
        )
        .unwrap()
    }

    #[test]
    fn a_flag_beats_the_file_and_the_file_beats_the_default() {
        assert_eq!(parsed("", &[]).port, 9000);
        assert_eq!(parsed("port = 1", &[]).port, 1);
        assert_eq!(parsed("port = 1", &["--port", "2"]).port, 2);
        let cli = parsed("ice_servers = [\"a\", \"b\"]\nid = \"x\"\nworkers = 3", &[]);
        assert_eq!(
            (cli.ice_servers, cli.id.as_deref()),
            (vec!["a".into(), "b".into()], Some("x"))
        );
    }

    #[test]
    fn what_is_wrong_in_the_file_is_said() {
        for (file, words) in [
            ("prot = 1", "f: there is no setting `prot`: did you mean `port`?"),
            ("port = ", "f is not valid TOML"),
            ("port = {}", "`port` is not a text"),
        ] {
            let error = format!("{:#}", checked(file, Path::new("f")).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
    }
}
