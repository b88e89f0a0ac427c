//! The counters of calls by how they were carried. Every label has the values of a closed set or
//! of the configuration, so a stranger cannot make a series.

use std::sync::OnceLock;

use omnirelay_runtime::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use relay_core::observe::{DowngradeStats, WireStats};
use relay_core::{DowngradeReason, Encoding, Protocol};

use crate::outcome::Outcome;

/// Calls by endpoint, protocol, encoding and outcome (`answered`, `failed`, `refused`).
pub const CALLS: &str = "omnirelay_transport_calls";
/// Calls that did not go over the protocol that the rule wants most, by endpoint, protocol and
/// reason.
pub const DOWNGRADES: &str = "omnirelay_transport_downgrades";
/// Calls that hung on a policy exception, by endpoint, exception and verdict: `used` while it was
/// valid, `refused` since it has ended.
pub const EXCEPTION_CALLS: &str = "omnirelay_policy_exception_calls";
/// Outgoing calls that were refused before a protocol was chosen, by endpoint and encoding: none
/// of the endpoint's protocols was allowed.
pub const UNSENT: &str = "omnirelay_policy_unsent_calls";

/// Every name here with its meaning.
pub const ALL: [(&str, &str); 4] = [
    (CALLS, "Calls by endpoint, protocol, encoding and outcome"),
    (DOWNGRADES, "Calls that did not go over the most wanted protocol, by reason"),
    (EXCEPTION_CALLS, "Calls that hung on a policy exception"),
    (UNSENT, "Outgoing calls for which no protocol was allowed"),
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    endpoint: String,
    protocol: &'static str,
    encoding: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DowngradeLabels {
    endpoint: String,
    protocol: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExceptionLabels {
    endpoint: String,
    exception: String,
    verdict: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UnsentLabels {
    endpoint: String,
    encoding: &'static str,
}

/// What all endpoints of a process count in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Families {
    calls: Family<CallLabels, Counter>,
    downgrades: Family<DowngradeLabels, Counter>,
    exceptions: Family<ExceptionLabels, Counter>,
    unsent: Family<UnsentLabels, Counter>,
}

impl Families {
    pub(crate) fn of(metrics: &Metrics) -> Self {
        metrics.shared(Self::register)
    }

    fn register(registry: &mut Registry) -> Self {
        let families = Self::default();
        let [calls, downgrades, exceptions, unsent] = ALL;
        registry.register(calls.0, calls.1, families.calls.clone());
        registry.register(downgrades.0, downgrades.1, families.downgrades.clone());
        registry.register(exceptions.0, exceptions.1, families.exceptions.clone());
        registry.register(unsent.0, unsent.1, families.unsent.clone());
        families
    }
}

/// The counters of one endpoint. Each is made by the first call that needs it, so that what never
/// occurs is not shown; from then on counting takes no lock.
#[derive(Debug)]
pub(crate) struct Counters {
    endpoint: String,
    families: Families,
    calls: [[[OnceLock<Counter>; Outcome::ALL.len()]; Encoding::ALL.len()]; Protocol::ALL.len()],
    downgrades: [[OnceLock<Counter>; DowngradeReason::ALL.len()]; Protocol::ALL.len()],
    unsent: [OnceLock<Counter>; Encoding::ALL.len()],
}

/// The counters of one exception at one endpoint.
#[derive(Debug)]
pub(crate) struct ExceptionCounters {
    pub(crate) used: Counter,
    pub(crate) refused: Counter,
}

impl ExceptionCounters {
    pub(crate) fn new(families: &Families, endpoint: &str, exception: &str) -> Self {
        let counter = |verdict: &'static str| {
            let (endpoint, exception) = (endpoint.to_owned(), exception.to_owned());
            families.exceptions.get_or_create(&ExceptionLabels { endpoint, exception, verdict }).clone()
        };
        Self { used: counter("used"), refused: counter("refused") }
    }
}

impl Counters {
    pub(crate) fn new(families: &Families, endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            families: families.clone(),
            calls: Default::default(),
            downgrades: Default::default(),
            unsent: Default::default(),
        }
    }

    pub(crate) fn call(&self, protocol: Protocol, encoding: Encoding, outcome: Outcome) {
        let cell = &self.calls[protocol as usize][encoding as usize][outcome as usize];
        cell.get_or_init(|| {
            let labels = CallLabels {
                endpoint: self.endpoint.clone(),
                protocol: protocol.name(),
                encoding: encoding.name(),
                outcome: outcome.name(),
            };
            self.families.calls.get_or_create(&labels).clone()
        })
        .inc();
    }

    pub(crate) fn downgrade(&self, protocol: Protocol, reason: DowngradeReason) {
        let Some(cell) = self.downgrades[protocol as usize].get(slot(reason)) else { return };
        cell.get_or_init(|| {
            let (protocol, reason) = (protocol.name(), reason.name());
            let labels = DowngradeLabels { endpoint: self.endpoint.clone(), protocol, reason };
            self.families.downgrades.get_or_create(&labels).clone()
        })
        .inc();
    }

    pub(crate) fn unsent(&self, encoding: Encoding) {
        self.unsent[encoding as usize]
            .get_or_init(|| {
                let labels = UnsentLabels { endpoint: self.endpoint.clone(), encoding: encoding.name() };
                self.families.unsent.get_or_create(&labels).clone()
            })
            .inc();
    }

    /// Calls by protocol and encoding, most wanted first.
    pub(crate) fn wires(&self) -> Vec<WireStats> {
        let all = Protocol::ALL
            .into_iter()
            .flat_map(|protocol| Encoding::ALL.into_iter().map(move |encoding| (protocol, encoding)));
        let stats = all.map(|(protocol, encoding)| {
            let cells = &self.calls[protocol as usize][encoding as usize];
            let count = |outcome: Outcome| cells[outcome as usize].get().map_or(0, Counter::get);
            WireStats {
                protocol,
                encoding,
                answered: count(Outcome::Answered),
                failed: count(Outcome::Failed),
                refused: count(Outcome::Refused),
            }
        });
        stats.filter(|one| one.answered + one.failed + one.refused > 0).collect()
    }

    /// Downgraded calls by reason.
    pub(crate) fn by_reason(&self) -> Vec<DowngradeStats> {
        let stats = DowngradeReason::ALL.into_iter().map(|reason| {
            let cells = self.downgrades.iter().filter_map(|row| row.get(slot(reason))?.get());
            DowngradeStats { reason, calls: cells.map(Counter::get).sum() }
        });
        stats.filter(|one| one.calls > 0).collect()
    }

    /// Calls that were refused before a protocol was chosen.
    pub(crate) fn unsent_total(&self) -> u64 {
        self.unsent.iter().filter_map(OnceLock::get).map(Counter::get).sum()
    }
}

/// A reason's place in a table, whatever its number.
pub(crate) fn slot(reason: DowngradeReason) -> usize {
    DowngradeReason::ALL.iter().position(|one| *one == reason).unwrap_or(DowngradeReason::ALL.len())
}
