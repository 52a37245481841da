//! A table of broken files and what is said of them.

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
    assert!(description.needs_worker());
    let resolved = description.resolve(&Params::new()).unwrap();
    assert!(resolved.launch.contains("max-rate=30 "), "{}", resolved.launch);
    assert_eq!(resolved.assignments.len(), 1);
}

#[test]
fn broken_files_are_told_what_is_wrong_where_and_what_to_do() {
    for (from, to, expected) in [
        (
            "schema = 1",
            "schema = 2",
            "f.toml:1: error: `schema`: is 2, but this program reads version 1",
        ),
        (
            "kind = \"session\"",
            "kind = \"sesion\"",
            "f.toml:3: error: `kind`: is \"sesion\", which is none of session, worker, source\n    hint: did you mean `session`?",
        ),
        (
            "summary",
            "sumary",
            "f.toml:4: error: `sumary`: is not a field of this table\n    hint: did you mean `summary`?",
        ),
        (
            "[\"VP8\"]",
            "[\"VP7\"]",
            "f.toml:7: error: `webrtc.codecs`: \"VP7\" is none of VP8, VP9, H264",
        ),
        (
            "default = 30",
            "default = 99",
            "f.toml:11: error: `params.fps.default`: 99 is not an integer from 1 to 60",
        ),
        (
            "default = 30",
            "default = \"x\"",
            "f.toml:11: error: `params.fps.default`: \"x\" is not an integer from 1 to 60",
        ),
        (
            "target = \"source.location\"",
            "target = \"sorce.location\"",
            "f.toml:15: error: `params.camera.target`: no element in the launch text is named `sorce`\n    hint: did you mean `source`?",
        ),
        (
            "{fps}",
            "{fpss}",
            "f.toml:23: error: `pipeline.launch`: there is no parameter `fpss`\n    hint: did you mean `fps`?",
        ),
        (
            "{fps}",
            "{camera}",
            "f.toml:23: error: `pipeline.launch`: the parameter `camera` is a text, which may not stand in the launch text",
        ),
        (
            "  webrtcbin name=webrtc\n",
            "",
            "f.toml:22: error: `pipeline.launch`: a session needs one `webrtcbin`",
        ),
        (
            "name = \"test-detect\"",
            "name = \"Test Detect\"",
            "f.toml:2: error: `name`: is not 1 to 64 lower-case letters",
        ),
        ("schema = 1", "schema = ", "f.toml:1: error: not valid TOML"),
        (
            "max-rate={fps}",
            "max-rate=30",
            "f.toml:9: warning: `params.fps`: is used nowhere",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let all = messages(&GOOD.replacen(from, to, 1)).join("\n");
        assert!(all.contains(expected), "expected:\n{expected}\ngot:\n{all}");
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
