//! Finds and loads ONNX Runtime, once per process.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::CAT;

const VARIABLE: &str = "ORT_DYLIB_PATH";
const LIBRARY: &str = "libonnxruntime.so";
const PLUGIN: &str = "libgstyolox.so";

/// Initialisation takes milliseconds; a library that never comes back must not hang the pipeline.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, thiserror::Error)]
pub enum RuntimeError {
    #[error("{VARIABLE} is {0}, where there is no file; it must name {LIBRARY}, or be unset")]
    NotThere(PathBuf),
    #[error(
        "ONNX Runtime is not installed: no {LIBRARY} in {} or the system's library path ({reason}). \
         `make` fetches it; or set {VARIABLE} to the library's path",
        folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    NotFound { folders: Vec<PathBuf>, reason: String },
    #[error("{0} cannot be used as ONNX Runtime: {1}")]
    Unusable(PathBuf, String),
    #[error("{0} did not initialise within {secs} s", secs = TIMEOUT.as_secs())]
    Hangs(PathBuf),
}

/// The process's one ONNX Runtime environment. It is never dropped: its threads outlive any element.
pub fn environment() -> Result<&'static Environment, RuntimeError> {
    static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
    static LOADING: Mutex<()> = Mutex::new(());

    let _guard = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = ENVIRONMENT.get() {
        return Ok(environment);
    }
    let environment = load()?;
    Ok(ENVIRONMENT.get_or_init(|| environment))
}

fn load() -> Result<Environment, RuntimeError> {
    if let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        return if path.is_file() {
            initialise(&path)
        } else {
            Err(RuntimeError::NotThere(path))
        };
    }
    let folders = folders();
    if let Some(path) = folders.iter().find_map(|folder| library_in(folder)) {
        return initialise(&path);
    }
    let mut reason = String::new();
    for name in [LIBRARY, "libonnxruntime.so.1"] {
        match initialise(Path::new(name)) {
            Err(RuntimeError::Unusable(_, why)) => reason = why,
            result => return result,
        }
    }
    Err(RuntimeError::NotFound { folders, reason })
}

/// Where the library may lie: beside the plugin or the program, in `lib` next to either's folder, or where `make install`
/// puts it, which is in no other program's way.
fn folders() -> Vec<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let files = plugin_path(&maps).into_iter().chain(std::env::current_exe().ok());
    let mut folders = Vec::new();
    for folder in files.filter_map(|file| file.parent().map(Path::to_owned)) {
        let candidates = ["", "../lib", "../lib/sightline", "../sightline"];
        for folder in candidates.map(|candidate| folder.join(candidate)) {
            if let Ok(folder) = folder.canonicalize()
                && !folders.contains(&folder)
            {
                folders.push(folder);
            }
        }
    }
    folders
}

/// The file this plugin was loaded from, from the list of the process's mappings.
fn plugin_path(maps: &str) -> Option<PathBuf> {
    maps.lines()
        .filter_map(|line| line.find('/').map(|start| Path::new(&line[start..])))
        .find(|path| path.file_name() == Some(OsStr::new(PLUGIN)))
        .map(Path::to_owned)
}

/// `libonnxruntime.so`, or with a version behind it; of several the last.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let plain = folder.join(LIBRARY);
    if plain.is_file() {
        return Some(plain);
    }
    let entries = std::fs::read_dir(folder).ok()?;
    let versioned = |path: &PathBuf| {
        let name = path.file_name().and_then(OsStr::to_str);
        name.and_then(|name| name.strip_prefix(LIBRARY))
            .is_some_and(|rest| rest.starts_with('.'))
    };
    entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| versioned(path) && path.is_file())
        .max()
}

fn initialise(path: &Path) -> Result<Environment, RuntimeError> {
    let (sender, receiver) = mpsc::channel();
    let library = path.to_owned();
    let spawned = std::thread::Builder::new()
        .name("onnxruntime-init".into())
        .spawn(move || {
            // Nobody listens any more after the timeout.
            sender.send(build(&library)).ok();
        });
    if let Err(error) = spawned {
        return Err(RuntimeError::Unusable(path.to_owned(), error.to_string()));
    }
    match receiver.recv_timeout(TIMEOUT) {
        Ok(result) => result.map_err(|error| RuntimeError::Unusable(path.to_owned(), error)),
        Err(mpsc::RecvTimeoutError::Timeout) => Err(RuntimeError::Hangs(path.to_owned())),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let what = "it offers none of the interfaces this plugin was built for";
            Err(RuntimeError::Unusable(path.to_owned(), what.into()))
        }
    }
}

fn build(path: &Path) -> Result<Environment, String> {
    let environment = ort::init_from(path)
        .map_err(|error| error.to_string())?
        .with_name("sightline")
        // Nothing is sent. Only ORT_DISABLE_TELEMETRY=1 in the environment keeps the library from preparing to;
        // setting that here would race with other threads that read the environment.
        .with_telemetry(false)
        .with_logger(Arc::new(log))
        .build()
        .map_err(|error| error.to_string())?;
    environment.set_log_level(LogLevel::Warning);
    gst::info!(CAT, "ONNX Runtime from {}: {}", path.display(), ort::info());
    Ok(environment)
}

/// ONNX Runtime's messages go to GStreamer's debug log.
fn log(level: LogLevel, category: &str, _id: &str, location: &str, message: &str) {
    match level {
        LogLevel::Verbose => gst::log!(CAT, "{category} {location}: {message}"),
        LogLevel::Info => gst::debug!(CAT, "{category} {location}: {message}"),
        LogLevel::Warning => gst::warning!(CAT, "{category} {location}: {message}"),
        LogLevel::Error | LogLevel::Fatal => gst::error!(CAT, "{category} {location}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugin_is_found_in_the_process_map() {
        let maps = "7f0a-7f0b r-xp 0000 08:01 42  /usr/lib/libc.so.6\n\
                    7f0c-7f0d r-xp 0000 08:01 43  /opt/my plugins/libgstyolox.so\n";
        assert_eq!(plugin_path(maps), Some("/opt/my plugins/libgstyolox.so".into()));
        assert_eq!(
            plugin_path("7f0a-7f0b r-xp 0000 08:01 42  /usr/lib/libc.so.6"),
            None
        );
    }

    #[test]
    fn the_library_may_carry_a_version() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(library_in(folder.path()), None);
        std::fs::write(folder.path().join("libonnxruntime_providers_shared.so"), "").unwrap();
        assert_eq!(library_in(folder.path()), None);
        let versioned = folder.path().join("libonnxruntime.so.1.32.0");
        std::fs::write(&versioned, "").unwrap();
        assert_eq!(library_in(folder.path()), Some(versioned));
        let plain = folder.path().join(LIBRARY);
        std::fs::write(&plain, "").unwrap();
        assert_eq!(library_in(folder.path()), Some(plain));
    }

    #[test]
    fn what_is_no_library_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LIBRARY);
        std::fs::write(&path, "not a library").unwrap();
        let message = initialise(&path).unwrap_err().to_string();
        assert!(message.contains(&path.display().to_string()), "{message}");
    }
}
