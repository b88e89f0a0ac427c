//! What is wrong with what routes do to calls beside sending them on.

use omnirelay_runtime::config::Problems;

use super::is_name;
use crate::limits::RouteLimits;
use crate::model::RelayConfig;
use crate::route::RouteConfig;

pub(super) fn check(config: &RelayConfig, index: usize, key: &str, found: &mut Problems<'_, RelayConfig>) {
    let Some(route) = config.routes.get(index) else { return };
    check_name(config.routes.get(..index).unwrap_or_default(), key, route, found);
    check_fault(key, route, found);
    check_shadow(config, &format!("{key}.shadow"), route, found);
    check_limits(&format!("{key}.limits"), &route.limits, found);
}

fn check_name(
    earlier: &[RouteConfig],
    key: &str,
    route: &RouteConfig,
    found: &mut Problems<'_, RelayConfig>,
) {
    let Some(name) = &route.name else { return };
    if !is_name(name, 1, 64) {
        let problem = format!("`{name}` is not a route's name");
        found.say(&format!("{key}.name"), &problem, "use 1 to 64 of a-z, 0-9, `.` and `-`");
    }
    if let Some(first) = earlier.iter().position(|earlier| earlier.name.as_ref() == Some(name)) {
        let problem = format!("`routes.{first}` is called `{name}` already");
        found.say(&format!("{key}.name"), &problem, "give each route a name of its own, or none");
    }
}

fn check_fault(key: &str, route: &RouteConfig, found: &mut Problems<'_, RelayConfig>) {
    let Some(fault) = &route.fault else { return };
    if let Some((problem, remedy)) = fault.problem() {
        found.say(&format!("{key}.fault"), problem, remedy);
    }
    if fault.is_nothing() {
        found.say(&format!("{key}.fault"), "the fault does nothing", "write `delay`, `abort` or both");
    }
}

fn check_limits(key: &str, limits: &RouteLimits, found: &mut Problems<'_, RelayConfig>) {
    let caller = limits.per_caller.as_ref();
    for (name, rate) in [("rate", limits.rate), ("per_caller.rate", caller.and_then(|caller| caller.rate))] {
        if rate.is_some_and(|rate| !rate.is_sound()) {
            let remedy = "choose 1 to 1000000 for `calls` and `burst`, and 1 to 3600000 for `per_ms`";
            found.say(&format!("{key}.{name}"), "the rate is out of bounds", remedy);
        }
    }
    if let Some(caller) = caller
        && (caller.max_pending == Some(0) || caller.rate.is_none() && caller.max_pending.is_none())
    {
        let problem = "callers are bounded by nothing, or could never call";
        found.say(&format!("{key}.per_caller"), problem, "write a `rate`, or a `max_pending` of at least 1");
    }
    if let Some(adaptive) = &limits.adaptive
        && (adaptive.min == 0
            || adaptive.max < adaptive.min
            || adaptive.max > 100_000
            || !(10..=1000).contains(&adaptive.tolerance_percent))
    {
        let remedy = "choose a `min` of at least 1, a `max` from that to 100000, and 10 to 1000 for `tolerance_percent`";
        found.say(&format!("{key}.adaptive"), "the bounds of the adaptive limit do not fit together", remedy);
    }
}

fn check_shadow(config: &RelayConfig, key: &str, route: &RouteConfig, found: &mut Problems<'_, RelayConfig>) {
    let Some(shadow) = &route.shadow else { return };
    let name = &shadow.outbound;
    if !config.outbounds.iter().any(|outbound| outbound.name == *name) {
        let problem = format!("the shadow of `{}` names no outbound: `{name}`", route.service);
        found.say(&format!("{key}.outbound"), &problem, "name one of the `[[outbounds]]`");
    } else if route.outbounds().any(|outbound| outbound == name) {
        let problem = format!("`{name}` would carry calls of `{}` out twice", route.service);
        found.say(&format!("{key}.outbound"), &problem, "name an outbound that the route does not lead to");
    }
    if route.respond.is_some() {
        found.say(key, "what the relay answers itself is never sent", "remove `shadow` beside `respond`");
    }
    if !(1..=100).contains(&shadow.percent)
        || !(1..=10_000).contains(&shadow.max_pending)
        || !(1..=1 << 20).contains(&shadow.max_body_bytes)
    {
        let remedy =
            "choose 1 to 100 for `percent`, 1 to 10000 for `max_pending`, 1 to 1048576 for `max_body_bytes`";
        found.say(key, "the bounds of the shadow are off", remedy);
    }
    for (at, header) in shadow.ignore_headers.iter().enumerate() {
        if http::HeaderName::try_from(header.as_str()).is_err() {
            let problem = format!("`{header}` is not a header's name");
            found.say(&format!("{key}.ignore_headers.{at}"), &problem, "use letters, digits and `-`");
        }
    }
}
