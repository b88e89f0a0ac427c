//! What is counted of the membership.

use std::sync::Arc;

use omnirelay_runtime::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::known::Standing;
use crate::membership::Seen;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStanding {
    standing: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

#[derive(Clone, Debug)]
pub(crate) struct MembershipMetrics(Arc<Families>);

#[derive(Debug, Default)]
struct Families {
    members: Family<ByStanding, Gauge>,
    refused: Family<ByReason, Counter>,
}

impl MembershipMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let families = Families::default();
        metrics.register(|registry| {
            let members = "Members by how they stand, this node included";
            registry.register("meshkit_membership_members", members, families.members.clone());
            let refused = "Messages of members that were not taken";
            registry.register("meshkit_membership_refused", refused, families.refused.clone());
        });
        Self(Arc::new(families))
    }

    pub(crate) fn show(&self, members: &[Seen]) {
        for standing in Standing::ALL {
            let count = members.iter().filter(|seen| seen.standing == standing).count();
            let label = ByStanding { standing: standing.as_str() };
            self.0.members.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.0.refused.get_or_create(&ByReason { reason }).inc();
    }
}
