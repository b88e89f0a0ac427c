#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

use omnirelay_runtime::config::load_str;

use super::*;

mod schema;

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
            "error: `http://127.0.0.1:7420/x` is not an endpoint\n  where: relay.toml:12\n  cause: it has a path\n  hint:  write `https://host:port`; on this machine `http://127.0.0.1:port` or `unix:/absolute/path` will do",
            "error: the route for `greeter` names no outbound: `greter`\n  where: relay.toml:15\n  hint:  known outbounds: greeter",
        ]
    );
}

/// The configurations that the reference shows, each as a whole.
fn examples() -> Vec<String> {
    let page = include_str!("../../../docs/reference/relay.md");
    let mut examples =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    let whole = examples.next().unwrap().to_owned();
    // The others are pieces: of a file that has the outbounds which they name.
    let base = GOOD.split("[[routes]]").next().unwrap();
    let next = "[[outbounds]]\nname = \"greeter-next\"\npeers = [\"https://127.0.0.1:7421\"]\n";
    std::iter::once(whole).chain(examples.map(|piece| format!("{base}{next}{piece}"))).collect()
}

#[test]
fn the_reference_shows_configurations_that_are_valid() {
    let examples = examples();
    assert!(examples.len() >= 4, "{} examples", examples.len());
    for example in examples {
        assert_eq!(reports(&example), Vec::<String>::new(), "{example}");
    }
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
    for (wrong, problem) in [
        ("name = \"A b\"", "`A b` is not a route's name"),
        ("limits = { rate = { calls = 0 } }", "the rate is out of bounds"),
        ("limits = { per_caller = { rate = { calls = 1, burst = 0 } } }", "the rate is out of bounds"),
        ("limits = { per_caller = {} }", "bounded by nothing"),
        ("limits = { adaptive = { min = 9, max = 8 } }", "do not fit together"),
        ("limits = { adaptive = { tolerance_percent = 1 } }", "do not fit together"),
        ("shadow = { outbound = \"nobody\" }", "the shadow of `greeter` names no outbound"),
        ("shadow = { outbound = \"greeter\" }", "would carry calls of `greeter` out twice"),
        ("fault = {}", "the fault does nothing"),
        ("fault = { abort = { code = \"ok\" } }", "cannot be aborted with a success"),
        ("fault = { delay = { ms = 60001 } }", "the delay of the fault is out of bounds"),
        ("fault = { delay = { ms = 1, percent = 101 } }", "a share of the fault is out of bounds"),
    ] {
        check("[[routes]]", &format!("[[routes]]\n{wrong}"), problem);
    }
    let twice =
        "[[routes]]\nname = \"r\"\nservice = \"other\"\noutbound = \"greeter\"\n[[routes]]\nname = \"r\"";
    check("[[routes]]", twice, "`routes.0` is called `r` already");
}

#[test]
fn routes_have_names_that_differ() {
    let route = |name: Option<&str>, service: &str| RouteConfig {
        name: name.map(str::to_owned),
        service: service.to_owned(),
        ..RouteConfig::default()
    };
    let routes = [route(None, "s"), route(Some("r"), "s"), route(None, "s"), route(None, "t")];
    assert_eq!(route_names(&routes), ["s", "r", "s#2", "t"]);
}

#[test]
fn a_route_covers_what_it_takes_first() {
    let route = |procedures: &[&str]| RouteConfig {
        service: "s".to_owned(),
        procedures: procedures.iter().map(ToString::to_string).collect(),
        ..RouteConfig::default()
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
        .replace("https://127.0.0.1:7420", "http://relay:7420")
        .replace("[admin]", "[admin]\nprotocols = [\"http1\"]");
    let loaded = load_str::<RelayConfig>("relay.toml", &broken).unwrap();
    let check = RelayConfig::check(&loaded, "2026-06-01T00:00:00Z".parse().unwrap());
    let rules: Vec<&str> = check.problems.iter().filter_map(|problem| problem.rule_id()).collect();
    assert_eq!(rules, ["config/outbounds.*.peers.*", "policy/preferred-missing"]);
}

/// The problems of a configuration whose one route has these lines after its service.
fn route_problems(lines: &str) -> Vec<String> {
    reports(&GOOD.replace("outbound = \"greeter\"", lines))
}

#[test]
fn a_route_that_no_call_comes_to_is_found_by_its_conditions_too() {
    let second = |first: &str, second: &str| {
        let target = "outbound = \"greeter\"";
        reports(&format!(
            "{}\n[[routes]]\nservice = \"greeter\"\n{second}\n{target}\n",
            GOOD.replace(target, &format!("{first}\n{target}"))
        ))
    };
    let shadowed = |first: &str, other: &str| {
        let told = second(first, other);
        assert!(told.len() <= 1, "{told:?}");
        told.first()
            .is_some_and(|told| told.contains("ever comes to this route") && told.contains("routes.0"))
    };
    let header = |condition: &str| format!("headers = [{{ name = \"X-Tenant\", {condition} }}]");
    let (exact, prefix) = (header("exact = \"acme\""), header("prefix = \"ac\""));
    let (present, absent) = (header("present = true"), header("present = false"));
    for (first, other) in [
        ("", ""),
        ("", "callers = [\"a\"]"),
        ("callers = [\"a*\"]", "callers = [\"ab\", \"ac*\"]"),
        ("shard_keys = [\"1\", \"2\"]", "shard_keys = [\"2\"]"),
        (&prefix, &exact),
        (&present, &prefix),
        (&present, &present),
        (&absent, &absent),
    ] {
        assert!(shadowed(first, other), "{first} before {other}");
    }
    for (first, other) in [
        ("callers = [\"a\"]", ""),
        ("shard_keys = [\"1\"]", "callers = [\"1\"]"),
        (&exact, &prefix),
        (&present, &absent),
        (&exact, &header("exact = \"other\"")),
        ("", "grpc_services = [\"a.B\"]"),
    ] {
        assert!(!shadowed(first, other), "{first} before {other}");
    }
}

#[test]
fn a_route_that_could_never_work_is_found() {
    for (lines, problem) in [
        ("", "leads to 0 places"),
        ("outbound = \"greeter\"\nrespond = { code = \"ok\" }", "leads to 2 places"),
        ("split = [{ outbound = \"greeter\", weight = 0 }]", "every weight is 0"),
        ("split = [{ outbound = \"x\", weight = 1 }]", "names no outbound: `x`"),
        ("respond = { code = \"ok\", message = \"x\" }", "a failure has a `message`"),
        ("respond = { code = \"ok\" }\ntimeout_ms = 5", "is never sent"),
        ("outbound = \"greeter\"\nhedge = { after_ms = 5 }", "a hedge carries a call out twice"),
        ("outbound = \"greeter\"\nretries = { max = 1, try_timeout_ms = 5 }", "may have had its effect"),
        ("outbound = \"greeter\"\nretries = { max = 11 }", "out of bounds"),
        ("outbound = \"greeter\"\nrewrite = { set = { \"host\" = \"x\" } }", "is the relay's own to write"),
        ("outbound = \"greeter\"\nrewrite = { remove = [\"a b\"] }", "is not a header's name"),
        ("outbound = \"greeter\"\nrewrite = { add = { a = \"\\n\" } }", "cannot be the value of `a`"),
        (
            "procedures = [\"A::b\"]\noutbound = \"greeter\"\nrewrite = { procedure = \"B::*\" }",
            "stands for nothing",
        ),
        ("outbound = \"greeter\"\nheaders = [{ name = \"a\" }]", "is not one of three"),
        ("outbound = \"greeter\"\nlimits = { max_pending = 0 }", "could ever pass"),
    ] {
        let told = route_problems(lines);
        assert!(told.len() == 1 && told[0].contains(problem), "{lines}: {told:?}");
        assert!(told[0].contains("where: relay.toml:1") && told[0].contains("hint:"), "{told:?}");
    }
}

#[test]
fn an_outbound_that_could_never_work_is_found() {
    for (lines, problem) in [
        ("dns = { name = \"a.example.org\", port = 1 }", "has both `peers` and `dns`"),
        ("balance = { key = \"caller\" }", "`two-choices` places no call by a key"),
        ("balance = { strategy = \"ring\", slow_start_ms = 5 }", "belongs to one peer"),
        ("balance = { strategy = \"sticky\", key = { header = \"a b\" } }", "is not a header's name"),
        ("health = { kind = \"http\", path = \"x\" }", "is not a path to probe"),
        ("health = { kind = \"tcp\", interval_ms = 0 }", "without a pause"),
        ("health = { kind = \"grpc\", healthy_after = 0 }", "after 0 probes"),
        ("outliers = { base_ms = 9, max_ms = 8 }", "do not fit together"),
        ("outliers = { max_ejected_percent = 101 }", "101 % is more than all"),
        ("retry_budget = { percent = 200 }", "200 % is more than all"),
        ("breaker = { max_connections = 5 }", "could never be called"),
    ] {
        let told = reports(&GOOD.replace("[[routes]]", &format!("{lines}\n[[routes]]")));
        assert!(told.len() == 1 && told[0].contains(problem), "{lines}: {told:?}");
        assert!(told[0].contains("where: relay.toml:1") && told[0].contains("hint:"), "{told:?}");
    }
    let peers = |peers: &str| reports(&GOOD.replace("[\"https://127.0.0.1:7420\"]", peers));
    let table = "[{ url = \"https://a:1\", weight = 3, zone = \"b\" }, \"https://b:1\"]";
    assert_eq!(peers(table), Vec::<String>::new());
    assert!(peers(&table.replace("3", "0"))[0].contains("the weight of `https://a:1` is 0"));
    assert!(peers(&table.replace("//b", "//a"))[0].contains("stands twice"));
    assert!(peers("[]")[0].contains("has no peers"));
    let told = |mesh: &str, section: &str| {
        let own = GOOD.replace("peers = [\"https://127.0.0.1:7420\"]", mesh);
        reports(&own.replace("[[outbounds]]", &format!("{section}\n[[outbounds]]")))
    };
    let (mesh, section) =
        ("mesh = { service = \"a\", namespace = \"b\" }", "[mesh]\nendpoint = \"https://a:1\"");
    assert_eq!(told(mesh, section), Vec::<String>::new());
    assert!(
        told(&format!("{mesh}\npeers = [\"https://a:1\"]"), section)[0].contains("both `peers` and `mesh`")
    );
    assert!(told(mesh, "")[0].contains("no control plane tells the peers"));
    assert!(told(&mesh.replace("\"b\"", "\"B b\""), section)[0].contains("`B b` is no namespace"));
    let ring = format!("{mesh}\nbalance = {{ strategy = \"ring\" }}");
    assert!(told(&ring, section)[0].contains("go to the owner of its shard"));
}
