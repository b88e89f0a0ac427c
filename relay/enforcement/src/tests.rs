#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

mod grpc;
mod spans;
mod stream;

use std::sync::Arc;

use jiff::Timestamp;
use omnirelay_runtime::Metrics;
use relay_core::observe::EventKind;
use relay_core::{Code, DowngradeReason, Encoding, Protocol, RpcStyle};
use relay_policy::{Endpoint, Exception, PolicyConfig, Style, Transport, Wire};
use relay_transport::body;

use super::*;
use crate::outcome::Outcome;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn endpoint(name: &str) -> Endpoint {
    Endpoint {
        name: name.to_owned(),
        key: "x".to_owned(),
        category: "strict".to_owned(),
        transports: Protocol::ALL.to_vec(),
        styles: Style::ALL.to_vec(),
        encodings: None,
    }
}

/// HTTP/3 and HTTP/2 with protobuf are allowed; HTTP/1.1 is excepted until the hundredth second.
fn policy() -> PolicyConfig {
    let rule = relay_policy::CategoryRule {
        transports: vec![Transport::Http3, Transport::Http2],
        encodings: vec![Encoding::Protobuf],
        preferred_required: false,
        preferred_encoding_required: false,
    };
    let exception = Exception {
        name: "old-agents".to_owned(),
        scope: "*".to_owned(),
        procedures: vec![],
        transports: vec![Transport::Http1],
        encodings: vec![],
        reason: "they speak nothing else".to_owned(),
        approver: "ops".to_owned(),
        expires: at(100),
    };
    PolicyConfig {
        categories: [("strict".to_owned(), rule)].into(),
        exceptions: vec![exception],
        ..PolicyConfig::default()
    }
}

fn checkpoints(names: &[&str], metrics: &Metrics) -> Arc<Checkpoints> {
    let endpoints: Vec<Endpoint> = names.iter().map(|name| endpoint(name)).collect();
    Arc::new(Checkpoints::new("one", &policy(), &endpoints, metrics, at(0)))
}

fn wire(protocol: Protocol, encoding: Encoding) -> Wire {
    Wire { protocol, style: Style::Http, encoding }
}

const SOMEBODY: Call<'_> = Call { procedure: "Greeter::Greet", peer: &"192.0.2.1:4711" };

#[test]
fn an_exception_that_ends_is_refused_counted_and_told_with_its_name() {
    let checkpoints = checkpoints(&["data:http"], &Metrics::default());
    let data = checkpoints.get("data:http").unwrap();
    let http1 = wire(Protocol::Http1, Encoding::Protobuf);
    let passage = data.admit(http1, SOMEBODY, at(99)).unwrap();
    assert_eq!(passage.downgrade, Some(DowngradeReason::PolicyException));
    data.ended(Protocol::Http1, Encoding::Protobuf, Outcome::Answered);

    let refused = data.admit(http1, SOMEBODY, at(100)).unwrap_err();
    assert_eq!((refused.code, refused.name.as_deref()), (Code::PermissionDenied, Some("transport-policy")));
    assert!(refused.message.contains("`old-agents` ended at 1970-01-01T00:01:40Z"), "{refused}");
    assert!(refused.hint.unwrap().contains("use http3 with protobuf"));

    let stats = &checkpoints.stats(at(100)).endpoints[0];
    assert_eq!((stats.calls, stats.downgraded, stats.refused), (1, 1, 1));
    let exception = &stats.exceptions[0];
    assert_eq!((exception.used, exception.refused, exception.expired), (1, 1, true));
    let events = checkpoints.events.latest(10);
    assert_eq!(
        events.iter().map(|event| event.kind).collect::<Vec<_>>(),
        [EventKind::Downgraded, EventKind::Refused]
    );
    assert!(events.iter().all(|event| event.exception.as_deref() == Some("old-agents")));
    assert_eq!((events[1].peer.as_str(), events[1].procedure.as_str()), ("192.0.2.1:4711", "Greeter::Greet"));
}

#[test]
fn a_call_that_nobody_waits_for_is_counted_as_failed() {
    let checkpoints = checkpoints(&["data:http"], &Metrics::default());
    let data = checkpoints.get("data:http").unwrap();
    let counted = || data.counted(Protocol::Http3, Encoding::Protobuf, tracing::Span::none());
    drop(counted());
    for (status, protocol) in [(200, Protocol::Http3), (404, Protocol::Http2), (503, Protocol::Http2)] {
        let mut call = counted();
        call.over(protocol);
        let mut response = http::Response::new(body::empty());
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
        drop(call.answered(RpcStyle::Yarpc, response));
    }
    let wires = &checkpoints.stats(at(0)).endpoints[0].wires;
    let counts: Vec<_> = wires.iter().map(|wire| (wire.protocol, wire.answered, wire.failed)).collect();
    assert_eq!(counts, [(Protocol::Http3, 1, 1), (Protocol::Http2, 1, 1)]);
}

#[test]
fn a_call_goes_out_over_what_is_allowed_at_its_time() {
    let checkpoints = checkpoints(&["outbound:x"], &Metrics::default());
    let outbound = checkpoints.get("outbound:x").unwrap();
    let open = |encoding, seconds| outbound.open(Style::Http, encoding, SOMEBODY, at(seconds));
    let names = |set: relay_policy::Protocols| {
        Protocol::ALL.into_iter().filter(|one| set.contains(*one)).map(Protocol::name).collect::<Vec<_>>()
    };
    assert_eq!(names(open(Encoding::Protobuf, 99).unwrap()), ["http3", "http2", "http1"]);
    assert_eq!(names(open(Encoding::Protobuf, 100).unwrap()), ["http3", "http2"]);
    let refused = open(Encoding::Json, 0).unwrap_err();
    assert_eq!(refused.message, "json is not allowed at outbound:x (strict)");
    assert_eq!(checkpoints.stats(at(0)).endpoints[0].refused, 1);

    let reason = Some(DowngradeReason::NoQuicReply);
    let passage = outbound.arrived(wire(Protocol::Http2, Encoding::Protobuf), reason, SOMEBODY, at(0));
    assert_eq!(passage.downgrade, reason);
    let passage = outbound.arrived(wire(Protocol::Http3, Encoding::Protobuf), None, SOMEBODY, at(0));
    assert_eq!(passage.downgrade, None);
}

#[test]
fn no_caller_can_make_a_series_that_was_not_foreseen() {
    let metrics = Metrics::default();
    let names = ["data:http", "outbound:x"];
    let checkpoints = checkpoints(&names, &metrics);
    for call in 0..20_000_u32 {
        let procedure = format!("Procedure::{call}");
        let peer = format!("192.0.2.1:{}", call % 60_000);
        let call = Call { procedure: &procedure, peer: &peer };
        let checkpoint = checkpoints.get(names[usize::from(procedure.len().is_multiple_of(2))]).unwrap();
        for protocol in Protocol::ALL {
            for encoding in Encoding::ALL {
                let seconds = i64::try_from(procedure.len() * 10).unwrap();
                let _either = checkpoint.admit(wire(protocol, encoding), call, at(seconds));
                let _either = checkpoint.open(Style::Http, encoding, call, at(seconds));
                for reason in DowngradeReason::ALL {
                    checkpoint.arrived(wire(protocol, encoding), Some(reason), call, at(seconds));
                }
                Outcome::ALL.into_iter().for_each(|outcome| checkpoint.ended(protocol, encoding, outcome));
            }
        }
        if call.procedure.len() > 15 && procedure.ends_with("99") {
            assert!(checkpoints.events.latest(usize::MAX).len() <= events::KEPT);
        }
    }
    let text = metrics.render();
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    let calls = Protocol::ALL.len() * Encoding::ALL.len() * Outcome::ALL.len();
    let downgrades = Protocol::ALL.len() * DowngradeReason::ALL.len();
    let bound = names.len() * (calls + downgrades + 2 * policy().exceptions.len() + Encoding::ALL.len());
    assert!(series <= bound, "{series} series, foreseen are {bound}");
    assert!(series > bound / 2, "the test reaches only {series} of {bound}");
    assert!(!text.contains("Procedure::") && !text.contains("192.0.2"), "{text}");
}

#[test]
fn every_metric_stands_in_the_reference() {
    let reference = include_str!("../../../docs/reference/policy.md");
    for (name, _) in metrics::ALL {
        assert!(reference.contains(&format!("`{name}_total`")), "{name} is not in docs/reference/policy.md");
    }
}
