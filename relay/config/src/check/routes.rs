//! What is wrong with routes, and which of them no call ever comes to.

use http::{HeaderName, HeaderValue};
use omnirelay_runtime::config::Problems;
use relay_core::{Code, headers};

use super::layers;
use crate::model::RelayConfig;
use crate::route::{RewriteConfig, RouteConfig};

/// What the relay writes itself: it says where a message ends, or how long its caller waits.
const OWN: [&str; 9] = [
    "connection",
    "content-length",
    "context-ttl-ms",
    "grpc-timeout",
    "host",
    "keep-alive",
    "te",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn check(config: &RelayConfig, found: &mut Problems<'_, RelayConfig>) {
    for (index, route) in config.routes.iter().enumerate() {
        let key = format!("routes.{index}");
        if route.service.is_empty() {
            let problem = "a route has an empty service";
            found.say(&format!("{key}.service"), problem, "name the `Rpc-Service` to route");
        }
        check_target(config, &key, route, found);
        check_reach(&config.routes[..index], &key, route, found);
        check_conditions(&key, route, found);
        check_allow(config, &key, route, found);
        check_rewrite(&key, route, found);
        check_tries(&key, route, found);
        layers::check(config, index, &key, found);
    }
}

fn check_target(config: &RelayConfig, key: &str, route: &RouteConfig, found: &mut Problems<'_, RelayConfig>) {
    let targets = usize::from(route.outbound.is_some())
        + usize::from(!route.split.is_empty())
        + usize::from(route.respond.is_some());
    if targets != 1 {
        let problem = format!("the route for `{}` leads to {} places", route.service, targets);
        found.say(key, &problem, "give it one of `outbound`, `split` and `respond`");
    }
    for (at, outbound) in route.outbounds().enumerate() {
        if config.outbounds.iter().any(|known| known.name == outbound) {
            continue;
        }
        let names: Vec<&str> = config.outbounds.iter().map(|outbound| outbound.name.as_str()).collect();
        let hint = match names.as_slice() {
            [] => "add an `[[outbounds]]` entry".to_owned(),
            names => format!("known outbounds: {}", names.join(", ")),
        };
        let key = match route.outbound {
            Some(_) => format!("{key}.outbound"),
            None => format!("{key}.split.{at}.outbound"),
        };
        let problem = format!("the route for `{}` names no outbound: `{outbound}`", route.service);
        found.say(&key, &problem, &hint);
    }
    if !route.split.is_empty() && route.split.iter().all(|split| split.weight == 0) {
        found.say(&format!("{key}.split"), "every weight is 0", "give one of the outbounds a weight");
    }
    if let Some(split) = route.split.iter().position(|split| split.weight > 10_000) {
        found.say(&format!("{key}.split.{split}.weight"), "a weight is above 10000", "choose smaller shares");
    }
    if let Some(respond) = &route.respond {
        let is_success = respond.code == Code::Ok;
        if is_success != respond.message.is_empty() || (!is_success && !respond.body.is_empty()) {
            let problem = "a failure has a `message`, and a success may have a `body`";
            found.say(&format!("{key}.respond"), problem, "write the one that fits the `code`");
        }
        let sent = route.rewrite != RewriteConfig::default()
            || route.hedge.is_some()
            || route.retries.max > 0
            || route.timeout_ms.is_some();
        if sent {
            let problem = "what the relay answers itself is never sent";
            found.say(key, problem, "remove `rewrite`, `retries`, `hedge` and `timeout_ms` beside `respond`");
        }
    }
}

fn check_reach(
    earlier: &[RouteConfig],
    key: &str,
    route: &RouteConfig,
    found: &mut Problems<'_, RelayConfig>,
) {
    let taker_of = |service: &String| {
        earlier
            .iter()
            .position(|earlier| earlier.grpc_services.contains(service) && earlier.covers_conditions(route))
    };
    let takers: Vec<Option<usize>> = route.grpc_services.iter().map(taker_of).collect();
    if let Some(first) = earlier.iter().position(|earlier| earlier.covers(route))
        && takers.iter().all(Option::is_some)
    {
        let problem = format!("no call of `{}` ever comes to this route", route.service);
        let remedy = format!(
            "routes are tried in order and `routes.{first}` takes them all: remove one, or put this one first"
        );
        found.say(key, &problem, &remedy);
        return;
    }
    for (at, (service, first)) in route.grpc_services.iter().zip(takers).enumerate() {
        if let Some(first) = first {
            let problem = format!("the gRPC service `{service}` belongs to `routes.{first}` already");
            found.say(&format!("{key}.grpc_services.{at}"), &problem, "name it in one route");
        }
    }
}

fn check_conditions(key: &str, route: &RouteConfig, found: &mut Problems<'_, RelayConfig>) {
    for (at, condition) in route.headers.iter().enumerate() {
        let key = format!("{key}.headers.{at}");
        if HeaderName::try_from(condition.name.as_str()).is_err() {
            let problem = format!("`{}` is not a header's name", condition.name);
            found.say(&key, &problem, "use letters, digits and `-`");
        }
        let kinds = [condition.exact.is_some(), condition.prefix.is_some(), condition.present.is_some()];
        if kinds.iter().filter(|kind| **kind).count() != 1 {
            let problem = format!("the condition on `{}` is not one of three", condition.name);
            found.say(&key, &problem, "write `exact`, `prefix` or `present`");
        }
    }
}

fn check_allow(config: &RelayConfig, key: &str, route: &RouteConfig, found: &mut Problems<'_, RelayConfig>) {
    let believes_none = config.data.tls.as_ref().is_none_or(|tls| tls.client_ca.is_none());
    for (at, rule) in route.allow.iter().enumerate() {
        let key = format!("{key}.allow.{at}");
        if let Some((problem, remedy)) = rule.problem(&config.auth) {
            found.say(&key, &problem, remedy);
        } else if rule.spiffe.is_some() && believes_none {
            let problem = "`data` believes no client certificate, so nobody has this `spiffe` id";
            found.say(
                &key,
                problem,
                "name the authority of the callers' certificates in `data.tls.client_ca`",
            );
        }
    }
}

fn check_rewrite(key: &str, route: &RouteConfig, found: &mut Problems<'_, RelayConfig>) {
    let rewrite = &route.rewrite;
    let key = format!("{key}.rewrite");
    let written = rewrite.set.iter().chain(&rewrite.add);
    for name in written.clone().map(|(name, _)| name).chain(&rewrite.remove) {
        let known = HeaderName::try_from(name.as_str());
        if known.as_ref().is_ok_and(|name| OWN.contains(&name.as_str())) {
            found.say(&key, &format!("`{name}` is the relay's own to write"), "leave it out");
        } else if known.is_err() {
            found.say(&key, &format!("`{name}` is not a header's name"), "use letters, digits and `-`");
        }
    }
    let names = [
        (headers::RPC_SERVICE, rewrite.service.as_deref()),
        (headers::RPC_PROCEDURE, rewrite.procedure.as_deref()),
    ];
    let names = names.iter().filter_map(|(name, value)| Some((name.as_str(), (*value)?)));
    for (name, value) in written.map(|(name, value)| (name.as_str(), value.as_str())).chain(names) {
        if value.is_empty() || HeaderValue::from_str(value).is_err() {
            found.say(&key, &format!("`{value}` cannot be the value of `{name}`"), "use printable text");
        }
    }
    let rest = rewrite.procedure.as_ref().is_some_and(|procedure| procedure.ends_with('*'));
    if rest && !route.procedures.iter().all(|pattern| pattern.ends_with('*')) {
        let problem = "the `*` of the new procedure stands for nothing";
        found.say(
            &format!("{key}.procedure"),
            problem,
            "end every one of the route's `procedures` with `*` too",
        );
    }
}

fn check_tries(key: &str, route: &RouteConfig, found: &mut Problems<'_, RelayConfig>) {
    let retries = &route.retries;
    if retries.max > 10 || retries.base_ms > retries.max_ms || retries.on.contains(&Code::Ok) {
        let problem = "the route's `retries` are out of bounds";
        let remedy = "choose a `max` of 0 to 10, a `base_ms` up to `max_ms`, and failures for `on`";
        found.say(&format!("{key}.retries"), problem, remedy);
    }
    if retries.try_timeout_ms.is_some() && !route.idempotent {
        let problem = "a try that took too long may have had its effect";
        let remedy = "set `idempotent = true` if carrying a call out twice does no harm, or remove it";
        found.say(&format!("{key}.retries.try_timeout_ms"), problem, remedy);
    }
    if route.hedge.is_some() && !route.idempotent {
        let problem = "a hedge carries a call out twice";
        let remedy = "set `idempotent = true` if that does no harm, or remove it";
        found.say(&format!("{key}.hedge"), problem, remedy);
    }
    if route.hedge.as_ref().is_some_and(|hedge| !(1..=3).contains(&hedge.max)) {
        found.say(&format!("{key}.hedge.max"), "a hedge asks 1 to 3 more peers", "choose 1 to 3");
    }
    let zero = [route.timeout_ms, retries.try_timeout_ms, route.limits.max_pending.map(u64::from)];
    if zero.contains(&Some(0)) {
        let problem = format!("no call of `{}` could ever pass this route", route.service);
        found.say(key, &problem, "choose at least 1 for its time-outs and bounds");
    }
}
