//! Records by the names of their fields, for listings that filter and sort.

use std::cmp::Ordering;
use std::fmt;

use jiff::Timestamp;

use crate::bootstrap::Identity;
use crate::cluster::Cluster;
use crate::lease::Lease;
use crate::peer::Peer;

/// A record that can be filtered and sorted by its fields.
pub trait Listed {
    /// The names of the fields that every record has; a name that ends in `.` begins a family, such
    /// as `labels.`.
    const NAMES: &'static [&'static str];

    /// A field by its name; none where this record has no such one.
    fn field(&self, name: &str) -> Option<Field<'_>>;

    /// What tells records of a listing apart, and orders them where nothing else does.
    fn id(&self) -> &str;
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field<'a> {
    /// Text, in the order of its bytes.
    Text(&'a str),
    /// A number.
    Number(u64),
    /// A time.
    Time(Timestamp),
}

impl Field<'_> {
    /// Compares with what a filter holds; none where that is no value of this field's kind.
    #[must_use]
    pub fn compare(&self, text: &str) -> Option<Ordering> {
        match self {
            Self::Text(value) => Some((*value).cmp(text)),
            Self::Number(value) => text.parse().ok().map(|number: u64| value.cmp(&number)),
            Self::Time(value) => text.parse().ok().map(|time: Timestamp| value.cmp(&time)),
        }
    }
}

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(value) => f.write_str(value),
            Self::Number(value) => write!(f, "{value}"),
            Self::Time(value) => write!(f, "{value}"),
        }
    }
}

impl Listed for Peer {
    const NAMES: &'static [&'static str] = &[
        "id",
        "role",
        "service",
        "cluster",
        "zone",
        "version",
        "status",
        "hold",
        "registeredAt",
        "lastSeenAt",
        "recordVersion",
        "labels.",
    ];

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "id" => Field::Text(self.spec.id.as_str()),
            "role" => Field::Text(&self.spec.role),
            "service" => Field::Text(&self.spec.service),
            "cluster" => Field::Text(&self.spec.cluster),
            "zone" => Field::Text(&self.spec.zone),
            "version" => Field::Text(&self.spec.version),
            "status" => Field::Text(self.status.as_str()),
            "hold" => Field::Text(self.hold.as_ref()?.state.as_str()),
            "registeredAt" => Field::Time(self.registered_at),
            "lastSeenAt" => Field::Time(self.last_seen_at),
            "recordVersion" => Field::Number(self.record_version),
            name => Field::Text(self.label(name.strip_prefix("labels.")?)?),
        })
    }

    fn id(&self) -> &str {
        self.spec.id.as_str()
    }
}

impl Listed for Cluster {
    const NAMES: &'static [&'static str] = &[
        "id",
        "region",
        "state",
        "priority",
        "failover",
        "ticket",
        "stateSince",
        "changedAt",
        "changedBy",
        "recordVersion",
        "annotations.",
    ];

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "id" => Field::Text(&self.spec.id),
            "region" => Field::Text(&self.spec.region),
            "state" => Field::Text(self.state.as_str()),
            "priority" => Field::Number(self.spec.priority.into()),
            "failover" => Field::Text(self.spec.failover.mode.as_str()),
            "ticket" => Field::Text(&self.ticket),
            "stateSince" => Field::Time(self.state_since),
            "changedAt" => Field::Time(self.changed_at),
            "changedBy" => Field::Text(&self.changed_by),
            "recordVersion" => Field::Number(self.record_version),
            name => Field::Text(self.spec.annotations.get(name.strip_prefix("annotations.")?)?),
        })
    }

    fn id(&self) -> &str {
        &self.spec.id
    }
}

impl Listed for Identity {
    const NAMES: &'static [&'static str] =
        &["name", "role", "cluster", "spiffe", "joinedAt", "revokedAt", "recordVersion"];

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "name" => Field::Text(&self.name),
            "role" => Field::Text(&self.role),
            "cluster" => Field::Text(&self.cluster),
            "spiffe" => Field::Text(&self.spiffe),
            "joinedAt" => Field::Time(self.joined_at),
            "revokedAt" => Field::Time(self.revoked_at?),
            "recordVersion" => Field::Number(self.record_version),
            _ => return None,
        })
    }

    fn id(&self) -> &str {
        &self.name
    }
}

impl Listed for Lease {
    const NAMES: &'static [&'static str] =
        &["scope", "holder", "fence", "change", "since", "changedAt", "recordVersion"];

    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "scope" => Field::Text(self.id()),
            "holder" => Field::Text(self.holder.as_ref()?.as_str()),
            "fence" => Field::Number(self.fence),
            "change" => Field::Text(self.change.as_str()),
            "since" => Field::Time(self.since),
            "changedAt" => Field::Time(self.changed_at),
            "recordVersion" => Field::Number(self.record_version),
            _ => return None,
        })
    }

    fn id(&self) -> &str {
        self.scope.as_str()
    }
}
