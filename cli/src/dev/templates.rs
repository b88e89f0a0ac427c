//! The text of every configuration of the development mesh.

use std::path::{Path, PathBuf};

use super::authority::{Authority, KeyFiles};
use super::mesh::{Component, Kind, service};
use super::tokens::Token;

/// What all texts draw on. Paths are those that the processes see.
pub(super) struct Scene<'a> {
    pub(super) components: &'a [Component],
    /// Where keys and certificates are seen.
    pub(super) pki: &'a Path,
    /// Where state is seen.
    pub(super) data: &'a Path,
    /// Where the operator's token is seen.
    pub(super) token_file: &'a Path,
    pub(super) operator: &'a Token,
    pub(super) reader: &'a Token,
}

const HEADER: &str = "# Written by `omnirelay dev init` and `omnirelay up`, which overwrite it.\n";

impl Scene<'_> {
    /// The configuration of one process.
    pub(super) fn config(&self, component: &Component) -> String {
        match component.kind {
            Kind::Meshkit => self.meshkit(component),
            Kind::Relay => self.relay(component),
            Kind::Sample => self.sample(component),
        }
    }

    fn meshkit(&self, component: &Component) -> String {
        let (node, listener, auth) =
            (node(component), self.listener(component, "listener", 0, false), self.auth());
        let store = quoted(&self.data.join("meshkit.sqlite"));
        let ca = quoted(&Authority::certificate(self.pki));
        let ca_key = quoted(&Authority::private_key(self.pki));
        let revocation_list = quoted(&self.data.join("crl.pem"));
        format!(
            r#"{HEADER}kind = "meshkit"
{node}
{listener}
{auth}
[store]
path = {store}

[bootstrap]
certificate = {ca}
private_key = {ca_key}
trust_domain = "omnirelay.dev"
revocation_list = {revocation_list}

[[shards.namespaces]]
name = "inventory"
service = "inventory"
shards = 16
"#
        )
    }

    fn relay(&self, component: &Component) -> String {
        let (node, auth, mesh) = (node(component), self.auth(), self.mesh(component));
        let data = self.listener(component, "data", 0, true);
        let admin = self.listener(component, "admin", 1, false);
        let mut text = format!("{HEADER}kind = \"relay\"\n{node}\n{data}\n{admin}\n{auth}\n{mesh}");
        let tls = self.client_tls(component);
        // Stock lives with the owner of its shard, whom the mesh knows.
        let owners = "mesh = { service = \"inventory\", namespace = \"inventory\" }".to_owned();
        let outbounds = [
            ("greeter", "samples.v1.Greeter", self.peers_of("greeter")),
            ("inventory", "samples.v1.Inventory", owners),
        ];
        for (name, grpc_service, peers) in outbounds {
            text.push_str(&format!(
                r#"
[[outbounds]]
name = "{name}"
protocols = ["http3", "http2"]
{peers}
tls = {tls}

[[routes]]
service = "{name}"
outbound = "{name}"
grpc_services = ["{grpc_service}"]
"#
            ));
        }
        text
    }

    /// The peers of a service, each by its address.
    fn peers_of(&self, name: &str) -> String {
        let serves = |peer: &&Component| peer.kind == Kind::Sample && service(peer) == name;
        let urls = self.components.iter().filter(serves).map(|peer| text_of(&peer.url));
        format!("peers = [{}]", urls.collect::<Vec<_>>().join(", "))
    }

    fn sample(&self, component: &Component) -> String {
        let (node, mesh) = (node(component), self.mesh(component));
        let listener = self.listener(component, "listener", 0, true);
        format!("{HEADER}kind = \"sample\"\n{node}\n{listener}\n{mesh}")
    }

    /// `[listener]` and its like. Calls carry no tokens, so whoever calls shows a certificate; the
    /// control plane and diagnostics know tokens as well.
    fn listener(
        &self,
        component: &Component,
        section: &str,
        index: usize,
        only_certificates: bool,
    ) -> String {
        let address = component.listens.get(index).map(ToString::to_string).unwrap_or_default();
        let KeyFiles { certificate, private_key } = Authority::files(self.pki, &component.name);
        let (certificate, private_key) = (quoted(&certificate), quoted(&private_key));
        let ca = quoted(&Authority::certificate(self.pki));
        let required = if only_certificates { ", require_client_certificate = true" } else { "" };
        // The control plane's own listener knows the list that it writes.
        let crl = match component.kind {
            Kind::Meshkit => String::new(),
            Kind::Relay | Kind::Sample => format!(", crl = [{}]", self.crl(component)),
        };
        format!(
            "[{section}]\naddress = \"{address}\"\ntls = {{ certificate = {certificate}, private_key = {private_key}, \
             client_ca = {ca}{required}{crl} }}\n"
        )
    }

    fn mesh(&self, component: &Component) -> String {
        let meshkit = self.components.iter().find(|c| c.kind == Kind::Meshkit).map_or("", |c| c.url.as_str());
        let (endpoint, tls) = (text_of(meshkit), self.client_tls(component));
        let advertise = text_of(&component.url);
        let identity = quoted(&identity(self.data, component));
        format!(
            "[mesh]\nendpoint = {endpoint}\nadvertise = {advertise}\ntls = {tls}\nidentity = {identity}\n"
        )
    }

    fn crl(&self, component: &Component) -> String {
        quoted(&identity(self.data, component).join("crl.pem"))
    }

    fn client_tls(&self, component: &Component) -> String {
        let KeyFiles { certificate, private_key } = Authority::files(self.pki, &component.name);
        let (certificate, private_key) = (quoted(&certificate), quoted(&private_key));
        let (ca, crl) = (quoted(&Authority::certificate(self.pki)), self.crl(component));
        format!("{{ ca = {ca}, certificate = {certificate}, private_key = {private_key}, crl = [{crl}] }}")
    }

    fn auth(&self) -> String {
        format!(
            r#"[auth]
identities = [
  {{ spiffe = "spiffe://omnirelay.dev/operator/*", scope = "mesh.admin" }},
  {{ spiffe = "spiffe://omnirelay.dev/relay/*", scope = "mesh.observe" }},
  {{ spiffe = "spiffe://omnirelay.dev/service/*", scope = "mesh.observe" }},
]
tokens = [
  {{ name = "operator", sha256 = "{}", scope = "mesh.admin" }},
  {{ name = "reader", sha256 = "{}", scope = "mesh.read" }},
]
"#,
            self.operator.sha256, self.reader.sha256
        )
    }

    /// The context file of the CLI.
    pub(super) fn cli(&self) -> String {
        let meshkit = self.components.iter().find(|c| c.kind == Kind::Meshkit).map_or("", |c| c.url.as_str());
        let KeyFiles { certificate, private_key } = Authority::files(self.pki, "operator");
        let (certificate, private_key) = (quoted(&certificate), quoted(&private_key));
        let (ca, token) = (quoted(&Authority::certificate(self.pki)), quoted(self.token_file));
        let mesh = text_of(meshkit);
        let mut text = format!(
            "{HEADER}mesh = {mesh}\nca = {ca}\ncertificate = {certificate}\nprivate_key = {private_key}\ntoken_file = {token}\n"
        );
        for relay in self.components.iter().filter(|c| c.kind == Kind::Relay) {
            let (name, data) = (text_of(&relay.name), text_of(&relay.url));
            let admin = text_of(relay.admin_url.as_deref().unwrap_or(&relay.url));
            text.push_str(&format!("\n[[relays]]\nname = {name}\ndata = {data}\nadmin = {admin}\n"));
        }
        text
    }
}

/// Where a process keeps what the control plane tells it to believe.
pub(super) fn identity(data: &Path, component: &Component) -> PathBuf {
    data.join(&component.name)
}

fn node(component: &Component) -> String {
    format!("\n[node]\nname = {}\ncluster = \"local\"\nzone = \"dev\"\n", text_of(&component.name))
}

/// A TOML basic string; JSON writes the same escapes.
fn text_of(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn quoted(path: &Path) -> String {
    text_of(&path.display().to_string())
}
