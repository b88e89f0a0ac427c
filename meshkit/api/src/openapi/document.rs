//! The document as a whole.

use relay_core::Scope;
use serde_json::{Map, Value, json};

use super::{Answer, Operation, Schemas, reference};
use crate::carry::Outcome;

const PROBLEM: &str = "Problem";
/// How operations refuse.
const REFUSALS: [(&str, &str); 12] = [
    ("400", "Something that was sent cannot be right"),
    ("401", "The caller is not known"),
    ("403", "The caller may not"),
    ("404", "There is no such record"),
    ("409", "The state of the mesh does not permit it"),
    ("412", "The record has changed since the caller saw it"),
    ("422", "The idempotency key was used for another request"),
    ("428", "The caller has to say which version it saw, or to confirm"),
    ("429", "Too much was sent, or too often"),
    ("500", "A fault of meshkitd"),
    ("501", "This meshkitd does not do that"),
    ("503", "It cannot be done now"),
];

/// What the operations are, as OpenAPI 3.1.
#[must_use]
pub fn document(operations: &[Operation]) -> Value {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    let mut parts = Map::new();
    for operation in operations {
        let (method, path) = operation.place();
        let described = operation.describe(&mut schemas, &mut parts);
        let item = paths.entry(path).or_insert_with(|| json!({}));
        item[method.to_ascii_lowercase()] = described;
    }
    of_process(&mut paths);
    let mut components = schemas.components();
    for (part, whole) in parts {
        let mut schema = components.get(whole.as_str().unwrap_or_default()).cloned().unwrap_or_default();
        if let Value::Object(members) = &mut schema {
            members.remove("required");
        }
        components.insert(part, schema);
    }
    components.insert(PROBLEM.to_owned(), problem());
    let version = env!("CARGO_PKG_VERSION");
    let about = "The control plane of OmniRelay over HTTP/1.1, HTTP/2 and HTTP/3. docs/reference/meshkit.md says what stands behind it; \
                 the gRPC contracts `meshkit.v1` mirror it one to one.";
    json!({
        "openapi": "3.1.0",
        "info": { "title": "MeshKit", "version": version, "description": about, "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" } },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "security": [{ "bearer": [] }, { "certificate": [] }],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": REFUSALS.iter().map(|(code, about)| (format!("Problem{code}"), refusal(about))).collect::<Map<_, _>>(),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "A token that is kept as a hash, or one that a known issuer signed (JWT)" },
                "certificate": { "type": "mutualTLS", "description": "A client certificate with a SPIFFE id" },
                "joinToken": { "type": "http", "scheme": "bearer", "description": "A token of `POST /meshkit/join-tokens`, which opens nothing else" },
            },
        },
    })
}

impl Operation {
    fn describe(&self, schemas: &mut Schemas, parts: &mut Map<String, Value>) -> Value {
        let row = self.verb.row();
        let (service, method) = row.rpc.split_once('/').unwrap_or_default();
        let id = match self.path {
            None => method.to_owned(),
            Some(path) => format!("{method}By{}", path.rsplit(['{', '}']).nth(1).unwrap_or_default()),
        };
        let scope = row.scope.map_or("a join token".to_owned(), |scope| format!("`{scope}`"));
        let mut described = json!({
            "operationId": id,
            "tags": [service.trim_end_matches("Service")],
            "summary": row.about,
            "description": format!("Needs {scope}. Over gRPC it is `meshkit.v1.{}`, in audits `{}`.", row.rpc, row.name),
            "x-omnirelay-scope": row.scope.map(Scope::name),
            "responses": self.responses(schemas, parts),
        });
        let parameters = self.parameters(schemas);
        if !parameters.is_empty() {
            described["parameters"] = parameters.into();
        }
        if let Some(make) = self.body {
            described["requestBody"] = self.body(make(schemas));
        }
        if row.scope.is_none() {
            described["security"] = json!([{ "joinToken": [] }]);
        }
        described
    }

    /// What is sent, with the account that stands beside it in every change.
    fn body(&self, mut schema: Value) -> Value {
        schema["type"] = "object".into();
        schema["additionalProperties"] = false.into();
        if self.changes() {
            let text =
                |about: &str, max: u32| json!({ "type": "string", "description": about, "maxLength": max });
            schema["properties"]["reason"] = text("Why, for the audit", 1_024);
            schema["properties"]["ticket"] = text("The ticket, for the audit", 256);
        }
        json!({ "content": { "application/json": { "schema": schema } } })
    }

    fn responses(&self, schemas: &mut Schemas, parts: &mut Map<String, Value>) -> Value {
        let mut responses = Map::new();
        let (kind, schema, about) = self.answered(schemas, parts);
        let mut success = json!({ "description": about, "content": { kind: { "schema": schema } } });
        if self.is_conditional || self.changes() || self.creates {
            success["headers"] = json!({ "ETag": tag() });
        }
        if let Answer::Bytes { headers, .. } = self.answer {
            let told = |(name, about): &(&str, &str)| {
                ((*name).to_owned(), json!({ "description": about, "schema": { "type": "string" } }))
            };
            success["headers"] = headers.iter().map(told).collect::<Map<_, _>>().into();
        }
        if self.creates {
            let mut created = success.clone();
            created["headers"]["Location"] =
                json!({ "description": "Where it is", "schema": { "type": "string" } });
            created["description"] = "It was made".into();
            responses.insert("201".to_owned(), created);
        }
        responses.insert("200".to_owned(), success);
        if self.is_conditional {
            let held = json!({ "description": "The caller holds it already", "headers": { "ETag": tag() } });
            responses.insert("304".to_owned(), held);
        }
        let of_path = self.place().1.contains('{');
        let may_come = |code: &str| match code {
            "404" => of_path || self.body.is_some() || self.query.is_some(),
            "409" => self.body.is_some() || matches!(self.answer, Answer::Bytes { .. }),
            "412" | "422" | "428" => self.changes(),
            _ => true,
        };
        for (code, _) in REFUSALS.into_iter().filter(|(code, _)| may_come(code)) {
            responses
                .insert(code.to_owned(), json!({ "$ref": format!("#/components/responses/Problem{code}") }));
        }
        responses.into()
    }

    fn answered(
        &self,
        schemas: &mut Schemas,
        parts: &mut Map<String, Value>,
    ) -> (&'static str, Value, String) {
        let summary = self.verb.row().about.to_owned();
        match self.answer {
            Answer::Document(make) => ("application/json", make(schemas), summary),
            Answer::Page { records, record, at } => {
                let mut record = record(schemas);
                if self.listed.is_some_and(|fields| !fields.is_empty()) {
                    record = part(&record, parts);
                }
                let cursor = "Where the next page begins; left out on the last one";
                let mut page = json!({
                    "type": "object",
                    "properties": {
                        records: { "type": "array", "items": record },
                        "nextCursor": { "type": "string", "description": cursor },
                    },
                    "required": [records],
                });
                if !at.is_empty() {
                    page["properties"][at] = json!({ "type": "integer", "format": "uint64", "minimum": 0 });
                    page["required"] = json!([records, at]);
                }
                ("application/json", page, summary)
            }
            Answer::Changed { name, record } => {
                let outcome = super::answered::<Outcome>(schemas);
                let changed = json!({
                    "type": "object",
                    "properties": { name: record(schemas), "outcome": outcome },
                    "required": [name, "outcome"],
                });
                ("application/json", changed, "The record, and how that went".to_owned())
            }
            Answer::Events { record, about } => {
                let events = json!({ "type": "string", "x-omnirelay-record": record(schemas) });
                (
                    "text/event-stream",
                    events,
                    format!("Server-sent events until the caller ends them: {about}"),
                )
            }
            Answer::Lines(make) => {
                let lines = json!({ "type": "string", "x-omnirelay-record": make(schemas) });
                ("application/x-ndjson", lines, "One JSON document a line".to_owned())
            }
            Answer::Bytes { kind, .. } => (kind, json!({}), summary),
        }
    }
}

/// A record of which the caller may leave fields out.
fn part(record: &Value, parts: &mut Map<String, Value>) -> Value {
    let Some(name) = record["$ref"].as_str().and_then(|path| path.rsplit('/').next()) else {
        return record.clone();
    };
    let part = format!("{name}Part");
    parts.insert(part.clone(), name.into());
    reference(&part)
}

fn tag() -> Value {
    json!({ "description": "Its version", "schema": { "type": "string" } })
}

fn refusal(about: &str) -> Value {
    json!({ "description": about, "content": { "application/problem+json": { "schema": reference(PROBLEM) } } })
}

/// Problem details (RFC 9457).
fn problem() -> Value {
    let text = |about: &str| json!({ "type": "string", "description": about });
    json!({
        "description": "What went wrong (RFC 9457)",
        "type": "object",
        "properties": {
            "type": text("What kind of problem it is, as a URN"),
            "title": text("The words of the HTTP status"),
            "status": { "type": "integer", "description": "The HTTP status" },
            "detail": text("What it was this time"),
            "code": text("The canonical code, as gRPC names it"),
            "hint": { "type": ["string", "null"], "description": "What to do about it" },
        },
        "required": ["type", "title", "status", "detail"],
    })
}

/// What belongs to the process as a whole.
fn of_process(paths: &mut Map<String, Value>) {
    let open = json!([]);
    let health = |about: &str, ids: &str, codes: &[(&str, &str)]| {
        let answer = |about: &str| {
            let schema = json!({ "type": "object", "properties": {
                "status": { "type": "string" },
                "reasons": { "type": "object", "additionalProperties": { "type": "string" } },
            }, "required": ["status"] });
            json!({ "description": about, "content": { "application/json": { "schema": schema } } })
        };
        let responses: Map<String, Value> =
            codes.iter().map(|(code, about)| ((*code).to_owned(), answer(about))).collect();
        json!({ "get": { "operationId": ids, "tags": ["Process"], "summary": about, "security": open, "responses": responses } })
    };
    paths.insert(
        "/healthz".to_owned(),
        health("Whether the process answers", "GetHealth", &[("200", "It does")]),
    );
    let codes = [("200", "They do"), ("503", "They do not, for these reasons")];
    paths.insert("/readyz".to_owned(), health("Whether calls make sense now", "GetReadiness", &codes));
    for (path, id, about, scope, kind) in [
        ("/metrics", "GetMetrics", "Read the metrics", Scope::Observe, "application/openmetrics-text"),
        ("/meshkit/openapi.json", "GetOpenApi", "Read this document", Scope::Read, "application/json"),
    ] {
        let schema = if kind == "application/json" {
            json!({ "type": "object" })
        } else {
            json!({ "type": "string" })
        };
        let described = json!({ "get": {
            "operationId": id,
            "tags": ["Process"],
            "summary": about,
            "description": format!("Needs `{scope}`."),
            "x-omnirelay-scope": scope.name(),
            "responses": {
                "200": { "description": about, "content": { kind: { "schema": schema } } },
                "401": refusal("The caller is not known"),
                "403": refusal("The caller may not"),
            },
        } });
        paths.insert(path.to_owned(), described);
    }
}
