//! What is wrong with the policy itself, whatever the endpoints do.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

use crate::config::{CategoryRule, Exception, PolicyConfig};
use crate::endpoint::Endpoint;
use crate::report::Finding;

/// Broken rules, assignments and exceptions, each with the key to change.
pub(crate) fn findings(
    config: &PolicyConfig,
    rules: &BTreeMap<String, CategoryRule>,
    endpoints: &[Endpoint],
    now: Timestamp,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    categories(config, &mut findings);
    assignments(config, rules, endpoints, &mut findings);
    let mut names = HashSet::new();
    for (index, exception) in config.exceptions.iter().enumerate() {
        let key = format!("policy.exceptions.{index}");
        if !names.insert(&exception.name) {
            let problem = format!("two exceptions are called `{}`", exception.name);
            say(&mut findings, "policy/exception-twice", &key, &problem, "give each its own name");
        }
        check_exception(&key, exception, endpoints, now, &mut findings);
    }
    findings
}

fn say(findings: &mut Vec<Finding>, rule: &'static str, key: &str, problem: &str, hint: &str) {
    let (problem, hint) = (problem.to_owned(), hint.to_owned());
    findings.push(Finding { rule, subject: key.to_owned(), key: key.to_owned(), problem, hint });
}

fn categories(config: &PolicyConfig, findings: &mut Vec<Finding>) {
    for (name, rule) in &config.categories {
        let key = format!("policy.categories.{name}");
        if CategoryRule::built_in().iter().any(|(built_in, _)| built_in == name) {
            let hint = "remove it and add a `policy.exceptions` entry";
            say(findings, "policy/built-in-changed", &key, "a built-in rule cannot be changed", hint);
        }
        if rule.transports.is_empty() || rule.encodings.is_empty() {
            let hint = "name at least one transport and one encoding";
            say(findings, "policy/empty-rule", &key, "nothing is allowed", hint);
        }
    }
}

fn assignments(
    config: &PolicyConfig,
    rules: &BTreeMap<String, CategoryRule>,
    endpoints: &[Endpoint],
    findings: &mut Vec<Finding>,
) {
    for (name, category) in &config.endpoints {
        let key = format!("policy.endpoints.{name}");
        let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.name == *name) else {
            let problem = format!("there is no endpoint `{name}`");
            say(findings, "policy/unknown-endpoint", &key, &problem, &endpoints_here(endpoints));
            continue;
        };
        let Some(rule) = rules.get(category) else {
            let known: Vec<&str> = rules.keys().map(String::as_str).collect();
            let problem = format!("the category `{category}` has no rule");
            let hint = format!("known: {}", known.join(", "));
            say(findings, "policy/unknown-category", &key, &problem, &hint);
            continue;
        };
        if rules.get(&endpoint.category).is_some_and(|built_in| !rule.is_within(built_in, &endpoint.styles)) {
            let problem = format!("`{category}` is wider than `{}`", endpoint.category);
            let hint = format!(
                "allow no more than `{}` and require what it requires, or add a `policy.exceptions` entry",
                endpoint.category
            );
            say(findings, "policy/category-wider", &key, &problem, &hint);
        }
    }
}

fn check_exception(
    key: &str,
    exception: &Exception,
    endpoints: &[Endpoint],
    now: Timestamp,
    findings: &mut Vec<Finding>,
) {
    let texts = [&exception.name, &exception.reason, &exception.approver];
    let is_empty = texts.iter().any(|text| text.trim().is_empty());
    if is_empty {
        let problem = "name, reason or approver is empty";
        say(findings, "policy/exception-unexplained", key, problem, "say what, why and who agreed");
    } else if !is_id(&exception.name) {
        let problem = format!("`{}` is not an exception's name", exception.name);
        say(findings, "policy/exception-name", key, &problem, "use 1 to 64 of a-z, 0-9, `.` and `-`");
    }
    if exception.transports.is_empty() && exception.encodings.is_empty() {
        let hint = "name transports or encodings, or remove it";
        say(findings, "policy/exception-empty", key, "it grants nothing", hint);
    }
    if exception.expires <= now {
        let hint = "remove it, or have it approved anew with a later `expires`";
        say(findings, "policy/exception-expired", key, "it has expired", hint);
    }
    if !endpoints.iter().any(|endpoint| exception.covers(&endpoint.name)) {
        let problem = "its scope covers no endpoint";
        say(findings, "policy/exception-scope", key, problem, &endpoints_here(endpoints));
    }
}

fn is_id(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
}

fn endpoints_here(endpoints: &[Endpoint]) -> String {
    let names: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
    format!("endpoints here: {}", names.join(", "))
}
