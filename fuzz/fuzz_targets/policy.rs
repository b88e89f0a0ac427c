//! A policy file: read, then asked.

use jiff::Timestamp;
use omnirelay_runtime::config::load_str;
use relay_core::{Encoding, Protocol};
use relay_policy::{Decision, Endpoint, Policy, PolicyConfig, Style, Verdict, Wire};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "policy",
    run,
    words: &[
        "[categories.mine]",
        "[[exceptions]]",
        "transports = [\"http1\"]",
        "encodings = [\"json\"]",
        "scope = \"*\"",
        "expires = \"2030-01-01T00:00:00Z\"",
        "expires = \"1960-01-01T00:00:00Z\"",
        "approver = \"a\"",
        "\n",
        "*",
        "control-plane",
        "data-plane",
        "preferred_required = true",
    ],
};

fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(loaded) = load_str::<PolicyConfig>("fuzz.toml", text) else { return };
    let (config, now) = (loaded.value, Timestamp::UNIX_EPOCH);
    let policy = Policy::new(&config);
    let endpoint = |category: &str| Endpoint {
        name: "data:http".to_owned(),
        key: "data.protocols".to_owned(),
        category: category.to_owned(),
        transports: Protocol::ALL.to_vec(),
        styles: vec![Style::Http, Style::Grpc],
        encodings: Some(Encoding::ALL.to_vec()),
    };
    let mut endpoints = vec![endpoint("control-plane"), endpoint("unknown")];
    endpoints.extend(config.categories.keys().map(|category| endpoint(category)));
    for finding in policy.report(&config, &endpoints, now).findings {
        assert!(!finding.hint.is_empty(), "a finding without a remedy");
    }
    // No policy file opens the control plane to HTTP/1.1 but an exception that has not expired.
    let plane = endpoint("control-plane");
    let wire = Wire { protocol: Protocol::Http1, style: Style::Http, encoding: Encoding::Protobuf };
    let verdict = policy.evaluate(&plane, wire, Some("a"), now);
    assert!(verdict != Verdict::Allowed, "a file changed a built-in rule");
    if let Verdict::Excepted(exception) = verdict {
        assert!(now < exception.expires, "an expired exception grants");
    }
    let decision = policy.compile(&plane).decide(wire, "a", now);
    let refused = matches!(verdict, Verdict::Refused(_));
    assert_eq!(matches!(decision, Decision::Refused(_)), refused, "the table says otherwise than the rules");
}
