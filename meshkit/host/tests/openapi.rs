//! The OpenAPI document of a real meshkitd: what it serves is what is committed, every verb stands in it, and its parameters
//! and bodies are those that the handlers take, no more and no fewer.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a test says by panicking that it failed, and has no readers from outside"
)]

mod support;

use std::collections::BTreeSet;

use meshkit_api::Verb;
use relay_client::Channel;
use relay_core::Protocol;
use serde_json::{Value, json};
use support::{ADMIN, Ask, Bench, READER};

async fn document(channel: &Channel) -> Value {
    Ask::get(channel, "/meshkit/openapi.json").token(READER).send().await.json()
}

/// Each operation with its method and path.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| {
        item.as_object()
            .unwrap()
            .iter()
            .map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
    })
}

#[tokio::test]
async fn the_committed_document_is_the_one_that_is_served() {
    let path = match std::env::var_os("OPENAPI") {
        Some(path) => std::env::current_dir().unwrap().join(path),
        None => concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/meshkit.openapi.json").into(),
    };
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let channel = bench.channel(&meshkitd, Protocol::Http2, None);
    let refused = Ask::get(&channel, "/meshkit/openapi.json").send().await;
    assert_eq!(refused.problem().0, 401);
    let served = Ask::get(&channel, "/meshkit/openapi.json").token(READER).send().await.text;
    if std::env::var_os("OPENAPI_WRITE").is_some() {
        std::fs::write(&path, format!("{served}\n")).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap().trim_end() == served,
        "docs/reference/meshkit.openapi.json is another one: run this test with OPENAPI_WRITE=1"
    );
}

#[tokio::test]
async fn every_verb_stands_in_it_with_its_scope() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let document = document(&bench.channel(&meshkitd, Protocol::Http2, None)).await;
    for verb in Verb::ALL {
        let row = verb.row();
        let (method, path) = row.rest.split_once(' ').unwrap();
        let operation = &document["paths"][path][method.to_lowercase()];
        let scope = row.scope.map(relay_core::Scope::name);
        assert_eq!(operation["x-omnirelay-scope"].as_str(), scope, "{}", row.rest);
        assert!(operation["responses"]["401"].is_object(), "{}", row.rest);
    }
    let ids: Vec<&str> =
        operations(&document).map(|(_, _, one)| one["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    // The verbs, a version of the configuration, and four of the process.
    assert_eq!(ids.len(), Verb::ALL.len() + 5);
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name} is nowhere");
    }
}

#[tokio::test]
async fn a_module_that_does_not_run_does_not_stand_in_it() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&["--module", "registry"]);
    let document = document(&bench.channel(&meshkitd, Protocol::Http2, None)).await;
    assert!(document["paths"]["/meshkit/peers"].is_object() && document["paths"]["/meshkit/audit"].is_null());
}

/// The names in backquotes behind `expected`, of what serde says of a member that nobody knows.
fn expected(detail: &str) -> BTreeSet<String> {
    let said = detail.split_once("expected").map_or("", |(_, said)| said);
    said.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn parameters_and_bodies_are_those_that_handlers_take() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let channel = bench.channel(&meshkitd, Protocol::Http2, None);
    let document = document(&channel).await;
    let mut compared = 0;
    for (method, path, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        if !path.starts_with("/meshkit/") || path == "/meshkit/openapi.json" || id == "Join" {
            continue;
        }
        let place = path.replace("{namespace}", "x").replace("{id}", "1").replace("{number}", "1");
        let ask = |query: &str| {
            let method = method.to_uppercase().parse().unwrap();
            Ask::new(&channel, method, &format!("{place}{query}")).token(ADMIN)
        };
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let documented =
            parameters.filter(|one| one["in"] == "query").map(|one| one["name"].as_str().unwrap().to_owned());
        let documented: BTreeSet<String> = documented.collect();
        let refused = ask("?nobody-knows-this=1").send().await;
        assert_eq!(refused.problem(), (400, "invalid-argument".to_owned()), "{id}");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert_eq!(expected(&detail), documented, "the query of {id}: {detail}");
        compared += 1;
        let Some(schema) = operation["requestBody"]["content"]["application/json"].get("schema") else {
            continue;
        };
        let mut documented: BTreeSet<String> =
            schema["properties"].as_object().unwrap().keys().cloned().collect();
        let changes = documented.remove("reason") & documented.remove("ticket");
        assert_eq!(changes, documented.len() + 2 == schema["properties"].as_object().unwrap().len(), "{id}");
        let refused = ask("").json(&json!({ "nobody-knows-this": 1 })).await;
        assert_eq!(refused.problem().0, 400, "{id}");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert_eq!(expected(&detail), documented, "the body of {id}: {detail}");
        compared += 1;
    }
    assert!(compared > Verb::ALL.len(), "{compared}");
}
