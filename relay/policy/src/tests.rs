#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

mod changes;
mod table;

use jiff::Timestamp;
use proptest::prelude::*;
use relay_core::{Encoding, Protocol};

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn exception() -> Exception {
    Exception {
        name: "legacy".into(),
        scope: "control-plane:*".into(),
        procedures: vec![],
        transports: vec![Transport::Http1],
        encodings: vec![],
        reason: "old agents".into(),
        approver: "ops".into(),
        expires: at("2027-01-01T00:00:00Z"),
    }
}

fn with(exceptions: Vec<Exception>) -> PolicyConfig {
    PolicyConfig { exceptions, ..PolicyConfig::default() }
}

fn control_plane(transports: &[Protocol]) -> Endpoint {
    Endpoint {
        name: "control-plane:grpc".into(),
        key: "listener.protocols".into(),
        category: "control-plane".into(),
        transports: transports.to_vec(),
        styles: vec![Style::Grpc],
        encodings: Some(vec![Encoding::Protobuf]),
    }
}

fn data_plane(name: &str, transports: &[Protocol]) -> Endpoint {
    Endpoint {
        name: name.into(),
        key: "data.protocols".into(),
        category: "data-plane".into(),
        transports: transports.to_vec(),
        styles: Style::ALL.to_vec(),
        encodings: None,
    }
}

fn grpc(protocol: Protocol) -> Wire {
    Wire { protocol, style: Style::Grpc, encoding: Encoding::Protobuf }
}

fn strict() -> CategoryRule {
    CategoryRule {
        transports: vec![Transport::Http3, Transport::Http2],
        encodings: vec![Encoding::Protobuf],
        preferred_required: false,
        preferred_encoding_required: false,
    }
}

#[track_caller]
fn problems(config: &PolicyConfig, endpoints: &[Endpoint], expected: &[&str]) {
    let report = Policy::new(config).report(config, endpoints, at("2026-06-01T00:00:00Z"));
    let problems: Vec<&str> = report.findings.iter().map(|finding| finding.problem.as_str()).collect();
    assert_eq!(problems, expected);
}

#[test]
fn an_exception_grants_until_it_expires_and_not_a_moment_longer() {
    let policy = Policy::new(&with(vec![exception()]));
    let endpoint = control_plane(&[Protocol::Http3]);
    let ask = |now| policy.evaluate(&endpoint, grpc(Protocol::Http1), None, at(now));
    assert!(matches!(ask("2026-12-31T23:59:59Z"), Verdict::Excepted(it) if it.name == "legacy"));
    assert!(matches!(ask("2027-01-01T00:00:00Z"), Verdict::Refused(Some(it)) if it.name == "legacy"));
    let mut other = endpoint.clone();
    other.name = "data:http".into();
    let outside = policy.evaluate(&other, grpc(Protocol::Http1), None, at("2026-01-01T00:00:00Z"));
    assert_eq!(outside, Verdict::Refused(None));
}

#[test]
fn the_control_plane_is_grpc_and_nothing_else() {
    let policy = Policy::new(&PolicyConfig::default());
    let endpoint = control_plane(&[Protocol::Http3, Protocol::Http2]);
    let ask = |wire| policy.evaluate(&endpoint, wire, None, at("2026-01-01T00:00:00Z"));
    assert_eq!(ask(grpc(Protocol::Http3)), Verdict::Allowed);
    assert_eq!(ask(grpc(Protocol::Http2)), Verdict::Allowed);
    assert_eq!(ask(grpc(Protocol::Http1)), Verdict::Refused(None));
    assert_eq!(ask(Wire { style: Style::Http, ..grpc(Protocol::Http3) }), Verdict::Refused(None));
    assert_eq!(ask(Wire { encoding: Encoding::Json, ..grpc(Protocol::Http3) }), Verdict::Refused(None));
}

#[test]
fn a_report_names_the_key_to_change() {
    let now = at("2026-06-01T00:00:00Z");
    let config = PolicyConfig::default();
    let policy = Policy::new(&config);
    let fine = policy.report(&config, &[control_plane(&[Protocol::Http3, Protocol::Http2])], now);
    assert_eq!((fine.findings.len(), fine.downgrade_ratio()), (0, 0.0));
    let missing = policy.report(&config, &[control_plane(&[Protocol::Http2])], now);
    assert_eq!(missing.downgraded, ["control-plane:grpc"]);
    assert_eq!(missing.findings.len(), 1);
    assert_eq!(missing.findings[0].rule, "policy/preferred-missing");
    assert_eq!(missing.findings[0].problem, "control-plane needs http3");
    assert_eq!(missing.findings[0].hint, "add \"http3\" to `listener.protocols`");
    let refused = policy.report(&config, &[control_plane(&[Protocol::Http3, Protocol::Http1])], now);
    assert_eq!(refused.findings[0].problem, "gRPC over http1 with protobuf is not allowed for control-plane");
}

#[test]
fn doing_without_the_required_transport_ends_with_its_exception() {
    let waiver = Exception { transports: vec![Transport::Http2], ..exception() };
    let config = with(vec![waiver]);
    let endpoint = control_plane(&[Protocol::Http2]);
    problems(&config, std::slice::from_ref(&endpoint), &[]);
    let policy = Policy::new(&config);
    let ask = |now| policy.evaluate(&endpoint, grpc(Protocol::Http2), None, at(now));
    assert!(matches!(ask("2026-12-31T23:59:59Z"), Verdict::Excepted(_)));
    assert!(matches!(ask("2027-01-01T00:00:00Z"), Verdict::Refused(Some(_))));
}

#[test]
fn built_in_rules_stand_and_broken_exceptions_are_found() {
    let unexplained = Exception {
        scope: "nowhere".into(),
        approver: " ".into(),
        expires: at("2026-01-01T00:00:00Z"),
        ..exception()
    };
    let unnamed = Exception { name: "Not An Id".into(), transports: vec![], ..exception() };
    let mut config = with(vec![unexplained, unnamed, exception(), exception()]);
    config.categories.insert("control-plane".into(), strict());
    problems(
        &config,
        &[control_plane(&[Protocol::Http3])],
        &[
            "a built-in rule cannot be changed",
            "name, reason or approver is empty",
            "it has expired",
            "its scope covers no endpoint",
            "`Not An Id` is not an exception's name",
            "it grants nothing",
            "two exceptions are called `legacy`",
            "two exceptions are called `legacy`",
        ],
    );
    let policy = Policy::new(&config);
    let wire = Wire { protocol: Protocol::Http2, style: Style::Http, encoding: Encoding::Protobuf };
    let verdict = policy.evaluate(&control_plane(&[]), wire, None, at("2026-01-01T00:00:00Z"));
    assert_eq!(verdict, Verdict::Refused(None), "the operator's rule did not replace the built-in one");
}

#[test]
fn a_category_of_ones_own_can_only_be_stricter() {
    let mut config = PolicyConfig::default();
    config.categories.insert("edge".into(), strict());
    config.endpoints.insert("data:http".into(), "edge".into());
    let data = data_plane("data:http", &[Protocol::Http3, Protocol::Http2]);
    problems(&config, std::slice::from_ref(&data), &[]);
    let policy = Policy::new(&config);
    let wire = Wire { protocol: Protocol::Http3, style: Style::Http, encoding: Encoding::Json };
    assert_eq!(policy.evaluate(&data, wire, None, Timestamp::UNIX_EPOCH), Verdict::Refused(None));

    let old = data_plane("data:http", &[Protocol::Http3, Protocol::Http1]);
    problems(
        &config,
        &[old],
        &[
            "http1 with protobuf is not allowed for edge",
            "gRPC over http1 with protobuf is not allowed for edge",
        ],
    );

    let control = control_plane(&[Protocol::Http3, Protocol::Http2]);
    config.endpoints = [("control-plane:grpc".to_owned(), "edge".to_owned())].into();
    problems(&config, std::slice::from_ref(&control), &["`edge` is wider than `control-plane`"]);
    // Of an endpoint that speaks gRPC alone `http3` means gRPC over HTTP/3.
    let required = CategoryRule { transports: vec![Transport::Http3], preferred_required: true, ..strict() };
    config.categories.insert("edge".into(), required);
    let only = control_plane(&[Protocol::Http3]);
    problems(&config, std::slice::from_ref(&only), &[]);
    config.endpoints =
        [("x".to_owned(), "edge".to_owned()), ("control-plane:grpc".to_owned(), "egde".to_owned())].into();
    problems(&config, &[control], &["the category `egde` has no rule", "there is no endpoint `x`"]);
}

#[test]
fn a_preferred_encoding_can_be_required() {
    let rule = CategoryRule {
        encodings: vec![Encoding::Protobuf, Encoding::Json],
        preferred_encoding_required: true,
        ..strict()
    };
    let mut config = PolicyConfig::default();
    config.categories.insert("edge".into(), rule);
    config.endpoints.insert("data:http".into(), "edge".into());
    let mut data = data_plane("data:http", &[Protocol::Http3]);
    problems(&config, std::slice::from_ref(&data), &[]);
    data.encodings = Some(vec![Encoding::Json]);
    problems(&config, &[data], &["edge needs protobuf"]);
}

proptest! {
    /// Without exceptions, time changes nothing; with one, it can only take away.
    #[test]
    fn time_never_grants(seconds in 0i64..4_000_000_000, later in 0i64..1_000_000_000) {
        let policy = Policy::new(&with(vec![exception()]));
        let endpoint = control_plane(&[Protocol::Http3]);
        let ask = |seconds| {
            let now = Timestamp::from_second(seconds).unwrap_or_default();
            policy.evaluate(&endpoint, grpc(Protocol::Http1), None, now)
        };
        if matches!(ask(seconds), Verdict::Refused(_)) {
            prop_assert!(matches!(ask(seconds + later), Verdict::Refused(_)));
        }
    }
}
