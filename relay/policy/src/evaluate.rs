//! What the policy says of a call.

use std::collections::BTreeMap;

use jiff::Timestamp;
use relay_core::{Encoding, Protocol};

use crate::config::{CategoryRule, Exception, PolicyConfig};
use crate::endpoint::Endpoint;
use crate::wire::Wire;

/// A policy ready to answer.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) rules: BTreeMap<String, CategoryRule>,
    assigned: BTreeMap<String, String>,
    pub(crate) exceptions: Vec<Exception>,
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

/// The rule of one endpoint, and which parts of it hold there.
pub(crate) struct Ground<'a> {
    pub(crate) rule: Option<&'a CategoryRule>,
    /// The endpoint does without the required transport: only exceptions let it.
    pub(crate) lacks_transport: bool,
    /// The endpoint does without the required encoding: only exceptions let it.
    pub(crate) lacks_encoding: bool,
}

impl Policy {
    /// Makes a policy of its configuration; built-in rules stand whatever it says.
    #[must_use]
    pub fn new(config: &PolicyConfig) -> Self {
        let mut rules = config.categories.clone();
        rules.extend(CategoryRule::built_in().map(|(name, rule)| (name.to_owned(), rule)));
        Self { rules, assigned: config.endpoints.clone(), exceptions: config.exceptions.clone() }
    }

    /// The category whose rule counts for an endpoint.
    #[must_use]
    pub fn category<'a>(&'a self, endpoint: &'a Endpoint) -> &'a str {
        self.assigned.get(&endpoint.name).unwrap_or(&endpoint.category)
    }

    /// The protocol that an endpoint's calls should use; none where its category has no rule.
    #[must_use]
    pub fn preferred(&self, endpoint: &Endpoint) -> Option<Protocol> {
        self.rules.get(self.category(endpoint))?.preferred()
    }

    /// The encoding that an endpoint's calls should use; none where its category has no rule.
    #[must_use]
    pub fn preferred_encoding(&self, endpoint: &Endpoint) -> Option<Encoding> {
        self.rules.get(self.category(endpoint))?.encodings.first().copied()
    }

    /// Whether a call at an endpoint may go now. Without a procedure the answer is for the
    /// endpoint as such: some procedure may.
    #[must_use]
    pub fn evaluate(
        &self,
        endpoint: &Endpoint,
        wire: Wire,
        procedure: Option<&str>,
        now: Timestamp,
    ) -> Verdict<'_> {
        let ground = self.ground(endpoint);
        if ground.allows(wire) {
            return Verdict::Allowed;
        }
        let mut expired = None;
        for exception in self.granting(endpoint, &ground, wire).filter(|one| one.takes(procedure)) {
            if now < exception.expires {
                return Verdict::Excepted(exception);
            }
            expired = Some(exception);
        }
        Verdict::Refused(expired)
    }

    pub(crate) fn ground(&self, endpoint: &Endpoint) -> Ground<'_> {
        let rule = self.rules.get(self.category(endpoint));
        let required = rule.filter(|rule| rule.preferred_required).and_then(CategoryRule::preferred);
        let required_encoding = rule
            .filter(|rule| rule.preferred_encoding_required)
            .and_then(|rule| rule.encodings.first().copied());
        let carried = endpoint.encodings.as_deref();
        Ground {
            rule,
            lacks_transport: required.is_some_and(|wanted| !endpoint.transports.contains(&wanted)),
            lacks_encoding: required_encoding
                .zip(carried)
                .is_some_and(|(wanted, carried)| !carried.contains(&wanted)),
        }
    }

    /// The exceptions that allow a wire at an endpoint, expired or not.
    pub(crate) fn granting<'a, 'b>(
        &'a self,
        endpoint: &'b Endpoint,
        ground: &Ground<'_>,
        wire: Wire,
    ) -> impl Iterator<Item = &'a Exception> + use<'a, 'b> {
        let (transport_fine, encoding_fine) = (ground.transport_fine(wire), ground.encoding_fine(wire));
        self.exceptions.iter().filter(move |exception| {
            exception.covers(&endpoint.name)
                && (transport_fine || exception.carries(wire.protocol, wire.style))
                && (encoding_fine || exception.encodings.contains(&wire.encoding))
        })
    }
}

impl Ground<'_> {
    pub(crate) fn allows(&self, wire: Wire) -> bool {
        self.transport_fine(wire) && self.encoding_fine(wire)
    }

    fn transport_fine(&self, wire: Wire) -> bool {
        !self.lacks_transport && self.rule.is_some_and(|rule| rule.carries(wire.protocol, wire.style))
    }

    fn encoding_fine(&self, wire: Wire) -> bool {
        !self.lacks_encoding && self.rule.is_some_and(|rule| rule.encodings.contains(&wire.encoding))
    }
}
