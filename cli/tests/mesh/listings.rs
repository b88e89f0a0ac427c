//! What the mesh and its relays tell about themselves.

use crate::golden::check;
use crate::harness::{Mesh, eventually};

#[test]
fn listings_show_the_mesh_as_it_is() {
    let mesh = Mesh::start();
    eventually("all peers register", || {
        let peers = mesh.run(&["mesh", "peers", "list", "--status", "alive", "--output", "json"]).ok().json();
        (peers["peers"].as_array().unwrap().len() == 5).then_some(())
    });
    let peers = mesh.run(&["mesh", "peers", "list"]).ok();
    check(&mesh, "peers.out.txt", include_str!("golden/peers.out.txt"), &peers.out);
    assert!(
        peers.err.starts_with("5 peers at revision ") && peers.err.ends_with(" over http3\n"),
        "{}",
        peers.err
    );

    let json = mesh.run(&["mesh", "peers", "list", "--service", "inventory", "--output", "json"]).ok().json();
    assert_eq!(json["protocol"], "http3");
    let ids: Vec<&str> =
        json["peers"].as_array().unwrap().iter().map(|peer| peer["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["inventory-1", "inventory-2"]);

    let few = mesh.run(&["mesh", "shards", "list", "--limit", "3"]).ok();
    assert_eq!(few.out.lines().count(), 4, "{}", few.out);
    assert!(few.err.contains("3 shards") && few.err.contains("--limit"), "{}", few.err);
    let owned =
        mesh.run(&["mesh", "shards", "list", "--owner", "inventory-1", "--output", "json"]).ok().json();
    let owned = owned["shards"].as_array().unwrap().len();
    assert!((1..16).contains(&owned), "inventory-1 owns {owned} of 16");
    let none = mesh.run(&["mesh", "shards", "list", "--namespace", "nothing"]).ok();
    check(&mesh, "shards-none.out.txt", include_str!("golden/shards-none.out.txt"), &none.out);

    let relay = mesh.run(&["introspect", "--relay", "relay-2"]).ok();
    // How often `up` asked whether it is ready differs from run to run.
    let (own, rest): (Vec<&str>, Vec<&str>) =
        relay.out.lines().partition(|line| line.starts_with("  admin "));
    assert_eq!(own.len(), 1, "{}", relay.out);
    check(&mesh, "introspect.out.txt", include_str!("golden/introspect.out.txt"), &rest.join("\n"));
    let json = mesh.run(&["introspect", "--output", "json"]).ok().json();
    assert_eq!((json["node"].as_str(), json["outbounds"].as_array().unwrap().len()), (Some("relay-1"), 2));
    let unknown = mesh.run(&["introspect", "--relay", "relay-9"]);
    assert_eq!(unknown.code, 5);
    check(
        &mesh,
        "introspect-unknown.err.txt",
        include_str!("golden/introspect-unknown.err.txt"),
        &unknown.err,
    );
}

#[test]
fn wide_tables_and_yaml_show_what_a_table_leaves_out() {
    let mesh = Mesh::start();
    eventually("all peers register", || {
        let peers = mesh.run(&["mesh", "peers", "list", "--status", "alive", "--output", "json"]).ok().json();
        (peers["peers"].as_array().unwrap().len() == 5).then_some(())
    });
    let wide = mesh.run(&["mesh", "peers", "list", "--output", "wide"]).ok();
    check(&mesh, "peers-wide.out.txt", include_str!("golden/peers-wide.out.txt"), &wide.out);
    let yaml = mesh.run(&["mesh", "peers", "get", "inventory-1", "--output", "yaml"]).ok();
    check(&mesh, "peer-yaml.out.txt", include_str!("golden/peer-yaml.out.txt"), &yaml.out);
    let namespace = mesh.run(&["mesh", "namespaces", "get", "inventory", "--output", "yaml"]).ok();
    check(&mesh, "namespace-yaml.out.txt", include_str!("golden/namespace-yaml.out.txt"), &namespace.out);
    let unknown = mesh.run(&["mesh", "peers", "get", "nobody", "--output", "yaml"]);
    assert_eq!((unknown.code, unknown.out.as_str()), (5, ""));
    check(&mesh, "peer-unknown.err.txt", include_str!("golden/peer-unknown.err.txt"), &unknown.err);

    // Each of them knows both; what a person reads has more columns, never fewer.
    for listing in [
        &["mesh", "shards", "list"][..],
        &["mesh", "clusters", "list"],
        &["mesh", "members"],
        &["mesh", "leaders", "status"],
        &["mesh", "audit", "list"],
        &["mesh", "versions"],
        &["mesh", "shards", "owners"],
        &["mesh", "shards", "history", "inventory", "1"],
        &["mesh", "config", "history"],
        &["mesh", "config", "show"],
        &["mesh", "bootstrap", "tokens"],
        &["mesh", "bootstrap", "identities"],
        &["mesh", "transport", "stats"],
        &["mesh", "debug", "downgrade-events"],
        &["introspect"],
        &["config", "history"],
    ] {
        let run = |format: &str| mesh.run(&[listing, &["--output", format]].concat());
        if listing == ["mesh", "members"] && run("table").code != 0 {
            // A mesh of one does not gossip, and says so in the notation that was asked for.
            assert!(run("yaml").err.starts_with("error:\n  "), "{}", run("yaml").err);
            continue;
        }
        let (table, wide, yaml) = (run("table").ok().out, run("wide").ok().out, run("yaml").ok().out);
        let heading = |text: &str| text.lines().next().unwrap().split_whitespace().count();
        assert!(heading(&wide) >= heading(&table), "{listing:?}: {wide}");
        let mapping = |line: &str| line.split_once(':').is_some_and(|(key, _)| !key.contains(' '));
        assert!(yaml.lines().next().is_some_and(mapping), "{listing:?}: {yaml}");
    }
}
