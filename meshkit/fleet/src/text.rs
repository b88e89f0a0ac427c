//! The configurations of the fleet's daemons, as an operator would write them.

use std::net::Ipv4Addr;
use std::path::Path;

use relay_testkit::{Issued, TestCa};

/// How many shards the one namespace has.
pub(crate) const SHARDS: u32 = 50;

fn server(tls: &Issued, ca: &Path) -> String {
    let (certificate, key) = (&tls.certificate, &tls.private_key);
    format!("{{ certificate = {certificate:?}, private_key = {key:?}, client_ca = {ca:?} }}")
}

fn client(tls: &Issued, ca: &Path) -> String {
    let (certificate, key) = (&tls.certificate, &tls.private_key);
    format!("{{ ca = {ca:?}, certificate = {certificate:?}, private_key = {key:?} }}")
}

/// A meshkitd on an etcd, which gossips with the others.
pub(crate) fn meshkitd(ca: &TestCa, name: &str, own: Ipv4Addr, all: &[Ipv4Addr], etcd: &[String]) -> String {
    let issued = ca.issue_for(&format!("spiffe://omnirelay.dev/meshkit/{name}"), &[own.to_string()]);
    let (server, client) = (server(&issued, &ca.ca()), client(&issued, &ca.ca()));
    let seeds: Vec<String> = all.iter().map(|address| format!("{address}:7401")).collect();
    format!(
        r#"kind = "meshkit"
node = {{ name = "{name}" }}
listener = {{ address = "{own}:7400", tls = {server} }}
[store]
backend = "etcd"
endpoints = {etcd:?}
prefix = "/omnirelay/mesh"
tls = {client}
[auth]
identities = [
  {{ spiffe = "spiffe://omnirelay.dev/operator/*", scope = "mesh.operate" }},
  {{ spiffe = "spiffe://omnirelay.dev/admin/*", scope = "mesh.admin" }},
  {{ spiffe = "spiffe://omnirelay.dev/service/*", scope = "mesh.observe" }},
]
[membership]
address = "{own}:7401"
seeds = {seeds:?}
allow = ["spiffe://omnirelay.dev/meshkit/*"]
[[shards.namespaces]]
name = "stock"
service = "inventory"
shards = {SHARDS}
handover = "acknowledged"
"#
    )
}

/// A relay that follows the owners of the shards: `Put` may be carried out twice, anything else may not.
pub(crate) fn relayd(ca: &TestCa, name: &str, own: Ipv4Addr, meshkitd: &[String]) -> String {
    let issued = ca.issue_for(&format!("spiffe://omnirelay.dev/service/{name}"), &[own.to_string()]);
    let (server, client) = (server(&issued, &ca.ca()), client(&issued, &ca.ca()));
    let (first, others) = meshkitd.split_first().unwrap();
    format!(
        r#"kind = "relay"
node = {{ name = "{name}" }}
data = {{ address = "{own}:7410", tls = {server} }}
admin = {{ address = "{own}:7411", tls = {server} }}
[mesh]
endpoint = "{first}"
fallbacks = {others:?}
tls = {client}
[[outbounds]]
name = "inventory"
mesh = {{ service = "inventory", namespace = "stock" }}
tls = {client}
[[routes]]
service = "inventory"
procedures = ["Put"]
outbound = "inventory"
idempotent = true
retries = {{ max = 8, try_timeout_ms = 1000 }}
[[routes]]
service = "inventory"
outbound = "inventory"
"#
    )
}
