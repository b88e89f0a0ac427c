//! The grammar of shards and of what is cut into them.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{Changing, Listing, Shown};

#[derive(Debug, Subcommand)]
pub(crate) enum Shards {
    /// List shards by namespace and id
    List(ShardsList),
    /// Show one shard
    Get(OneShard),
    /// Find the shard of a key and who owns it
    Lookup(LookupKey),
    /// Show what each owner has
    Owners(OfNamespace),
    /// Show what each owner has and how many calls it gets, again and again until Ctrl-C
    Top(ShardsTop),
    /// Show what changed between two revisions
    Diff(ShardsDiff),
    /// Show the changes of one shard, newest first
    History(ShardHistory),
    /// Show what would move if peers came, went or weighed otherwise
    Simulate(Simulate),
    /// Bind a shard to a peer, or give it back to the strategy
    Assign(Assign),
    /// Follow shards as they change until Ctrl-C, also across restarts of the control plane
    Watch(OfNamespace),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Namespaces {
    /// List namespaces
    List(NamespacesList),
    /// Show one namespace
    Get(OneNamespace),
    /// Add a namespace; its shards follow at once
    Create(NewNamespace),
    /// Change how a namespace's shards are placed and handed over
    Update(SaidNamespace),
    /// Remove a namespace with its shards
    Delete(DeleteNamespace),
}

#[derive(Debug, Args)]
pub(crate) struct ShardsList {
    /// Only shards of this namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,

    /// Only shards of this owner, by peer id
    #[arg(long, value_name = "PEER")]
    pub(crate) owner: Option<String>,

    /// Only shards in this state
    #[arg(long, value_enum, value_name = "STATUS")]
    pub(crate) status: Option<ShardState>,

    #[command(flatten)]
    pub(crate) listing: Listing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShardState {
    /// Serves
    Active,
    /// On its way to another owner
    Draining,
    /// Held by an operator
    Paused,
    /// Out of service
    Disabled,
}

#[derive(Debug, Args)]
pub(crate) struct OneShard {
    /// The namespace
    pub(crate) namespace: String,

    /// The shard's number
    pub(crate) id: u32,

    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct LookupKey {
    /// The namespace
    pub(crate) namespace: String,

    /// The key
    pub(crate) key: String,

    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct OfNamespace {
    /// Only shards of this namespace
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) namespace: String,

    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct ShardsTop {
    /// Time between two looks: `500ms`, `2s`, `1m`
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = crate::args::duration)]
    pub(crate) interval: Duration,

    /// End after so many looks [default: none]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    #[command(flatten)]
    pub(crate) of: OfNamespace,
}

#[derive(Debug, Args)]
pub(crate) struct ShardsDiff {
    /// What changed behind this revision
    pub(crate) from: u64,

    /// Up to this revision [default: now]
    #[arg(default_value_t = 0, hide_default_value = true)]
    pub(crate) to: u64,

    #[command(flatten)]
    pub(crate) of: OfNamespace,
}

#[derive(Debug, Args)]
pub(crate) struct ShardHistory {
    /// The namespace
    pub(crate) namespace: String,

    /// The shard's number
    pub(crate) id: u32,

    /// The latest so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,

    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// A peer that would come, as ID, ID:ZONE or ID:ZONE:WEIGHT. May be repeated
    #[arg(long, value_name = "PEER")]
    pub(crate) add: Vec<String>,

    /// A peer that would be gone. May be repeated
    #[arg(long, value_name = "ID")]
    pub(crate) remove: Vec<String>,

    /// A peer that would weigh otherwise, as ID:WEIGHT. May be repeated
    #[arg(long, value_name = "PEER")]
    pub(crate) reweight: Vec<String>,

    #[command(flatten)]
    pub(crate) of: OfNamespace,
}

#[derive(Debug, Args)]
pub(crate) struct Assign {
    /// The namespace
    pub(crate) namespace: String,

    /// The shard's number
    pub(crate) id: u32,

    /// Who is to own it
    #[arg(required_unless_present = "release")]
    pub(crate) peer: Option<String>,

    /// Give it back to the strategy
    #[arg(long, conflicts_with = "peer")]
    pub(crate) release: bool,

    /// Only where it is owned under this fence [default: the one that it is owned under now]
    #[arg(long, value_name = "FENCE")]
    pub(crate) fence: Option<u64>,

    #[command(flatten)]
    pub(crate) changing: Changing,
}

#[derive(Debug, Args)]
pub(crate) struct NamespacesList {
    #[command(flatten)]
    pub(crate) listing: Listing,
}

#[derive(Debug, Args)]
pub(crate) struct OneNamespace {
    /// The namespace
    pub(crate) name: String,

    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteNamespace {
    /// The namespace
    pub(crate) name: String,

    #[command(flatten)]
    pub(crate) changing: Changing,
}

#[derive(Debug, Args)]
pub(crate) struct NewNamespace {
    /// How many shards, 1 to 65536; it cannot be changed later
    #[arg(long, value_name = "N")]
    pub(crate) shards: u32,

    /// The service whose peers own them
    #[arg(long, value_name = "NAME")]
    pub(crate) service: String,

    #[command(flatten)]
    pub(crate) said: SaidNamespace,
}

#[derive(Debug, Args)]
pub(crate) struct SaidNamespace {
    /// The namespace
    pub(crate) name: String,

    /// How owners are chosen
    #[arg(long, value_enum, value_name = "STRATEGY")]
    pub(crate) strategy: Option<Strategy>,

    /// How many peers keep each shard, its owner included: 1 to 5
    #[arg(long, value_name = "N")]
    pub(crate) replicas: Option<u32>,

    /// Whether those stand in different zones
    #[arg(long, value_name = "BOOL")]
    pub(crate) spread_zones: Option<bool>,

    /// A zone whose peers own, of locality-aware alone. May be repeated
    #[arg(long = "zone", value_name = "ZONE")]
    pub(crate) zones: Vec<String>,

    /// How ownership is handed over
    #[arg(long, value_enum, value_name = "HANDOVER")]
    pub(crate) handover: Option<Handover>,

    #[command(flatten)]
    pub(crate) changing: Changing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Strategy {
    /// The next on a ring of hashes
    Ring,
    /// The highest score
    Rendezvous,
    /// The highest score by weight
    WeightedRendezvous,
    /// Jump consistent hashing
    Jump,
    /// The highest score by weight in the namespace's zones
    LocalityAware,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Handover {
    /// At once
    Immediate,
    /// Step by step, as owners say
    Acknowledged,
}
