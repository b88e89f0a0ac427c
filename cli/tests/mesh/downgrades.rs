//! How calls were carried, as the command line tells it of running daemons.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::harness::{Mesh, Watching, cli, eventually};

#[test]
fn downgrades_are_counted_kept_and_followed() {
    let mesh = Mesh::start();
    let greet = |protocol: &str| {
        let args =
            ["request", "greeter", "Greeter::Greet", "--body", r#"{"name":"Ada"}"#, "--timeout", "30s"];
        mesh.run(&[&args[..], &["--protocol", protocol]].concat()).ok();
    };
    greet("http2");
    let events = ["mesh", "debug", "downgrade-events"];
    let json = mesh.run(&[&events[..], &["--output", "json", "--limit", "1000"]].concat()).ok().json();
    let of_data = |event: &&serde_json::Value| event["endpoint"] == "data:http";
    let told: Vec<&serde_json::Value> = json["events"].as_array().unwrap().iter().filter(of_data).collect();
    assert_eq!((json["node"].as_str(), told.len()), (Some("relay-1"), 1), "{json}");
    assert_eq!(
        (told[0]["protocol"].as_str(), told[0]["reason"].as_str()),
        (Some("http2"), Some("caller-preference"))
    );
    assert_eq!(told[0]["procedure"], "Greeter::Greet");
    let table = mesh.run(&events).ok();
    assert!(table.out.starts_with("AT ") && table.out.contains("caller-preference"), "{}", table.out);
    assert!(table.err.ends_with(" events of relay-1\n"), "{}", table.err);

    let watch =
        Watching::start(&mesh, &[&events[..], &["--watch", "--limit", "1", "--output", "json"]].concat());
    let first: serde_json::Value = serde_json::from_str(&watch.line()).unwrap();
    greet("http1");
    let second = std::iter::repeat_with(|| serde_json::from_str::<serde_json::Value>(&watch.line()).unwrap())
        .find(|event| event["endpoint"] == "data:http" && event["protocol"] == "http1");
    assert_ne!(first["id"], second.unwrap()["id"]);
    drop(watch);

    // A reader that goes away ends the watch.
    let mut gone = Command::new(cli())
        .args([&events[..], &["--watch", "--limit", "1"]].concat())
        .env("OMNIRELAY_CONTEXT", mesh.path().join("cli.toml"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(gone.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("  downgraded  data:http  protocol=http1"), "{line}");
    let status = eventually("the watch ends", || {
        greet("http1");
        gone.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(0));

    let stats = mesh.run(&["mesh", "transport", "stats", "--output", "json"]).ok().json();
    let data = &stats["endpoints"][0];
    assert_eq!(data["endpoint"], "data:http");
    assert!(data["calls"].as_u64().unwrap() >= 3 && data["calls"] == data["downgraded"], "{data}");
    assert_eq!((&data["downgrade_ratio"], &data["refused"]), (&1.0.into(), &0.into()));
    let mesh_calls = &stats["endpoints"][2];
    assert_eq!(mesh_calls["endpoint"], "control-plane:grpc");
    assert!(mesh_calls["wires"][0]["answered"].as_u64().unwrap() > 0, "it registers: {stats}");
    let table = mesh.run(&["mesh", "transport", "stats", "--relay", "relay-2"]).ok();
    assert!(table.out.starts_with("relay-2, counting since "), "{}", table.out);

    // The control plane tells the same of itself: relays and services register over gRPC.
    let mesh_url = format!("https://127.0.0.1:{}", mesh.base_port);
    let stats = ["mesh", "transport", "stats", "--url", &mesh_url, "--output", "json"];
    let stats = mesh.run(&stats).ok().json();
    let grpc = &stats["endpoints"][0];
    assert_eq!(
        (&grpc["endpoint"], &grpc["category"]),
        (&"control-plane:grpc".into(), &"control-plane".into())
    );
    assert!(grpc["wires"][0]["answered"].as_u64().unwrap() > 0, "{stats}");

    let both = mesh.run(&["mesh", "transport", "stats", "--url", &mesh_url, "--relay", "relay-1"]);
    assert_eq!(both.code, 2, "{}", both.err);
    let service = mesh.run(&["mesh", "transport", "stats", "--relay", "nobody"]);
    assert_eq!(service.code, 5, "{}", service.err);
}
