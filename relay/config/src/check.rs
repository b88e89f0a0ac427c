//! Everything that is wrong with a configuration as a whole.

use std::collections::HashSet;

use jiff::Timestamp;
use omnirelay_runtime::config::{Loaded, Problems};
use omnirelay_runtime::{ErrorKind, OperatorError};
use relay_policy::{Policy, Report};
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
        let path = config.rpc_path.parse::<http::uri::PathAndQuery>();
        let whole = path.is_ok_and(|path| path.as_str() == config.rpc_path && path.query().is_none());
        if !whole || !config.rpc_path.is_ascii() {
            let remedy = "begin it with `/` and write what is not a letter, digit or `-._~/` as %XX";
            found.say("rpc_path", &format!("`rpc_path` is not a path: `{}`", config.rpc_path), remedy);
        }
        if let Err(error) = Authenticator::new(&config.auth) {
            found.add("auth", error);
        }
        if let Some(mesh) = &config.mesh {
            check_url("mesh.endpoint", &mesh.endpoint, &mut found);
            if mesh.protocols.is_empty() {
                let remedy = "leave it out for http3 and http2";
                found.say("mesh.protocols", "`mesh.protocols` is empty", remedy);
            }
            if let Some(advertise) = &mesh.advertise {
                check_url("mesh.advertise", advertise, &mut found);
                let port = advertise.parse::<http::Uri>().map(|url| url.port_u16().is_some());
                if matches!(port, Ok(false)) {
                    let problem = format!("`{advertise}` has no port");
                    let remedy = "write `https://host:port`, as the registry gives it to callers";
                    found.say("mesh.advertise", &problem, remedy);
                }
            }
        }
        check_outbounds(config, &mut found);
        check_routes(config, &mut found);
        let policy = Policy::new(&config.policy).report(&config.policy, &config.endpoints(), now);
        for finding in &policy.findings {
            let problem = format!("{}: {}", finding.subject, finding.problem);
            let error = OperatorError::new(ErrorKind::Config, problem).rule(finding.rule);
            found.add(&finding.key, error.hint(&finding.hint));
        }
        Check { policy, problems: found.into_list() }
    }
}

fn check_node(config: &RelayConfig, found: &mut Problems<'_, RelayConfig>) {
    let node = &config.node;
    for (key, value, least, most) in
        [("name", &node.name, 1, 128), ("cluster", &node.cluster, 1, 64), ("zone", &node.zone, 0, 64)]
    {
        if !is_name(value, least, most) {
            let problem = format!("`{value}` is not a node's {key}");
            let remedy = format!("use {least} to {most} of a-z, 0-9, `.` and `-`");
            found.say(&format!("node.{key}"), &problem, &remedy);
        }
    }
    for (label, value) in &node.labels {
        if !is_name(label, 1, 63) || value.len() > 256 || value.chars().any(char::is_control) {
            let problem = format!("the label `{label}` cannot stand in the registry");
            let remedy = "use 1 to 63 of a-z, 0-9, `.` and `-` for it, and at most 256 bytes for its value";
            found.say(&format!("node.labels.{label}"), &problem, remedy);
        }
    }
}

fn is_name(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
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
        if let Some(first) = config.routes[..index].iter().position(|earlier| earlier.covers(route)) {
            let problem = format!("no call of `{}` ever comes to this route", route.service);
            let remedy = format!(
                "routes are tried in order and `routes.{first}` takes them all: remove one of the two"
            );
            found.say(&key, &problem, &remedy);
        }
        for (at, service) in route.grpc_services.iter().enumerate() {
            let taken =
                config.routes[..index].iter().position(|earlier| earlier.grpc_services.contains(service));
            if let Some(first) = taken {
                let problem = format!("the gRPC service `{service}` belongs to `routes.{first}` already");
                found.say(&format!("{key}.grpc_services.{at}"), &problem, "name it in one route");
            }
        }
    }
}

fn check_url(key: &str, url: &str, found: &mut Problems<'_, RelayConfig>) {
    if let Err(error) = relay_client::validate_endpoint(url) {
        found.add(key, error);
    }
}
