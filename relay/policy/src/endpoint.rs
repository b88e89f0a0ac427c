//! What listens or calls, as the policy sees it.

use relay_core::{Encoding, Protocol};
use serde::Serialize;

use crate::wire::{Style, Wire};

/// Something that listens or calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// A stable name: `data:http`, `outbound:greeter`.
    pub name: String,
    /// The configuration key that a remedy names.
    pub key: String,
    /// The built-in category, which counts unless `policy.endpoints` names a stricter one.
    pub category: String,
    /// What it offers, most wanted first.
    pub transports: Vec<Protocol>,
    /// How its calls are written.
    pub styles: Vec<Style>,
    /// What it carries, most wanted first; none where it carries what the policy allows.
    pub encodings: Option<Vec<Encoding>>,
}

impl Endpoint {
    /// Every way in which it can be called, as far as it knows itself.
    pub(crate) fn wires(&self) -> impl Iterator<Item = Wire> {
        let encodings = self.encodings.as_deref().unwrap_or_default();
        self.transports.iter().flat_map(move |protocol| {
            self.styles.iter().flat_map(move |style| {
                let wire = move |encoding: &Encoding| Wire {
                    protocol: *protocol,
                    style: *style,
                    encoding: *encoding,
                };
                encodings.iter().map(wire)
            })
        })
    }
}
