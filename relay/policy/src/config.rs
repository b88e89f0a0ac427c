//! The policy as it is written in configuration.

use std::collections::BTreeMap;

use jiff::Timestamp;
use relay_core::{Encoding, Protocol};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wire::{Style, Transport};

/// Rules of the operator's own categories, who is in them, and exceptions to any rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// Rules by category. `control-plane`, `diagnostics` and `data-plane` are built in and cannot
    /// be changed; exceptions are the way around them.
    pub categories: BTreeMap<String, CategoryRule>,
    /// Which category of the operator's own an endpoint is in, by the endpoint's name, instead of
    /// its built-in one. It can only be stricter than that.
    pub endpoints: BTreeMap<String, String>,
    /// Agreed departures from the rules.
    pub exceptions: Vec<Exception>,
}

/// What the endpoints of one category may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CategoryRule {
    /// What is allowed, most wanted first.
    pub transports: Vec<Transport>,
    /// What is allowed, most wanted first.
    pub encodings: Vec<Encoding>,
    /// Whether an endpoint has to offer the most wanted transport.
    #[serde(default)]
    pub preferred_required: bool,
    /// Whether an endpoint has to offer the most wanted encoding.
    #[serde(default)]
    pub preferred_encoding_required: bool,
}

/// An agreed departure from a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// What it is called in logs, metrics and reports: 1 to 64 of `[a-z0-9.-]`, and no other
    /// exception's. It stays the same for as long as the exception is the same.
    pub name: String,
    /// The endpoint that it is for, or the beginning of names followed by `*`.
    pub scope: String,
    /// The procedures that it is for; a last `*` stands for anything, and none at all for every
    /// call.
    #[serde(default)]
    pub procedures: Vec<String>,
    /// Transports that it adds.
    #[serde(default)]
    pub transports: Vec<Transport>,
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
        use Transport::{Grpc, Http1, Http2, Http3};
        let rule = |transports: &[Transport], encodings: &[Encoding], preferred_required| Self {
            transports: transports.to_vec(),
            encodings: encodings.to_vec(),
            preferred_required,
            preferred_encoding_required: false,
        };
        [
            ("control-plane", rule(&[Grpc], &[Protobuf], true)),
            ("diagnostics", rule(&[Http3, Http2, Http1], &[Json, Protobuf], true)),
            ("data-plane", rule(&[Http3, Http2, Http1], &[Protobuf, Json, Raw], false)),
        ]
    }

    /// Whether a call of this protocol and style is allowed.
    pub(crate) fn carries(&self, protocol: Protocol, style: Style) -> bool {
        self.transports.iter().any(|transport| transport.carries(protocol, style))
    }

    /// The most wanted protocol.
    pub(crate) fn preferred(&self) -> Option<Protocol> {
        self.transports.first()?.protocols().first().copied()
    }

    /// Whether everything that this rule allows to calls of some styles another one allows too, and
    /// whether it asks for as much.
    pub(crate) fn is_within(&self, other: &Self, styles: &[Style]) -> bool {
        let carried = Protocol::ALL.into_iter().all(|protocol| {
            styles.iter().all(|style| !self.carries(protocol, *style) || other.carries(protocol, *style))
        });
        let required =
            !other.preferred_required || (self.preferred_required && self.preferred() == other.preferred());
        carried && required && self.encodings.iter().all(|encoding| other.encodings.contains(encoding))
    }
}

impl Exception {
    /// Whether it is for an endpoint.
    #[must_use]
    pub fn covers(&self, endpoint: &str) -> bool {
        matches(&self.scope, endpoint)
    }

    /// Whether it is for a procedure; `None` stands for any.
    #[must_use]
    pub fn takes(&self, procedure: Option<&str>) -> bool {
        self.procedures.is_empty()
            || procedure.is_none_or(|name| self.procedures.iter().any(|pattern| matches(pattern, name)))
    }

    pub(crate) fn carries(&self, protocol: Protocol, style: Style) -> bool {
        self.transports.iter().any(|transport| transport.carries(protocol, style))
    }
}

/// Whether a name is the pattern, or begins with what stands before its last `*`.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |beginning| name.starts_with(beginning))
}
