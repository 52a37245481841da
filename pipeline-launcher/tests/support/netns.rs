//! A test in a network of its own: two hosts, this process on one of them, joined by a link that loses datagrams.
//! The namespaces belong to processes, not to names: whatever happens to the test, they go with it.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const INSIDE: &str = "SIGHTLINE_TEST_INSIDE";
pub const HERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const THERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// Runs the test of that name, which calls this, once more in a network namespace: true there, false when it is over.
pub fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    // Without root, a user namespace gives the rights; some systems forbid them.
    let rights: &[&str] = if rustix::process::geteuid().is_root() {
        &[]
    } else {
        &["--user", "--map-root-user"]
    };
    // A right that is missing is told apart from a test that fails.
    let possible = Command::new("unshare")
        .args(rights)
        .args(["--net", "nft", "list", "ruleset"])
        .status();
    assert!(
        possible.as_ref().is_ok_and(std::process::ExitStatus::success),
        "this test needs the right to make network namespaces (root), and `unshare`, `ip` and `nft` \
         (scripts/setup.sh test installs them): {possible:?}"
    );
    let status = Command::new("unshare")
        .args(rights)
        .args(["--net", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "in its own network: {status}");
    false
}

fn output(program: &str, arguments: &str) -> String {
    let ended = Command::new(program).args(arguments.split(' ')).output().unwrap();
    String::from_utf8_lossy(&ended.stdout).into_owned()
}

fn run(program: &str, arguments: &str) {
    let status = Command::new(program)
        .args(arguments.split_ascii_whitespace())
        .status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "{program} {arguments}: {status:?}"
    );
}

#[derive(Clone, Copy)]
enum Host {
    Here,
    There,
}

/// The other host.
pub struct There {
    /// Its namespace lasts as long as this process, which ends with the pipe from us.
    holder: Child,
}

impl There {
    pub fn join() -> Self {
        let holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo made; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut there = Self { holder };
        let mut line = String::new();
        BufReader::new(there.holder.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "made\n");
        let pid = there.holder.id();
        run(
            "ip",
            &format!("link add link0 type veth peer name link0 netns {pid}"),
        );
        for (host, address) in [(Host::Here, HERE), (Host::There, THERE)] {
            there.on(host, "ip link set lo up");
            // ICE would try IPv6 as well, past the relay.
            there.on(host, "ip link set link0 addrgenmode none");
            there.on(host, &format!("ip address add {address}/24 dev link0"));
            there.on(host, "ip link set link0 up");
            there.on(host, "nft add table inet loss");
            there.on(
                host,
                "nft add chain inet loss in { type filter hook input priority 0 ; }",
            );
        }
        there.wait_until_running();
        there
    }

    /// ICE passes over an interface that is not running yet: the kernel says so a little after it is up.
    fn wait_until_running(&self) {
        let begun = Instant::now();
        let show = "-o link show dev link0";
        let namespace = format!("--net={} ip {show}", self.namespace());
        for (program, arguments) in [("ip", show), ("nsenter", &namespace)] {
            while !output(program, arguments).contains(" state UP ") {
                assert!(
                    begun.elapsed() < Duration::from_secs(10),
                    "link0 does not come up"
                );
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// From now on so many per cent of the datagrams of each direction are lost.
    pub fn lose(&self, per_cent: u32) {
        for host in [Host::Here, Host::There] {
            self.on(host, "nft flush chain inet loss in");
            let lost = format!("numgen random mod 100 < {per_cent}");
            self.on(
                host,
                &format!("nft add rule inet loss in iifname link0 meta l4proto udp {lost} drop"),
            );
        }
    }

    fn on(&self, host: Host, command: &str) {
        match host {
            Host::Here => {
                let (program, arguments) = command.split_once(' ').unwrap();
                run(program, arguments);
            }
            Host::There => run("nsenter", &format!("--net={} {command}", self.namespace())),
        }
    }

    fn namespace(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.id())
    }

    /// A program that runs that one there.
    pub fn program(&self, program: &Path, folder: &Path) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.join("there.sh");
        let text = format!(
            "#!/bin/sh\nexec nsenter --net={} '{}' \"$@\"\n",
            self.namespace(),
            program.display()
        );
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        path
    }
}

impl Drop for There {
    fn drop(&mut self) {
        self.holder.kill().ok();
        self.holder.wait().ok();
    }
}
