//! The shape of a relay's configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use omnirelay_runtime::LogConfig;
use omnirelay_runtime::takeover::TakeoverConfig;
use relay_core::{Protocol, headers};
use relay_policy::PolicyConfig;
use relay_transport::ListenerConfig;
use relay_transport::auth::AuthConfig;
use relay_transport::tls::ClientTlsConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::outbound::OutboundConfig;
use crate::route::RouteConfig;

/// All of a relay's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RelayConfig {
    /// Always `relay`: tells this file from other daemons'.
    #[schemars(extend("const" = "relay"))]
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
    /// What is logged.
    #[serde(default)]
    pub log: LogConfig,
    /// One line of the log a call; without it none.
    #[serde(default)]
    pub access_log: Option<AccessLogConfig>,
    /// Where spans of calls go; without it traces pass through untouched.
    #[serde(default)]
    pub tracing: Option<TracingConfig>,
    /// How a new process takes over from this one without losing a call; without it, none does.
    #[serde(default)]
    pub takeover: Option<TakeoverConfig>,
}

/// Where spans of calls go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TracingConfig {
    /// `https://host:port` of a collector that takes OTLP over HTTP.
    pub endpoint: String,
    /// What may be used, most wanted first.
    #[serde(default = "collector_protocols")]
    pub protocols: Vec<Protocol>,
    /// Whom to believe and who we are.
    #[serde(default)]
    pub tls: ClientTlsConfig,
    /// So many of a hundred calls that come without a trace begin one, 0 to 100. A call with one is told as its
    /// trace says.
    #[serde(default = "one")]
    pub percent: u32,
}

const fn one() -> u32 {
    1
}

fn collector_protocols() -> Vec<Protocol> {
    vec![Protocol::Http2, Protocol::Http1]
}

/// Which calls are told in the log, under the target `omnirelay::access`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLogConfig {
    /// So many of a hundred calls, 0 to 100.
    pub percent: u32,
    /// Whether every call is told that does not end well.
    pub failures: bool,
}

impl Default for AccessLogConfig {
    fn default() -> Self {
        Self { percent: 100, failures: true }
    }
}

/// Who a relay is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeshConfig {
    /// `https://host:port` of meshkitd.
    pub endpoint: String,
    /// The other meshkitd on the same store: called in turn where the one that is called does not serve.
    #[serde(default)]
    pub fallbacks: Vec<String>,
    /// What may be used, most wanted first.
    #[serde(default = "default_protocols")]
    pub protocols: Vec<Protocol>,
    /// Whom to believe and who we are; the client certificate is the relay's identity.
    #[serde(default)]
    pub tls: ClientTlsConfig,
    /// The URL that the data plane is called at from elsewhere, where it is not the bound address.
    #[serde(default)]
    pub advertise: Option<String>,
    /// The directory that `omnirelay mesh bootstrap join` wrote: kept with a valid certificate, the mesh's authorities and
    /// its revocation list. The `tls` sections name its files.
    #[serde(default)]
    pub identity: Option<PathBuf>,
}

fn default_rpc_path() -> String {
    headers::DEFAULT_RPC_PATH.to_owned()
}

fn default_cluster() -> String {
    "default".to_owned()
}

pub(crate) fn default_protocols() -> Vec<Protocol> {
    vec![Protocol::Http3, Protocol::Http2]
}
