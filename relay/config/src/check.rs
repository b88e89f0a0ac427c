//! Everything that is wrong with a configuration as a whole.

use std::collections::HashSet;

use jiff::Timestamp;
use omnirelay_runtime::OperatorError;
use omnirelay_runtime::config::{Loaded, Problems};
use relay_core::{Encoding, Protocol};
use relay_policy::{Endpoint, Policy, Report};
use relay_transport::auth::Authenticator;

use crate::model::RelayConfig;

/// What is to be said of a configuration.
#[derive(Clone, Debug)]
pub struct Check {
    /// What the transport policy says.
    pub policy: Report,
    /// Everything that is wrong, each with its place; none means that a relay can start with it.
    pub problems: Vec<OperatorError>,
}

impl RelayConfig {
    /// The endpoints as the policy sees them.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let endpoint =
            |name: String, key: String, category: &str, transports: &[Protocol], encodings: &[Encoding]| {
                let (category, transports, encodings) =
                    (category.to_owned(), transports.to_vec(), encodings.to_vec());
                Endpoint { name, key, category, transports, encodings }
            };
        let mut endpoints = vec![
            endpoint(
                "data:http".into(),
                "data.protocols".into(),
                "data-plane",
                &self.data.protocols,
                &Encoding::ALL,
            ),
            endpoint(
                "diagnostics:http".into(),
                "admin.protocols".into(),
                "diagnostics",
                &self.admin.protocols,
                &[Encoding::Json],
            ),
        ];
        if self.mesh.is_some() {
            let wanted = [Protocol::Http3, Protocol::Http2];
            endpoints.push(endpoint(
                "control-plane:grpc".into(),
                "mesh".into(),
                "control-plane",
                &wanted,
                &[Encoding::Protobuf],
            ));
        }
        endpoints.extend(self.outbounds.iter().enumerate().map(|(index, outbound)| {
            endpoint(
                format!("outbound:{}", outbound.name),
                format!("outbounds.{index}.protocols"),
                "data-plane",
                &outbound.protocols,
                &Encoding::ALL,
            )
        }));
        endpoints
    }

    /// Says everything that is wrong with a configuration. Files that it names are not opened.
    #[must_use]
    pub fn check(loaded: &Loaded<Self>, now: Timestamp) -> Check {
        let config = &loaded.value;
        let mut found = Problems::new(loaded);
        if config.kind != "relay" {
            found.say("kind", &format!("`kind` is `{}`", config.kind), "write `kind = \"relay\"`");
        }
        check_node(config, &mut found);
        for (name, listener) in [("data", &config.data), ("admin", &config.admin)] {
            for (key, problem, remedy) in listener.problems(name) {
                found.say(&key, &problem, remedy);
            }
        }
        if config.data.address == config.admin.address && config.data.address.port() != 0 {
            found.say("admin.address", "`data` and `admin` listen on the same address", "choose two ports");
        }
        if !config.rpc_path.starts_with('/') {
            found.say("rpc_path", "`rpc_path` is not a path", "begin it with `/`");
        }
        if let Err(error) = Authenticator::new(&config.auth) {
            found.add("auth", error);
        }
        if let Some(mesh) = &config.mesh {
            check_url("mesh.endpoint", &mesh.endpoint, &mut found);
            if let Some(advertise) = &mesh.advertise {
                check_url("mesh.advertise", advertise, &mut found);
            }
        }
        check_outbounds(config, &mut found);
        check_routes(config, &mut found);
        let policy = Policy::new(&config.policy).report(&config.policy, &config.endpoints(), now);
        for finding in &policy.findings {
            found.say(&finding.key, &format!("{}: {}", finding.subject, finding.problem), &finding.hint);
        }
        Check { policy, problems: found.into_list() }
    }
}

fn check_node(config: &RelayConfig, found: &mut Problems<'_, RelayConfig>) {
    let name = &config.node.name;
    let fine = (1..=128).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'));
    if !fine {
        found.say(
            "node.name",
            &format!("`{name}` is not a node's name"),
            "use 1 to 128 of a-z, 0-9, `.` and `-`",
        );
    }
}

fn check_outbounds(config: &RelayConfig, found: &mut Problems<'_, RelayConfig>) {
    let mut names = HashSet::new();
    for (index, outbound) in config.outbounds.iter().enumerate() {
        let key = format!("outbounds.{index}");
        if !names.insert(&outbound.name) {
            let problem = format!("two outbounds are called `{}`", outbound.name);
            found.say(&format!("{key}.name"), &problem, "give each its own name");
        }
        if outbound.peers.is_empty() {
            let problem = format!("the outbound `{}` has no peers", outbound.name);
            found.say(&format!("{key}.peers"), &problem, "name at least one `https://host:port`");
        }
        if outbound.protocols.is_empty() {
            let problem = format!("the outbound `{}` has no protocols", outbound.name);
            found.say(&format!("{key}.protocols"), &problem, "leave it out for http3 and http2");
        }
        for (peer, url) in outbound.peers.iter().enumerate() {
            check_url(&format!("{key}.peers.{peer}"), url, found);
        }
        if outbound.tls.certificate.is_some() != outbound.tls.private_key.is_some() {
            let problem = "a client certificate needs both `certificate` and `private_key`";
            found.say(&format!("{key}.tls"), problem, "set both, or neither");
        }
        if outbound.timeout_ms == 0 || outbound.connect_timeout_ms == 0 {
            found.say(
                &key,
                &format!("a time-out of the outbound `{}` is 0", outbound.name),
                "choose at least 1 ms",
            );
        }
    }
}

fn check_routes(config: &RelayConfig, found: &mut Problems<'_, RelayConfig>) {
    for (index, route) in config.routes.iter().enumerate() {
        let key = format!("routes.{index}");
        if !config.outbounds.iter().any(|outbound| outbound.name == route.outbound) {
            let names: Vec<&str> = config.outbounds.iter().map(|outbound| outbound.name.as_str()).collect();
            let hint = match names.as_slice() {
                [] => "add an `[[outbounds]]` entry".to_owned(),
                names => format!("known outbounds: {}", names.join(", ")),
            };
            found.say(
                &format!("{key}.outbound"),
                &format!("the route for `{}` names no outbound: `{}`", route.service, route.outbound),
                &hint,
            );
        }
        if route.service.is_empty() {
            found.say(
                &format!("{key}.service"),
                "a route has an empty service",
                "name the `Rpc-Service` to route",
            );
        }
    }
}

fn check_url(key: &str, url: &str, found: &mut Problems<'_, RelayConfig>) {
    if let Err(error) = relay_client::validate_endpoint(url) {
        found.add(key, error);
    }
}
