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
