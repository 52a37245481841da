//! What is said of broken files, word for word, stands in `tests/broken`.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const GOOD: &str = r#"schema = 1
name = "test-detect"
kind = "session"
summary = "For tests"

[webrtc]
codecs = ["VP8"]

[params.fps]
type = "integer"
default = 30
min = 1
max = 60

[params.camera]
type = "string"
default = ""
target = "source.location"

[pipeline]
launch = '''
  webrtcbin name=webrtc
  filesrc name=source ! videorate max-rate={fps} ! redisstreamsink
'''
"#;

fn messages(source: &str) -> Vec<String> {
    let (_, problems) = parse(source);
    problems
        .iter()
        .map(|problem| problem.render(std::path::Path::new("f.toml")))
        .collect()
}

#[test]
fn a_good_file_has_no_problems() {
    let (description, problems) = parse(GOOD);
    assert_eq!(problems, []);
    let description = description.unwrap();
    assert!(description.needs_worker() && !description.is_watchable());
    let resolved = description.resolve(&Params::new()).unwrap();
    assert!(resolved.launch.contains("max-rate=30 "), "{}", resolved.launch);
    assert_eq!(resolved.assignments.len(), 1);
}

#[test]
fn a_picture_for_others_makes_a_pipeline_watchable() {
    let file = GOOD.replace("! redisstreamsink", "! vp8enc ! redisvideosink");
    let description = parse(&file).0.unwrap();
    assert!(description.is_watchable() && description.info().watchable);
    assert!(!description.needs_worker());
}

#[test]
fn a_file_with_an_error_is_a_draft_only() {
    let broken = GOOD.replace("name = \"test-detect\"", "nam = \"test-detect\"");
    assert_eq!(parse(&broken).0, None);
    let draft = draft(&broken).0.unwrap();
    assert!(draft.launch.contains("webrtcbin") && draft.name.is_empty());
}

#[test]
fn replicas_are_a_number_or_what_the_cores_carry() {
    let worker = GOOD
        .replace("\"session\"", "\"worker\"")
        .replace("webrtcbin name=webrtc", "fakesrc");
    for (table, range) in [
        ("", 1..=8),
        ("[worker]\nreplicas = 3\n", 3..=3),
        ("[worker]\nreplicas = 3\nmin_replicas = 0\n", 0..=3),
        ("[worker]\nreplicas = \"auto\"\nmin_replicas = 2\n", 2..=8),
        ("[worker]\nmin_replicas = 9\n", 8..=8),
    ] {
        let (description, problems) = parse(&worker.replace("[pipeline]", &format!("{table}[pipeline]")));
        let description = description.unwrap_or_else(|| panic!("{problems:?}"));
        assert_eq!(description.worker.range(8), range, "{table}");
    }
    for table in [
        "replicas = 1\nmin_replicas = 2",
        "replicas = -1",
        "replicas = \"many\"",
        "replicas = 1.5",
    ] {
        let file = worker.replace("[pipeline]", &format!("[worker]\n{table}\n[pipeline]"));
        assert_eq!(parse(&file).0, None, "{table}");
    }
}

#[test]
fn all_errors_come_at_once() {
    let broken = GOOD
        .replace("schema = 1\n", "")
        .replace("\"VP8\"", "\"VP7\"")
        .replace("{fps}", "{x}");
    let errors: Vec<_> = messages(&broken)
        .into_iter()
        .filter(|line| line.contains("error"))
        .collect();
    assert_eq!(errors.len(), 3, "{errors:#?}");
}

#[test]
fn an_empty_file_is_told_all_that_is_missing() {
    let all = messages("").join("\n");
    for field in ["schema", "name", "kind", "summary", "pipeline"] {
        assert!(all.contains(&format!("`{field}`: is missing")), "{all}");
    }
}

proptest! {
    /// Whatever a client sends, the launch text has the shape that its author gave it.
    #[test]
    fn no_value_changes_the_shape_of_a_pipeline(fps: i64, camera in "\\PC*") {
        let description = parse(GOOD).0.unwrap();
        let given = Params::from([("fps".into(), json!(fps)), ("camera".into(), json!(camera))]);
        if let Ok(resolved) = description.resolve(&given) {
            prop_assert_eq!(launch::elements(&resolved.launch).len(), 4);
            prop_assert_eq!(&resolved.launch, &description.launch.replace("{fps}", &fps.to_string()));
            prop_assert_eq!(&resolved.assignments[0].value, &camera);
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(source in "\\PC*", cut in 0..600usize) {
        drop(parse(&source));
        drop(parse(&GOOD.chars().take(cut).collect::<String>()));
    }
}
