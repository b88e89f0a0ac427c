//! The shape of MeshKit's configuration.

use std::path::PathBuf;
use std::time::Duration;

use meshkit_model::{Handover, Liveness, Namespace, Strategy};
use omnirelay_runtime::LogConfig;
use relay_policy::PolicyConfig;
use relay_transport::ListenerConfig;
use relay_transport::auth::AuthConfig;
use relay_transport::tls::ClientTlsConfig;
use serde::{Deserialize, Serialize};

use crate::bootstrap::BootstrapConfig;
use crate::membership::MembershipConfig;

/// All of meshkitd's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeshkitConfig {
    /// Always `meshkit`: tells this file from other daemons'.
    pub kind: String,
    /// Which meshkitd this is.
    pub node: NodeConfig,
    /// The one listener, for REST and gRPC.
    pub listener: ListenerConfig,
    /// Where the records are.
    pub store: StoreConfig,
    /// Who may call; nobody by default.
    #[serde(default)]
    pub auth: AuthConfig,
    /// The modules to run; all by default.
    #[serde(default = "all_modules")]
    pub modules: Vec<ModuleName>,
    /// How peers are judged.
    #[serde(default)]
    pub registry: RegistryConfig,
    /// How long leaders lead.
    #[serde(default)]
    pub leadership: LeadershipConfig,
    /// How this node gossips with others; without it, it does not.
    #[serde(default)]
    pub membership: Option<MembershipConfig>,
    /// What is cut into shards.
    #[serde(default)]
    pub shards: ShardsConfig,
    /// The authority that peers get their certificates from; without it this meshkitd issues none.
    #[serde(default)]
    pub bootstrap: Option<BootstrapConfig>,
    /// Rules for endpoints beside the built-in ones, and exceptions to both.
    #[serde(default)]
    pub policy: PolicyConfig,
    /// What is logged.
    #[serde(default)]
    pub log: LogConfig,
}

/// Which meshkitd this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Unique in the mesh: 1 to 128 of `[a-z0-9.-]`.
    pub name: String,
    /// The cluster that it belongs to.
    #[serde(default = "default_cluster")]
    pub cluster: String,
    /// Where in the cluster it stands.
    #[serde(default)]
    pub zone: String,
}

/// Where the records are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// What keeps them; SQLite by default.
    #[serde(default)]
    pub backend: StoreBackend,
    /// The SQLite file; it is made where it does not exist, its directory is not.
    #[serde(default)]
    pub path: PathBuf,
    /// etcd: `https://host:port` of each member's client listener.
    #[serde(default)]
    pub endpoints: Vec<String>,
    /// etcd: what all keys begin with. Every meshkitd of one mesh names the same, and nobody else writes below it.
    #[serde(default)]
    pub prefix: String,
    /// etcd: whom to believe, and which certificate to show.
    #[serde(default)]
    pub tls: ClientTlsConfig,
    /// etcd: the user, where certificates alone do not say it.
    #[serde(default)]
    pub user: String,
    /// etcd: the file with that user's password.
    #[serde(default)]
    pub password_file: PathBuf,
}

/// What keeps the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreBackend {
    /// One file, for one meshkitd.
    #[default]
    Sqlite,
    /// An etcd cluster, for several.
    Etcd,
}

impl StoreConfig {
    /// Where the records are, for people.
    #[must_use]
    pub fn place(&self) -> String {
        match self.backend {
            StoreBackend::Sqlite => self.path.display().to_string(),
            StoreBackend::Etcd => format!("`{}` on {}", self.prefix, self.endpoints.join(", ")),
        }
    }
}

/// A module of MeshKit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModuleName {
    /// Who is in the mesh.
    Registry,
    /// Who owns what.
    Shards,
    /// Who leads.
    Leaders,
    /// Who gossips.
    Members,
    /// Which clusters there are and serve.
    Clusters,
    /// The mesh's configuration.
    Config,
    /// Who did what.
    Audit,
    /// Copies of the store.
    Backup,
    /// Who may join, and by which certificate.
    Bootstrap,
}

impl ModuleName {
    /// Every module.
    pub const ALL: [Self; 9] = [
        Self::Registry,
        Self::Shards,
        Self::Leaders,
        Self::Members,
        Self::Clusters,
        Self::Config,
        Self::Audit,
        Self::Backup,
        Self::Bootstrap,
    ];

    /// The name in configuration and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Shards => "shards",
            Self::Leaders => "leaders",
            Self::Members => "members",
            Self::Clusters => "clusters",
            Self::Config => "config",
            Self::Audit => "audit",
            Self::Backup => "backup",
            Self::Bootstrap => "bootstrap",
        }
    }
}

/// How peers are judged, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryConfig {
    /// How often a peer is asked to be heard: 10 to 3 600 000.
    pub heartbeat_interval_ms: u32,
    /// Silence after which it is suspect; more than the interval.
    pub suspect_after_ms: u32,
    /// Silence after which it is dead and owns nothing; more than `suspect_after_ms`.
    pub dead_after_ms: u32,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self { heartbeat_interval_ms: 1_000, suspect_after_ms: 3_500, dead_after_ms: 10_000 }
    }
}

impl RegistryConfig {
    /// How often a peer is asked to be heard.
    #[must_use]
    pub fn heartbeat_interval(&self) -> Duration {
        Duration::from_millis(self.heartbeat_interval_ms.into())
    }

    /// What is made of silence.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        Liveness {
            suspect_after: Duration::from_millis(self.suspect_after_ms.into()),
            dead_after: Duration::from_millis(self.dead_after_ms.into()),
        }
    }
}

/// How long leaders lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeadershipConfig {
    /// How long a lease lasts after each renewal, in milliseconds: 200 to 600 000. A leader that
    /// died is followed a little after that; nodes of one mesh may differ.
    pub lease_ms: u32,
}

impl Default for LeadershipConfig {
    fn default() -> Self {
        Self { lease_ms: 2_000 }
    }
}

impl LeadershipConfig {
    /// How long a lease lasts after each renewal.
    #[must_use]
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms.into())
    }
}

/// What is cut into shards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShardsConfig {
    /// The key spaces.
    pub namespaces: Vec<NamespaceConfig>,
}

/// A key space that the peers of one service own in shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceConfig {
    /// Its name: 1 to 64 of `[a-z0-9.-]`.
    pub name: String,
    /// How many shards it has: 1 to 65536, fixed once it exists.
    pub shards: u32,
    /// The service whose peers own them.
    pub service: String,
    /// How owners are chosen.
    #[serde(default)]
    pub strategy: Strategy,
    /// How many peers keep each shard, its owner included: 1 to 5.
    #[serde(default = "one")]
    pub replicas: u32,
    /// Whether those stand in different zones as long as there are enough of them.
    #[serde(default = "yes")]
    pub spread_zones: bool,
    /// The zones whose peers own, of `locality-aware` alone.
    #[serde(default)]
    pub zones: Vec<String>,
    /// How ownership is handed over.
    #[serde(default)]
    pub handover: Handover,
}

impl NamespaceConfig {
    /// The namespace as the mesh keeps it.
    #[must_use]
    pub fn to_namespace(&self) -> Namespace {
        Namespace {
            strategy: self.strategy,
            replicas: self.replicas,
            spread_zones: self.spread_zones,
            zones: self.zones.clone(),
            handover: self.handover,
            ..Namespace::new(&self.name, self.shards, &self.service)
        }
    }
}

const fn one() -> u32 {
    1
}

const fn yes() -> bool {
    true
}

fn default_cluster() -> String {
    "default".to_owned()
}

fn all_modules() -> Vec<ModuleName> {
    ModuleName::ALL.to_vec()
}
