//! What a change of configuration would downgrade.

use jiff::Timestamp;
use relay_core::{Encoding, Protocol};
use serde::Serialize;

use crate::config::{Exception, PolicyConfig, matches};
use crate::endpoint::Endpoint;
use crate::evaluate::{Policy, Verdict};
use crate::wire::Wire;

/// A configuration as far as a comparison is about it.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Its policy.
    pub policy: &'a PolicyConfig,
    /// What listens and calls.
    pub endpoints: &'a [Endpoint],
    /// Which calls go where.
    pub routes: &'a [RouteUse],
}

/// Calls that an endpoint carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteUse {
    /// The service that is called.
    pub service: String,
    /// The procedures as patterns; none stands for all.
    pub procedures: Vec<String>,
    /// The endpoint that carries them on.
    pub endpoint: String,
    /// The configuration key of the route.
    pub key: String,
}

/// One thing that gets worse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What kind of change it is, by a name that never changes: `downgrade/transport-removed`.
    pub rule: &'static str,
    /// The endpoint that it is about.
    pub endpoint: String,
    /// The configuration key that brought it, in the new configuration.
    pub key: String,
    /// What happens to calls.
    pub effect: String,
    /// The calls that it happens to, as `service` or `service procedure`.
    pub procedures: Vec<String>,
}

/// What gets worse from `old` to `new`, in the order of the new endpoints and then of the routes.
/// An endpoint that is new or gone has nothing to be compared with.
#[must_use]
pub fn compare(old: &Side<'_>, new: &Side<'_>, now: Timestamp) -> Vec<Change> {
    let (was, is) = (Policy::new(old.policy), Policy::new(new.policy));
    let mut changes = Vec::new();
    for endpoint in new.endpoints {
        let Some(before) = old.endpoints.iter().find(|one| one.name == endpoint.name) else { continue };
        let mut add = |rule, key: &str, effect: String, only: &[String]| {
            let procedures = carried(new.routes, &endpoint.name, only);
            let (endpoint, key) = (endpoint.name.clone(), key.to_owned());
            changes.push(Change { rule, endpoint, key, effect, procedures });
        };
        let lost = transports(&Usable::of(&was, before, now), &Usable::of(&is, endpoint, now));
        lost.into_iter().for_each(|(rule, effect)| add(rule, &endpoint.key, effect, &[]));
        let lost = encodings(&Usable::of(&was, before, now), &Usable::of(&is, endpoint, now));
        lost.into_iter().for_each(|(rule, effect)| add(rule, &endpoint.key, effect, &[]));
        for (index, exception) in covering(&is, endpoint, now) {
            if let Some(effect) = added(covering(&was, before, now).map(|(_, one)| one), exception) {
                add("downgrade/exception-added", &exception_key(index), effect, &exception.procedures);
            }
        }
        for (_, exception) in covering(&was, before, now) {
            if let Some((key, effect)) = ended(&is, endpoint, exception, now) {
                add("downgrade/exception-ended", &key, effect, &exception.procedures);
            }
        }
    }
    changes.extend(moved(old, new, &was, &is, now));
    changes
}

/// What an endpoint can be called over, most wanted first.
struct Usable {
    protocols: Vec<Protocol>,
    encodings: Vec<Encoding>,
}

impl Usable {
    fn of(policy: &Policy, endpoint: &Endpoint, now: Timestamp) -> Self {
        let rule = policy.ground(endpoint).rule;
        let allowed = rule.map(|rule| rule.encodings.as_slice()).unwrap_or_default();
        let offered = endpoint.encodings.as_deref();
        // What exceptions add to an open endpoint comes after what its rule wants.
        let extra = Encoding::ALL.into_iter().filter(|one| offered.is_none() && !allowed.contains(one));
        let encodings: Vec<Encoding> = offered.unwrap_or(allowed).iter().copied().chain(extra).collect();
        let fine = |protocol: Protocol, encoding: Encoding| {
            endpoint.styles.iter().any(|style| {
                let wire = Wire { protocol, style: *style, encoding };
                !matches!(policy.evaluate(endpoint, wire, None, now), Verdict::Refused(_))
            })
        };
        Self {
            protocols: endpoint
                .transports
                .iter()
                .copied()
                .filter(|protocol| encodings.iter().any(|encoding| fine(*protocol, *encoding)))
                .collect(),
            encodings: encodings
                .iter()
                .copied()
                .filter(|encoding| endpoint.transports.iter().any(|protocol| fine(*protocol, *encoding)))
                .collect(),
        }
    }
}

fn transports(old: &Usable, new: &Usable) -> Vec<(&'static str, String)> {
    lowered(&old.protocols, &new.protocols, &Protocol::ALL, Protocol::name).map_or_else(Vec::new, |lowered| {
        vec![match lowered {
            Lowered::Removed(gone, left) => ("downgrade/transport-removed", removed(gone, left)),
            Lowered::First(was, is) => ("downgrade/preference-lowered", preferred(was, is)),
        }]
    })
}

fn encodings(old: &Usable, new: &Usable) -> Vec<(&'static str, String)> {
    if new.protocols.is_empty() {
        // Said of the transports already.
        return Vec::new();
    }
    lowered(&old.encodings, &new.encodings, &Encoding::ALL, Encoding::name).map_or_else(Vec::new, |lowered| {
        vec![match lowered {
            Lowered::Removed(gone, left) => ("downgrade/encoding-removed", removed(gone, left)),
            Lowered::First(was, is) => ("downgrade/encoding-lowered", preferred(was, is)),
        }]
    })
}

enum Lowered {
    /// What is gone, and what comes in its place, if anything.
    Removed(&'static str, Option<&'static str>),
    /// What was wanted first, and what is now.
    First(&'static str, &'static str),
}

/// Whether the best of a list got worse; `ranks` has the best first. That the least one went away
/// makes nothing worse.
fn lowered<T: Copy + PartialEq>(
    old: &[T],
    new: &[T],
    ranks: &[T],
    name: impl Fn(T) -> &'static str,
) -> Option<Lowered> {
    let rank = |one: T| ranks.iter().position(|other| *other == one).unwrap_or(ranks.len());
    let best = |list: &[T]| list.iter().copied().min_by_key(|one| rank(*one));
    let gone = best(&old.iter().copied().filter(|one| !new.contains(one)).collect::<Vec<_>>());
    if let Some(gone) = gone {
        let instead = best(&new.iter().copied().filter(|one| rank(*one) > rank(gone)).collect::<Vec<_>>());
        if instead.is_some() || new.is_empty() {
            return Some(Lowered::Removed(name(gone), instead.map(&name)));
        }
    }
    match (old.first(), new.first()) {
        (Some(was), Some(is)) if rank(*is) > rank(*was) => Some(Lowered::First(name(*was), name(*is))),
        _ => None,
    }
}

fn removed(gone: &str, left: Option<&str>) -> String {
    match left {
        Some(left) => format!("{gone} is gone: its calls go with {left}"),
        None => format!("{gone} is gone and nothing is left: every call is refused"),
    }
}

fn preferred(was: &str, is: &str) -> String {
    format!("{is} is wanted before {was}")
}

fn covering<'a>(
    policy: &'a Policy,
    endpoint: &'a Endpoint,
    now: Timestamp,
) -> impl Iterator<Item = (usize, &'a Exception)> {
    let valid = move |one: &(usize, &Exception)| one.1.covers(&endpoint.name) && now < one.1.expires;
    policy.exceptions.iter().enumerate().filter(valid)
}

fn exception_key(index: usize) -> String {
    format!("policy.exceptions.{index}")
}

/// What an exception grants that none did before.
fn added<'a>(mut before: impl Iterator<Item = &'a Exception>, exception: &Exception) -> Option<String> {
    let until = format!("until {}", exception.expires);
    let Some(same) = before.find(|one| one.name == exception.name) else {
        let grants = grants(exception);
        return Some(format!("the exception `{}` lets calls use {grants} {until}", exception.name));
    };
    let wider = exception.transports.iter().any(|one| !same.transports.contains(one))
        || exception.encodings.iter().any(|one| !same.encodings.contains(one))
        || (exception.procedures != same.procedures && !same.procedures.is_empty());
    if wider {
        let grants = grants(exception);
        return Some(format!("the exception `{}` is wider: {grants} {until}", exception.name));
    }
    (exception.expires > same.expires)
        .then(|| format!("the exception `{}` is prolonged {until}", exception.name))
}

fn grants(exception: &Exception) -> String {
    let transports = exception.transports.iter().map(|one| one.name());
    let names: Vec<&str> = transports.chain(exception.encodings.iter().map(|one| one.name())).collect();
    names.join(", ")
}

/// What hung on an exception that no longer grants it.
fn ended(
    new: &Policy,
    endpoint: &Endpoint,
    exception: &Exception,
    now: Timestamp,
) -> Option<(String, String)> {
    let found = new.exceptions.iter().enumerate().find(|(_, one)| one.name == exception.name);
    let (key, how) = match found {
        Some((_, one)) if one.covers(&endpoint.name) && now < one.expires => return None,
        Some((index, one)) if one.expires <= now => (exception_key(index), "has expired"),
        Some((index, _)) => (exception_key(index), "is for others now"),
        None => ("policy.exceptions".to_owned(), "is gone"),
    };
    let effect = format!(
        "the exception `{}` {how}: calls with {} are refused where no rule allows them",
        exception.name,
        grants(exception)
    );
    Some((key, effect))
}

/// Routes that lead to an endpoint which is worse than the one they led to.
fn moved(old: &Side<'_>, new: &Side<'_>, was: &Policy, is: &Policy, now: Timestamp) -> Vec<Change> {
    let usable = |policy: &Policy, endpoints: &[Endpoint], name: &str| {
        endpoints.iter().find(|one| one.name == name).map(|endpoint| Usable::of(policy, endpoint, now))
    };
    let mut changes = Vec::new();
    for route in new.routes {
        let before = old
            .routes
            .iter()
            .find(|one| one.service == route.service && one.procedures == route.procedures)
            .filter(|one| one.endpoint != route.endpoint);
        let Some(before) = before else { continue };
        let (Some(left), Some(reached)) =
            (usable(was, old.endpoints, &before.endpoint), usable(is, new.endpoints, &route.endpoint))
        else {
            continue;
        };
        for (_, effect) in transports(&left, &reached).into_iter().chain(encodings(&left, &reached)) {
            changes.push(Change {
                rule: "downgrade/route-moved",
                endpoint: route.endpoint.clone(),
                key: route.key.clone(),
                effect: format!("the route leads there instead of to {}: {effect}", before.endpoint),
                procedures: names(route, &[]),
            });
        }
    }
    changes
}

/// The calls that an endpoint carries, as far as patterns of an exception take them. What comes in
/// goes on by any route.
fn carried(routes: &[RouteUse], endpoint: &str, only: &[String]) -> Vec<String> {
    let comes_in = endpoint == "data:http";
    let mut names: Vec<String> = routes
        .iter()
        .filter(|route| comes_in || route.endpoint == endpoint)
        .flat_map(|route| names(route, only))
        .collect();
    names.sort();
    names.dedup();
    names
}

fn names(route: &RouteUse, only: &[String]) -> Vec<String> {
    let all = || vec!["*".to_owned()];
    let of_route = if route.procedures.is_empty() { all() } else { route.procedures.clone() };
    let of_exception = if only.is_empty() { all() } else { only.to_vec() };
    // Both are patterns: where they meet, the narrower one names the calls.
    let met = of_route.iter().flat_map(|one| {
        of_exception.iter().filter_map(move |other| {
            if matches(one, other.trim_end_matches('*')) {
                Some(other)
            } else {
                matches(other, one.trim_end_matches('*')).then_some(one)
            }
        })
    });
    met.map(|procedure| match procedure.as_str() {
        "*" => route.service.clone(),
        procedure => format!("{} {procedure}", route.service),
    })
    .collect()
}
