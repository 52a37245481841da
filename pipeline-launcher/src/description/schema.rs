//! The format of pipeline files as types, from which a JSON Schema is made: editors complete and check files by it.
//!
//! [`parse`](super::parse()) reads the same format, with all problems at once and their places, which no derived reader
//! gives. The tests hold the two against each other.
#![expect(dead_code, reason = "of these types only the schema is made")]

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::{Restart, Source, WebRtc, Worker};

/// A pipeline: for whom it is, its typed parameters, and the pipeline itself in gst-launch syntax.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, title = "Sightline pipeline")]
struct File {
    /// The format's version.
    #[schemars(range(min = 1, max = 1))]
    schema: u32,
    /// What clients ask for; unique among the pipelines of a folder.
    #[schemars(regex(pattern = "^[a-z][a-z0-9-]{0,63}$"))]
    name: String,
    kind: Kind,
    /// One sentence for people.
    summary: String,
    webrtc: Option<WebRtc>,
    #[schemars(extend("propertyNames" = { "pattern": "^[a-z0-9_]+$" }))]
    params: Option<BTreeMap<String, Param>>,
    #[schemars(default)]
    restart: Restart,
    #[schemars(default)]
    worker: Worker,
    #[schemars(default)]
    source: Source,
    pipeline: Pipeline,
}

/// For whom the pipeline runs.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Kind {
    /// Started for one peer, at its request.
    Session,
    /// Kept running by the launcher; takes frames from Redis.
    Worker,
    /// Started on request, without a peer.
    Source,
    /// Started for one peer that watches a session.
    Viewer,
}

/// What a client may choose.
#[derive(Debug, JsonSchema)]
#[schemars(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Param {
    Integer {
        default: Option<i64>,
        /// The smallest value.
        min: Option<i64>,
        /// The largest value.
        max: Option<i64>,
        target: Option<Target>,
        doc: Option<Doc>,
    },
    Number {
        default: Option<f64>,
        /// The smallest value.
        min: Option<f64>,
        /// The largest value.
        max: Option<f64>,
        target: Option<Target>,
        doc: Option<Doc>,
    },
    Boolean {
        default: Option<bool>,
        target: Option<Target>,
        doc: Option<Doc>,
    },
    Enum {
        /// One of `values`.
        default: Option<String>,
        /// The words to choose from.
        #[schemars(length(min = 1), inner(regex(pattern = "^[A-Za-z0-9_.+:/,-]+$")))]
        values: Vec<String>,
        target: Option<Target>,
        doc: Option<Doc>,
    },
    String {
        default: Option<String>,
        target: Target,
        doc: Option<Doc>,
    },
    /// The name of a model in models.toml; without a default it is the launcher's own.
    Model {
        default: Option<String>,
        target: Target,
        doc: Option<Doc>,
    },
}

/// The property that takes the value, or several that do.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
enum Target {
    One(Property),
    Several(#[schemars(length(min = 1))] Vec<Property>),
}

/// `element-name.property`
#[derive(Debug, JsonSchema)]
struct Property(#[schemars(regex(pattern = r"^[^.]+\..+$"))] String);

/// What the parameter is for, with its unit.
#[derive(Debug, JsonSchema)]
struct Doc(String);

#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Pipeline {
    /// The pipeline in gst-launch syntax, with `{name}` where a number, boolean or enum word goes.
    launch: String,
}

/// The JSON Schema of a pipeline file.
pub fn schema() -> Schema {
    let mut schema = schemars::schema_for!(File);
    without_null(&mut schema);
    schema
}

/// The schema as text, as it is kept in `docs/`.
pub fn text() -> String {
    format!("{:#}\n", schema().as_value())
}

/// TOML has no null: what is optional is left out.
fn without_null(schema: &mut Schema) {
    schemars::transform::transform_subschemas(&mut without_null, schema);
    let null = |schema: &Value| schema.get("type").is_some_and(|kind| kind == "null");
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| !null(choice));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            for (key, value) in only {
                schema.insert(key, value);
            }
        }
    }
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
}
