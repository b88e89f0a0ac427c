//! Everything that is wrong with a configuration as a whole.

use std::collections::HashSet;

use jiff::Timestamp;
use meshkit_model::{Lease, PeerId};
use omnirelay_runtime::OperatorError;
use omnirelay_runtime::config::{Loaded, Problems};
use relay_core::{Encoding, Protocol};
use relay_policy::{Endpoint, Policy, Report, Style};
use relay_transport::auth::Authenticator;

use crate::model::MeshkitConfig;
use crate::{bootstrap, membership, store};

/// The name of the endpoint that gRPC calls come in at.
pub const GRPC: &str = "control-plane:grpc";
/// The name of the endpoint that REST calls come in at.
pub const REST: &str = "control-plane:rest";

/// What is to be said of a configuration.
#[derive(Clone, Debug)]
pub struct Check {
    /// What the transport policy says.
    pub policy: Report,
    /// Everything that is wrong, each with its place; none means that meshkitd can start with it.
    pub problems: Vec<OperatorError>,
}

impl MeshkitConfig {
    /// The endpoints as the policy sees them: one listener, two ways to speak to it.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        // gRPC needs trailers, so HTTP/1.1 never carries it.
        let grpc = self.listener.protocols.iter().copied();
        vec![
            Endpoint {
                name: GRPC.to_owned(),
                key: "listener.protocols".to_owned(),
                category: "control-plane".to_owned(),
                transports: grpc.filter(|one| *one != Protocol::Http1).collect(),
                styles: vec![Style::Grpc],
                encodings: Some(vec![Encoding::Protobuf]),
            },
            Endpoint {
                name: REST.to_owned(),
                key: "listener.protocols".to_owned(),
                category: "diagnostics".to_owned(),
                transports: self.listener.protocols.clone(),
                styles: vec![Style::Http],
                encodings: Some(vec![Encoding::Json]),
            },
        ]
    }

    /// Says everything that is wrong with a configuration. Files that it names are not opened.
    #[must_use]
    pub fn check(loaded: &Loaded<Self>, now: Timestamp) -> Check {
        let config = &loaded.value;
        let mut found = Problems::new(loaded);
        if config.kind != "meshkit" {
            let problem = format!("`kind` is `{}`", config.kind);
            found.say("kind", &problem, "write `kind = \"meshkit\"`");
        }
        if PeerId::new(config.node.name.as_str()).is_err() {
            let problem = format!("`{}` is not a node's name", config.node.name);
            found.say("node.name", &problem, "use 1 to 128 of a-z, 0-9, `.` and `-`");
        }
        for (key, value) in [("cluster", &config.node.cluster), ("zone", &config.node.zone)] {
            let empty = key == "zone" && value.is_empty();
            if !empty && (value.len() > 64 || PeerId::new(value.as_str()).is_err()) {
                let problem = format!("`{value}` is not a node's {key}");
                found.say(&format!("node.{key}"), &problem, "use 1 to 64 of a-z, 0-9, `.` and `-`");
            }
        }
        check_listener(config, &mut found);
        store::check(&config.store, &mut found);
        if let Err(error) = Authenticator::new(&config.auth) {
            found.add("auth", error);
        }
        if let Err(error) = config.log.check() {
            found.add("log.filter", error);
        }
        if config.modules.is_empty() {
            let remedy = "leave it out for all, or name some of registry, shards, leaders, members, clusters, config, audit, backup, bootstrap";
            found.say("modules", "`modules` is empty", remedy);
        }
        check_registry(config, &mut found);
        check_leadership(config, &mut found);
        check_namespaces(config, &mut found);
        bootstrap::check(config, &mut found);
        membership::check(config, &mut found);
        let policy = Policy::new(&config.policy).report(&config.policy, &config.endpoints(), now);
        for finding in &policy.findings {
            let problem = format!("{}: {}", finding.subject, finding.problem);
            found.say_as(finding.rule, &finding.key, problem, &finding.hint);
        }
        Check { policy, problems: found.into_list() }
    }
}

fn check_listener(config: &MeshkitConfig, found: &mut Problems<'_, MeshkitConfig>) {
    for (key, problem, remedy) in config.listener.problems("listener") {
        found.say(&key, &problem, remedy);
    }
}

fn check_registry(config: &MeshkitConfig, found: &mut Problems<'_, MeshkitConfig>) {
    let registry = &config.registry;
    if !(10..=3_600_000).contains(&registry.heartbeat_interval_ms) {
        let key = "registry.heartbeat_interval_ms";
        let problem = format!("`{key}` is {}", registry.heartbeat_interval_ms);
        found.say(key, &problem, "choose 10 to 3600000");
    }
    if registry.suspect_after_ms <= registry.heartbeat_interval_ms {
        let key = "registry.suspect_after_ms";
        let problem = format!(
            "`{key}` is {}, not above `heartbeat_interval_ms`, which is {}",
            registry.suspect_after_ms, registry.heartbeat_interval_ms
        );
        let remedy = "allow at least two lost heartbeats: three times the interval and a little more";
        found.say(key, &problem, remedy);
    }
    if registry.dead_after_ms <= registry.suspect_after_ms {
        let key = "registry.dead_after_ms";
        let problem = format!(
            "`{key}` is {}, not above `suspect_after_ms`, which is {}",
            registry.dead_after_ms, registry.suspect_after_ms
        );
        found.say(key, &problem, "give a suspect peer time to speak up: twice `suspect_after_ms`");
    }
}

fn check_leadership(config: &MeshkitConfig, found: &mut Problems<'_, MeshkitConfig>) {
    let lease_ms = config.leadership.lease_ms;
    if !Lease::LEASE_MS.contains(&lease_ms) {
        let (least, most) = (Lease::LEASE_MS.start(), Lease::LEASE_MS.end());
        let key = "leadership.lease_ms";
        found.say(key, &format!("`{key}` is {lease_ms}"), &format!("choose {least} to {most}"));
    }
}

fn check_namespaces(config: &MeshkitConfig, found: &mut Problems<'_, MeshkitConfig>) {
    let mut names = HashSet::new();
    for (index, namespace) in config.shards.namespaces.iter().enumerate() {
        let key = format!("shards.namespaces.{index}");
        if let Err(invalid) = namespace.to_namespace().validate() {
            let problem = format!("`{key}.{}` {}", invalid.field, invalid.problem);
            let remedy = match invalid.field.as_str() {
                "shards" => "choose 1 to 65536; many more than owners, since it is fixed once it exists",
                "replicas" => "choose 1 to 5",
                "zones" => "name the zones of `locality-aware` namespaces, and of no others",
                _ => "use lower-case letters, digits, `.` and `-`",
            };
            found.say(&format!("{key}.{}", invalid.field), &problem, remedy);
        }
        if !names.insert(&namespace.name) {
            let problem = format!("two namespaces are called `{}`", namespace.name);
            found.say(&format!("{key}.name"), &problem, "give each its own name");
        }
    }
}
