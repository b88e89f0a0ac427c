//! Everything that is wrong with a configuration as a whole.

mod layers;
mod outbounds;
mod routes;

use jiff::Timestamp;
use omnirelay_runtime::OperatorError;
use omnirelay_runtime::config::{Loaded, Problems};
use omnirelay_runtime::takeover::TakeoverConfig;
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
            for (at, url) in mesh.fallbacks.iter().enumerate() {
                check_url(&format!("mesh.fallbacks[{at}]"), url, &mut found);
            }
            if mesh.protocols.is_empty() {
                let remedy = "leave it out for http3 and http2";
                found.say("mesh.protocols", "`mesh.protocols` is empty", remedy);
            }
            if let Some(advertise) = &mesh.advertise {
                check_url("mesh.advertise", advertise, &mut found);
                let port = advertise.parse::<http::Uri>().map(|url| url.port_u16().is_some());
                let is_local = !advertise.starts_with("https://");
                if is_local || matches!(port, Ok(false)) {
                    let lacks = if is_local { "is for this machine alone" } else { "has no port" };
                    let problem = format!("`{advertise}` {lacks}");
                    let remedy = "write `https://host:port`, as the registry gives it to callers";
                    found.say("mesh.advertise", &problem, remedy);
                }
            }
        }
        outbounds::check(config, &mut found);
        routes::check(config, &mut found);
        if config.access_log.as_ref().is_some_and(|log| log.percent > 100) {
            found.say("access_log.percent", "`access_log.percent` is above 100", "choose 0 to 100");
        }
        if let Some(tracing) = &config.tracing {
            check_url("tracing.endpoint", &tracing.endpoint, &mut found);
            if tracing.percent > 100 || tracing.protocols.is_empty() {
                let problem = "`tracing` has a share above 100, or no protocol";
                found.say(
                    "tracing.percent",
                    problem,
                    "choose 0 to 100, and leave `protocols` out for http2 and http1",
                );
            }
        }
        if let Some((key, problem, remedy)) = config.takeover.as_ref().and_then(TakeoverConfig::problem) {
            found.say(key, problem, remedy);
        }
        if let Err(error) = config.log.check() {
            found.add("log.filter", error);
        }
        let policy = Policy::new(&config.policy).report(&config.policy, &config.endpoints(), now);
        for finding in &policy.findings {
            let problem = format!("{}: {}", finding.subject, finding.problem);
            found.say_as(finding.rule, &finding.key, problem, &finding.hint);
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

fn check_url(key: &str, url: &str, found: &mut Problems<'_, RelayConfig>) {
    if let Err(error) = relay_client::validate_endpoint(url) {
        found.add(key, error);
    }
}
