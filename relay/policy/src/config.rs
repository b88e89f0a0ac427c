//! The policy as it is written in configuration.

use std::collections::BTreeMap;

use jiff::Timestamp;
use relay_core::{Encoding, Protocol};
use serde::{Deserialize, Serialize};

/// Rules of the operator's own categories, and exceptions to any rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// Rules by category. `control-plane`, `diagnostics` and `data-plane` are built in and cannot
    /// be changed; exceptions are the way around them.
    pub categories: BTreeMap<String, CategoryRule>,
    /// Agreed departures from the rules.
    pub exceptions: Vec<Exception>,
}

/// What the endpoints of one category may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoryRule {
    /// What is allowed, most wanted first.
    pub transports: Vec<Protocol>,
    /// What is allowed, most wanted first.
    pub encodings: Vec<Encoding>,
    /// Whether an endpoint has to offer the most wanted transport.
    #[serde(default)]
    pub preferred_required: bool,
}

/// An agreed departure from a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// What it is called in logs and reports.
    pub name: String,
    /// The endpoint that it is for, or the beginning of names followed by `*`.
    pub scope: String,
    /// Transports that it adds.
    #[serde(default)]
    pub transports: Vec<Protocol>,
    /// Encodings that it adds.
    #[serde(default)]
    pub encodings: Vec<Encoding>,
    /// Why it is needed.
    pub reason: String,
    /// Who agreed.
    pub approver: String,
    /// When it ends, as `2027-01-31T00:00:00Z`. From then on it grants nothing.
    pub expires: Timestamp,
}

impl CategoryRule {
    /// The built-in rules.
    pub(crate) fn built_in() -> [(&'static str, Self); 3] {
        use Encoding::{Json, Protobuf, Raw};
        use Protocol::{Http1, Http2, Http3};
        let rule = |transports: &[Protocol], encodings: &[Encoding], preferred_required| Self {
            transports: transports.to_vec(),
            encodings: encodings.to_vec(),
            preferred_required,
        };
        [
            ("control-plane", rule(&[Http3, Http2], &[Protobuf], true)),
            ("diagnostics", rule(&[Http3, Http2, Http1], &[Json, Protobuf], true)),
            ("data-plane", rule(&[Http3, Http2, Http1], &[Protobuf, Json, Raw], false)),
        ]
    }
}
