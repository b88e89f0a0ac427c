//! What a change of configuration costs.

use relay_core::Protocol;

use super::{at, control_plane, data_plane, exception, strict, with};
use crate::*;

fn route(service: &str, procedures: &[&str], endpoint: &str) -> RouteUse {
    RouteUse {
        service: service.to_owned(),
        procedures: procedures.iter().map(ToString::to_string).collect(),
        endpoint: endpoint.to_owned(),
        key: "routes.0".to_owned(),
    }
}

type Whole = (PolicyConfig, Vec<Endpoint>, Vec<RouteUse>);

#[track_caller]
fn check(old: &Whole, new: &Whole, expected: &[(&str, &str, &str, &[&str])]) {
    let side = |whole: &'_ Whole| -> (PolicyConfig, Vec<Endpoint>, Vec<RouteUse>) { whole.clone() };
    let (old, new) = (side(old), side(new));
    let old = Side { policy: &old.0, endpoints: &old.1, routes: &old.2 };
    let new = Side { policy: &new.0, endpoints: &new.1, routes: &new.2 };
    let changes = compare(&old, &new, at("2026-06-01T00:00:00Z"));
    let told: Vec<(&str, &str, &str, Vec<&str>)> = changes
        .iter()
        .map(|change| {
            let procedures = change.procedures.iter().map(String::as_str).collect();
            (change.rule, change.endpoint.as_str(), change.effect.as_str(), procedures)
        })
        .collect();
    let expected: Vec<(&str, &str, &str, Vec<&str>)> = expected
        .iter()
        .map(|(rule, endpoint, effect, names)| (*rule, *endpoint, *effect, names.to_vec()))
        .collect();
    assert_eq!(told, expected);
}

fn whole(transports: &[Protocol]) -> Whole {
    let endpoints = vec![data_plane("outbound:greeter", transports)];
    (PolicyConfig::default(), endpoints, vec![route("greeter", &["Greeter::*"], "outbound:greeter")])
}

#[test]
fn nothing_changed_costs_nothing_and_losing_the_least_does_not_either() {
    use Protocol::{Http1, Http2, Http3};
    check(&whole(&[Http3, Http2]), &whole(&[Http3, Http2]), &[]);
    check(&whole(&[Http3, Http2, Http1]), &whole(&[Http3]), &[]);
    check(&whole(&[Http2]), &whole(&[Http3, Http2]), &[]);
}

#[test]
fn losing_the_best_transport_names_the_calls_that_lose_it() {
    use Protocol::{Http1, Http2, Http3};
    let names: &[&str] = &["greeter Greeter::*"];
    let gone = "http3 is gone: its calls go with http2";
    let removed = ("downgrade/transport-removed", "outbound:greeter", gone, names);
    check(&whole(&[Http3, Http2]), &whole(&[Http2, Http1]), &[removed]);
    let lowered = ("downgrade/preference-lowered", "outbound:greeter", "http2 is wanted before http3", names);
    check(&whole(&[Http3, Http2]), &whole(&[Http2, Http3]), &[lowered]);
}

#[test]
fn a_stricter_category_takes_encodings_away() {
    let old = whole(&[Protocol::Http3]);
    let mut new = old.clone();
    let json_only = CategoryRule { encodings: vec![relay_core::Encoding::Json], ..strict() };
    new.0.categories.insert("edge".into(), json_only);
    new.0.endpoints.insert("outbound:greeter".into(), "edge".into());
    let effect = "protobuf is gone: its calls go with json";
    check(&old, &new, &[("downgrade/encoding-removed", "outbound:greeter", effect, &["greeter Greeter::*"])]);
}

#[test]
fn exceptions_that_come_grow_and_end_are_told() {
    let endpoints = vec![control_plane(&[Protocol::Http3, Protocol::Http2])];
    let plain: Whole = (PolicyConfig::default(), endpoints.clone(), vec![]);
    let excepted: Whole = (with(vec![exception()]), endpoints.clone(), vec![]);
    let name = "control-plane:grpc";
    let comes = "the exception `legacy` lets calls use http1 until 2027-01-01T00:00:00Z";
    check(&plain, &excepted, &[("downgrade/exception-added", name, comes, &[])]);
    let ends = "the exception `legacy` is gone: calls with http1 are refused where no rule allows them";
    check(&excepted, &plain, &[("downgrade/exception-ended", name, ends, &[])]);
    let longer = Exception { expires: at("2028-01-01T00:00:00Z"), ..exception() };
    let longer: Whole = (with(vec![longer]), endpoints.clone(), vec![]);
    let prolonged = "the exception `legacy` is prolonged until 2028-01-01T00:00:00Z";
    check(&excepted, &longer, &[("downgrade/exception-added", name, prolonged, &[])]);
    let over = Exception { expires: at("2026-01-01T00:00:00Z"), ..exception() };
    let over: Whole = (with(vec![over]), endpoints, vec![]);
    let expired =
        "the exception `legacy` has expired: calls with http1 are refused where no rule allows them";
    check(&excepted, &over, &[("downgrade/exception-ended", name, expired, &[])]);
}

#[test]
fn an_exception_for_procedures_names_those_and_no_others() {
    let exception = Exception {
        scope: "outbound:*".into(),
        procedures: vec!["Greeter::Greet".into(), "Other::*".into()],
        transports: vec![Transport::Http1],
        ..exception()
    };
    let old = whole(&[Protocol::Http3]);
    let mut new = old.clone();
    new.0 = with(vec![exception]);
    let effect = "the exception `legacy` lets calls use http1 until 2027-01-01T00:00:00Z";
    let names: &[&str] = &["greeter Greeter::Greet"];
    check(&old, &new, &[("downgrade/exception-added", "outbound:greeter", effect, names)]);
}

#[test]
fn a_route_to_a_worse_endpoint_is_a_downgrade() {
    let endpoints = vec![
        data_plane("outbound:a", &[Protocol::Http3, Protocol::Http2]),
        data_plane("outbound:b", &[Protocol::Http2]),
    ];
    let old: Whole = (PolicyConfig::default(), endpoints.clone(), vec![route("greeter", &[], "outbound:a")]);
    let new: Whole = (PolicyConfig::default(), endpoints, vec![route("greeter", &[], "outbound:b")]);
    let effect = "the route leads there instead of to outbound:a: http3 is gone: its calls go with http2";
    check(&old, &new, &[("downgrade/route-moved", "outbound:b", effect, &["greeter"])]);
    check(&new, &old, &[]);
}
