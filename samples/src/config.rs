//! What an instance of a sample service is told.

use std::path::PathBuf;

use jiff::Timestamp;
use omnirelay_runtime::config::Loaded;
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_policy::{Endpoint, Policy, PolicyConfig, Style};
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
    /// Over which transports and in which encodings it may be called.
    #[serde(default)]
    pub(crate) policy: PolicyConfig,
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
    /// Where certificate, authorities and revocation list are kept as the mesh issues them.
    #[serde(default)]
    pub(crate) identity: Option<PathBuf>,
}

fn default_cluster() -> String {
    "default".to_owned()
}

/// The name of the one endpoint in metrics and in `policy.endpoints`.
pub(crate) const ENDPOINT: &str = "service:http";

impl SampleConfig {
    /// What calls come in by, as the policy knows it.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint {
            name: ENDPOINT.to_owned(),
            key: "listener.protocols".to_owned(),
            category: "data-plane".to_owned(),
            transports: self.listener.protocols.clone(),
            styles: Style::ALL.to_vec(),
            encodings: None,
        }
    }
}

/// Refuses a configuration of something else, and one that its own policy does not allow.
pub(crate) fn check(loaded: &Loaded<SampleConfig>, now: Timestamp) -> Result<()> {
    let config = &loaded.value;
    if config.kind != "sample" {
        let message = format!("`kind` is `{}`, this runs samples", config.kind);
        let error = OperatorError::new(ErrorKind::Config, message).hint("write `kind = \"sample\"`");
        return Err(loaded.place("kind", error));
    }
    let report = Policy::new(&config.policy).report(&config.policy, &[config.endpoint()], now);
    match report.findings.into_iter().next() {
        None => Ok(()),
        Some(finding) => {
            let message = format!("{}: {}", finding.subject, finding.problem);
            let error = OperatorError::new(ErrorKind::Config, message).rule(finding.rule).hint(&finding.hint);
            Err(loaded.place(&finding.key, error))
        }
    }
}
