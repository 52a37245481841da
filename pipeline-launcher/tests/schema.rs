//! The JSON Schema, the reference file and the parser say the same.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use pipeline_launcher::description::{self, Description, Restart, Severity, Source, WebRtc, Worker, schema};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn validator() -> Validator {
    jsonschema::validator_for(schema::schema().as_value()).unwrap()
}

fn refusals(validator: &Validator, source: &str) -> Vec<String> {
    let file: Value = toml::from_str(source).unwrap();
    let errors = validator.iter_errors(&file);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

fn errors(source: &str) -> Vec<String> {
    let (_, problems) = description::parse(source);
    let errors = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error);
    errors.map(|problem| problem.render(Path::new(""))).collect()
}

fn toml_files(folder: &Path) -> Vec<(PathBuf, String)> {
    let files = description::catalogue::files(folder).unwrap();
    let read = |path: PathBuf| (path.clone(), std::fs::read_to_string(path).unwrap());
    files.into_iter().map(read).collect()
}

fn reference() -> String {
    std::fs::read_to_string(root().join("docs/pipelines.reference.toml")).unwrap()
}

/// The reference as a worker's file, with what stands in it for workers and sources only.
fn full_reference() -> String {
    let lines = reference().replace("\n#[worker]\n", "\n[worker]\n");
    lines
        .replace("kind = \"session\"", "kind = \"worker\"")
        .replace("  webrtcbin name=webrtc\n  webrtc.", "  redisstreamsrc")
        .replace("\n#[source]\n", "\n[source]\n")
        .replace("\n#max_silence", "\nmax_silence")
        .replace("\n#replicas", "\nreplicas")
        .replace("\n#min_replicas", "\nmin_replicas")
}

#[test]
fn the_schema_in_docs_is_the_one_of_the_types() {
    let kept = std::fs::read_to_string(root().join("docs/pipelines.schema.json")).unwrap_or_default();
    assert!(
        kept == schema::text(),
        "write it anew: pipeline-launcher schema > docs/pipelines.schema.json"
    );
}

#[test]
fn shipped_files_and_examples_are_valid_for_both() {
    let validator = validator();
    let mut files = toml_files(&root().join("pipelines"));
    files.extend(toml_files(&root().join("docs")));
    assert!(files.len() >= 4);
    let page = std::fs::read_to_string(root().join("docs/pipelines.md")).unwrap();
    let examples = page
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    files.extend(examples.map(|example| (PathBuf::from("docs/pipelines.md"), example.to_owned())));
    assert!(files.len() >= 5);
    for (path, source) in files {
        assert_eq!(refusals(&validator, &source), [""; 0], "{}", path.display());
        assert_eq!(errors(&source), [""; 0], "{}", path.display());
    }
}

/// Each change breaks the reference file, for the schema and for the parser.
#[test]
fn what_the_schema_can_see_is_refused_by_both() {
    let validator = validator();
    for (from, to) in [
        ("schema = 1", "schema = 2"),
        ("schema = 1", ""),
        ("name = \"reference\"", "name = \"Reference\""),
        ("name = \"reference\"", "name = 7"),
        ("name = \"reference\"", "nam = \"reference\""),
        ("kind = \"session\"", "kind = \"sesion\""),
        ("summary = \"A", "sumary = \"A"),
        ("\"VP8\", \"H264\"", "\"VP7\""),
        ("\"VP8\", \"H264\", \"VP9\", \"AV1\"", ""),
        ("audio = \"ignore\"", "audio = \"loud\""),
        ("data_channel = false", "data_channel = 1"),
        ("latency_ms = 300", "latency_ms = -1"),
        ("latency_ms = 300", "latency_ms = 10001"),
        ("max_latency_ms = 600", "max_latency_ms = 10001"),
        ("latency_ms = 300", "latency = 50"),
        ("[params.rate]", "[params.Rate]"),
        ("type = \"integer\"", "type = \"int\""),
        ("type = \"integer\"", ""),
        ("default = 30", "default = \"30\""),
        ("max = 60", "max = \"60\""),
        ("max = 60", "maximum = 60"),
        ("default = false", "default = 0"),
        ("default = false", "min = 1"),
        ("[\"detections\", \"frame\"]", "[]"),
        ("[\"detections\", \"frame\"]", "[\"detections\", \"a b\"]"),
        ("values = [\"detections\", \"frame\"]", ""),
        ("target = \"detect.labels\"", "target = \"labels\""),
        ("target = \"detect.labels\"", ""),
        ("target = \"detect.model\"", ""),
        ("policy = \"never\"", "policy = \"sometimes\""),
        ("max_restarts = 5", "max_restarts = 1001"),
        ("window_secs = 60", "window_secs = 0"),
        ("window_secs = 60", "window = 60"),
        ("#[worker]\n#", "[worker]\nreplica = 1\n#"),
        ("#[worker]\n#", "[worker]\nreplicas = 257\n#"),
        ("#[worker]\n#", "[worker]\nreplicas = \"many\"\n#"),
        ("#[worker]\n#", "[worker]\nmin_replicas = -1\n#"),
        ("#[source]\n#", "[source]\nmax_silence_secs = -1\n#"),
        ("#[source]\n#", "[source]\nmax_silence = 1\n#"),
        ("[pipeline]\n", "[pipline]\n"),
        ("launch = '''", "lunch = '''"),
    ] {
        let reference = reference();
        assert!(reference.contains(from), "{from}");
        let broken = reference.replacen(from, to, 1);
        assert_ne!(
            refusals(&validator, &broken),
            [""; 0],
            "the schema takes {to:?} for {from:?}"
        );
        assert_ne!(errors(&broken), [""; 0], "the parser takes {to:?} for {from:?}");
    }
}

/// The parser sees more than the schema, never less.
#[test]
fn what_the_schema_refuses_the_parser_refuses() {
    let validator = validator();
    let mut refused = 0;
    for (path, source) in toml_files(&root().join("pipeline-launcher/tests/broken")) {
        if toml::from_str::<Value>(&source).is_ok() && !refusals(&validator, &source).is_empty() {
            refused += 1;
            assert_ne!(errors(&source), [""; 0], "{}", path.display());
        }
    }
    assert!(refused >= 3, "the schema sees little: {refused}");
}

#[test]
fn the_reference_equals_the_defaults() {
    let (description, problems) = description::parse(&reference());
    assert_eq!(problems, []);
    let description = description.unwrap();
    assert_eq!(description.webrtc, Some(WebRtc::default()));
    assert_eq!(description.restart, Restart::default());

    let (worker, problems) = description::parse(&full_reference());
    let Description { worker, source, .. } = worker.unwrap_or_else(|| panic!("{problems:?}"));
    assert_eq!(source, Source::default());
    assert_eq!(worker.replicas, Worker::default().replicas);
    assert_eq!(worker.range(8), Worker::default().range(8));
}

#[test]
fn the_reference_shows_and_explains_every_field() {
    let reference = full_reference();
    let mut known = BTreeSet::new();
    properties(schema::schema().as_value(), &mut known);
    assert!(known.len() > 15, "{known:?}");
    for name in known {
        let line = reference.lines().position(|line| {
            line.starts_with(&format!("{name} ="))
                || line == format!("[{name}]")
                || line.starts_with(&format!("[{name}."))
        });
        let line = line.unwrap_or_else(|| panic!("the reference lacks `{name}`"));
        let before = reference.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        assert!(
            before.starts_with("# ") || name == "pipeline",
            "`{name}` has no comment"
        );
    }
}

/// The names of all fields in a schema.
fn properties(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Object(properties)) = fields.get("properties") {
                names.extend(properties.keys().cloned());
            }
            fields.values().for_each(|value| properties(value, names));
        }
        Value::Array(items) => items.iter().for_each(|value| properties(value, names)),
        _ => {}
    }
}
