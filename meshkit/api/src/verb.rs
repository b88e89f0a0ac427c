//! Everything that can be asked of MeshKit, and what it takes: the one table that REST and gRPC are
//! enforced from, and that the reference is written from.

use std::fmt;

use relay_core::Scope;

/// What a verb does to the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Read,
    /// A peer tells of itself: it needs no version, and being told twice is being told once.
    Report,
    /// A record changes: the caller says which version it saw.
    Change,
    /// As [`Change`](Self::Change), and what follows is not taken back by the opposite verb alone:
    /// the caller sees a dry run first and confirms it.
    Destructive,
}

/// What there is to know of a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The name in audits, such as `peer.cordon`.
    pub name: &'static str,
    /// The REST method and path.
    pub rest: &'static str,
    /// The gRPC service and method below `meshkit.v1`.
    pub rpc: &'static str,
    /// What the caller must have at least; none where it shows a join token instead.
    pub scope: Option<Scope>,
    /// What it does to the mesh.
    pub effect: Effect,
    /// What it is for, in one line.
    pub about: &'static str,
}

macro_rules! scope {
    (JoinToken) => {
        None
    };
    ($scope:ident) => {
        Some(Scope::$scope)
    };
}

macro_rules! verbs {
    ($($verb:ident: $name:literal, $rest:literal, $rpc:literal, $scope:ident, $effect:ident, $about:literal;)*) => {
        /// Something that can be asked of MeshKit.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Verb {
            $(#[doc = $about] $verb,)*
        }

        impl Verb {
            /// Every verb, in the order of the reference.
            pub const ALL: &'static [Self] = &[$(Self::$verb,)*];

            /// What there is to know of it.
            #[must_use]
            pub const fn row(self) -> Row {
                match self {
                    $(Self::$verb => Row {
                        name: $name,
                        rest: $rest,
                        rpc: $rpc,
                        scope: scope!($scope),
                        effect: Effect::$effect,
                        about: $about,
                    },)*
                }
            }
        }
    };
}

verbs! {
    PeersList: "peer.list", "GET /meshkit/peers", "RegistryService/ListPeers", Read, Read, "List peers";
    PeersGet: "peer.get", "GET /meshkit/peers/{id}", "RegistryService/GetPeer", Read, Read, "Read one peer";
    PeersWatch: "peer.watch", "GET /meshkit/peers:watch", "RegistryService/WatchPeers", Observe, Read, "Follow peers as they change";
    PeersRegister: "peer.register", "POST /meshkit/peers", "RegistryService/RegisterPeer", Observe, Report, "Register a peer; 201 where it is new, else 200";
    PeersHeartbeat: "peer.heartbeat", "POST /meshkit/peers/{id}:heartbeat", "RegistryService/Heartbeat", Observe, Report, "Say that a peer lives or leaves";
    PeersCordon: "peer.cordon", "POST /meshkit/peers/{id}:cordon", "RegistryService/CordonPeer", Operate, Change, "Give a peer no new shards";
    PeersUncordon: "peer.uncordon", "POST /meshkit/peers/{id}:uncordon", "RegistryService/UncordonPeer", Operate, Change, "End a cordon or a drain";
    PeersDrain: "peer.drain", "POST /meshkit/peers/{id}:drain", "RegistryService/DrainPeer", Operate, Destructive, "Move all shards away from a peer";
    PeersLabel: "peer.label", "PATCH /meshkit/peers/{id}", "RegistryService/PatchPeerLabels", Operate, Change, "Set or hide labels of a peer";
    VersionsList: "version.list", "GET /meshkit/versions", "RegistryService/ListVersions", Read, Read, "Count peers by software version";
    ClustersList: "cluster.list", "GET /meshkit/clusters", "ClustersService/ListClusters", Read, Read, "List clusters";
    ClustersGet: "cluster.get", "GET /meshkit/clusters/{id}", "ClustersService/GetCluster", Read, Read, "Read one cluster";
    ClustersWatch: "cluster.watch", "GET /meshkit/clusters:watch", "ClustersService/WatchClusters", Observe, Read, "Follow clusters as they change";
    ClustersCreate: "cluster.create", "POST /meshkit/clusters", "ClustersService/CreateCluster", Admin, Change, "Add a cluster";
    ClustersUpdate: "cluster.update", "PATCH /meshkit/clusters/{id}", "ClustersService/UpdateCluster", Admin, Change, "Change what is said of a cluster";
    ClustersPromote: "cluster.promote", "POST /meshkit/clusters/{id}:promote", "ClustersService/PromoteCluster", Admin, Destructive, "Take a cluster one step towards serving";
    ClustersDemote: "cluster.demote", "POST /meshkit/clusters/{id}:demote", "ClustersService/DemoteCluster", Admin, Destructive, "Take a cluster one step away from serving";
    ConfigGet: "config.get", "GET /meshkit/config", "ConfigService/GetConfig", Read, Read, "Read the mesh's configuration";
    ConfigHistory: "config.history", "GET /meshkit/config/history", "ConfigService/ListConfigHistory", Read, Read, "Read its versions";
    ConfigWatch: "config.watch", "GET /meshkit/config:watch", "ConfigService/WatchConfig", Observe, Read, "Follow the configuration as it changes";
    ConfigPatch: "config.patch", "PATCH /meshkit/config", "ConfigService/PatchConfig", Admin, Change, "Change the configuration by a merge patch";
    ConfigRollback: "config.rollback", "POST /meshkit/config:rollback", "ConfigService/RollbackConfig", Admin, Destructive, "Take the configuration back to a version";
    AuditList: "audit.list", "GET /meshkit/audit", "AuditService/ListAudit", Operate, Read, "Search the audit";
    AuditExport: "audit.export", "GET /meshkit/audit:export", "AuditService/ExportAudit", Operate, Read, "Read the whole audit as JSON lines";
    AuditVerify: "audit.verify", "GET /meshkit/audit:verify", "AuditService/VerifyAudit", Operate, Read, "Check the audit's chain of hashes";
    BackupTake: "backup.take", "GET /meshkit/backup", "BackupService/TakeBackup", Admin, Read, "Copy the whole store, secrets included";
    BootstrapJoin: "bootstrap.join", "POST /meshkit/bootstrap:join", "BootstrapService/Join", JoinToken, Report, "Get a first certificate by a join token";
    BootstrapRenew: "bootstrap.renew", "POST /meshkit/bootstrap:renew", "BootstrapService/RenewCertificate", Observe, Report, "Get the next certificate by the present one";
    TrustGet: "trust.get", "GET /meshkit/trust", "BootstrapService/GetTrust", Read, Read, "Read the authorities and the revocation list";
    JoinTokensIssue: "join-token.issue", "POST /meshkit/join-tokens", "BootstrapService/IssueJoinToken", Admin, Change, "Make a token that lets peers join";
    JoinTokensList: "join-token.list", "GET /meshkit/join-tokens", "BootstrapService/ListJoinTokens", Admin, Read, "List join tokens";
    JoinTokensWithdraw: "join-token.withdraw", "POST /meshkit/join-tokens/{id}:withdraw", "BootstrapService/WithdrawJoinToken", Admin, Change, "Let a join token count no more";
    IdentitiesList: "identity.list", "GET /meshkit/identities", "BootstrapService/ListIdentities", Operate, Read, "List who joined";
    IdentitiesGet: "identity.get", "GET /meshkit/identities/{id}", "BootstrapService/GetIdentity", Operate, Read, "Read who joined under a name";
    IdentitiesRevoke: "identity.revoke", "POST /meshkit/identities/{id}:revoke", "BootstrapService/RevokeIdentity", Admin, Destructive, "Let all certificates of one count no more";
    RevocationsAdd: "revocation.add", "POST /meshkit/revocations", "BootstrapService/RevokeCertificate", Admin, Destructive, "Let one certificate count no more, by serial number";
    RevocationsWatch: "revocation.watch", "GET /meshkit/revocations:watch", "BootstrapService/WatchRevocations", Observe, Read, "Follow revocations";
    LeadersList: "leader.list", "GET /meshkit/leaders", "LeadersService/ListLeaders", Read, Read, "List leases";
    LeadersGet: "leader.get", "GET /meshkit/leaders/{id}", "LeadersService/GetLeader", Read, Read, "Read one lease";
    LeadersWatch: "leader.watch", "GET /meshkit/leaders:watch", "LeadersService/WatchLeaders", Observe, Read, "Follow who leads";
    LeadersResign: "leader.resign", "POST /meshkit/leaders/{id}:resign", "LeadersService/ResignLeader", Operate, Change, "Ask a leader to give a scope up";
    MembersList: "member.list", "GET /meshkit/members", "MembersService/ListMembers", Read, Read, "List who gossips, as this node sees it";
    MembersGet: "member.get", "GET /meshkit/members/{id}", "MembersService/GetMember", Read, Read, "Read one member";
    MembersWatch: "member.watch", "GET /meshkit/members:watch", "MembersService/WatchMembers", Observe, Read, "Follow members as they change";
    ShardsList: "shard.list", "GET /meshkit/shards", "ShardsService/ListShards", Read, Read, "List shards";
    NamespacesList: "namespace.list", "GET /meshkit/namespaces", "NamespacesService/ListNamespaces", Read, Read, "List what is cut into shards";
    NamespacesGet: "namespace.get", "GET /meshkit/namespaces/{id}", "NamespacesService/GetNamespace", Read, Read, "Read one namespace";
    NamespacesCreate: "namespace.create", "POST /meshkit/namespaces", "NamespacesService/CreateNamespace", Admin, Change, "Add a namespace";
    NamespacesUpdate: "namespace.update", "PATCH /meshkit/namespaces/{id}", "NamespacesService/UpdateNamespace", Admin, Change, "Change how its shards are placed and handed over";
    NamespacesDelete: "namespace.delete", "DELETE /meshkit/namespaces/{id}", "NamespacesService/DeleteNamespace", Admin, Destructive, "Remove a namespace with its shards";
    ShardsGet: "shard.get", "GET /meshkit/shards/{namespace}/{id}", "ShardsService/GetShard", Read, Read, "Read one shard";
    ShardsHistory: "shard.history", "GET /meshkit/shards/{namespace}/{id}/history", "ShardsService/ListShardHistory", Read, Read, "Read the changes of one shard";
    ShardsWatch: "shard.watch", "GET /meshkit/shards:watch", "ShardsService/WatchShards", Observe, Read, "Follow shards as they change";
    ShardsDiff: "shard.diff", "GET /meshkit/shards:diff", "ShardsService/DiffShards", Read, Read, "Tell what changed between two revisions";
    ShardsOwners: "shard.owners", "GET /meshkit/shards:owners", "ShardsService/ListShardOwners", Read, Read, "Tell what each owner has";
    ShardsSimulate: "shard.simulate", "GET /meshkit/shards:simulate", "ShardsService/SimulateShards", Read, Read, "Tell what would move if peers came or went";
    ShardsAssign: "shard.assign", "POST /meshkit/shards/{namespace}/{id}:assign", "ShardsService/AssignShard", Operate, Change, "Bind a shard to a peer, or to none";
    ShardsReport: "shard.report", "POST /meshkit/shards:report", "ShardsService/ReportOwnership", Observe, Report, "Renew an owner's lease and tell how far its shards are";
    ShardsLookup: "shard.lookup", "GET /meshkit/shards/lookup", "ShardsService/LookupShard", Read, Read, "Find the shard of a key";
}

impl Verb {
    /// What the caller must have at least; none where it shows a join token instead.
    #[must_use]
    pub const fn scope(self) -> Option<Scope> {
        self.row().scope
    }

    /// The name in audits, such as `peer.cordon`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Whether it has to be seen as a dry run and confirmed.
    #[must_use]
    pub const fn is_destructive(self) -> bool {
        matches!(self.row().effect, Effect::Destructive)
    }

    /// The table as the reference shows it, in Markdown.
    #[must_use]
    pub fn reference() -> String {
        let mut text = "| REST | gRPC | scope | effect | |\n| --- | --- | --- | --- | --- |\n".to_owned();
        for verb in Self::ALL {
            let row = verb.row();
            let effect = match row.effect {
                Effect::Read => "reads",
                Effect::Report => "reports",
                Effect::Change => "changes",
                Effect::Destructive => "changes, confirmed",
            };
            let scope = row.scope.map_or_else(|| "a join token".to_owned(), |scope| format!("`{scope}`"));
            let (rest, rpc, about) = (row.rest, row.rpc, row.about);
            text.push_str(&format!("| `{rest}` | `{rpc}` | {scope} | {effect} | {about} |\n"));
        }
        text
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_verb_has_names_of_its_own() {
        for name in [|row: Row| row.name, |row: Row| row.rest, |row: Row| row.rpc] {
            let names: BTreeSet<_> = Verb::ALL.iter().map(|verb| name(verb.row())).collect();
            assert_eq!(names.len(), Verb::ALL.len());
        }
    }

    #[test]
    fn no_change_takes_less_than_mesh_operate() {
        for verb in Verb::ALL {
            let changes = matches!(verb.row().effect, Effect::Change | Effect::Destructive);
            assert!(!changes || verb.scope() >= Some(Scope::Operate), "{verb}");
            assert_eq!(changes || verb.row().effect == Effect::Report, !verb.row().rest.starts_with("GET"));
        }
    }
}
