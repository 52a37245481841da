//! What a pipeline's process may do on this machine, as the kernel's Landlock enforces it: decoders and parsers of what
//! strangers send run in it, and one that is taken over should find nothing to read, to write or to talk to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};
use serde::{Deserialize, Serialize};

/// Where a process finds its rules.
pub const VARIABLE: &str = "SIGHTLINE_SANDBOX_RULES";
/// The newest that is known here; an older kernel enforces what it knows.
const KNOWN: ABI = ABI::V6;
/// Programs, libraries, their data, and what the kernel tells.
const SYSTEM: [&str; 10] = [
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/opt",
    "/etc",
    "/proc",
    "/sys",
    "/run/systemd/resolve",
];
/// Folders below `/dev` that are memory, and not devices.
const MEMORY: [&str; 3] = ["shm", "mqueue", "hugepages"];
/// Lists of folders in the environment that libraries are looked for in.
const SEARCHED: [&str; 5] = [
    "LD_LIBRARY_PATH",
    "GST_PLUGIN_PATH",
    "GST_PLUGIN_PATH_1_0",
    "GST_PLUGIN_SYSTEM_PATH",
    "GST_PLUGIN_SYSTEM_PATH_1_0",
];
/// Single files or folders that the environment names.
const NAMED: [&str; 4] = ["ORT_DYLIB_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "GST_REGISTRY"];

/// What a pipeline's process gets of the launcher's environment: nothing that is a secret of somebody else's.
const KEPT: [&str; 29] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "TZ",
    "LANG",
    "RUST_LOG",
    "RUST_BACKTRACE",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XDG_RUNTIME_DIR",
    "XDG_CACHE_HOME",
    "XDG_DATA_DIRS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SIGHTLINE_LOG",
    "SIGHTLINE_SHARDS",
    "SIGHTLINE_STAGE_METRICS",
    // Whether and which frames are traced; not OTEL_EXPORTER_OTLP_HEADERS, which may hold a secret.
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_SDK_DISABLED",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OMP_NUM_THREADS",
    "OPENSSL_CONF",
    "NO_COLOR",
    "http_proxy",
    "https_proxy",
];
const KEPT_PREFIXES: [&str; 12] = [
    "GST_",
    "G_",
    "GIO_",
    "GLIB_",
    "LC_",
    "ORT_",
    "CUDA_",
    "NVIDIA_",
    "LIBVA_",
    "OPENVINO_",
    "ORC_",
    "LLVM_PROFILE_",
];

/// Whether a pipeline's process is told this variable.
pub fn is_kept(name: &str) -> bool {
    KEPT.contains(&name) || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sandbox {
    On,
    Off,
}

#[derive(Debug, Clone, Args)]
pub struct SandboxArgs {
    /// Whether pipelines' processes are kept from this machine's files, and workers from its network (Landlock)
    #[arg(long, env = "SIGHTLINE_SANDBOX", value_enum, default_value = "on")]
    pub sandbox: Sandbox,
    /// Files and folders that pipelines may read beside programs, models and the media folder
    #[arg(long, env = "SIGHTLINE_READABLE", value_delimiter = ',')]
    pub readable: Vec<PathBuf>,
    /// Files and folders that pipelines may write, which else is nothing
    #[arg(long, env = "SIGHTLINE_WRITABLE", value_delimiter = ',')]
    pub writable: Vec<PathBuf>,
    /// GStreamer plugins whose elements others, such as decodebin, may choose, beside the usual ones and those that a
    /// description names (`all`: every one)
    #[arg(long, env = "SIGHTLINE_PLUGINS", value_delimiter = ',')]
    pub plugins: Vec<String>,
}

/// What a process is kept to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Beside the system's own.
    pub read: BTreeSet<PathBuf>,
    pub write: BTreeSet<PathBuf>,
    /// The only TCP ports that may be connected to; none: no TCP; absent: any.
    pub connect: Option<Vec<u16>>,
    /// Beside the usual ones.
    #[serde(default)]
    pub plugins: BTreeSet<String>,
}

impl SandboxArgs {
    /// What every pipeline may; `read` is what they need.
    pub fn rules(&self, read: impl IntoIterator<Item = PathBuf>) -> Option<Rules> {
        (self.sandbox == Sandbox::On).then(|| Rules {
            read: read.into_iter().chain(self.readable.iter().cloned()).collect(),
            write: self.writable.iter().cloned().collect(),
            connect: None,
            plugins: self.plugins.iter().cloned().collect(),
        })
    }
}

impl Rules {
    /// The variable that tells a process of them.
    pub fn variable(&self) -> anyhow::Result<(String, String)> {
        let text = serde_json::to_string(self).context("a folder's name is not text")?;
        Ok((VARIABLE.to_owned(), text))
    }

    /// Binds this thread, and all that it starts from here on.
    fn enforce(&self) -> anyhow::Result<RulesetStatus> {
        let reading = AccessFs::from_read(KNOWN);
        let using = AccessFs::from_file(KNOWN) | AccessFs::ReadDir;
        let mut ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(KNOWN))?
            .scope(Scope::from_all(KNOWN))?;
        if self.connect.is_some() {
            ruleset = ruleset.handle_access(AccessNet::from_all(KNOWN))?;
        }
        let read = self.readable();
        let mut ruleset = ruleset
            .create()?
            .add_rules(path_beneath_rules(&read, reading))?
            .add_rules(path_beneath_rules(devices(), using))?
            .add_rules(path_beneath_rules(&self.write, AccessFs::from_all(KNOWN)))?;
        for port in self.connect.iter().flatten() {
            ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
        }
        Ok(ruleset.restrict_self()?.ruleset)
    }

    /// All that may be read, with what links in it lead to.
    fn readable(&self) -> BTreeSet<PathBuf> {
        let own = std::env::current_exe().ok();
        let own = own.as_deref().and_then(Path::parent).map(Path::to_owned);
        let beside = own.as_ref().map(|folder| folder.join("../lib"));
        let searched = SEARCHED.iter().filter_map(std::env::var_os);
        let searched: Vec<_> = searched
            .flat_map(|list| std::env::split_paths(&list).collect::<Vec<_>>())
            .collect();
        let named = NAMED.iter().filter_map(std::env::var_os).map(PathBuf::from);
        let runtime =
            std::env::var_os("ORT_DYLIB_PATH").map_or_else(Vec::new, |path| providers(Path::new(&path)));
        let folders: BTreeSet<_> = self
            .read
            .iter()
            .cloned()
            .chain(own)
            .chain(beside)
            .chain(searched)
            .chain(named)
            .chain(runtime)
            .chain(registry())
            .filter(|path| !path.as_os_str().is_empty())
            .collect();
        let targets: Vec<_> = folders.iter().flat_map(|folder| targets(folder)).collect();
        SYSTEM
            .iter()
            .map(PathBuf::from)
            .chain(folders)
            .chain(targets)
            .collect()
    }
}

/// ONNX Runtime's libraries for CUDA and others, which it looks for beside its own.
fn providers(library: &Path) -> Vec<PathBuf> {
    let entries = library.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let paths = entries
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.path());
    paths
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with("libonnxruntime"))
        })
        .collect()
}

/// Where GStreamer remembers its plugins.
fn registry() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty());
    let cache = cache.map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    Some(cache?.join("gstreamer-1.0"))
}

/// Rights follow files, not names: what the links in a folder lead to.
fn targets(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let links = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()));
    links
        .filter_map(|entry| entry.path().canonicalize().ok())
        .collect()
}

/// Cameras, graphics cards, `/dev/null`, each by itself: no files can be made beside them.
fn devices() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir("/dev") else {
        return Vec::new();
    };
    // A link may lead to what is open in this process, such as a socket, which no rule can name.
    let own = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()));
    own.map(|entry| entry.path())
        .filter(|path| !MEMORY.iter().any(|name| path.ends_with(name)))
        .collect()
}

/// Binds this process to the rules that its launcher has given it, before it has any other thread.
pub fn enter() -> anyhow::Result<Option<Rules>> {
    let Some(text) = std::env::var_os(VARIABLE) else {
        return Ok(None);
    };
    let text = text.into_string().ok().context("the rules are not text")?;
    let rules: Rules = serde_json::from_str(&text).context("the rules cannot be read")?;
    match rules.enforce()? {
        RulesetStatus::FullyEnforced => tracing::debug!("kept to its rules"),
        status => tracing::debug!(?status, "this kernel enforces some of the rules only"),
    }
    Ok(Some(rules))
}

/// What the kernel can hold a process to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Support {
    Nothing,
    /// Linux 5.13.
    Files,
    /// Linux 6.7.
    FilesAndNetwork,
}

pub fn support() -> Support {
    let has = |abi: ABI| {
        let strict = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        let files = strict.handle_access(AccessFs::from_all(abi));
        let both = files.and_then(|ruleset| match abi {
            ABI::V4 => ruleset.handle_access(AccessNet::from_all(abi)),
            _ => Ok(ruleset),
        });
        both.and_then(Ruleset::create).is_ok()
    };
    match (has(ABI::V4), has(ABI::V1)) {
        (true, _) => Support::FilesAndNetwork,
        (_, true) => Support::Files,
        _ => Support::Nothing,
    }
}

/// Says once what the kernel can hold a process to.
pub fn report() {
    match support() {
        Support::FilesAndNetwork => tracing::info!("pipelines are kept from files, workers from the network"),
        Support::Files => tracing::warn!(
            "pipelines are kept from files; workers can reach the network: Linux 6.7 or later would keep them from it"
        ),
        Support::Nothing => tracing::warn!(
            "this kernel has no Landlock: pipelines may read and write what the user of this program may"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_handed_on() {
        for kept in ["PATH", "GST_DEBUG", "LC_ALL", "ORT_DYLIB_PATH", "G_DEBUG"] {
            assert!(is_kept(kept), "{kept}");
        }
        for secret in [
            "SIGHTLINE_AUTH_KEY",
            "SIGHTLINE_TURN_SECRET",
            "REDIS_PASSWORD",
            "AWS_SECRET_ACCESS_KEY",
            "GITHUB_TOKEN",
            "SSH_AUTH_SOCK",
        ] {
            assert!(!is_kept(secret), "{secret}");
        }
    }

    #[test]
    fn rules_survive_their_way_to_the_process() {
        let rules = Rules {
            read: BTreeSet::from(["/a b".into()]),
            write: BTreeSet::new(),
            connect: Some(vec![6379]),
            plugins: BTreeSet::from(["gme".into()]),
        };
        let (_, text) = rules.variable().unwrap();
        assert_eq!(serde_json::from_str::<Rules>(&text).unwrap(), rules);
    }

    #[test]
    fn the_runtimes_providers_are_found_beside_it_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let libraries = ["libonnxruntime.so.1", "libonnxruntime_providers_cuda.so"];
        for name in libraries.iter().chain(&["diary.txt"]) {
            std::fs::write(file(name), "").unwrap();
        }
        let mut found = providers(&file(libraries[0]));
        found.sort();
        assert_eq!(found, libraries.map(file));
        assert!(providers(Path::new("libonnxruntime.so")).is_empty());
    }

    #[test]
    fn links_are_followed_and_memory_is_no_device() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there");
        std::fs::create_dir(&there).unwrap();
        let inner = folder.path().join("folder");
        std::fs::create_dir(&inner).unwrap();
        std::os::unix::fs::symlink(&there, inner.join("link")).unwrap();
        assert_eq!(targets(&inner), [there.canonicalize().unwrap()]);
        let devices = devices();
        assert!(devices.contains(&PathBuf::from("/dev/null")));
        assert!(!devices.contains(&PathBuf::from("/dev/shm")));
    }
}
