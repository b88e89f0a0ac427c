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
fn the_reference_shows_a_configuration_that_is_valid() {
    let page = include_str!("../../../docs/reference/relay.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert_eq!(reports(example), Vec::<String>::new());
}

#[test]
fn what_could_never_work_is_found_before_a_start() {
    let check = |from: &str, to: &str, problem: &str| {
        let broken = GOOD.replace(from, to);
        assert_ne!(broken, GOOD);
        let told = reports(&broken);
        assert!(told.len() == 1 && told[0].contains(problem), "{told:?}");
    };
    let route = "[[routes]]\nservice = \"greeter\"\noutbound = \"greeter\"\n";
    check("name = \"relay-1\"", "name = \"relay-1\"\nzone = \"A b\"", "`A b` is not a node's zone");
    check("name = \"relay-1\"", "name = \"relay-1\"\nlabels = { \"A\" = \"b\" }", "the label `A`");
    for path in ["yarpc", "/ a", "/a?b", "/ü", "/a#b", ""] {
        check(
            "kind = \"relay\"",
            &format!("kind = \"relay\"\nrpc_path = {path:?}"),
            "`rpc_path` is not a path",
        );
    }
    check("[[routes]]", &format!("{route}[[routes]]"), "ever comes to this route");
}

#[test]
fn a_route_covers_what_it_takes_first() {
    let route = |procedures: &[&str]| RouteConfig {
        service: "s".to_owned(),
        procedures: procedures.iter().map(ToString::to_string).collect(),
        grpc_services: Vec::new(),
        outbound: "o".to_owned(),
    };
    let covers = |first: &[&str], second: &[&str]| route(first).covers(&route(second));
    assert!(covers(&[], &[]) && covers(&[], &["A::b"]) && covers(&["A::*"], &["A::b", "A::c*"]));
    assert!(covers(&["*"], &["A::b"]) && covers(&["A::b"], &["A::b"]));
    assert!(
        !covers(&["A::b"], &[]) && !covers(&["A::b"], &["A::*"]) && !covers(&["A::*"], &["A::b", "B::c"])
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

#[test]
fn endpoints_keep_their_names_and_can_be_put_into_a_stricter_category() {
    let edge = "\n[policy.categories.edge]\ntransports = [\"http3\"]\nencodings = [\"protobuf\"]\n[policy.endpoints]\n";
    let mesh = GOOD.replace("[[outbounds]]", "[mesh]\nendpoint = \"https://127.0.0.1:7400\"\n[[outbounds]]");
    let loaded = load_str::<RelayConfig>("relay.toml", &mesh).unwrap();
    let names: Vec<String> = loaded.value.endpoints().into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["data:http", "diagnostics:http", "control-plane:grpc", "outbound:greeter"]);
    assert_eq!(loaded.value.route_uses()[0].endpoint, "outbound:greeter");

    let strict = GOOD.replace("[admin]", "protocols = [\"http3\"]\n[admin]");
    assert_eq!(reports(&format!("{strict}{edge}\"data:http\" = \"edge\"\n")), Vec::<String>::new());
    assert_eq!(
        reports(&format!("{GOOD}{edge}\"outbound:greeter\" = \"egde\"\n\"outbound:x\" = \"edge\"\n")),
        [
            "error: policy.endpoints.outbound:greeter: the category `egde` has no rule\n  where: relay.toml:21\n  hint:  known: control-plane, data-plane, diagnostics, edge",
            "error: policy.endpoints.outbound:x: there is no endpoint `outbound:x`\n  where: relay.toml:22\n  hint:  endpoints here: data:http, diagnostics:http, outbound:greeter",
        ]
    );
    let silent = mesh.replace("[[outbounds]]", "protocols = []\n[[outbounds]]");
    assert!(reports(&silent)[0].starts_with("error: `mesh.protocols` is empty\n  where: relay.toml:12"));
}

#[test]
fn the_kind_of_a_problem_has_a_name() {
    let broken = GOOD
        .replace("https://127.0.0.1:7420", "http://127.0.0.1:7420")
        .replace("[admin]", "[admin]\nprotocols = [\"http1\"]");
    let loaded = load_str::<RelayConfig>("relay.toml", &broken).unwrap();
    let check = RelayConfig::check(&loaded, "2026-06-01T00:00:00Z".parse().unwrap());
    let rules: Vec<&str> = check.problems.iter().filter_map(|problem| problem.rule_id()).collect();
    assert_eq!(rules, ["config/outbounds.*.peers.*", "policy/preferred-missing"]);
}
