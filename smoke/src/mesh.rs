//! A whole mesh in containers, made by the CLI image itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use meshkit_client::{Credentials, MeshClient};
use relay_core::Protocol;
use relay_transport::tls::ClientTlsConfig;

use crate::client::Client;
use crate::container::{Container, ContainerSpec, Mount};
use crate::engine::Engine;
use crate::image::{Image, Program, from_env};
use crate::process::Ran;
use crate::wait::until;

/// Where the images keep state, and where the mesh's volume is mounted.
pub(crate) const HOME: &str = "/var/lib/omnirelay";
/// Where `dev init` wrote the mesh, as containers see it. Not `dev`: podman copies no folder of that
/// name out of the top of a volume.
pub const STATE: &str = "/var/lib/omnirelay/mesh";

/// How long a process may take until it is ready; it takes some milliseconds on an idle machine.
pub(crate) const READY: Duration = Duration::from_secs(60);
/// How long a command of the CLI may take.
const COMMAND: Duration = Duration::from_secs(60);

/// A running mesh: MeshKit, two relays and the samples, each in a container.
pub struct Mesh {
    /// The engine that it runs on.
    pub engine: Arc<Engine>,
    /// The images, by program.
    pub cli: Image,
    /// The relay's image.
    pub relayd: Image,
    /// The control plane's image.
    pub meshkitd: Image,
    /// The network that everything of this run is on.
    pub network: String,
    /// The volume with keys, configurations and state.
    pub volume: String,
    /// A copy of [`STATE`] on this machine, as it was before the mesh started.
    pub files: PathBuf,
    members: BTreeMap<String, Member>,
}

/// A process of the mesh.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its container.
    pub container: Container,
    /// `meshkit`, `relay` or `sample`.
    pub kind: String,
    /// Where its listeners are reached on this machine, by TCP and UDP; a relay's second is that of
    /// its diagnostics.
    pub(crate) ports: Vec<(u16, u16)>,
}

impl Member {
    pub(crate) fn url(&self, listener: usize, protocol: Protocol) -> String {
        let (tcp, udp) = self.ports[listener];
        format!("https://127.0.0.1:{}", if protocol == Protocol::Http3 { udp } else { tcp })
    }
}

impl Mesh {
    /// Starts a mesh and waits until every process of it is ready.
    ///
    /// # Panics
    /// Where something does not come up.
    #[must_use]
    pub fn start(engine: Arc<Engine>) -> Self {
        let (cli, meshkitd, relayd) =
            (engine.image(Program::Cli), engine.image(Program::Meshkitd), engine.image(Program::Relayd));
        let (network, volume) = (engine.network(), engine.volume());
        let files = engine.scratch("state").join("mesh");
        let init = engine
            .container("init", &cli)
            .volume(&volume, HOME, Mount::Writable)
            .args(["dev", "init", "--dir", STATE, "--listen", "0.0.0.0"])
            .args(NAMES.into_iter().flat_map(|name| ["--host".to_owned(), format!("{name}={name}")]))
            .create();
        let _made = init.run(COMMAND).exits(0);
        init.fetch(STATE, &files);

        let mut mesh =
            Self { engine, cli, relayd, meshkitd, network, volume, files, members: BTreeMap::new() };
        let plan = mesh.plan();
        let (first, rest): (Vec<_>, Vec<_>) = plan.into_iter().partition(|one| one["kind"] == "meshkit");
        for components in [first, rest] {
            let names: Vec<String> = components.iter().map(|one| mesh.launch(one)).collect();
            names.iter().for_each(|name| mesh.wait_ready(name));
        }
        mesh
    }

    /// What `dev init` says of the processes.
    pub(crate) fn plan(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read(self.files.join("mesh.json")).expect("`dev init` writes mesh.json");
        let plan: serde_json::Value = serde_json::from_slice(&text).expect("mesh.json is JSON");
        plan["components"].as_array().expect("mesh.json lists components").clone()
    }

    fn launch(&mut self, component: &serde_json::Value) -> String {
        let text = |key: &str| component[key].as_str().expect("a component has it").to_owned();
        let list = |key: &str| {
            let items = component[key].as_array().expect("a component has it").iter();
            items.map(|item| item.as_str().expect("a text").to_owned()).collect::<Vec<_>>()
        };
        let (name, kind) = (text("name"), text("kind"));
        let ports = published(component);
        let image = match kind.as_str() {
            "meshkit" => &self.meshkitd,
            "relay" => &self.relayd,
            _ => &self.cli,
        };
        let mut spec = self.stateful(&name, image).network(&self.network).args(list("args"));
        for port in &ports {
            spec = spec.publish(*port);
        }
        if kind == "sample" {
            // Samples ship in no image: the program is put into a container of the CLI's.
            let container = spec.options(["--entrypoint", SAMPLES]).create();
            container.put(&from_env("SMOKE_SAMPLES"), SAMPLES);
            container.start();
            self.add(&name, kind, container, &ports);
        } else {
            let container = spec.start();
            self.add(&name, kind, container, &ports);
        }
        name
    }

    fn add(&mut self, name: &str, kind: String, container: Container, ports: &[u16]) {
        let ports = ports.iter().map(|port| container.published(*port)).collect();
        self.members.insert(name.to_owned(), Member { container, kind, ports });
    }

    fn wait_ready(&self, name: &str) {
        let client = self.admin(name, Protocol::Http2);
        until(&format!("{name} is ready"), READY, || {
            let state = self.member(name).container.inspect("{{.State.Status}}");
            // Nobody waits for the dead.
            assert!(state == "running" || state == "created", "{name} is {state} before it was ready");
            match client.try_get("/readyz")? {
                reply if reply.status == 200 => Ok(()),
                reply => Err(format!("/readyz answers {}", reply.status)),
            }
        });
    }

    /// A container beside the mesh: with its volume and without a network.
    #[must_use]
    pub fn beside(&self, name: &str, image: &Image) -> ContainerSpec<'_> {
        self.stateful(name, image).options(["--network", "none"])
    }

    /// A container inside the mesh: with its volume, in the network of one of its processes, so that
    /// none joins or leaves the mesh's own (docs/operations/smoke.md says why). It has to be removed
    /// before that process.
    #[must_use]
    pub fn inside(&self, name: &str, image: &Image) -> ContainerSpec<'_> {
        let host = format!("container:{}-greeter", self.engine.run());
        self.stateful(name, image).options(["--network", &host])
    }

    fn stateful(&self, name: &str, image: &Image) -> ContainerSpec<'_> {
        self.engine.container(name, image).volume(&self.volume, HOME, Mount::Writable)
    }

    /// Runs a command of the CLI image inside the mesh, as the operator.
    #[must_use]
    pub fn cli(&self, args: &[&str]) -> Ran {
        let context = format!("{STATE}/cli.toml");
        let args = ["--context", &context].into_iter().chain(args.iter().copied());
        let name = format!("cli-{}", self.engine.next());
        let container = self.inside(&name, &self.cli).args(args.clone()).create();
        let mut ran = container.run(COMMAND);
        container.remove();
        ran.command = format!("omnirelay {}", args.collect::<Vec<_>>().join(" "));
        ran
    }

    /// A process of the mesh.
    ///
    /// # Panics
    /// Where there is none of that name.
    #[must_use]
    pub fn member(&self, name: &str) -> &Member {
        self.members.get(name).unwrap_or_else(|| panic!("no {name} in the mesh"))
    }

    /// All processes of the mesh.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The operator's certificate and the authority to believe.
    #[must_use]
    pub fn operator(&self) -> ClientTlsConfig {
        let pki = |file: &str| Some(self.files.join("pki").join(file));
        ClientTlsConfig {
            ca: pki("ca.pem"),
            certificate: pki("operator.pem"),
            private_key: pki("operator.key"),
            ..ClientTlsConfig::default()
        }
    }

    /// The operator's token.
    ///
    /// # Panics
    /// Where `dev init` wrote none.
    #[must_use]
    pub fn token(&self) -> String {
        let file = self.files.join("tokens/operator.token");
        std::fs::read_to_string(file).expect("`dev init` writes tokens").trim().to_owned()
    }

    /// Where a process is called from this machine.
    #[must_use]
    pub fn url(&self, name: &str, protocol: Protocol) -> String {
        self.member(name).url(0, protocol)
    }

    /// The operator's client of a process.
    #[must_use]
    pub fn client(&self, name: &str, protocol: Protocol) -> Client {
        Client::new(&self.url(name, protocol), self.operator(), protocol)
    }

    /// A client that shows no certificate and no token.
    #[must_use]
    pub fn stranger(&self, name: &str, protocol: Protocol) -> Client {
        let tls = ClientTlsConfig { ca: self.operator().ca, ..ClientTlsConfig::default() };
        Client::new(&self.url(name, protocol), tls, protocol)
    }

    /// The operator's client of a process's diagnostics.
    #[must_use]
    pub fn admin(&self, name: &str, protocol: Protocol) -> Client {
        let member = self.member(name);
        Client::new(&member.url(member.ports.len() - 1, protocol), self.operator(), protocol)
    }

    /// The operator's client of MeshKit's gRPC.
    #[must_use]
    pub fn meshkit(&self, protocol: Protocol) -> MeshClient {
        MeshClient::new(self.client("meshkitd", protocol).channel(), Credentials::none())
    }

    /// A file of the copy of [`STATE`].
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.files.join(Path::new(name))
    }
}

/// The ports that a process listens on.
pub(crate) fn published(component: &serde_json::Value) -> Vec<u16> {
    let listens = component["listens"].as_array().expect("a component has it").iter();
    let port = |address: &str| address.rsplit(':').next()?.parse().ok();
    listens.map(|one| one.as_str().and_then(port).expect("an address has a port")).collect()
}

/// The processes of the development mesh, which find each other by name.
const NAMES: [&str; 6] = ["meshkitd", "greeter", "inventory-1", "inventory-2", "relay-1", "relay-2"];

/// Where the samples' program is put.
const SAMPLES: &str = "/usr/local/bin/omnirelay-samples";
