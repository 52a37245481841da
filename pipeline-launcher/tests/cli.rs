//! The program as people use it.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn launcher(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pipeline-launcher"))
        .args(arguments)
        .env_remove("REDIS_URL")
        .env_remove("REDIS_HOST")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn file(content: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), content).unwrap();
    file
}

fn described(launch: &str) -> tempfile::NamedTempFile {
    file(&format!(
        "schema = 1\nname = \"t\"\nkind = \"source\"\nsummary = \"s\"\n[pipeline]\nlaunch = '''\n{launch}\n'''\n"
    ))
}

#[test]
fn the_shipped_pipelines_are_right() {
    let output = launcher(&["check", "--deny-warnings", "pipelines"]);
    assert!(output.status.success(), "{}", text(&output.stdout));
}

#[test]
fn list_shows_pipelines_and_parameters() {
    let output = launcher(&["list"]);
    let said = text(&output.stdout);
    assert!(
        said.contains("webrtc-detect") && said.contains("fps      integer 1 to 60     default 30"),
        "{said}"
    );
    let output = launcher(&["list", "--json"]);
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let pipelines = list["pipelines"].as_array().unwrap();
    let detect = pipelines
        .iter()
        .find(|pipeline| pipeline["name"] == "webrtc-detect")
        .unwrap();
    assert_eq!(detect["params"]["fps"]["max"].as_f64(), Some(60.0), "{detect}");
}

#[test]
fn programs_read_what_is_wrong_and_what_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    let bad = described("videotestsrc ! videoscal ! fakesink");
    std::fs::copy(bad.path(), &path).unwrap();
    let output = launcher(&["check", "--json", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let verdicts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let problem = &verdicts[0]["problems"][0];
    assert_eq!(problem["severity"], "error", "{verdicts}");
    assert_eq!(problem["line"], 7, "{verdicts}");

    let folder = folder.path().to_str().unwrap();
    let output = launcher(&["list", "--json", "--pipelines", folder]);
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(&list["refused"][0]["problems"][0], problem, "{list}");
    let output = launcher(&["list", "--pipelines", folder]);
    assert!(text(&output.stderr).contains("did you mean `videoscale`?"));
}

#[test]
fn schema_is_for_editors() {
    let output = launcher(&["schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(schema["properties"]["pipeline"].is_object(), "{schema}");
}

#[test]
fn run_ends_with_the_stream_and_with_its_code() {
    let file = described("videotestsrc num-buffers=3 ! fakesink");
    let output = launcher(&["run", file.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));

    // No terminal, so a line of figures at first, and then now and then.
    let file = described("videotestsrc is-live=true num-buffers=45 ! video/x-raw,framerate=30/1 ! fakesink");
    let output = launcher(&["run", file.path().to_str().unwrap()]);
    let said = text(&output.stderr);
    assert!(output.status.success() && said.contains(" frames/s, "), "{said}");

    let file = described("videotestsrc ! videoscal ! fakesink");
    let output = launcher(&["run", file.path().to_str().unwrap()]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("did you mean `videoscale`?"), "{said}");

    let file = described("filesrc location=/none/here ! fakesink");
    let output = launcher(&["run", file.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("/none/here"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_model_is_also_a_file_that_no_list_names() {
    let file = file(
        "schema = 1\nname = \"mine\"\nkind = \"source\"\nsummary = \"A model of one's own\"\n\
        [params.model]\ntype = \"model\"\ntarget = \"detect.model\"\n\
        [pipeline]\nlaunch = \"videotestsrc num-buffers=2 ! yoloxdetect name=detect ! fakesink\"\n",
    );
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("mine.onnx");
    std::fs::copy(
        concat!(env!("CARGO_MANIFEST_DIR"), "/../models/blobs.onnx"),
        &model,
    )
    .unwrap();
    let (file, model) = (file.path().to_str().unwrap(), model.to_str().unwrap());
    let param = format!("model={model}");
    for more in [["--model", model], ["--param", &param]] {
        let output = launcher(&["run", file, more[0], more[1]]);
        assert!(output.status.success(), "{more:?} {}", text(&output.stderr));
    }
}

#[test]
fn what_is_wrong_at_the_start_is_said() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().port();
    let url = format!("redis://user:secret@127.0.0.1:{closed}");
    for (arguments, expected) in [
        (
            &["serve", "--redis-url", &url] as &[&str],
            "is Redis running there?",
        ),
        (&["serve", "--pipelines", "/none"], "cannot read the folder /none"),
        (
            &["serve", "--model", "/none/x.onnx"],
            "there is no model file /none/x.onnx",
        ),
        (
            &["serve", "--model", "yolox_nan"],
            "there is no model `yolox_nan`",
        ),
        (&["serve", "--workers", "many"], "neither `auto` nor a number"),
        (
            &["serve", "--launcher-port", &taken.to_string()],
            "Set SIGHTLINE_LAUNCHER_PORT to a free one",
        ),
        (
            &["serve", "--launcher-bind", "0.0.0.0"],
            "Stay with 127.0.0.1, or say --insecure",
        ),
        (
            &["run", "nosuch"],
            "cannot read the pipeline description pipelines/nosuch.toml",
        ),
        (&["run", "webrtc-detect"], "it needs a peer"),
        (
            &["run", "yolox-worker", "--param", "scor=1"],
            "there is no parameter `scor`; did you mean `score`?",
        ),
    ] {
        let output = launcher(arguments);
        let said = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(said.contains(expected), "{arguments:?} said:\n{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}
