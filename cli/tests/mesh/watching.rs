//! Lists that are followed.

use crate::harness::{Mesh, Watching, eventually};

#[test]
fn peers_and_clusters_are_followed_as_they_change() {
    let mesh = Mesh::start();
    let alive = ["mesh", "peers", "list", "--status", "alive", "--output", "json"];
    eventually("all peers register", || {
        (mesh.run(&alive).ok().json()["peers"].as_array().unwrap().len() == 5).then_some(())
    });
    let service = ["mesh", "peers", "list", "--service", "inventory", "--watch"];
    let documents = Watching::start(&mesh, &[&service[..], &["--output", "json"]].concat());
    for id in ["inventory-1", "inventory-2"] {
        let event = documents.json();
        assert_eq!((event["event"].as_str(), event["peer"]["id"].as_str()), (Some("is"), Some(id)));
    }
    assert_eq!(documents.json(), serde_json::json!({ "event": "listed", "count": 2 }));
    let table = Watching::start(&mesh, &service);
    assert!(table.line().starts_with("ID "));
    assert!(table.line().starts_with("inventory-1 ") && table.line().starts_with("inventory-2 "));
    // One of another service is nobody's business here.
    mesh.run(&["mesh", "peers", "cordon", "greeter"]).ok();
    mesh.run(&["mesh", "peers", "cordon", "inventory-2"]).ok();
    let event = documents.json();
    assert_eq!((event["event"].as_str(), event["peer"]["id"].as_str()), (Some("put"), Some("inventory-2")));
    assert_eq!(event["peer"]["hold"]["state"], "cordoned");
    let line = table.line();
    assert!(line.starts_with("put  inventory-2  service  inventory  alive  cordoned  "), "{line}");

    let yaml = Watching::start(&mesh, &["mesh", "clusters", "list", "--watch", "--output", "yaml"]);
    assert_eq!([yaml.line(), yaml.line(), yaml.line()], ["---", "count: 0", "event: listed"]);
    mesh.run(&["mesh", "clusters", "create", "eu", "--region", "eu-1"]).ok();
    assert_eq!([yaml.line(), yaml.line()], ["---", "cluster:"]);

    let odd = mesh.run(&["mesh", "peers", "list", "--watch", "--limit", "3"]);
    assert!(odd.code == 2 && odd.err.contains("--limit"), "{}", odd.err);
    // A mesh of one does not gossip: there is nothing to wait for.
    let alone = mesh.run(&["mesh", "members", "--watch"]);
    assert!(alone.code == 6 && alone.err.contains("hint:"), "{} {}", alone.code, alone.err);
}

#[test]
fn owners_are_looked_at_again_and_again() {
    let mesh = Mesh::start();
    eventually("the shards find their owners", || {
        let shards = mesh.run(&["mesh", "shards", "list", "--output", "json"]).ok().json();
        let shards = shards["shards"].as_array().unwrap().clone();
        (shards.len() == 16 && shards.iter().all(|shard| shard["owner"].is_string())).then_some(())
    });
    let top = ["mesh", "shards", "top", "--interval", "10ms", "--count", "2"];
    let twice = mesh.run(&top).ok();
    assert_eq!(twice.out.matches("2 owners of 16 shards at revision ").count(), 2, "{}", twice.out);
    assert!(twice.out.contains("CALLS/S  LOAD\ninventory-"), "{}", twice.out);
    let documents = mesh.run(&[&top[..], &["--output", "json"]].concat()).ok().out;
    let documents: Vec<serde_json::Value> =
        documents.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(documents.len(), 2);
    assert_eq!(documents[1]["owners"].as_array().unwrap().len(), 2);
}
