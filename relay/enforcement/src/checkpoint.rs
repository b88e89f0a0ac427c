//! One endpoint where calls pass.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use relay_core::observe::{DowngradeEvent, EndpointStats, EventKind, ExceptionStats};
use relay_core::{DowngradeReason, Encoding, Protocol, Status};
use relay_policy::{Compiled, Decision, Endpoint, Policy, Protocols, Style, Wire};
use tracing::field::Empty;

use crate::events::Events;
use crate::metrics::{Counters, ExceptionCounters, Families, slot};
use crate::outcome::Outcome;
use crate::throttle::Throttle;

/// The most of a procedure's name that an event keeps.
const PROCEDURE_MAX: usize = 128;
/// One for each reason of a downgrade, and one for refusals.
const THROTTLES: usize = DowngradeReason::ALL.len() + 1;

/// Decides on the calls of one endpoint, counts them and tells what is worth telling.
#[derive(Debug)]
pub struct Checkpoint {
    name: String,
    rules: ArcSwap<Rules>,
    counters: Counters,
    throttles: [Mutex<Throttle>; THROTTLES],
    events: Arc<Events>,
}

/// What the policy says of an endpoint at one time.
#[derive(Debug)]
pub(crate) struct Rules {
    category: String,
    offered: Protocols,
    pub(crate) compiled: Compiled,
    exceptions: Box<[ExceptionCounters]>,
}

impl Rules {
    pub(crate) fn new(policy: &Policy, endpoint: &Endpoint, families: &Families) -> Self {
        let compiled = policy.compile(endpoint);
        let names = compiled.exceptions().iter().map(|one| one.name.as_str());
        Self {
            category: policy.category(endpoint).to_owned(),
            offered: Protocols::from_iter(endpoint.transports.iter().copied()),
            exceptions: names.map(|name| ExceptionCounters::new(families, &endpoint.name, name)).collect(),
            compiled,
        }
    }

    fn exception(&self, index: usize) -> Option<&str> {
        self.compiled.exceptions().get(index).map(|exception| exception.name.as_str())
    }
}

/// What events and logs say of a call beside how it is carried.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The procedure; empty where there is none.
    pub procedure: &'a str,
    /// Who calls, or who is called.
    pub peer: &'a (dyn fmt::Display + Sync),
}

/// A call that the policy let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Why it is a downgrade, where it is one.
    pub downgrade: Option<DowngradeReason>,
}

impl Checkpoint {
    pub(crate) fn new(endpoint: &str, rules: Rules, families: &Families, events: Arc<Events>) -> Self {
        Self {
            name: endpoint.to_owned(),
            counters: Counters::new(families, endpoint),
            rules: ArcSwap::from_pointee(rules),
            throttles: Default::default(),
            events,
        }
    }

    /// These are the rules from now on; what was counted stays.
    pub(crate) fn set_rules(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    pub(crate) fn rules(&self) -> Guard<Arc<Rules>> {
        self.rules.load()
    }

    /// The endpoint's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Decides on a call that came in. It is counted by [`Checkpoint::counted`], a refusal at once.
    ///
    /// # Errors
    /// `permission-denied` with the name `transport-policy`: nothing has been done.
    pub fn admit(&self, wire: Wire, call: Call<'_>, now: Timestamp) -> Result<Passage, Status> {
        let rules = &**self.rules();
        match rules.compiled.decide(wire, call.procedure, now) {
            Decision::Refused(exception) => Err(self.refuse(rules, wire, exception, call, now)),
            Decision::Allowed => {
                let lesser = rules.compiled.preferred.is_some_and(|wanted| wanted != wire.protocol);
                let reason = lesser.then_some(DowngradeReason::CallerPreference);
                Ok(self.pass(rules, wire, reason, None, call, now))
            }
            Decision::Excepted(exception) => {
                let reason = Some(DowngradeReason::PolicyException);
                Ok(self.pass(rules, wire, reason, Some(exception), call, now))
            }
        }
    }

    /// The protocols that a call may go out over, at least one.
    ///
    /// # Errors
    /// As [`Checkpoint::admit`], where there is none.
    pub fn open(
        &self,
        style: Style,
        encoding: Encoding,
        call: Call<'_>,
        now: Timestamp,
    ) -> Result<Protocols, Status> {
        let rules = &**self.rules();
        let allowed = rules.compiled.protocols(rules.offered, style, encoding, call.procedure, now);
        if !allowed.is_empty() {
            return Ok(allowed);
        }
        self.counters.unsent(encoding);
        // The refusals differ at most in the exception that has ended.
        let exception =
            Protocol::ALL.into_iter().filter(|one| rules.offered.contains(*one)).find_map(|one| {
                let wire = Wire { protocol: one, style, encoding };
                match rules.compiled.decide(wire, call.procedure, now) {
                    Decision::Refused(exception) => exception,
                    Decision::Allowed | Decision::Excepted(_) => None,
                }
            });
        Err(self.tell_refusal(rules, None, encoding, exception, call, now))
    }

    /// Every set of protocols that [`Checkpoint::open`] can ever answer with.
    #[must_use]
    pub fn protocol_sets(&self) -> Vec<Protocols> {
        let rules = self.rules();
        rules.compiled.protocol_sets(rules.offered)
    }

    /// Notes how a call that went out at `opened` was carried in the end, and why it was not what
    /// the channel wanted most. A protocol that the policy does not allow is counted and told as
    /// a refusal, although the call was made.
    pub fn arrived(
        &self,
        wire: Wire,
        reason: Option<DowngradeReason>,
        call: Call<'_>,
        opened: Timestamp,
    ) -> Passage {
        let rules = &**self.rules();
        let lesser = rules.compiled.preferred.is_some_and(|wanted| wanted != wire.protocol);
        match rules.compiled.decide(wire, call.procedure, opened) {
            Decision::Allowed => {
                // The channel only knows what it was allowed to want.
                let reason = reason.or(lesser.then_some(DowngradeReason::CallerPreference));
                self.pass(rules, wire, reason, None, call, opened)
            }
            Decision::Excepted(exception) => {
                let reason = reason.or(Some(DowngradeReason::PolicyException));
                self.pass(rules, wire, reason, Some(exception), call, opened)
            }
            Decision::Refused(exception) => {
                let _already_made = self.refuse(rules, wire, exception, call, opened);
                Passage { downgrade: reason }
            }
        }
    }

    /// Counts a call that was let go.
    pub(crate) fn ended(&self, protocol: Protocol, encoding: Encoding, outcome: Outcome) {
        self.counters.call(protocol, encoding, outcome);
    }

    /// The span of a call: `endpoint`, `protocol`, `encoding`, `procedure`, and once they
    /// are known `downgrade` and `outcome`. Its target is `omnirelay::call`, its level debug.
    #[must_use]
    pub fn span(&self, protocol: Option<Protocol>, encoding: Encoding, procedure: &str) -> tracing::Span {
        let span = tracing::debug_span!(
            target: "omnirelay::call",
            "call",
            endpoint = self.name,
            protocol = Empty,
            encoding = encoding.name(),
            procedure,
            downgrade = Empty,
            outcome = Empty,
        );
        if let Some(protocol) = protocol {
            span.record("protocol", protocol.name());
        }
        span
    }

    fn pass(
        &self,
        rules: &Rules,
        wire: Wire,
        reason: Option<DowngradeReason>,
        exception: Option<usize>,
        call: Call<'_>,
        now: Timestamp,
    ) -> Passage {
        if let Some(exception) = exception {
            count(rules.exceptions.get(exception), |counters| &counters.used);
        }
        let Some(reason) = reason else { return Passage { downgrade: None } };
        self.counters.downgrade(wire.protocol, reason);
        if let Some(suppressed) = self.throttle(slot(reason), now) {
            let exception = exception.and_then(|index| rules.exception(index));
            tracing::debug!(
                endpoint = self.name,
                peer = %call.peer,
                protocol = %wire.protocol,
                encoding = %wire.encoding,
                %reason,
                exception,
                suppressed,
                "downgraded"
            );
            self.events.push(DowngradeEvent {
                protocol: Some(wire.protocol),
                encoding: Some(wire.encoding),
                reason: Some(reason),
                exception: exception.map(ToOwned::to_owned),
                suppressed,
                ..self.event(EventKind::Downgraded, call, now)
            });
        }
        Passage { downgrade: Some(reason) }
    }

    fn refuse(
        &self,
        rules: &Rules,
        wire: Wire,
        exception: Option<usize>,
        call: Call<'_>,
        now: Timestamp,
    ) -> Status {
        self.counters.call(wire.protocol, wire.encoding, Outcome::Refused);
        self.tell_refusal(rules, Some(wire.protocol), wire.encoding, exception, call, now)
    }

    fn tell_refusal(
        &self,
        rules: &Rules,
        protocol: Option<Protocol>,
        encoding: Encoding,
        exception: Option<usize>,
        call: Call<'_>,
        now: Timestamp,
    ) -> Status {
        if let Some(index) = exception {
            count(rules.exceptions.get(index), |counters| &counters.refused);
        }
        let exception = exception.and_then(|index| rules.compiled.exceptions().get(index));
        let name = exception.map(|exception| exception.name.as_str());
        if let Some(suppressed) = self.throttle(DowngradeReason::ALL.len(), now) {
            tracing::warn!(
                endpoint = self.name,
                peer = %call.peer,
                protocol = protocol.map(Protocol::name),
                encoding = %encoding,
                exception = name,
                suppressed,
                "refused by the transport policy"
            );
            self.events.push(DowngradeEvent {
                protocol,
                encoding: Some(encoding),
                exception: name.map(ToOwned::to_owned),
                suppressed,
                ..self.event(EventKind::Refused, call, now)
            });
        }
        let what = match protocol {
            Some(protocol) => format!("{protocol} with {encoding}"),
            None => encoding.to_string(),
        };
        let (name, category) = (&self.name, &rules.category);
        let status = match exception {
            Some(exception) => Status::permission_denied(format!(
                "{what} is no longer allowed at {name}: the policy exception `{}` ended at {}",
                exception.name, exception.expires
            )),
            None => Status::permission_denied(format!("{what} is not allowed at {name} ({category})")),
        };
        let wanted = match (rules.compiled.preferred, rules.compiled.preferred_encoding) {
            (Some(protocol), Some(encoding)) => format!("use {protocol} with {encoding}"),
            _ => "use what its category allows".to_owned(),
        };
        let renewed = if exception.is_some() { "renewed" } else { "approved" };
        status
            .with_name("transport-policy")
            .with_hint(format!("{wanted}, or have a `policy.exceptions` entry {renewed}"))
    }

    /// Tells that an exception of this endpoint has ended.
    pub(crate) fn tell_expiry(&self, exception: &str, now: Timestamp) {
        tracing::warn!(endpoint = self.name, exception, "the policy exception has ended");
        let nobody = Call { procedure: "", peer: &"" };
        let exception = Some(exception.to_owned());
        self.events.push(DowngradeEvent { exception, ..self.event(EventKind::Expired, nobody, now) });
    }

    fn throttle(&self, slot: usize, now: Timestamp) -> Option<u64> {
        let throttle = self.throttles.get(slot)?;
        throttle.lock().unwrap_or_else(PoisonError::into_inner).tell(now.as_millisecond())
    }

    fn event(&self, kind: EventKind, call: Call<'_>, at: Timestamp) -> DowngradeEvent {
        let cut = call.procedure.floor_char_boundary(PROCEDURE_MAX);
        DowngradeEvent {
            id: String::new(),
            at,
            kind,
            endpoint: self.name.clone(),
            peer: call.peer.to_string(),
            procedure: call.procedure.get(..cut).unwrap_or_default().to_owned(),
            protocol: None,
            encoding: None,
            reason: None,
            exception: None,
            suppressed: 0,
        }
    }

    /// What was counted.
    pub(crate) fn stats(&self, now: Timestamp) -> EndpointStats {
        let (wires, downgrades) = (self.counters.wires(), self.counters.by_reason());
        let calls = wires.iter().map(|one| one.answered + one.failed).sum();
        let downgraded = downgrades.iter().map(|one| one.calls).sum();
        let rules = self.rules();
        let counted = rules.compiled.exceptions().iter().zip(&rules.exceptions);
        let exceptions = counted.map(|(one, counters)| {
            let (used, refused) = (counters.used.get(), counters.refused.get());
            let (name, expires) = (one.name.clone(), one.expires);
            ExceptionStats { name, expires, expired: expires <= now, used, refused }
        });
        EndpointStats {
            endpoint: self.name.clone(),
            category: rules.category.clone(),
            preferred: rules.compiled.preferred,
            calls,
            downgraded,
            downgrade_ratio: ratio(downgraded, calls),
            refused: wires.iter().map(|one| one.refused).sum::<u64>() + self.counters.unsent_total(),
            exceptions: exceptions.collect(),
            wires,
            downgrades,
        }
    }
}

fn count(counters: Option<&ExceptionCounters>, which: impl Fn(&ExceptionCounters) -> &Counter) {
    if let Some(counters) = counters {
        which(counters).inc();
    }
}

/// Calls in flight are downgraded before they are counted.
#[allow(clippy::cast_precision_loss, reason = "a ratio of 2^52 calls needs no more digits")]
fn ratio(downgraded: u64, calls: u64) -> f64 {
    if calls == 0 { 0.0 } else { (downgraded as f64 / calls as f64).min(1.0) }
}
