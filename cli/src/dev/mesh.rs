//! Which processes the development mesh has and where each of them can be reached.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr;

use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use serde::{Deserialize, Serialize};

/// The first port where none is named; `omnirelay` holds 7400 to 7422 then.
const DEFAULT_BASE_PORT: u16 = 7400;
/// The last port above the first that the mesh uses.
pub(crate) const LAST_PORT: u16 = 22;

/// What the user may choose about a development mesh; remembered in its directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    /// The first port.
    pub(crate) base_port: u16,
    /// The address that every listener binds.
    pub(crate) listen: IpAddr,
    /// Names and addresses beyond loopback.
    #[serde(default)]
    pub(crate) hosts: Hosts,
    /// Where the processes see the directory; the directory itself where it is not said.
    #[serde(default)]
    pub(crate) mounted_at: Option<std::path::PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            base_port: DEFAULT_BASE_PORT,
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            hosts: Hosts::default(),
            mounted_at: None,
        }
    }
}

impl Options {
    /// Refuses a first port that leaves no room for the others.
    pub(crate) fn check(&self) -> Result<()> {
        if self.base_port < 1024 || self.base_port.checked_add(LAST_PORT).is_none() {
            return Err(OperatorError::new(
                ErrorKind::Usage,
                format!("the mesh cannot start at port {}", self.base_port),
            )
            .hint(format!("name one from 1024 to {} with `--base-port N`", u16::MAX - LAST_PORT)));
        }
        Ok(())
    }
}

/// Names and addresses by which processes are called besides loopback.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hosts {
    /// Good for every process.
    #[serde(default)]
    every: Vec<String>,
    /// Good for the process of that name alone.
    #[serde(default)]
    own: BTreeMap<String, Vec<String>>,
}

impl Hosts {
    /// Reads `NAME` and `COMPONENT=NAME`.
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        let mut hosts = Self::default();
        for arg in args {
            match arg.split_once('=') {
                Some((component, host)) if NAMES.contains(&component) && !host.is_empty() => {
                    hosts.own.entry(component.to_owned()).or_default().push(host.to_owned());
                }
                None if !arg.is_empty() => hosts.every.push(arg.clone()),
                _ => {
                    return Err(OperatorError::new(
                        ErrorKind::Usage,
                        format!("`--host {arg}` names no host"),
                    )
                    .hint(format!(
                        "write `--host NAME` or `--host COMPONENT=NAME` with one of {}",
                        NAMES.join(", ")
                    )));
                }
            }
        }
        Ok(hosts)
    }

    /// All that a certificate of `component` holds for.
    pub(super) fn of_certificate(&self, component: &str, listen: IpAddr) -> Vec<String> {
        let mut all: Vec<String> =
            ["localhost", component, "127.0.0.1", "::1"].into_iter().map(str::to_owned).collect();
        if !listen.is_unspecified() {
            all.push(listen.to_string());
        }
        all.extend(self.own.get(component).into_iter().flatten().cloned());
        all.extend(self.every.iter().cloned());
        let mut seen = std::collections::HashSet::new();
        all.retain(|host| seen.insert(host.clone()));
        all
    }

    /// The name or address that others call `component` by.
    fn to_call(&self, component: &str, listen: IpAddr) -> String {
        let own = self.own.get(component).into_iter().flatten();
        if let Some(host) = own.chain(&self.every).next() {
            return host.clone();
        }
        if listen.is_unspecified() { Ipv4Addr::LOCALHOST.to_string() } else { listen.to_string() }
    }
}

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The control plane.
    Meshkit,
    /// A sample service.
    Sample,
    /// A relay.
    Relay,
}

impl Kind {
    /// The name of its binary.
    pub(crate) fn binary(self) -> &'static str {
        match self {
            Self::Meshkit => "meshkitd",
            Self::Sample => "omnirelay-samples",
            Self::Relay => "relayd",
        }
    }
}

/// One process of the mesh; `mesh.json` lists these.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Component {
    /// Unique in the mesh; also its peer id and the last part of its SPIFFE id.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) binary: &'static str,
    pub(crate) args: Vec<String>,
    /// Where it is called.
    pub(crate) url: String,
    /// Where its diagnostics are, where that is another listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin_url: Option<String>,
    pub(crate) ready_url: String,
    /// What it binds, on TCP and UDP.
    pub(crate) listens: Vec<SocketAddr>,
}

const NAMES: [&str; 6] = ["meshkitd", "greeter", "inventory-1", "inventory-2", "relay-1", "relay-2"];

/// The port above the first, the one of the diagnostics, the kind, and the sample to run.
fn shape(name: &str) -> (Kind, u16, Option<u16>, Option<&'static str>) {
    match name {
        "relay-1" => (Kind::Relay, 10, Some(11), None),
        "relay-2" => (Kind::Relay, 12, Some(13), None),
        "greeter" => (Kind::Sample, 20, None, Some("greeter")),
        "inventory-1" => (Kind::Sample, 21, None, Some("inventory")),
        "inventory-2" => (Kind::Sample, LAST_PORT, None, Some("inventory")),
        _ => (Kind::Meshkit, 0, None, None),
    }
}

/// The service that a sample process serves.
pub(super) fn service(component: &Component) -> &str {
    component.name.split('-').next().unwrap_or(&component.name)
}

/// All processes of the mesh in the order of their start; configurations are seen at `directory`.
pub(super) fn components(options: &Options, directory: &Path) -> Vec<Component> {
    let component = |name: &&str| {
        let (kind, port, admin, sample) = shape(name);
        let host = options.hosts.to_call(name, options.listen);
        let url = |offset: u16| format!("https://{}:{}", bracketed(&host), options.base_port + offset);
        let config = directory.join(config_name(name)).display().to_string();
        let mut args: Vec<String> = sample.into_iter().map(str::to_owned).collect();
        args.extend(["--config".to_owned(), config]);
        Component {
            name: (*name).to_owned(),
            kind,
            binary: kind.binary(),
            args,
            url: url(port),
            admin_url: admin.map(url),
            ready_url: format!("{}/readyz", url(admin.unwrap_or(port))),
            listens: [Some(port), admin]
                .into_iter()
                .flatten()
                .map(|offset| SocketAddr::new(options.listen, options.base_port + offset))
                .collect(),
        }
    };
    NAMES.iter().map(component).collect()
}

/// The file name of a process's configuration.
pub(super) fn config_name(component: &str) -> String {
    format!("{}.toml", if component == "meshkitd" { "meshkit" } else { component })
}

fn bracketed(host: &str) -> String {
    if std::net::Ipv6Addr::from_str(host).is_ok() { format!("[{host}]") } else { host.to_owned() }
}
