//! What an instance of a sample service is told.

use omnirelay_runtime::config::Loaded;
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_transport::ListenerConfig;
use relay_transport::tls::ClientTlsConfig;
use serde::Deserialize;

/// The configuration of one instance.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SampleConfig {
    /// Always `sample`.
    pub(crate) kind: String,
    pub(crate) node: Node,
    pub(crate) listener: ListenerConfig,
    /// The control plane; without it the instance stands alone and owns every item.
    #[serde(default)]
    pub(crate) mesh: Option<Mesh>,
}

/// Who the instance is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Node {
    /// Unique in the mesh.
    pub(crate) name: String,
    #[serde(default = "default_cluster")]
    pub(crate) cluster: String,
    #[serde(default)]
    pub(crate) zone: String,
}

/// The control plane.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mesh {
    pub(crate) endpoint: String,
    #[serde(default)]
    pub(crate) tls: ClientTlsConfig,
    /// The URL that this instance is called at, where it is not the bound address.
    #[serde(default)]
    pub(crate) advertise: Option<String>,
}

fn default_cluster() -> String {
    "default".to_owned()
}

/// Refuses a configuration of something else.
pub(crate) fn check(loaded: &Loaded<SampleConfig>) -> Result<()> {
    if loaded.value.kind == "sample" {
        return Ok(());
    }
    let message = format!("`kind` is `{}`, this runs samples", loaded.value.kind);
    let error = OperatorError::new(ErrorKind::Config, message).hint("write `kind = \"sample\"`");
    Err(match loaded.locate("kind") {
        Some(location) => error.at(location.to_string()),
        None => error,
    })
}
