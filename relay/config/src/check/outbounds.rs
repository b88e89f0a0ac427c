//! What is wrong with groups of peers.

use std::collections::HashSet;

use omnirelay_runtime::config::Problems;

use super::{check_url, is_name};
use crate::model::RelayConfig;
use crate::outbound::{HealthConfig, KeyConfig, OutboundConfig, ProbeKind, StrategyName};

/// Connections that a channel opens over one protocol at most.
const MAX_CONNECTIONS: usize = 4;
const MAX_WEIGHT: u32 = 100;

pub(super) fn check(config: &RelayConfig, found: &mut Problems<'_, RelayConfig>) {
    let mut names = HashSet::new();
    for (index, outbound) in config.outbounds.iter().enumerate() {
        let key = format!("outbounds.{index}");
        if !names.insert(&outbound.name) {
            let problem = format!("two outbounds are called `{}`", outbound.name);
            found.say(&format!("{key}.name"), &problem, "give each its own name");
        }
        if outbound.protocols.is_empty() {
            let problem = format!("the outbound `{}` has no protocols", outbound.name);
            found.say(&format!("{key}.protocols"), &problem, "leave it out for http3 and http2");
        }
        if outbound.tls.certificate.is_some() != outbound.tls.private_key.is_some() {
            let problem = "a client certificate needs both `certificate` and `private_key`";
            found.say(&format!("{key}.tls"), problem, "set both, or neither");
        }
        if outbound.timeout_ms == 0 || outbound.connect_timeout_ms == 0 {
            let problem = format!("a time-out of the outbound `{}` is 0", outbound.name);
            found.say(&key, &problem, "choose at least 1 ms");
        }
        check_peers(&key, outbound, found);
        check_mesh(&key, outbound, config.mesh.is_some(), found);
        check_balance(&key, outbound, found);
        if let Some(health) = &outbound.health {
            check_health(&format!("{key}.health"), health, found);
        }
        check_bounds(&key, outbound, found);
    }
}

fn check_peers(key: &str, outbound: &OutboundConfig, found: &mut Problems<'_, RelayConfig>) {
    let sources = [
        ("peers", !outbound.peers.is_empty()),
        ("dns", outbound.dns.is_some()),
        ("mesh", outbound.mesh.is_some()),
    ];
    let named = sources.iter().filter(|(_, is_named)| *is_named).map(|(name, _)| *name).collect::<Vec<_>>();
    match *named {
        [] => {
            let problem = format!("the outbound `{}` has no peers", outbound.name);
            found.say(
                &format!("{key}.peers"),
                &problem,
                "name at least one `https://host:port`, a `dns` name, or a service of the `mesh`",
            );
        }
        [first, second, ..] => {
            let problem = format!("the outbound `{}` has both `{first}` and `{second}`", outbound.name);
            found.say(&format!("{key}.{second}"), &problem, "keep one of the two");
        }
        _ => {}
    }
    let mut urls = HashSet::new();
    for (index, peer) in outbound.peers.iter().enumerate() {
        let key = format!("{key}.peers.{index}");
        check_url(&key, &peer.url, found);
        if !urls.insert(&peer.url) {
            let problem = format!("`{}` stands twice among the peers", peer.url);
            found.say(&key, &problem, "give it a `weight` of 2 instead");
        }
        if !(1..=MAX_WEIGHT).contains(&peer.weight) {
            let problem = format!("the weight of `{}` is {}", peer.url, peer.weight);
            found.say(&format!("{key}.weight"), &problem, &format!("choose 1 to {MAX_WEIGHT}"));
        }
        if !is_name(&peer.zone, 0, 64) {
            let problem = format!("`{}` is not a peer's zone", peer.zone);
            found.say(&format!("{key}.zone"), &problem, "use up to 64 of a-z, 0-9, `.` and `-`");
        }
    }
    let Some(dns) = &outbound.dns else { return };
    if check_host(&dns.name).is_err() || dns.port == 0 {
        let problem = format!("`{}:{}` is not a name and port to look up", dns.name, dns.port);
        found.say(&format!("{key}.dns.name"), &problem, "write a DNS name, and a port from 1");
    }
    if dns.min_ttl_ms == 0 || dns.min_ttl_ms > dns.max_ttl_ms {
        let problem = "`min_ttl_ms` is 0 or above `max_ttl_ms`";
        found.say(&format!("{key}.dns.min_ttl_ms"), problem, "choose at least 1 ms and at most the other");
    }
}

fn check_mesh(
    key: &str,
    outbound: &OutboundConfig,
    has_control_plane: bool,
    found: &mut Problems<'_, RelayConfig>,
) {
    let Some(mesh) = &outbound.mesh else { return };
    if !has_control_plane {
        let problem = format!("no control plane tells the peers of the outbound `{}`", outbound.name);
        found.say(&format!("{key}.mesh"), &problem, "name its `endpoint` in a section `[mesh]`");
    }
    for (name, value) in [("service", Some(&mesh.service)), ("namespace", mesh.namespace.as_ref())] {
        let Some(value) = value.filter(|value| !is_name(value, 1, 128)) else { continue };
        let problem = format!("`{value}` is no {name} of a mesh");
        found.say(&format!("{key}.mesh.{name}"), &problem, "use 1 to 128 of a-z, 0-9, `.` and `-`");
    }
    if mesh.namespace.is_some() && outbound.balance.key == KeyConfig::ShardKey && outbound.is_placed() {
        let problem = "calls with a shard key go to the owner of its shard, and not by the key's hash";
        let remedy = "choose another `balance.key`, or a strategy for the calls without a shard key";
        found.say(&format!("{key}.balance.strategy"), problem, remedy);
    }
}

fn check_host(name: &str) -> Result<(), omnirelay_runtime::OperatorError> {
    relay_client::validate_endpoint(&format!("https://{name}:1"))
}

fn check_balance(key: &str, outbound: &OutboundConfig, found: &mut Problems<'_, RelayConfig>) {
    let balance = &outbound.balance;
    let placed = outbound.is_placed();
    if let KeyConfig::Header(name) = &balance.key
        && http::HeaderName::try_from(name.as_str()).is_err()
    {
        let problem = format!("`{name}` is not a header's name");
        found.say(&format!("{key}.balance.key"), &problem, "write it as `{ header = \"x-user\" }`");
    }
    if !placed && balance.key != KeyConfig::ShardKey {
        let problem = format!("`{}` places no call by a key", balance.strategy.name());
        found.say(&format!("{key}.balance.key"), &problem, "leave it out, or choose `ring` or `sticky`");
    }
    if balance.strategy == StrategyName::Ring && balance.slow_start_ms > 0 {
        let problem = "a key on the ring belongs to one peer from the start";
        found.say(
            &format!("{key}.balance.slow_start_ms"),
            problem,
            "leave it out, or choose another strategy",
        );
    }
}

fn check_health(key: &str, health: &HealthConfig, found: &mut Problems<'_, RelayConfig>) {
    if health.kind == ProbeKind::Http && !health.path.starts_with('/')
        || health.path.parse::<http::uri::PathAndQuery>().is_err()
    {
        let problem = format!("`{}` is not a path to probe", health.path);
        found.say(&format!("{key}.path"), &problem, "begin it with `/`");
    }
    if health.interval_ms < 10 || health.timeout_ms == 0 {
        let problem = "probes would follow each other without a pause";
        found.say(
            &format!("{key}.interval_ms"),
            problem,
            "choose at least 10 ms, and a `timeout_ms` above 0",
        );
    }
    if health.unhealthy_after == 0 || health.healthy_after == 0 {
        let problem = "a peer cannot change its state after 0 probes";
        found.say(key, problem, "choose at least 1 for `unhealthy_after` and `healthy_after`");
    }
}

fn check_bounds(key: &str, outbound: &OutboundConfig, found: &mut Problems<'_, RelayConfig>) {
    let alive = &outbound.keep_alive;
    if alive.probe_every_ms < 100 || alive.probe_every_ms >= alive.dead_after_ms {
        let problem = "a connection would count as dead before it was probed, or be probed all the time";
        let remedy = "choose at least 100 for `probe_every_ms`, and more for `dead_after_ms`";
        found.say(&format!("{key}.keep_alive.probe_every_ms"), problem, remedy);
    }
    if alive.dead_after_ms > 3_600_000 || !(1_000..=86_400_000).contains(&alive.http2_ping_after_ms) {
        let problem = "the times of `keep_alive` are out of bounds";
        let remedy =
            "choose up to an hour for `dead_after_ms`, and a second to a day for `http2_ping_after_ms`";
        found.say(&format!("{key}.keep_alive"), problem, remedy);
    }
    let (outliers, breaker) = (&outbound.outliers, &outbound.breaker);
    if outliers.interval_ms < 10 || outliers.base_ms == 0 || outliers.base_ms > outliers.max_ms {
        let problem = "the times of `outliers` do not fit together";
        let remedy = "choose at least 10 ms for `interval_ms`, and a `base_ms` from 1 up to `max_ms`";
        found.say(&format!("{key}.outliers"), problem, remedy);
    }
    for (name, percent) in [
        ("outliers.max_ejected_percent", outliers.max_ejected_percent),
        ("retry_budget.percent", outbound.retry_budget.percent),
    ] {
        if percent > 100 {
            found.say(&format!("{key}.{name}"), &format!("{percent} % is more than all"), "choose 0 to 100");
        }
    }
    if breaker.max_pending == 0 || !(1..=MAX_CONNECTIONS).contains(&breaker.max_connections) {
        let problem = format!("the outbound `{}` could never be called", outbound.name);
        let remedy = "choose at least 1 for `max_pending`, and 1 to 4 for `max_connections`";
        found.say(&format!("{key}.breaker"), &problem, remedy);
    }
}
