//! Whatever a client sends as a parameter's value: the pipeline has the elements that its author wrote, and a text
//! arrives as it was sent, in the one property that it is for.

#![allow(clippy::unwrap_used)]

use gst::prelude::*;
use pipeline_launcher::description::{Description, Resolved, build, parse};
use pipeline_launcher::models::{Model, Models};
use proptest::prelude::*;
use serde_json::{Value, json};

const FILE: &str = r#"
schema  = 1
name    = "victim"
kind    = "source"
summary = "A parameter of each type"

[params.integer]
type    = "integer"
default = 5
min     = -1
max     = 2147483647

[params.number]
type    = "number"
default = 0.5
min     = 0
max     = 1

[params.boolean]
type    = "boolean"
default = false

[params.enum]
type    = "enum"
default = "no"
values  = ["no", "upstream"]

[params.string]
type    = "string"
default = "file"
target  = "source.location"

[params.words]
type    = "string"
default = "smpte"
target  = "test.pattern"

[params.model]
type    = "model"
target  = "other.location"

[pipeline]
launch = '''
  filesrc name=source num-buffers={integer}
    ! identity name=identity drop-probability={number} silent={boolean}
    ! queue name=queue leaky={enum}
    ! fakesink name=sink
  filesrc name=other ! fakesink name=sink2
  videotestsrc name=test ! capsfilter name=filter ! fakesink name=sink3
'''
"#;

fn victim() -> Description {
    gst::init().unwrap();
    parse(FILE).0.unwrap()
}

/// Name and factory of each element, at any depth.
fn elements(pipeline: &gst::Pipeline) -> Vec<(String, String)> {
    let mut elements: Vec<_> = pipeline
        .iterate_recurse()
        .into_iter()
        .map(|element| {
            let element = element.unwrap();
            (
                element.name().to_string(),
                element.factory().unwrap().name().to_string(),
            )
        })
        .collect();
    elements.sort();
    elements
}

fn resolved(param: &str, value: Value) -> Result<Resolved, Vec<String>> {
    victim().resolve(&[(param.to_owned(), value)].into())
}

fn expected() -> Vec<(String, String)> {
    let plain = victim().resolve(&[].into()).unwrap();
    elements(&build::build(&plain).unwrap())
}

/// What might end a quote, a value or an element, and begin another.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(" ! ".to_owned()),
        Just("\"".to_owned()),
        Just("'".to_owned()),
        Just("\\".to_owned()),
        Just("\n".to_owned()),
        Just("\r".to_owned()),
        Just("\0".to_owned()),
        Just(" filesink location=/nonexistent/owned name=evil ".to_owned()),
        Just(" name=evil ".to_owned()),
        Just("evil.".to_owned()),
        Just("{string}{integer}".to_owned()),
        Just("( fakesrc ! fakesink )".to_owned()),
        Just("bin.( fakesrc )".to_owned()),
        Just("%s%n".to_owned()),
        Just("video/x-raw,format=".to_owned()),
        Just("5000".to_owned()),
        Just("true".to_owned()),
        Just("\u{202e}é€😀".to_owned()),
        "\\PC{0,12}".prop_map(String::from),
        Just("x".repeat(3000)),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => hostile().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(|number| json!(number)),
        1 => any::<bool>().prop_map(Value::from),
        1 => hostile().prop_map(|text| json!([text])),
        1 => hostile().prop_map(|text| json!({ text: null })),
        1 => Just(Value::Null),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_value_changes_the_elements(
        param in proptest::sample::select(vec![
            "integer", "number", "boolean", "enum", "string", "words", "model", "evil", "",
        ]),
        value in any_value(),
    ) {
        let Ok(resolved) = resolved(param, value.clone()) else { return Ok(()) };
        // GStreamer may refuse a value; it may not make something else of it.
        if let Ok(pipeline) = build::build(&resolved) {
            prop_assert_eq!(elements(&pipeline), expected(), "{} = {}", param, value);
        }
    }

    #[test]
    fn a_text_arrives_as_it_was_sent(text in hostile()) {
        match resolved("string", json!(text)) {
            Err(errors) => prop_assert!(
                text.contains('\0') || text.len() > 4096,
                "{text:?} is refused: {errors:?}"
            ),
            Ok(resolved) => {
                let pipeline = build::build(&resolved).unwrap();
                prop_assert_eq!(elements(&pipeline), expected());
                let location = |name: &str| pipeline.by_name(name).unwrap().property::<Option<String>>("location");
                prop_assert_eq!(location("source"), Some(text));
                prop_assert_eq!(location("other"), Some(String::new()));
            }
        }
    }

    #[test]
    fn no_text_reaches_more_than_a_plain_value(text in hostile()) {
        for target in ["filter.caps", "source.name", "source.parent", "player.video-sink", "nobody.location"] {
            let file = FILE
                .replace("source.location", target)
                .replace("launch = '''", "launch = ''' playbin name=player");
            let description = parse(&file.replace("nobody", "sink")).0.unwrap();
            let Ok(resolved) = description.resolve(&[("string".to_owned(), json!(text))].into()) else {
                return Ok(());
            };
            prop_assert!(build::build(&resolved).is_err(), "{target} takes {text:?}");
        }
    }

    #[test]
    fn words_are_only_what_the_file_lists(text in hostile()) {
        for param in ["integer", "number", "boolean", "enum"] {
            prop_assert!(resolved(param, json!(text)).is_err(), "{param} takes {text:?}");
        }
    }

    #[test]
    fn a_model_is_a_name_in_the_list_or_a_file_that_exists(text in hostile()) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("models.toml"), "[models]\n").unwrap();
        let models = Models::new(folder.path().to_owned(), None);
        if let Ok(mut resolved) = resolved("model", json!(text)) {
            let default = Model {
                name: "default".into(),
                path: "default.onnx".into(),
                labels: None,
            };
            let filled = resolved.fill_in_models(&models, &default);
            prop_assert!(filled.is_err() || text.is_empty(), "{text:?} is a model");
        }
    }
}
