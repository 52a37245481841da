//! Real servers of a test's own: a cluster, or a master with a replica that a sentinel looks after.

// Each test uses a part of this.
#![allow(dead_code, clippy::unwrap_used)]

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);
const SLOTS: usize = 16384;
const MASTER: &str = "mymaster";

/// A redis-server on a port of its own; it ends with this value.
pub struct Node {
    pub port: u16,
    child: Child,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
}

impl Node {
    pub fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let child = spawn(&folder, port, &arguments);
        let node = Self {
            port,
            child,
            folder,
            arguments,
        };
        node.wait_until_it_listens();
        node
    }

    fn sentinel(master: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let file = folder.path().join("sentinel.conf");
        let settings = format!(
            "bind 127.0.0.1\nport {port}\nsentinel monitor {MASTER} 127.0.0.1 {master} 1\n\
             sentinel down-after-milliseconds {MASTER} 1000\nsentinel failover-timeout {MASTER} 5000\n"
        );
        std::fs::write(&file, settings).unwrap();
        let mut command = Command::new("redis-server");
        let child = command
            .arg(&file)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let node = Self {
            port,
            child,
            folder,
            arguments: Vec::new(),
        };
        node.wait_until_it_listens();
        node
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn connect(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    /// Runs a command, written as in redis-cli.
    pub fn run<T: redis::FromRedisValue>(&self, command: &str) -> T {
        self.try_run(command)
            .unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// The same where it may fail: a sentinel ends all connections to a master that it demotes.
    pub fn try_run<T: redis::FromRedisValue>(&self, command: &str) -> redis::RedisResult<T> {
        let mut words = command.split_whitespace();
        let mut cmd = redis::cmd(words.next().unwrap());
        for word in words {
            cmd.arg(word);
        }
        cmd.query(&mut redis::Client::open(self.url())?.get_connection()?)
    }

    /// Whether it is a replica and has all of its master.
    pub fn follows(&self) -> bool {
        let info = self.try_run::<String>("INFO replication");
        info.is_ok_and(|info| info.contains("master_link_status:up"))
    }

    /// `STOP`: it hangs; `CONT`: it goes on.
    pub fn signal(&self, signal: &str) {
        let mut kill = Command::new("kill");
        let status = kill
            .args(["-s", signal])
            .arg(self.child.id().to_string())
            .status();
        assert!(status.unwrap().success());
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again at the same address, after it was killed.
    pub fn resume(&mut self) {
        self.child = spawn(&self.folder, self.port, &self.arguments);
        self.wait_until_it_listens();
    }

    fn wait_until_it_listens(&self) {
        wait_for("redis-server to listen", || {
            std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // One that a test has killed is no error.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(folder: &tempfile::TempDir, port: u16, arguments: &[String]) -> Child {
    Command::new("redis-server")
        .args([
            "--save",
            "",
            "--appendonly",
            "no",
            "--bind",
            "127.0.0.1",
            "--port",
        ])
        .arg(port.to_string())
        .arg("--dir")
        .arg(folder.path())
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server must be installed")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Three masters; the replicas, if any, are those of the first ones.
pub struct Cluster {
    pub nodes: Vec<Node>,
}

impl Cluster {
    pub const MASTERS: usize = 3;

    pub fn start(replicas: usize) -> Self {
        Self::start_with(replicas, &[])
    }

    pub fn start_with(replicas: usize, arguments: &[&str]) -> Self {
        let nodes: Vec<Node> = (0..Self::MASTERS + replicas)
            .map(|_| {
                let bus = free_port().to_string();
                let own = [
                    "--cluster-enabled",
                    "yes",
                    "--cluster-node-timeout",
                    "2000",
                    "--cluster-port",
                    &bus,
                ];
                Node::start(&[&own, arguments].concat())
            })
            .collect();
        let cluster = Self { nodes };
        for (number, node) in cluster.nodes.iter().enumerate() {
            let () = node.run(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1));
            if number < Self::MASTERS {
                let (first, end) = (
                    number * SLOTS / Self::MASTERS,
                    (number + 1) * SLOTS / Self::MASTERS,
                );
                let () = node.run(&format!("CLUSTER ADDSLOTSRANGE {first} {}", end - 1));
            }
            if number > 0 {
                let (port, bus) = (node.port, &node.arguments[5]);
                let () = cluster.nodes[0].run(&format!("CLUSTER MEET 127.0.0.1 {port} {bus}"));
            }
        }
        cluster.wait_until_all_agree(replicas);
        cluster
    }

    fn wait_until_all_agree(&self, replicas: usize) {
        let known = format!("cluster_known_nodes:{}\r", self.nodes.len());
        wait_for("the cluster", || {
            self.nodes.iter().all(|node| {
                let info: String = node.run("CLUSTER INFO");
                info.contains("cluster_state:ok") && info.contains(&known)
            })
        });
        for number in 0..replicas {
            let replica = &self.nodes[Self::MASTERS + number];
            let () = replica.run(&format!("CLUSTER REPLICATE {}", self.id(number)));
            wait_for("the replica", || replica.follows());
        }
    }

    pub fn url(&self) -> String {
        let hosts: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port))
            .collect();
        format!("redis-cluster://{}", hosts.join(","))
    }

    fn id(&self, node: usize) -> String {
        self.nodes[node].run("CLUSTER MYID")
    }

    pub fn slot(&self, key: &str) -> usize {
        self.nodes[0].run(&format!("CLUSTER KEYSLOT {key}"))
    }

    /// The master that has a key.
    pub fn owner(&self, key: &str) -> usize {
        let slot = self.slot(key);
        (0..self.nodes.len())
            .find(|node| {
                let nodes: String = self.nodes[*node].run("CLUSTER NODES");
                has_slot(line(&nodes, &self.id(*node)), slot)
            })
            .unwrap()
    }

    /// Moves the slot of a key to another master, as `redis-cli --cluster reshard` does, and leaves it half moved
    /// meanwhile for as long as `halfway` takes.
    pub fn move_slot(&self, key: &str, to: usize, halfway: impl FnOnce()) {
        let (slot, from) = (self.slot(key), self.owner(key));
        let (source, target) = (self.id(from), self.id(to));
        let (from, to) = (&self.nodes[from], &self.nodes[to]);
        let () = to.run(&format!("CLUSTER SETSLOT {slot} IMPORTING {source}"));
        let () = from.run(&format!("CLUSTER SETSLOT {slot} MIGRATING {target}"));
        loop {
            let keys: Vec<String> = from.run(&format!("CLUSTER GETKEYSINSLOT {slot} 10"));
            if keys.is_empty() {
                break;
            }
            let mut migrate = redis::cmd("MIGRATE");
            migrate
                .arg("127.0.0.1")
                .arg(to.port)
                .arg("")
                .arg(0)
                .arg(5000)
                .arg("KEYS")
                .arg(&keys);
            let () = migrate.query(&mut from.connect()).unwrap();
        }
        halfway();
        // The new master first, then the old one: no moment without a master.
        for node in [to, from].into_iter().chain(&self.nodes) {
            let () = node.run(&format!("CLUSTER SETSLOT {slot} NODE {target}"));
        }
        // Until all know the new master's epoch, the slot's next master may take the same one, and lose the slot again.
        wait_for("all nodes know the slot's new master", || {
            let views: Vec<String> = self.nodes.iter().map(|node| node.run("CLUSTER NODES")).collect();
            let epoch = |nodes| line(nodes, &target).split(' ').nth(6).map(str::to_owned);
            views
                .iter()
                .all(|nodes| has_slot(line(nodes, &target), slot) && epoch(nodes) == epoch(&views[0]))
        });
    }
}

/// The line of `CLUSTER NODES` about a node.
fn line<'a>(nodes: &'a str, id: &str) -> &'a str {
    nodes.lines().find(|line| line.starts_with(id)).unwrap()
}

/// Whether a line of `CLUSTER NODES` says that the node has a slot.
fn has_slot(line: &str, slot: usize) -> bool {
    line.split_whitespace().skip(8).any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        matches!((first.parse::<usize>(), last.parse::<usize>()),
            (Ok(first), Ok(last)) if (first..=last).contains(&slot))
    })
}

/// A master with a replica, and a sentinel that makes the replica the master when that is needed.
pub struct Watched {
    pub master: Node,
    pub replica: Node,
    sentinel: Node,
}

impl Watched {
    pub fn start() -> Self {
        let master = Node::start(&[]);
        let replica = Node::start(&["--replicaof", &format!("127.0.0.1 {}", master.port)]);
        wait_for("the replica", || replica.follows());
        let sentinel = Node::sentinel(master.port);
        wait_for("the sentinel to know the replica", || {
            let replicas: Vec<redis::Value> = sentinel.run(&format!("SENTINEL REPLICAS {MASTER}"));
            replicas.len() == 1
        });
        Self {
            master,
            replica,
            sentinel,
        }
    }

    pub fn url(&self) -> String {
        format!(
            "redis-sentinel://127.0.0.1:{}/0?sentinelServiceName={MASTER}",
            self.sentinel.port
        )
    }

    /// Lets master and replica change their roles, both alive.
    pub fn fail_over(&self) {
        wait_for("the sentinel to begin", || {
            let mut failover = redis::cmd("SENTINEL");
            failover.arg("FAILOVER").arg(MASTER);
            failover.query::<()>(&mut self.sentinel.connect()).is_ok()
        });
    }

    /// Waits until the replica is the master.
    pub fn wait_until_replaced(&self) {
        wait_for("the new master", || {
            let address: (String, u16) = self
                .sentinel
                .run(&format!("SENTINEL GET-MASTER-ADDR-BY-NAME {MASTER}"));
            address.1 == self.replica.port
        });
    }
}
