//! What a pipeline's process may do on this machine: real processes of the real program, held by the real kernel.

#![allow(clippy::unwrap_used, dead_code)]

#[path = "support/child.rs"]
mod child;

use std::net::TcpListener;
use std::path::Path;

use child::{report, run_in, start};
use pipeline_launcher::control::{Network, Report};
use pipeline_launcher::sandbox::{self, Rules, Support};

/// Tests fail on a kernel that cannot hold what they are about, where that is promised.
fn kernel_has(wanted: Support) -> bool {
    let has = sandbox::support() >= wanted;
    assert!(
        has || std::env::var_os("CI").is_none(),
        "this kernel has no Landlock for {wanted:?}"
    );
    has
}

/// How a pipeline ended that was kept to these rules: its words, or none if all went well.
async fn run(rules: &Rules, launch: &str) -> Option<String> {
    let start = start(launch, Vec::new(), None, Network::default());
    let (mut process, mut said) = run_in(&[rules.variable().unwrap()], start).await;
    loop {
        match said {
            Some(Report::Failed(failure)) => {
                process.wait().await;
                return Some(failure.message);
            }
            Some(Report::Ended) => {
                // On a busy machine it may be killed while it tidies up.
                process.wait().await;
                return None;
            }
            Some(_) => said = report(&mut process).await,
            None => panic!("it died: {:?}", process.wait().await),
        }
    }
}

fn reading(path: &Path) -> Rules {
    Rules {
        read: [path.to_owned()].into(),
        ..Rules::default()
    }
}

#[tokio::test]
async fn only_plugins_that_are_named_or_usual_can_be_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let sound = folder.path().join("sound.wav");
    let wave = |end: &str| format!("audiotestsrc num-buffers=5 ! wavenc ! {end}");
    let open = Rules {
        write: [folder.path().to_owned()].into(),
        ..reading(folder.path())
    };
    // Named elements are the operator's choice.
    assert_eq!(
        run(&open, &wave(&format!("filesink location={}", sound.display()))).await,
        None
    );
    // `decodebin` could choose `wavparse`, which no camera needs.
    let decode = format!("filesrc location={} ! decodebin ! fakesink", sound.display());
    let words = run(&open, &decode).await.unwrap();
    assert!(words.contains("plug-in") || words.contains("decode"), "{words}");
    for plugin in ["wavparse", "all"] {
        let more = Rules {
            plugins: [plugin.to_owned()].into(),
            ..open.clone()
        };
        assert_eq!(run(&more, &decode).await, None, "{plugin}");
    }
}

#[tokio::test]
async fn files_are_closed_unless_they_are_named() {
    if !kernel_has(Support::Files) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mine, theirs) = (folder.path().join("mine"), folder.path().join("theirs"));
    for folder in [&mine, &theirs] {
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join("file"), "some bytes").unwrap();
    }
    let read = |folder: &Path| format!("filesrc location={}/file ! fakesink", folder.display());
    assert_eq!(run(&reading(&mine), &read(&mine)).await, None);
    let words = run(&reading(&mine), &read(&theirs)).await.unwrap();
    assert!(words.contains("theirs/file"), "{words}");
    assert_eq!(std::fs::read(theirs.join("file")).unwrap(), b"some bytes");

    let write = |path: &str| format!("videotestsrc num-buffers=2 ! jpegenc ! filesink location={path}");
    let inside = mine.join("picture").display().to_string();
    let shared = format!("/dev/shm/sightline-test-{}", std::process::id());
    for path in [&inside, &shared, "/proc/self/clear_refs"] {
        let words = run(&reading(&mine), &write(path)).await;
        assert!(words.is_some(), "it wrote to {path}");
    }
    assert!(!mine.join("picture").exists() && !Path::new(&shared).exists());
    let open = Rules {
        write: [mine.clone()].into(),
        ..Rules::default()
    };
    assert_eq!(run(&open, &write(&inside)).await, None);
    assert!(mine.join("picture").exists());
}

#[tokio::test]
async fn a_worker_talks_to_redis_only() {
    if !kernel_has(Support::FilesAndNetwork) {
        return;
    }
    let (redis, other) = (
        TcpListener::bind("127.0.0.1:0").unwrap(),
        TcpListener::bind("127.0.0.1:0").unwrap(),
    );
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let to = |port: u16| {
        format!("fakesrc num-buffers=1 sizetype=fixed sizemax=9 ! tcpclientsink host=127.0.0.1 port={port}")
    };
    let rules = Rules {
        connect: Some(vec![port(&redis)]),
        ..Rules::default()
    };
    assert_eq!(run(&rules, &to(port(&redis))).await, None);
    let words = run(&rules, &to(port(&other))).await.unwrap();
    assert!(words.contains("connect"), "{words}");
    // Nor does it wait for anybody.
    let listens = format!("tcpserversrc host=127.0.0.1 port={} ! fakesink", port(&other) ^ 1);
    assert!(run(&rules, &listens).await.is_some());
    // What is not kept to rules gets through.
    assert_eq!(run(&Rules::default(), &to(port(&other))).await, None);
}

#[tokio::test]
async fn a_process_knows_no_secrets_and_gets_no_privileges() {
    let start = start(
        "videotestsrc is-live=true ! fakesink",
        Vec::new(),
        None,
        Network::default(),
    );
    let (process, first) = run_in(&[("REDIS_URL".into(), "unix:///here".into())], start).await;
    assert_eq!(first, Some(Report::Running));
    let about = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", process.pid())).unwrap();
    let environment = about("environ");
    let names: Vec<&str> = environment
        .split('\0')
        .filter_map(|pair| Some(pair.split_once('=')?.0))
        .collect();
    assert!(
        names.contains(&"REDIS_URL") && names.contains(&"PATH"),
        "{names:?}"
    );
    // Cargo has given this test many variables of its own.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    assert!(names.iter().all(|name| !name.starts_with("CARGO")), "{names:?}");
    let status = about("status");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    process.stop().await;
}
