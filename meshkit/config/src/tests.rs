#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use omnirelay_runtime::config::load_str;

use super::*;

const GOOD: &str = r#"kind = "meshkit"
[node]
name = "meshkit-1"
[listener]
address = "127.0.0.1:7400"
tls = { certificate = "a.pem", private_key = "a.key" }
[store]
path = "mesh.db"
[registry]
heartbeat_interval_ms = 1000
suspect_after_ms = 3000
dead_after_ms = 9000
[[shards.namespaces]]
name = "inventory"
service = "inventory"
shards = 16
"#;

/// Replaces text in a good configuration and says what is wrong with the outcome.
#[track_caller]
fn check(from: &str, to: &str, expected: &[&str]) {
    let text = GOOD.replace(from, to);
    let reports: Vec<String> = match load_str::<MeshkitConfig>("mesh.toml", &text) {
        Ok(loaded) => {
            let now = "2026-06-01T00:00:00Z".parse().unwrap();
            let check = MeshkitConfig::check(&loaded, now);
            check.problems.iter().map(|p| p.report(false)).collect()
        }
        Err(error) => vec![error.report(false)],
    };
    assert_eq!(reports, expected);
}

#[test]
fn a_good_configuration_has_no_problems() {
    check("", "", &[]);
}

#[test]
fn defaults_are_sound() {
    let from = GOOD.find("[registry]").unwrap();
    let to = GOOD.find("[[shards").unwrap();
    check(&GOOD[from..to], "", &[]);
}

#[test]
fn silence_is_judged_in_order() {
    check(
        "suspect_after_ms = 3000",
        "suspect_after_ms = 1000",
        &[
            "error: `registry.suspect_after_ms` is 1000, not above `heartbeat_interval_ms`, which is 1000\n  where: mesh.toml:11\n  hint:  allow at least two lost heartbeats: three times the interval and a little more",
        ],
    );
    check(
        "dead_after_ms = 9000",
        "dead_after_ms = 2000",
        &[
            "error: `registry.dead_after_ms` is 2000, not above `suspect_after_ms`, which is 3000\n  where: mesh.toml:12\n  hint:  give a suspect peer time to speak up: twice `suspect_after_ms`",
        ],
    );
    check(
        "heartbeat_interval_ms = 1000",
        "heartbeat_interval_ms = 0",
        &[
            "error: `registry.heartbeat_interval_ms` is 0\n  where: mesh.toml:10\n  hint:  choose 10 to 3600000",
        ],
    );
}

#[test]
fn a_lease_has_bounds() {
    for lease in ["0", "600001"] {
        let report = format!(
            "error: `leadership.lease_ms` is {lease}\n  where: mesh.toml:10\n  hint:  choose 200 to 600000"
        );
        let section = format!("[leadership]\nlease_ms = {lease}\n[registry]");
        check("[registry]", &section, &[&report]);
    }
}

#[test]
fn namespaces_are_checked_one_by_one() {
    let shards_hint = "choose 1 to 65536; many more than owners, since it is fixed once it exists";
    for count in ["0", "65537"] {
        let report = format!(
            "error: `shards.namespaces.0.shards` is {count}; a namespace has 1 to 65536\n  where: mesh.toml:16\n  hint:  {shards_hint}"
        );
        check("shards = 16", &format!("shards = {count}"), &[&report]);
    }
    check(
        "shards = 16\n",
        "shards = 16\n[[shards.namespaces]]\nname = \"inventory\"\nservice = \"x\"\nshards = 1\n",
        &[
            "error: two namespaces are called `inventory`\n  where: mesh.toml:18\n  hint:  give each its own name",
        ],
    );
}

#[test]
fn every_problem_is_told_at_once() {
    let broken = GOOD
        .replace("\"meshkit\"", "\"relay\"")
        .replace("\"meshkit-1\"", "\"Mesh\"")
        .replace("\"mesh.db\"", "\"\"");
    check(
        GOOD,
        &broken,
        &[
            "error: `kind` is `relay`\n  where: mesh.toml:1\n  hint:  write `kind = \"meshkit\"`",
            "error: `Mesh` is not a node's name\n  where: mesh.toml:3\n  hint:  use 1 to 128 of a-z, 0-9, `.` and `-`",
            "error: `store.path` is empty\n  where: mesh.toml:8\n  hint:  name a file, such as `/var/lib/meshkit/mesh.db`",
        ],
    );
}

#[test]
fn the_policy_wants_http3() {
    check(
        "address = \"127.0.0.1:7400\"",
        "address = \"127.0.0.1:7400\"\nprotocols = [\"http2\", \"http1\"]",
        &[
            "error: control-plane:grpc: control-plane needs http3\n  where: mesh.toml:6\n  hint:  add \"http3\" to `listener.protocols`",
            "error: control-plane:rest: diagnostics needs http3\n  where: mesh.toml:6\n  hint:  add \"http3\" to `listener.protocols`",
        ],
    );
}

const ETCD: &str = "backend = \"etcd\"\nendpoints = [\"https://etcd-1:2379\"]\nprefix = \"/mesh\"";

#[test]
fn a_store_on_etcd_has_no_problems() {
    check("path = \"mesh.db\"", ETCD, &[]);
    let user = format!("{ETCD}\nuser = \"meshkit\"\npassword_file = \"/etc/meshkit/password\"");
    check("path = \"mesh.db\"", &user, &[]);
}

#[test]
fn what_a_backend_does_not_know_is_refused() {
    check(
        "path = \"mesh.db\"",
        "path = \"mesh.db\"\nprefix = \"/mesh\"",
        &[
            "error: `store.prefix` means nothing to SQLite\n  where: mesh.toml:9\n  hint:  leave it out, or write `backend = \"etcd\"`",
        ],
    );
    check(
        "path = \"mesh.db\"",
        &format!("path = \"mesh.db\"\n{ETCD}"),
        &[
            "error: `store.path` means nothing to etcd\n  where: mesh.toml:8\n  hint:  leave it out, or write `backend = \"sqlite\"`",
        ],
    );
}

#[test]
fn everything_that_etcd_needs_is_asked_for() {
    check(
        "path = \"mesh.db\"",
        "backend = \"etcd\"\nendpoints = []\nprefix = \"/\"\nuser = \"meshkit\"",
        &[
            "error: `store.endpoints` is empty\n  where: mesh.toml:9\n  hint:  name the client URL of each member, such as `https://etcd-1:2379`",
            "error: `store.prefix` is `/`\n  where: mesh.toml:10\n  hint:  name what all keys begin with in up to 128 bytes, such as `/omnirelay/mesh`",
            "error: `store.user` has no `store.password_file`\n  where: mesh.toml:11\n  hint:  name the file that holds the password",
        ],
    );
    check(
        "path = \"mesh.db\"",
        "backend = \"etcd\"\nendpoints = [\"http://etcd-1:2379\"]\nprefix = \"/mesh\"",
        &[
            "error: `http://etcd-1:2379` is not an endpoint\n  where: mesh.toml:9\n  hint:  write `https://host:port`",
        ],
    );
}

#[test]
fn a_membership_that_nobody_could_join_is_refused() {
    let good = r#"[membership]
address = "127.0.0.1:7410"
allow = ["spiffe://omnirelay.dev/meshkit/*"]
seeds = ["meshkit-0.mesh:7410", "[::1]:7410"]
"#;
    let believed = r#"private_key = "a.key", client_ca = "ca.pem" }"#;
    let problems = |from: &str, to: &str| -> Vec<String> {
        let text = GOOD.replace(r#"private_key = "a.key" }"#, believed) + good;
        let loaded = load_str::<MeshkitConfig>("mesh.toml", &text.replace(from, to)).unwrap();
        let check = MeshkitConfig::check(&loaded, "2026-06-01T00:00:00Z".parse().unwrap());
        check.problems.iter().map(ToString::to_string).collect()
    };
    assert_eq!(problems("", ""), Vec::<String>::new());
    for (from, to, key) in [
        (believed, r#"private_key = "a.key" }"#, "client_ca"),
        ("127.0.0.1:7410", "0.0.0.0:7410", "membership.address"),
        ("[\"spiffe://omnirelay.dev/meshkit/*\"]", "[]", "membership.allow"),
        ("spiffe://omnirelay.dev/meshkit/*", "meshkit-1", "membership.allow.0"),
        ("meshkit-0.mesh:7410", "meshkit-0.mesh", "membership.seeds.0"),
        ("[::1]:7410", "[::1]:0", "membership.seeds.1"),
        ("seeds", "probe_timeout_ms = 250\nseeds", "membership.probe_timeout_ms"),
        ("seeds", "suspicion_ms = 900\nseeds", "membership.suspicion_ms"),
        ("seeds", "gossip_interval_ms = 1\nseeds", "membership.gossip_interval_ms"),
        ("seeds", "advertise = \"0.0.0.0:7410\"\nseeds", "membership.advertise"),
    ] {
        let found = problems(from, to);
        assert!(found.len() == 1 && found[0].contains(key), "{key}: {found:?}");
    }
}
