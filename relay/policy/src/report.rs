//! What the policy says of a whole configuration.

use jiff::Timestamp;
use relay_core::{Encoding, Protocol};
use serde::Serialize;

use crate::config::PolicyConfig;
use crate::endpoint::Endpoint;
use crate::evaluate::{Policy, Verdict};
use crate::soundness;

/// One thing that is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing is wrong, by a name that never changes: `policy/exception-expired`.
    pub rule: &'static str,
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
    /// Those that do not offer the most wanted transport or encoding first, by name.
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
    /// Judges a whole configuration.
    #[must_use]
    pub fn report(&self, config: &PolicyConfig, endpoints: &[Endpoint], now: Timestamp) -> Report {
        let mut report = Report {
            endpoints: endpoints.len(),
            downgraded: Vec::new(),
            exceptions: Vec::new(),
            findings: soundness::findings(config, &self.rules, endpoints, now),
        };
        for endpoint in endpoints {
            self.judge(endpoint, now, &mut report);
        }
        report.exceptions.sort();
        report.exceptions.dedup();
        report
    }

    fn judge(&self, endpoint: &Endpoint, now: Timestamp, report: &mut Report) {
        let category = self.category(endpoint);
        if !self.rules.contains_key(category) {
            // An assignment to it has been found already.
            if category == endpoint.category {
                let known: Vec<&str> = self.rules.keys().map(String::as_str).collect();
                report.findings.push(finding(
                    endpoint,
                    "policy/unknown-category",
                    format!("the category `{category}` has no rule"),
                    format!("known: {}", known.join(", ")),
                ));
            }
            return;
        }
        self.judge_wires(endpoint, now, report);
        self.judge_required(endpoint, now, report);
        let first_encoding = endpoint.encodings.as_ref().and_then(|encodings| encodings.first().copied());
        let lesser_encoding = first_encoding.is_some() && first_encoding != self.preferred_encoding(endpoint);
        if endpoint.transports.first().copied() != self.preferred(endpoint) || lesser_encoding {
            report.downgraded.push(endpoint.name.clone());
        }
    }

    /// What the rule does not allow in any combination; what it lacks is said apart.
    fn judge_wires(&self, endpoint: &Endpoint, now: Timestamp, report: &mut Report) {
        let rule = self.ground(endpoint).rule;
        let mut open = endpoint.clone();
        if open.encodings.is_none() {
            // It carries what is allowed, and that is for every transport to be asked about.
            open.encodings = rule.and_then(|rule| rule.encodings.first().copied()).map(|one| vec![one]);
        }
        for wire in open.wires() {
            let by_rule = rule.is_some_and(|rule| {
                rule.carries(wire.protocol, wire.style) && rule.encodings.contains(&wire.encoding)
            });
            if by_rule {
                continue;
            }
            match self.evaluate(endpoint, wire, None, now) {
                Verdict::Allowed => {}
                Verdict::Excepted(exception) => report.exceptions.push(exception.name.clone()),
                Verdict::Refused(Some(exception)) => report.findings.push(finding(
                    endpoint,
                    "policy/exception-expired",
                    format!("the exception `{}` for {wire} has expired", exception.name),
                    format!("set `{}` as the rule wants it, or have the exception renewed", endpoint.key),
                )),
                Verdict::Refused(None) => report.findings.push(finding(
                    endpoint,
                    "policy/not-allowed",
                    format!("{wire} is not allowed for {}", self.category(endpoint)),
                    format!("take it out of `{}`, or add a `policy.exceptions` entry", endpoint.key),
                )),
            }
        }
    }

    /// What the rule requires and the endpoint does without.
    fn judge_required(&self, endpoint: &Endpoint, now: Timestamp, report: &mut Report) {
        let ground = self.ground(endpoint);
        let valid: Vec<_> = self
            .exceptions
            .iter()
            .filter(|exception| exception.covers(&endpoint.name) && now < exception.expires)
            .collect();
        if ground.lacks_transport {
            let granted = endpoint.transports.iter().all(|protocol| {
                let grants = |style| valid.iter().any(|exception| exception.carries(*protocol, style));
                endpoint.styles.iter().all(|style| grants(*style))
            });
            let wanted = self.preferred(endpoint).map(Protocol::name).unwrap_or_default();
            match granted {
                true => report.exceptions.extend(
                    valid.iter().filter(|one| !one.transports.is_empty()).map(|one| one.name.clone()),
                ),
                false => report.findings.push(finding(
                    endpoint,
                    "policy/preferred-missing",
                    format!("{} needs {wanted}", self.category(endpoint)),
                    format!("add \"{wanted}\" to `{}`", endpoint.key),
                )),
            }
        }
        if ground.lacks_encoding {
            let carried = endpoint.encodings.as_deref().unwrap_or_default();
            let granted =
                carried.iter().all(|encoding| valid.iter().any(|one| one.encodings.contains(encoding)));
            let wanted = self.preferred_encoding(endpoint).map(Encoding::name).unwrap_or_default();
            match granted {
                true => report
                    .exceptions
                    .extend(valid.iter().filter(|one| !one.encodings.is_empty()).map(|one| one.name.clone())),
                false => report.findings.push(finding(
                    endpoint,
                    "policy/preferred-encoding-missing",
                    format!("{} needs {wanted}", self.category(endpoint)),
                    "give it a category that does not require it, or add a `policy.exceptions` entry".into(),
                )),
            }
        }
    }
}

fn finding(endpoint: &Endpoint, rule: &'static str, problem: String, hint: String) -> Finding {
    Finding { rule, subject: endpoint.name.clone(), key: endpoint.key.clone(), problem, hint }
}
