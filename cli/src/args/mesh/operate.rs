//! The grammar of what operators change, and of the audit about it.

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;

use crate::output::ListFormat;

/// How one answer is shown.
#[derive(Debug, Args)]
pub(crate) struct Shown {
    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ListFormat,
}

/// How a change is asked for.
#[derive(Debug, Args)]
pub(crate) struct Changing {
    /// Show what would be and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Do not ask back
    #[arg(long, short)]
    pub(crate) yes: bool,

    /// Only where the record is in this version [default: whichever it is in]
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) if_version: Option<u64>,

    /// Names the request: sending it again within a day is answered alike
    #[arg(long, value_name = "KEY", default_value = "", hide_default_value = true)]
    pub(crate) idempotency_key: String,

    /// Why, for the audit
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) reason: String,

    /// The ticket, for the audit
    #[arg(long, value_name = "TICKET", default_value = "", hide_default_value = true)]
    pub(crate) ticket: String,

    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct OnePeer {
    /// The peer's id
    pub(crate) id: String,

    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct HoldPeer {
    /// The peer's id
    pub(crate) id: String,

    #[command(flatten)]
    pub(crate) changing: Changing,
}

#[derive(Debug, Args)]
pub(crate) struct LabelPeer {
    /// The peer's id
    pub(crate) id: String,

    /// key=value to set, key- to hide
    #[arg(required = true, value_name = "LABEL")]
    pub(crate) labels: Vec<String>,

    #[command(flatten)]
    pub(crate) changing: Changing,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Clusters {
    /// List clusters
    List(ClustersList),
    /// Show one cluster
    Get(OneCluster),
    /// Add a cluster: the first one is active, every other one passive
    Create(SaidCluster),
    /// Change what is said of a cluster; each option replaces its field as a whole
    Update(SaidCluster),
    /// Take a cluster one step towards serving
    Promote(PromoteCluster),
    /// Take a cluster one step away from serving; never the last active one
    Demote(DemoteCluster),
}

#[derive(Debug, Args)]
pub(crate) struct ClustersList {
    /// Conditions, all of which have to hold: state=active,region~eu,annotations.tier=1
    #[arg(long, value_name = "CONDITIONS", default_value = "", hide_default_value = true)]
    pub(crate) filter: String,

    /// Fields to sort by, `-` before one for the reverse: -priority,id
    #[arg(
        long,
        value_name = "FIELDS",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    pub(crate) sort: String,

    /// Follow them until Ctrl-C, also across restarts of the control plane; JSON is one document a line
    #[arg(long, conflicts_with_all = ["filter", "sort", "limit"])]
    pub(crate) watch: bool,

    #[command(flatten)]
    pub(crate) listing: super::Listing,
}

#[derive(Debug, Args)]
pub(crate) struct OneCluster {
    /// The cluster's id
    pub(crate) id: String,

    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct SaidCluster {
    /// The cluster's id
    pub(crate) id: String,

    /// Where it is
    #[arg(long, value_name = "NAME")]
    pub(crate) region: Option<String>,

    /// The higher, the sooner it serves: 0 to 1000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) priority: Option<u32>,

    /// When another cluster takes over
    #[arg(long, value_enum, value_name = "MODE")]
    pub(crate) failover: Option<Failover>,

    /// A cluster that may take over, most wanted first. May be repeated
    #[arg(long = "failover-target", value_name = "ID", requires = "failover")]
    pub(crate) failover_targets: Vec<String>,

    /// How far a target may lag behind, in milliseconds; 0 means that it does not matter
    #[arg(long, value_name = "MS", default_value_t = 0, requires = "failover")]
    pub(crate) max_lag_ms: u64,

    /// Where its log can be read from: https://host:port over HTTP/3 and HTTP/2. May be repeated
    #[arg(long, value_name = "URL")]
    pub(crate) replication: Vec<String>,

    /// Whom to ask about it. May be repeated
    #[arg(long = "owner", value_name = "TEXT")]
    pub(crate) owners: Vec<String>,

    /// A note as key=value. May be repeated
    #[arg(long = "annotation", value_name = "KEY=VALUE")]
    pub(crate) annotations: Vec<String>,

    #[command(flatten)]
    pub(crate) changing: Changing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Failover {
    /// When an operator says so
    Manual,
    /// Also when the cluster is lost
    Automatic,
}

#[derive(Debug, Args)]
pub(crate) struct PromoteCluster {
    /// The cluster's id
    pub(crate) id: String,

    /// Also where a passive cluster of higher priority is passed over
    #[arg(long)]
    pub(crate) pass_over: bool,

    #[command(flatten)]
    pub(crate) changing: Changing,
}

#[derive(Debug, Args)]
pub(crate) struct DemoteCluster {
    /// The cluster's id
    pub(crate) id: String,

    /// The state that is wanted [default: the usual next one]
    #[arg(long, value_enum, value_name = "STATE")]
    pub(crate) to: Option<DemotedState>,

    #[command(flatten)]
    pub(crate) changing: Changing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DemotedState {
    /// Finishes what it has
    Draining,
    /// Follows and could take over
    Passive,
    /// Is being worked on
    Maintenance,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigShow {
    /// A version that is kept [default: the present one]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(crate) number: u64,

    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigPatch {
    /// The patch as JSON, such as '{"settings": {"a": "1", "b": null}}'
    pub(crate) patch: String,

    #[command(flatten)]
    pub(crate) changing: Changing,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigHistory {
    /// The newest so many, 1 to 100
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) limit: u32,

    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigRollback {
    /// The version to go back to
    pub(crate) number: u64,

    #[command(flatten)]
    pub(crate) changing: Changing,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Search entries, newest first
    List(AuditList),
    /// Write all entries as JSON lines, oldest first
    Export(AuditExport),
    /// Check the chain of hashes; exit code 6 where it is broken
    Verify(Shown),
}

#[derive(Debug, Args)]
pub(crate) struct AuditList {
    /// Only what this one did
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub(crate) actor: String,

    /// Only this verb, such as peer.cordon
    #[arg(long, value_name = "VERB", default_value = "", hide_default_value = true)]
    pub(crate) action: String,

    /// Only what was done under this ticket
    #[arg(long, value_name = "TICKET", default_value = "", hide_default_value = true)]
    pub(crate) ticket: String,

    /// Only about this record, such as peer/greeter-1
    #[arg(long, value_name = "RECORD", default_value = "", hide_default_value = true)]
    pub(crate) record: String,

    /// Only what was refused
    #[arg(long)]
    pub(crate) refused: bool,

    /// Not before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<Timestamp>,

    /// Before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Timestamp>,

    /// At most so many, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,

    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct AuditExport {
    /// Only entries after this number
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) after: u64,
}
