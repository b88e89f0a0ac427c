//! The verdict as SARIF 2.1.0 (OASIS, Static Analysis Results Interchange Format), which code
//! review and editors read: each problem is an error, each downgrade a warning, both with file
//! and line.

use omnirelay_runtime::{OperatorError, Result};
use serde_json::{Value, json};

use super::changes::Located;
use super::{Judgement, Sources};

/// As in Cargo.toml, which tells it to cargo alone.
const REPOSITORY: &str = "https://github.com/omnirelay/omnirelay";
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

struct Finding {
    rule: String,
    level: &'static str,
    text: String,
    location: Option<String>,
}

pub(super) fn document(judged: &Result<Judgement>, sources: &Sources) -> Value {
    let findings: Vec<Finding> = match judged {
        Err(error) => vec![problem(error)],
        Ok(judgement) => {
            let changes = judgement.changes.iter().flatten().map(change);
            judgement.problems.iter().map(problem).chain(changes).collect()
        }
    };
    let mut rules: Vec<&str> = findings.iter().map(|finding| finding.rule.as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    let results: Vec<Value> = findings.iter().map(|finding| result(finding, &rules, sources)).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "omnirelay",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": REPOSITORY,
                "rules": rules.iter().map(|rule| descriptor(rule)).collect::<Vec<_>>(),
            } },
            "columnKind": "utf16CodeUnits",
            "results": results,
        }],
    })
}

fn problem(error: &OperatorError) -> Finding {
    let causes: String = error.causes().map(|cause| format!(": {cause}")).collect();
    let hint = error.hint_text().map(|hint| format!("; {hint}")).unwrap_or_default();
    Finding {
        rule: error.rule_id().unwrap_or("config/other").to_owned(),
        level: "error",
        text: format!("{error}{causes}{hint}"),
        location: error.location().map(ToOwned::to_owned),
    }
}

fn change(Located { change, location }: &Located) -> Finding {
    let calls = match change.procedures.as_slice() {
        [] => String::new(),
        calls => format!(" (calls: {})", calls.join(", ")),
    };
    Finding {
        rule: change.rule.to_owned(),
        level: "warning",
        text: format!("{}: {}{calls}", change.endpoint, change.effect),
        location: location.clone(),
    }
}

fn descriptor(rule: &str) -> Value {
    let text = match rule.split_once('/') {
        Some(("policy", what)) => format!("The transport policy: {}", what.replace('-', " ")),
        Some(("downgrade", what)) => format!("A change that downgrades calls: {}", what.replace('-', " ")),
        Some(("config", key)) => format!("The configuration of {key}"),
        _ => rule.to_owned(),
    };
    json!({ "id": rule, "shortDescription": { "text": text } })
}

fn result(finding: &Finding, rules: &[&str], sources: &Sources) -> Value {
    let mut result = json!({
        "ruleId": finding.rule,
        "level": finding.level,
        "message": { "text": finding.text },
        "locations": [location(finding.location.as_deref(), sources)],
    });
    let index = rules.iter().position(|rule| *rule == finding.rule);
    if let (Some(index), Some(object)) = (index, result.as_object_mut()) {
        object.insert("ruleIndex".to_owned(), index.into());
    }
    result
}

/// A file and a line; where something else was at fault, such as `--set`, the beginning of the first
/// file with the name of that.
fn location(place: Option<&str>, sources: &Sources) -> Value {
    let in_file = place.and_then(|place| {
        let (file, line) = place.rsplit_once(':')?;
        Some((file, line.parse::<usize>().ok().filter(|line| *line > 0)?))
    });
    if let Some((file, line)) = in_file {
        return json!({ "physicalLocation": physical(file, line) });
    }
    let first = sources.names().into_iter().next().unwrap_or_default();
    let mut location = json!({ "physicalLocation": physical(&first, 1) });
    if let (Some(place), Some(object)) = (place, location.as_object_mut()) {
        object.insert("logicalLocations".to_owned(), json!([{ "fullyQualifiedName": place }]));
    }
    location
}

fn physical(file: &str, line: usize) -> Value {
    json!({ "artifactLocation": { "uri": uri(file) }, "region": { "startLine": line } })
}

/// A path as a URI reference (RFC 3986); standard input is called `stdin`.
fn uri(file: &str) -> String {
    if file == "-" {
        return "stdin".to_owned();
    }
    let path = file.replace('\\', "/");
    let encoded: String = path
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect();
    if encoded.starts_with('/') { format!("file://{encoded}") } else { encoded }
}
