//! Calls through a relay in every protocol, encoding and style.

use serde_json::json;

use crate::golden::check;
use crate::harness::Mesh;

#[test]
fn every_protocol_carries_every_encoding() {
    let mesh = Mesh::start();
    let matrix = [
        ("yarpc", vec!["http1", "http2", "http3"], vec!["json", "protobuf"]),
        ("grpc", vec!["http2", "http3"], vec!["json", "protobuf"]),
    ];
    for (style, protocols, encodings) in matrix {
        for protocol in protocols {
            for encoding in &encodings {
                let mut args = vec![
                    "request",
                    "greeter",
                    "Greeter::Greet",
                    "--body",
                    r#"{"name":"Ada"}"#,
                    "--timeout",
                    "30s",
                    "--protocol",
                    protocol,
                    "--encoding",
                    encoding,
                    "--output",
                    "json",
                ];
                if style == "grpc" {
                    args.push("--grpc");
                }
                let answer = mesh.run(&args).ok().json();
                let body = json!({ "message": "Hello, Ada!", "servedBy": "greeter" });
                assert_eq!(answer["body"], body, "{args:?}");
                assert_eq!(answer["protocol"], protocol, "{args:?}");
                assert_eq!(answer["downgrade"], json!(null), "{args:?}");
                assert!(answer["elapsed_ms"].as_f64().unwrap() > 0.0);
            }
        }
    }
    let text = mesh.run(&["request", "greeter", "Greeter::Greet", "--body", r#"{"name":"Ada"}"#]).ok();
    check(&mesh, "request.out.txt", include_str!("golden/request.out.txt"), &text.out);
    check(&mesh, "request.err.txt", include_str!("golden/request.err.txt"), &text.err);

    let refused = mesh.run(&["request", "greeter", "Greeter::Greet", "--body", r#"{"name":""}"#]);
    assert_eq!((refused.code, refused.out.as_str()), (2, ""));
    check(&mesh, "request-refused.err.txt", include_str!("golden/request-refused.err.txt"), &refused.err);

    let lost = mesh.run(&["request", "nobody", "Greeter::Greet"]);
    assert_eq!((lost.code, lost.out.as_str()), (5, ""));
    check(&mesh, "request-lost.err.txt", include_str!("golden/request-lost.err.txt"), &lost.err);
}

#[test]
fn stock_has_one_owner_whichever_way_one_asks() {
    let mesh = Mesh::start();
    // The shard table follows the registrations within moments.
    crate::harness::eventually("the shards find their owners", || {
        let shards = mesh.run(&["mesh", "shards", "list", "--output", "json"]).ok().json();
        let shards = shards["shards"].as_array().unwrap().clone();
        (shards.len() == 16 && shards.iter().all(|shard| shard["owner"].is_string())).then_some(())
    });
    let mut owners = std::collections::BTreeSet::new();
    for item in ["apple", "pear", "plum", "quince", "cherry", "medlar", "fig", "date"] {
        let mut served = std::collections::BTreeSet::new();
        for (turn, relay) in ["relay-1", "relay-2", "relay-1"].into_iter().enumerate() {
            let body = format!(r#"{{"item":"{item}","by":5}}"#);
            let args = [
                "request",
                "inventory",
                "Inventory::AdjustStock",
                "--body",
                &body,
                "--relay",
                relay,
                "--encoding",
                "protobuf",
                "--timeout",
                "30s",
                "--output",
                "json",
            ];
            let answer = mesh.run(&args).ok().json();
            assert_eq!(answer["body"]["count"], (5 * (turn + 1)).to_string(), "{answer}");
            served.insert(answer["body"]["servedBy"].as_str().unwrap().to_owned());
        }
        assert_eq!(served.len(), 1, "{item} was served by {served:?}");
        owners.extend(served);
    }
    assert_eq!(owners.len(), 2, "all items live on {owners:?}");

    let body = r#"{"item":"apple","by":-100}"#;
    let args = ["request", "inventory", "samples.v1.Inventory/AdjustStock", "--body", body, "--grpc"];
    let refused = mesh.run(&args);
    assert_eq!(refused.code, 6, "{}", refused.err);
    assert!(refused.err.contains("there are only 15 of `apple`"), "{}", refused.err);
}
