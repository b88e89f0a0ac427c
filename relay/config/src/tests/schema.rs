//! The schema is fresh, takes every example, and refuses what the relay refuses for its form.

use serde_json::{Map, Value};

use super::{GOOD, examples};
use crate::schema;

fn root() -> Value {
    serde_json::from_str(&schema()).unwrap()
}

/// What is wrong with a value by a schema: the keywords that ours has, and a panic at any other.
fn problems(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if schema == &Value::Bool(true) {
        return;
    }
    if schema == &Value::Bool(false) {
        found.push(format!("{at}: nothing is allowed here"));
        return;
    }
    let say = |found: &mut Vec<String>, what: &str| found.push(format!("{at}: {what}"));
    for (keyword, rule) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" | "format" => {}
            "$ref" => {
                let target = root.pointer(rule.as_str().unwrap().strip_prefix('#').unwrap()).unwrap();
                problems(root, target, value, at, found);
            }
            "type" if !types(rule).contains(&kind(value)) => say(found, "another type is wanted"),
            "const" if rule != value => say(found, "another value is wanted"),
            "enum" if !rule.as_array().unwrap().contains(value) => say(found, "no such word"),
            "minimum" if value.as_f64() < rule.as_f64() && value.is_number() => say(found, "too small"),
            "maximum" if value.as_f64() > rule.as_f64() && value.is_number() => say(found, "too large"),
            "type" | "const" | "enum" | "minimum" | "maximum" => {}
            "anyOf" | "oneOf" => {
                let fits = |one: &&Value| {
                    let mut found = Vec::new();
                    problems(root, one, value, at, &mut found);
                    found.is_empty()
                };
                let count = rule.as_array().unwrap().iter().filter(fits).count();
                if count == 0 || (keyword == "oneOf" && count > 1) {
                    say(found, "none of the forms fits");
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    problems(root, rule, item, &format!("{at}.{index}"), found);
                }
            }
            "required" => {
                let Some(object) = value.as_object() else { continue };
                let missing =
                    rule.as_array().unwrap().iter().filter(|key| !object.contains_key(key.as_str().unwrap()));
                missing.for_each(|key| say(found, &format!("{key} is missing")));
            }
            "properties" | "additionalProperties" => {
                let nothing = Map::new();
                let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&nothing);
                for (key, value) in value.as_object().into_iter().flatten() {
                    let rule = match (keyword == "properties", known.get(key)) {
                        (true, Some(rule)) => rule,
                        (false, None) => rule,
                        _ => continue,
                    };
                    problems(root, rule, value, &format!("{at}.{key}"), found);
                }
            }
            other => panic!("the test does not know the keyword `{other}`"),
        }
    }
}

fn types(rule: &Value) -> Vec<&str> {
    match rule {
        Value::Array(all) => all.iter().map(|one| one.as_str().unwrap()).collect(),
        one => vec![one.as_str().unwrap()],
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn judge(text: &str) -> Vec<String> {
    let value: Value = toml::from_str(text).unwrap();
    let (root, mut found) = (root(), Vec::new());
    problems(&root, &root, &value, "", &mut found);
    found
}

#[test]
fn the_committed_schema_is_fresh() {
    let committed = include_str!("../../../../docs/reference/relay.schema.json");
    let remedy = "relayd --print-schema > docs/reference/relay.schema.json";
    assert!(committed == schema(), "docs/reference/relay.schema.json is stale: {remedy}");
}

#[test]
fn every_example_is_taken() {
    let mut count = 0;
    for example in examples().into_iter().chain([GOOD.to_owned()]) {
        assert_eq!(judge(&example), Vec::<String>::new(), "{example}");
        count += 1;
    }
    assert!(count >= 8, "{count} examples");
}

#[test]
fn what_is_wrong_is_refused_where_it_stands() {
    for (from, to, problem) in [
        ("kind = \"relay\"", "kind = \"meshkit\"", ".kind: another value"),
        ("name = \"relay-1\"", "nam = \"relay-1\"", ".node: \"name\" is missing"),
        ("name = \"relay-1\"", "name = \"relay-1\"\nnam = 1", ".node.nam: nothing"),
        ("name = \"relay-1\"", "name = 1", ".node.name: another type"),
        ("[[routes]]", "[[routes]]\nretries = { on = [\"sometimes\"] }", ".routes.0.retries.on.0: no"),
        ("[[routes]]", "[[routes]]\ntimeout_ms = -1", ".routes.0.timeout_ms: "),
        (
            "https://127.0.0.1:7420\"]",
            "https://127.0.0.1:7420\", 7]",
            ".outbounds.0.peers.1: none of the forms",
        ),
        ("[admin]", "compression = { level = \"best\" }\n[admin]", ".data.compression"),
    ] {
        let broken = GOOD.replace(from, to);
        let found = judge(&broken);
        assert!(
            found.iter().any(|found| found.starts_with(problem)),
            "{problem} is not in {found:?} of {broken}"
        );
    }
}
