#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use omnirelay_runtime::config::load_str;

use super::*;

const GOOD: &str = r#"kind = "relay"
[node]
name = "relay-1"
[data]
address = "127.0.0.1:7410"
tls = { certificate = "a.pem", private_key = "a.key" }
[admin]
address = "127.0.0.1:7411"
tls = { certificate = "a.pem", private_key = "a.key" }
[[outbounds]]
name = "greeter"
peers = ["https://127.0.0.1:7420"]
[[routes]]
service = "greeter"
outbound = "greeter"
"#;

fn reports(text: &str) -> Vec<String> {
    let loaded = load_str::<RelayConfig>("relay.toml", text).unwrap();
    let now = "2026-06-01T00:00:00Z".parse().unwrap();
    RelayConfig::check(&loaded, now).problems.iter().map(|problem| problem.report(false)).collect()
}

#[test]
fn a_good_configuration_has_no_problems() {
    assert_eq!(reports(GOOD), Vec::<String>::new());
}

#[test]
fn every_problem_names_its_line_and_a_remedy() {
    let broken = GOOD
        .replace("name = \"relay-1\"", "name = \"Relay 1\"")
        .replace("127.0.0.1:7411", "127.0.0.1:7410")
        .replace("https://127.0.0.1:7420", "http://127.0.0.1:7420/x")
        .replace("outbound = \"greeter\"", "outbound = \"greter\"");
    assert_eq!(
        reports(&broken),
        [
            "error: `Relay 1` is not a node's name\n  where: relay.toml:3\n  hint:  use 1 to 128 of a-z, 0-9, `.` and `-`",
            "error: `data` and `admin` listen on the same address\n  where: relay.toml:8\n  hint:  choose two ports",
            "error: `http://127.0.0.1:7420/x` is not an endpoint\n  where: relay.toml:12\n  cause: only https is spoken\n  hint:  write `https://host:port`",
            "error: the route for `greeter` names no outbound: `greter`\n  where: relay.toml:15\n  hint:  known outbounds: greeter",
        ]
    );
}

#[test]
fn the_policy_speaks_through_the_same_list() {
    let broken = GOOD.replace("[admin]", "[admin]\nprotocols = [\"http1\"]");
    assert_eq!(
        reports(&broken),
        [
            "error: diagnostics:http: diagnostics needs http3\n  where: relay.toml:8\n  hint:  add \"http3\" to `admin.protocols`"
        ]
    );
}
