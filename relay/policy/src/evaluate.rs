//! What the policy says of an endpoint.

use std::collections::BTreeMap;

use jiff::Timestamp;
use relay_core::{Encoding, Protocol};
use serde::Serialize;

use crate::config::{CategoryRule, Exception, PolicyConfig};

/// Something that listens or calls, as the policy sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// A stable name: `data:http`, `outbound:greeter`.
    pub name: String,
    /// The configuration key that a remedy names.
    pub key: String,
    /// The category whose rule counts.
    pub category: String,
    /// What it offers, most wanted first.
    pub transports: Vec<Protocol>,
    /// What it carries.
    pub encodings: Vec<Encoding>,
}

/// A policy ready to answer.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: BTreeMap<String, CategoryRule>,
    exceptions: Vec<Exception>,
}

/// Whether one call may go as it is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// The rule allows it.
    Allowed,
    /// Only this exception allows it.
    Excepted(&'a Exception),
    /// Nothing allows it; the exception, where there is one, has expired.
    Refused(Option<&'a Exception>),
}

/// One thing that is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The endpoint's name, or the configuration key of a broken rule.
    pub subject: String,
    /// The configuration key to change.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub hint: String,
}

/// What the policy says of a whole configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many endpoints there are.
    pub endpoints: usize,
    /// Those that do not offer the most wanted transport first, by name.
    pub downgraded: Vec<String>,
    /// Exceptions in use, by name.
    pub exceptions: Vec<String>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The share of endpoints that are downgraded, 0 to 1.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "nobody has 2^52 endpoints")]
    pub fn downgrade_ratio(&self) -> f64 {
        if self.endpoints == 0 { 0.0 } else { self.downgraded.len() as f64 / self.endpoints as f64 }
    }
}

impl Policy {
    /// Makes a policy of its configuration; built-in rules stand whatever it says.
    #[must_use]
    pub fn new(config: &PolicyConfig) -> Self {
        let mut rules = config.categories.clone();
        rules.extend(CategoryRule::built_in().map(|(name, rule)| (name.to_owned(), rule)));
        Self { rules, exceptions: config.exceptions.clone() }
    }

    /// Whether an endpoint of a category may use a transport and an encoding now.
    #[must_use]
    pub fn evaluate(
        &self,
        endpoint: &str,
        category: &str,
        transport: Protocol,
        encoding: Encoding,
        now: Timestamp,
    ) -> Verdict<'_> {
        let rule = self.rules.get(category);
        let transport_fine = rule.is_some_and(|rule| rule.transports.contains(&transport));
        let encoding_fine = rule.is_some_and(|rule| rule.encodings.contains(&encoding));
        if transport_fine && encoding_fine {
            return Verdict::Allowed;
        }
        let mut expired = None;
        for exception in self.exceptions.iter().filter(|exception| covers(&exception.scope, endpoint)) {
            let grants = (transport_fine || exception.transports.contains(&transport))
                && (encoding_fine || exception.encodings.contains(&encoding));
            if grants && now < exception.expires {
                return Verdict::Excepted(exception);
            }
            if grants {
                expired = Some(exception);
            }
        }
        Verdict::Refused(expired)
    }

    /// Judges a whole configuration.
    #[must_use]
    pub fn report(&self, config: &PolicyConfig, endpoints: &[Endpoint], now: Timestamp) -> Report {
        let mut report = Report {
            endpoints: endpoints.len(),
            downgraded: Vec::new(),
            exceptions: Vec::new(),
            findings: broken_rules(config, endpoints, now),
        };
        for endpoint in endpoints {
            self.judge(endpoint, now, &mut report);
        }
        report.exceptions.sort();
        report.exceptions.dedup();
        report
    }

    fn judge(&self, endpoint: &Endpoint, now: Timestamp, report: &mut Report) {
        let finding = |problem: String, hint: String| Finding {
            subject: endpoint.name.clone(),
            key: endpoint.key.clone(),
            problem,
            hint,
        };
        let Some(rule) = self.rules.get(&endpoint.category) else {
            let known: Vec<&str> = self.rules.keys().map(String::as_str).collect();
            let problem = format!("the category `{}` has no rule", endpoint.category);
            report.findings.push(finding(problem, format!("known: {}", known.join(", "))));
            return;
        };
        for transport in &endpoint.transports {
            for encoding in &endpoint.encodings {
                match self.evaluate(&endpoint.name, &endpoint.category, *transport, *encoding, now) {
                    Verdict::Allowed => {}
                    Verdict::Excepted(exception) => report.exceptions.push(exception.name.clone()),
                    Verdict::Refused(Some(exception)) => report.findings.push(finding(
                        format!(
                            "the exception `{}` for {transport} with {encoding} has expired",
                            exception.name
                        ),
                        format!("set `{}` as the rule wants it, or have the exception renewed", endpoint.key),
                    )),
                    Verdict::Refused(None) => report.findings.push(finding(
                        format!("{transport} with {encoding} is not allowed for {}", endpoint.category),
                        format!("take it out of `{}`, or add a `policy.exceptions` entry", endpoint.key),
                    )),
                }
            }
        }
        let Some(preferred) = rule.transports.first() else { return };
        if endpoint.transports.first() != Some(preferred) {
            report.downgraded.push(endpoint.name.clone());
        }
        let excepted = self.exceptions.iter().any(|exception| {
            covers(&exception.scope, &endpoint.name)
                && now < exception.expires
                && endpoint.transports.first().is_some_and(|first| exception.transports.contains(first))
        });
        if rule.preferred_required && !excepted && !endpoint.transports.contains(preferred) {
            report.findings.push(finding(
                format!("{} needs {preferred}", endpoint.category),
                format!("add \"{preferred}\" to `{}`", endpoint.key),
            ));
        }
    }
}

fn covers(scope: &str, endpoint: &str) -> bool {
    scope.strip_suffix('*').map_or(scope == endpoint, |beginning| endpoint.starts_with(beginning))
}

/// What is wrong with the policy itself.
fn broken_rules(config: &PolicyConfig, endpoints: &[Endpoint], now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut say = |key: String, problem: &str, hint: &str| {
        let (problem, hint) = (problem.to_owned(), hint.to_owned());
        findings.push(Finding { subject: key.clone(), key, problem, hint });
    };
    for (name, rule) in &config.categories {
        let key = format!("policy.categories.{name}");
        if CategoryRule::built_in().iter().any(|(built_in, _)| built_in == name) {
            say(
                key.clone(),
                "a built-in rule cannot be changed",
                "remove it and add a `policy.exceptions` entry",
            );
        }
        if rule.transports.is_empty() || rule.encodings.is_empty() {
            say(key, "nothing is allowed", "name at least one transport and one encoding");
        }
    }
    for (index, exception) in config.exceptions.iter().enumerate() {
        let key = format!("policy.exceptions.{index}");
        if [&exception.name, &exception.reason, &exception.approver].iter().any(|text| text.trim().is_empty())
        {
            say(key.clone(), "name, reason or approver is empty", "say what, why and who agreed");
        }
        if exception.transports.is_empty() && exception.encodings.is_empty() {
            say(key.clone(), "it grants nothing", "name transports or encodings, or remove it");
        }
        if exception.expires <= now {
            say(key.clone(), "it has expired", "remove it, or have it approved anew with a later `expires`");
        }
        if !endpoints.iter().any(|endpoint| covers(&exception.scope, &endpoint.name)) {
            let names: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
            say(key, "its scope covers no endpoint", &format!("endpoints here: {}", names.join(", ")));
        }
    }
    findings
}
