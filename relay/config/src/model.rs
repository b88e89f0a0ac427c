//! The shape of a relay's configuration.

use std::collections::BTreeMap;

use relay_core::{Protocol, headers};
use relay_policy::PolicyConfig;
use relay_transport::ListenerConfig;
use relay_transport::auth::AuthConfig;
use relay_transport::tls::ClientTlsConfig;
use serde::{Deserialize, Serialize};

/// All of a relay's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayConfig {
    /// Always `relay`: tells this file from other daemons'.
    pub kind: String,
    /// Who this relay is.
    pub node: NodeConfig,
    /// The listener for calls to route.
    pub data: ListenerConfig,
    /// The listener for diagnostics and control.
    pub admin: ListenerConfig,
    /// Who may see diagnostics.
    #[serde(default)]
    pub auth: AuthConfig,
    /// The control plane to register at; without it the relay stands alone.
    #[serde(default)]
    pub mesh: Option<MeshConfig>,
    /// Groups of peers that serve the same.
    #[serde(default)]
    pub outbounds: Vec<OutboundConfig>,
    /// Which calls go to which outbound; the first that matches counts.
    #[serde(default)]
    pub routes: Vec<RouteConfig>,
    /// The path of RPC over HTTP.
    #[serde(default = "default_rpc_path")]
    pub rpc_path: String,
    /// Rules for endpoints beside the built-in ones, and exceptions to both.
    #[serde(default)]
    pub policy: PolicyConfig,
}

/// Who a relay is.
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
    /// Free words about it.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// The control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeshConfig {
    /// `https://host:port` of meshkitd.
    pub endpoint: String,
    /// What may be used, most wanted first.
    #[serde(default = "default_protocols")]
    pub protocols: Vec<Protocol>,
    /// Whom to believe and who we are; the client certificate is the relay's identity.
    #[serde(default)]
    pub tls: ClientTlsConfig,
    /// The URL that the data plane is called at from elsewhere, where it is not the bound address.
    #[serde(default)]
    pub advertise: Option<String>,
}

/// A group of peers that serve the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutboundConfig {
    /// What routes call it.
    pub name: String,
    /// What may be used, most wanted first.
    #[serde(default = "default_protocols")]
    pub protocols: Vec<Protocol>,
    /// `https://host:port` of each peer.
    pub peers: Vec<String>,
    /// Whom to believe and who we are.
    #[serde(default)]
    pub tls: ClientTlsConfig,
    /// Milliseconds that one connection attempt may take.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// Milliseconds that a call may take where the caller names no deadline.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
}

/// Which calls go to an outbound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The `Rpc-Service` of the calls.
    pub service: String,
    /// Their procedures; a last `*` stands for anything, and none at all for every procedure.
    #[serde(default)]
    pub procedures: Vec<String>,
    /// gRPC services (`package.Service`) that belong to the service too.
    #[serde(default)]
    pub grpc_services: Vec<String>,
    /// The outbound's name.
    pub outbound: String,
}

impl RouteConfig {
    /// Whether everything that another route takes by service and procedure this one takes too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let covered = |pattern: &String| {
            let beginning = pattern.strip_suffix('*').unwrap_or(pattern);
            self.procedures.iter().any(|own| match own.strip_suffix('*') {
                Some(own) => beginning.starts_with(own),
                None => own == pattern,
            })
        };
        self.service == other.service
            && (self.procedures.is_empty()
                || (!other.procedures.is_empty() && other.procedures.iter().all(covered)))
    }

    /// Whether the route is for a procedure of its service.
    #[must_use]
    pub fn takes(&self, procedure: &str) -> bool {
        self.procedures.is_empty()
            || self.procedures.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => procedure.starts_with(beginning),
                None => pattern == procedure,
            })
    }
}

fn default_rpc_path() -> String {
    headers::DEFAULT_RPC_PATH.to_owned()
}

fn default_cluster() -> String {
    "default".to_owned()
}

fn default_protocols() -> Vec<Protocol> {
    vec![Protocol::Http3, Protocol::Http2]
}

const fn default_connect_timeout_ms() -> u64 {
    2_000
}

const fn default_timeout_ms() -> u64 {
    30_000
}
