#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

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
        transports: vec![Protocol::Http1],
        encodings: vec![],
        reason: "old agents".into(),
        approver: "ops".into(),
        expires: at("2027-01-01T00:00:00Z"),
    }
}

fn endpoint(transports: &[Protocol]) -> Endpoint {
    Endpoint {
        name: "control-plane:grpc".into(),
        key: "listener.protocols".into(),
        category: "control-plane".into(),
        transports: transports.to_vec(),
        encodings: vec![Encoding::Protobuf],
    }
}

#[test]
fn an_exception_grants_until_it_expires_and_not_a_moment_longer() {
    let policy = Policy::new(&PolicyConfig { exceptions: vec![exception()], ..PolicyConfig::default() });
    let ask = |now| {
        policy.evaluate("control-plane:grpc", "control-plane", Protocol::Http1, Encoding::Protobuf, at(now))
    };
    assert!(matches!(ask("2026-12-31T23:59:59Z"), Verdict::Excepted(it) if it.name == "legacy"));
    assert!(matches!(ask("2027-01-01T00:00:00Z"), Verdict::Refused(Some(it)) if it.name == "legacy"));
    let other = policy.evaluate(
        "data:http",
        "control-plane",
        Protocol::Http1,
        Encoding::Protobuf,
        at("2026-01-01T00:00:00Z"),
    );
    assert_eq!(other, Verdict::Refused(None));
}

#[test]
fn a_report_names_the_key_to_change() {
    let now = at("2026-06-01T00:00:00Z");
    let config = PolicyConfig::default();
    let policy = Policy::new(&config);
    let fine = policy.report(&config, &[endpoint(&[Protocol::Http3, Protocol::Http2])], now);
    assert_eq!((fine.findings.len(), fine.downgrade_ratio()), (0, 0.0));
    let missing = policy.report(&config, &[endpoint(&[Protocol::Http2])], now);
    assert_eq!(missing.downgraded, ["control-plane:grpc"]);
    assert_eq!(missing.findings[0].problem, "control-plane needs http3");
    assert_eq!(missing.findings[0].hint, "add \"http3\" to `listener.protocols`");
    let refused = policy.report(&config, &[endpoint(&[Protocol::Http3, Protocol::Http1])], now);
    assert_eq!(refused.findings[0].problem, "http1 with protobuf is not allowed for control-plane");
}

#[test]
fn built_in_rules_stand_and_broken_exceptions_are_found() {
    let mut bad = exception();
    (bad.scope, bad.approver) = ("nowhere".into(), " ".into());
    let mut config = PolicyConfig { exceptions: vec![bad], ..PolicyConfig::default() };
    let open = CategoryRule {
        transports: vec![Protocol::Http1],
        encodings: vec![Encoding::Raw],
        preferred_required: false,
    };
    config.categories.insert("control-plane".into(), open);
    let policy = Policy::new(&config);
    let report = policy.report(&config, &[endpoint(&[Protocol::Http3])], at("2027-06-01T00:00:00Z"));
    let problems: Vec<&str> = report.findings.iter().map(|finding| finding.problem.as_str()).collect();
    assert_eq!(
        problems,
        [
            "a built-in rule cannot be changed",
            "name, reason or approver is empty",
            "it has expired",
            "its scope covers no endpoint"
        ]
    );
    let verdict =
        policy.evaluate("x", "control-plane", Protocol::Http1, Encoding::Raw, at("2026-01-01T00:00:00Z"));
    assert_eq!(verdict, Verdict::Refused(None));
}

proptest! {
    /// Without exceptions, time changes nothing; with one, it can only take away.
    #[test]
    fn time_never_grants(seconds in 0i64..4_000_000_000, later in 0i64..1_000_000_000) {
        let policy = Policy::new(&PolicyConfig { exceptions: vec![exception()], ..PolicyConfig::default() });
        let ask = |seconds| {
            let now = Timestamp::from_second(seconds).unwrap_or_default();
            policy.evaluate("control-plane:x", "control-plane", Protocol::Http1, Encoding::Protobuf, now)
        };
        if matches!(ask(seconds), Verdict::Refused(_)) {
            prop_assert!(matches!(ask(seconds + later), Verdict::Refused(_)));
        }
    }
}
