//! The API for programs: an OpenAPI 3.1 document, made from the list of routes and the types that they use.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};
use sightline_protocol::rest::{
    PipelineView, Problem, SessionRequest, SessionView, SessionViews, WorkerViews,
};
use sightline_protocol::rpc::PipelineList;

use super::routes::{Operation, ROUTES};
use super::{events, problem, request};

/// The whole document.
pub(super) fn document() -> Value {
    let mut writer = Writer {
        schemas: SchemaSettings::draft2020_12()
            .with(|settings| settings.definitions_path = "/components/schemas".into())
            .into_generator(),
    };
    let mut paths: Map<String, Value> = Map::new();
    for (method, path, operation) in &ROUTES {
        let item = paths.entry(*path).or_insert_with(|| json!({}));
        item[method.as_str().to_lowercase()] = writer.operation(*operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sightline",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Object detection on files and cameras: pipelines, sessions, predictions, workers.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": writer.schemas.take_definitions(true),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
        },
        // Where there is authentication; else none is needed.
        "security": [{ "token": [] }, {}],
    })
}

struct Writer {
    schemas: SchemaGenerator,
}

impl Writer {
    fn operation(&mut self, operation: Operation) -> Value {
        match operation {
            Operation::Pipelines => {
                self.get::<PipelineList>("listPipelines", "The pipelines of all launchers", &[503], &[])
            }
            Operation::Pipeline => self.get::<PipelineView>(
                "describePipeline",
                "A pipeline, with a JSON Schema of its parameters",
                &[404, 503],
                &[variable("name", "Name of a pipeline")],
            ),
            Operation::Sessions => self.get::<SessionViews>(
                "listSessions",
                "Sessions of this server; those that ended stay for ten minutes, the last 256 of them",
                &[],
                &[],
            ),
            Operation::Session => {
                self.get::<SessionView>("showSession", "A session", &[404], &[session_id()])
            }
            Operation::Workers => self.get::<WorkerViews>(
                "listWorkers",
                "The inference workers that are registered",
                &[],
                &[],
            ),
            Operation::Document => self.get::<Map<String, Value>>("openapi", "This document", &[], &[]),
            Operation::Start => self.start(),
            Operation::Stop => self.stop(),
            Operation::Predictions => self.predictions(),
        }
    }

    fn get<T: JsonSchema>(
        &mut self,
        id: &str,
        summary: &str,
        problems: &[u16],
        parameters: &[Value],
    ) -> Value {
        let mut responses = self.problems(problems);
        responses.insert("200".into(), self.json::<T>(summary));
        json!({
            "operationId": id,
            "summary": summary,
            "parameters": parameters,
            "responses": responses,
        })
    }

    fn start(&mut self) -> Value {
        let mut created = self.json::<SessionView>("It is being started");
        created["headers"] = json!({
            "Location": {
                "description": "The session's address",
                "required": true,
                "schema": { "type": "string", "format": "uri-reference" },
            },
        });
        let mut responses = self.problems(&[400, 404, 408, 413, 415, 422, 429, 503]);
        responses.insert("201".into(), created);
        json!({
            "operationId": "startSession",
            "summary": "Starts a pipeline of kind `source`",
            "description": "A pipeline of kind `session` needs a peer: join it by the WebSocket at /ws.",
            "requestBody": {
                "required": true,
                "description": "At most 64 KiB",
                "content": { request::JSON: {
                    "schema": self.schemas.subschema_for::<SessionRequest>(),
                    "example": {
                        "pipeline": "uri-detect",
                        "params": { "uri": "rtsp://camera.example.org/1", "fps": 10, "leaky": "downstream" },
                    },
                } },
            },
            "responses": responses,
        })
    }

    fn stop(&mut self) -> Value {
        let mut responses = self.problems(&[404, 503]);
        responses.insert(
            "200".into(),
            self.json::<SessionView>("The session, which has ended"),
        );
        json!({
            "operationId": "stopSession",
            "summary": "Stops a session; one that has ended stays as it is, and stays listed for a while",
            "parameters": [session_id()],
            "responses": responses,
        })
    }

    fn predictions(&mut self) -> Value {
        let mut responses = self.problems(&[404, 503]);
        responses.insert(
            "200".into(),
            json!({
                "description": "Events `prediction`, with a prediction's fields as in Redis; `dropped`, with the `count` \
                    of those that a slow client lost; and `end`, with the session, after which nothing comes. A comment \
                    every 15 s keeps the connection alive.",
                "content": { events::MEDIA_TYPE: { "schema": event() } },
            }),
        );
        responses.insert(
            "204".into(),
            json!({ "description": "The client has had the event `end`: it need not come back" }),
        );
        json!({
            "operationId": "followPredictions",
            "summary": "A session's predictions as they come, as Server-Sent Events",
            "parameters": [session_id(), {
                "name": "Last-Event-ID",
                "in": "header",
                "description": "Number of the last event that the client got: what came after it follows, of the last 64",
                "schema": { "type": "string" },
            }],
            "responses": responses,
        })
    }

    fn json<T: JsonSchema>(&mut self, description: &str) -> Value {
        json!({
            "description": description,
            "content": { request::JSON: { "schema": self.schemas.subschema_for::<T>() } },
        })
    }

    /// Besides those that any request can meet.
    fn problems(&mut self, statuses: &[u16]) -> Map<String, Value> {
        let schema = self.schemas.subschema_for::<Problem>();
        let mut all = statuses.to_vec();
        all.extend([401, 403, 406, 429, 500]);
        all.into_iter()
            .map(|status| {
                let mut response = json!({
                    "description": words(status),
                    "content": { problem::MEDIA_TYPE: { "schema": schema } },
                });
                if matches!(status, 429 | 503) {
                    response["headers"] = json!({
                        "Retry-After": { "description": "Seconds", "schema": { "type": "integer" } },
                    });
                }
                (status.to_string(), response)
            })
            .collect()
    }
}

/// One event, with its fields as texts.
fn event() -> Value {
    json!({
        "type": "object",
        "required": ["event", "data"],
        "properties": {
            "event": { "enum": ["prediction", "dropped", "end"] },
            "id": { "type": "string" },
            "data": { "type": "string" },
        },
    })
}

fn words(status: u16) -> &'static str {
    match status {
        400 => "The body is not JSON",
        404 => "There is nothing of that name or id",
        406 => "`Accept` does not allow what this address answers with",
        408 => "The body did not come in time",
        413 => "The body is too long",
        415 => "The body is not declared as JSON",
        422 => "The body asks for something that cannot be; `errors` names each part",
        401 => "There is no token, or not a good one",
        403 => "The token's scope, or the page's origin, does not allow it",
        429 => "Too many requests, or starts of sessions",
        503 => "No launcher has room, or one is needed and not there",
        _ => "A fault on the server's side",
    }
}

fn session_id() -> Value {
    variable("id", "Id of a session")
}

fn variable(name: &str, description: &str) -> Value {
    json!({
        "name": name,
        "in": "path",
        "required": true,
        "description": description,
        "schema": { "type": "string" },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every `$ref` in the value.
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_route_and_every_type_is_there() {
        let document = document();
        for (method, path, _) in &ROUTES {
            let operation = &document["paths"][path][method.as_str().to_lowercase()];
            assert!(operation["responses"].is_object(), "{method} {path}");
        }
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() >= 10, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn operation_ids_are_unique() {
        let document = document();
        let ids: BTreeSet<_> = ROUTES
            .iter()
            .map(|(method, path, _)| {
                document["paths"][path][method.as_str().to_lowercase()]["operationId"].to_string()
            })
            .collect();
        assert_eq!(ids.len(), ROUTES.len());
    }
}
