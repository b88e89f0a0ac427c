//! The parameters of operations: those of paths and queries, and the headers that all changes share.

use serde_json::{Value, json};

use super::{Answer, Operation, Schemas};
use crate::listing::MAX_PAGE;

impl Operation {
    pub(super) fn parameters(&self, schemas: &mut Schemas) -> Vec<Value> {
        let mut all = self.of_path();
        all.extend(self.query.into_iter().flat_map(|make| of_query(&make(schemas))));
        if let Some(fields) = self.listed {
            all.extend(of_listing(fields));
        }
        if matches!(self.answer, Answer::Events { .. }) && all.iter().any(|one| one["name"] == "resume") {
            all.push(header(
                "Last-Event-ID",
                "Where a broken stream goes on: the `id` of its last event",
                None,
            ));
        }
        if self.is_conditional {
            all.push(header(
                "If-None-Match",
                "ETags that the caller holds: 304 where one is the present one",
                None,
            ));
        }
        if self.changes() {
            all.extend(self.of_change());
        }
        all
    }

    fn of_path(&self) -> Vec<Value> {
        let (_, path) = self.place();
        let names = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let is_shard = path.starts_with("/meshkit/shards/");
        names
            .map(|name| {
                let schema = match name {
                    "id" if is_shard => json!({ "type": "integer", "minimum": 0, "maximum": u16::MAX }),
                    "number" => json!({ "type": "integer", "minimum": 0 }),
                    _ => json!({ "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[a-z0-9.-]+(/[a-z0-9.-]+)?$" }),
                };
                json!({ "name": name, "in": "path", "required": true, "schema": schema })
            })
            .collect()
    }

    fn of_change(&self) -> Vec<Value> {
        let about = "Whether nothing is written and the answer tells what would be";
        let mut all = vec![parameter("dryRun", about, &json!({ "type": "boolean" }))];
        if !self.is_new {
            let about = "The ETag that the caller read, or `*` for whichever there is: 428 without it, 412 where the record has \
                         changed since";
            all.push(header("If-Match", about, Some(64)));
        }
        all.push(header(
            "Idempotency-Key",
            "Names the request, so that its repetition is answered alike",
            Some(256),
        ));
        if self.verb.is_destructive() {
            let about = "The token of a dry run of this very change: 428 without it";
            all.push(header("Confirmation-Token", about, Some(512)));
        }
        all
    }
}

/// The members of a query's type as parameters.
fn of_query(schema: &Value) -> Vec<Value> {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let members = schema["properties"].as_object().into_iter().flatten();
    members
        .map(|(name, schema)| {
            let mut schema = schema.clone();
            // A query cannot say null: it leaves the parameter out.
            if let Some(kind) = schema["type"].as_array().and_then(|kinds| kinds.first()).cloned() {
                schema["type"] = kind;
            }
            if let Some(one) = schema["anyOf"].as_array().and_then(|kinds| kinds.first()).cloned() {
                schema = one;
            }
            if name == "limit" {
                schema["maximum"] = MAX_PAGE.into();
            }
            let mut made = parameter(name, about(name), &schema);
            if required.contains(&name.as_str()) {
                made["required"] = true.into();
            }
            made
        })
        .collect()
}

fn of_listing(fields: &[&str]) -> Vec<Value> {
    let text = json!({ "type": "string" });
    let mut all = vec![parameter("filter", about("filter"), &text), parameter("sort", about("sort"), &text)];
    if !fields.is_empty() {
        let described = format!("{}: {}", about("fields"), fields.join(", "));
        all.push(parameter("fields", &described, &text));
    }
    all.push(parameter(
        "limit",
        about("limit"),
        &json!({ "type": "integer", "minimum": 0, "maximum": MAX_PAGE }),
    ));
    all.push(parameter("cursor", about("cursor"), &text));
    all
}

/// What the parameters are for that many operations have.
fn about(name: &str) -> &'static str {
    match name {
        "filter" => {
            "Conditions on fields that all have to hold, separated by commas, such as `role=service,labels.tier=gold`"
        }
        "sort" => "Fields to sort by, separated by commas; `-` before one turns it round",
        "fields" => "The fields to answer with, separated by commas; all by default",
        "limit" => "The most records of the answer; 0 is the usual number",
        "cursor" => "The `nextCursor` of the page before, under the same conditions",
        "after" => "The revision behind which to begin; 0 begins with the next change",
        "resume" => "The `id` of the last event that was seen",
        "namespace" => "The namespace of the shards",
        "from" => "The older end",
        "to" => "The newer end; 0 is now",
        "until" => "The time before which",
        "add" => "Peers that come, as `ID`, `ID:ZONE` or `ID:ZONE:WEIGHT`, separated by commas",
        "remove" => "Peers that go, separated by commas",
        "reweight" => "Peers with another weight, as in `add`",
        "key" => "The key whose shard is looked for",
        _ => "The value that the records' field of this name has; any by default",
    }
}

fn parameter(name: &str, about: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "query", "description": about, "schema": schema })
}

fn header(name: &str, about: &str, max: Option<u32>) -> Value {
    let mut schema = json!({ "type": "string" });
    if let Some(max) = max {
        schema["maxLength"] = max.into();
    }
    json!({ "name": name, "in": "header", "description": about, "schema": schema })
}
