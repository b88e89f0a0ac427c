//! The grammar of `omnirelay mesh`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::output::{ListFormat, VerdictFormat};

mod backup;
mod bootstrap;
mod operate;
mod shards;

pub(crate) use backup::*;
pub(crate) use bootstrap::*;
pub(crate) use operate::*;
pub(crate) use shards::*;

#[derive(Debug, Subcommand)]
pub(crate) enum Mesh {
    /// Who is in the mesh
    #[command(subcommand)]
    Peers(Peers),
    /// Who owns what
    #[command(subcommand)]
    Shards(Shards),
    /// What is cut into shards, and how those are placed
    #[command(subcommand)]
    Namespaces(Namespaces),
    /// Who leads the mesh, its namespaces and its modules
    #[command(subcommand)]
    Leaders(Leaders),
    /// Show who gossips and how each stands, as the meshkitd that answers sees it
    Members(MembersList),
    /// The clusters of the mesh and which of them serve
    #[command(subcommand)]
    Clusters(Clusters),
    /// Configuration of the mesh and of the daemons
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Count peers by software version
    Versions(Shown),
    /// Who did what, or was refused
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Who may join, by which certificate, and who may no more
    #[command(subcommand)]
    Bootstrap(Bootstrap),
    /// Copy the whole store of a running meshkitd into a file
    ///
    /// Reads and writes go on meanwhile. The file holds the store's secrets, and its owner alone can read it. It takes
    /// `mesh.admin`. Where the store is in etcd, take `etcdctl snapshot save`.
    Backup(TakeBackup),
    /// Make the store of a stopped meshkitd of a backup
    ///
    /// It runs on the machine of the store, by meshkitd itself. Who watched before has to read everything anew, and
    /// the audit tells who restored it. Where meshkitd runs, nothing is done.
    Restore(RestoreStore),
    /// How calls are carried
    #[command(subcommand)]
    Transport(TransportCommand),
    /// What a daemon remembers of what went otherwise than wanted
    #[command(subcommand)]
    Debug(DebugCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TransportCommand {
    /// Show how a daemon's calls were carried: protocols, encodings, downgrades, exceptions
    Stats(TransportStats),
}

#[derive(Debug, Subcommand)]
pub(crate) enum DebugCommand {
    /// Show the calls that were downgraded or refused by the transport policy, and why
    DowngradeEvents(DowngradeEvents),
}

/// Whose diagnostics are read.
#[derive(Debug, Args)]
pub(crate) struct Daemon {
    /// The relay, by its name in the context or by the URL of its diagnostics
    /// [default: the context's first]
    #[arg(long, value_name = "URL|NAME", conflicts_with = "url")]
    pub(crate) relay: Option<String>,

    /// Any daemon by URL: a relay's diagnostics or the control plane
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TransportStats {
    #[command(flatten)]
    pub(crate) daemon: Daemon,

    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ListFormat,
}

#[derive(Debug, Args)]
pub(crate) struct DowngradeEvents {
    #[command(flatten)]
    pub(crate) daemon: Daemon,

    /// Follow the events until Ctrl-C, also across restarts of the daemon
    #[arg(long)]
    pub(crate) watch: bool,

    /// The latest so many, 1 to 1024; a watch begins with them
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) limit: u16,

    /// How to answer; with --watch JSON is one document a line
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ListFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Peers {
    /// List peers
    List(PeersList),
    /// Show one peer
    Get(OnePeer),
    /// Give a peer no new shards
    Cordon(HoldPeer),
    /// End a cordon or a drain
    Uncordon(HoldPeer),
    /// Move all shards away from a peer; `get` tells how far that is
    Drain(HoldPeer),
    /// Set labels over those that a peer registers with (key=value), or hide them (key-)
    Label(LabelPeer),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Leaders {
    /// Show who leads what
    Status(LeadersStatus),
    /// Ask a leader to give a scope up; another node follows at once
    Resign(ResignLeader),
}

#[derive(Debug, Args)]
pub(crate) struct LeadersStatus {
    /// This scope alone: global, namespace/NAME or module/NAME
    pub(crate) scope: Option<String>,

    /// Follow what becomes of it until Ctrl-C; with JSON one document a line
    #[arg(long)]
    pub(crate) watch: bool,

    #[command(flatten)]
    pub(crate) listing: Listing,
}

#[derive(Debug, Args)]
pub(crate) struct ResignLeader {
    /// The scope: global, namespace/NAME or module/NAME
    pub(crate) scope: String,

    #[command(flatten)]
    pub(crate) changing: Changing,
}

#[derive(Debug, Args)]
pub(crate) struct MembersList {
    /// Only members in this state
    #[arg(long, value_enum, value_name = "STATUS")]
    pub(crate) status: Option<MemberState>,

    /// More conditions, all of which have to hold: zone=eu-1,id~meshkit
    #[arg(long, value_name = "CONDITIONS", default_value = "", hide_default_value = true)]
    pub(crate) filter: String,

    /// Follow them until Ctrl-C, also across restarts of the control plane; JSON is one document a line
    #[arg(long, conflicts_with_all = ["status", "filter", "limit"])]
    pub(crate) watch: bool,

    #[command(flatten)]
    pub(crate) listing: Listing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MemberState {
    /// It answers
    Alive,
    /// It did not answer and may still speak up
    Suspect,
    /// It said goodbye
    Left,
    /// It did not answer anybody for long enough
    Dead,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a configuration as a daemon does before it opens the files that it names
    Validate(Validate),
    /// Show the mesh's configuration
    Show(ConfigShow),
    /// Change the mesh's configuration by a JSON merge patch (RFC 7396)
    Patch(ConfigPatch),
    /// List its versions, newest first
    History(ConfigHistory),
    /// Make a new version that says what an old one did
    Rollback(ConfigRollback),
}

#[derive(Debug, Args)]
pub(crate) struct PeersList {
    /// Only peers of this role: relay, service or another
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Option<String>,

    /// Only peers that serve this service
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,

    /// Only peers of this cluster
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,

    /// Only peers in this state
    #[arg(long, value_enum, value_name = "STATUS")]
    pub(crate) status: Option<PeerState>,

    /// More conditions, all of which have to hold: labels.team=core,id~green,recordVersion>=3
    #[arg(long, value_name = "CONDITIONS", default_value = "", hide_default_value = true)]
    pub(crate) filter: String,

    /// Fields to sort by, `-` before one for the reverse: -lastSeenAt,id
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
    pub(crate) listing: Listing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PeerState {
    /// Heartbeats arrive in time
    Alive,
    /// No heartbeat within the suspicion time
    Suspect,
    /// No heartbeat within the failure time
    Dead,
    /// Said goodbye
    Left,
}

#[derive(Debug, Args)]
pub(crate) struct Listing {
    /// Stop after so many [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,

    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ListFormat,
}

#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// TOML files, a later one over an earlier one; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// A value over all files, as section.key=value. May be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) sets: Vec<String>,

    /// The configuration that this one replaces, in layers as FILE: says which endpoints and
    /// procedures the change would downgrade. May be repeated
    #[arg(long, value_name = "OLD")]
    pub(crate) against: Vec<PathBuf>,

    /// Fail with exit code 6 where the change downgrades anything
    #[arg(long, requires = "against")]
    pub(crate) fail_on_downgrade: bool,

    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: VerdictFormat,
}
