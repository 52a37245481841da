//! A Redis of our own, for one machine: on a Unix socket, in memory only, ended with us.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::Signal;
use tokio::process::Child;
use tokio_util::sync::CancellationToken;

const STARTED: Duration = Duration::from_secs(5);
const STOPPED: Duration = Duration::from_secs(3);
const RESTART_PAUSE: Duration = Duration::from_millis(500);

/// The URLs of those that run here now, started by the same user.
pub fn running() -> Vec<String> {
    let Ok(folders) = std::fs::read_dir(std::env::temp_dir()) else {
        return Vec::new();
    };
    let me = rustix::process::getuid().as_raw();
    let url = |entry: std::fs::DirEntry| {
        let name = entry.file_name();
        let pid: u32 = name.to_str()?.strip_prefix("sightline-")?.parse().ok()?;
        let ours = std::os::unix::fs::MetadataExt::uid(&entry.metadata().ok()?) == me;
        let socket = socket(&entry.path());
        let lives = Path::new("/proc").join(pid.to_string()).exists() && socket.exists();
        (ours && lives).then(|| format!("unix://{}", socket.display()))
    };
    folders.flatten().filter_map(url).collect()
}

#[derive(Debug)]
pub struct PrivateRedis {
    folder: PathBuf,
    child: Child,
}

impl PrivateRedis {
    pub async fn start() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("sightline-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&folder, permissions)?;
        let child = spawn(&folder)?;
        let mut redis = Self { folder, child };
        redis.wait_until_it_answers().await?;
        Ok(redis)
    }

    pub fn url(&self) -> String {
        format!("unix://{}", socket(&self.folder).display())
    }

    /// Starts it again whenever it ends, until `shutdown`.
    pub async fn supervise(mut self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                status = self.child.wait() => tracing::error!(?status, "redis-server ended; it is started again"),
                () = shutdown.cancelled() => break,
            }
            tokio::time::sleep(RESTART_PAUSE).await;
            match spawn(&self.folder) {
                Ok(child) => self.child = child,
                Err(error) => tracing::error!("{error:#}"),
            }
        }
        self.stop().await;
    }

    async fn stop(&mut self) {
        let pid = self
            .child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid
            && rustix::process::kill_process(pid, Signal::TERM).is_ok()
        {
            let ended = tokio::time::timeout(STOPPED, self.child.wait()).await;
            tracing::debug!(?ended, "redis-server stopped");
        }
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::debug!(%error, "the folder of redis-server's socket stays");
        }
    }

    async fn wait_until_it_answers(&mut self) -> anyhow::Result<()> {
        let client = redis::Client::open(self.url())?;
        let answered = async {
            while client.get_multiplexed_async_connection().await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = answered => Ok(()),
            status = self.child.wait() => bail!("redis-server ended at once ({status:?}); its own output says why"),
            () = tokio::time::sleep(STARTED) => bail!("redis-server does not answer within {STARTED:?}"),
        }
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("redis.sock")
}

/// Camera frames never touch a disk: no snapshots, no log of commands.
fn spawn(folder: &Path) -> anyhow::Result<Child> {
    let arguments = [
        "--save",
        "",
        "--appendonly",
        "no",
        "--port",
        "0",
        "--maxmemory",
        "512mb",
        "--maxmemory-policy",
        "noeviction",
        "--loglevel",
        "warning",
        "--daemonize",
        "no",
    ];
    crate::supervisor::process::tied_to_us("KILL", Path::new("redis-server"))
        .args(arguments)
        .arg("--unixsocket")
        .arg(socket(folder))
        .arg("--dir")
        .arg(folder)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        // Ctrl-C reaches a whole group: we end it ourselves, after its users.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .context(
            "cannot start redis-server: install it (`apt-get install redis-server`), or set REDIS_URL to an existing Redis",
        )
}
