//! Scripts against the mesh.

use crate::golden::check;
use crate::harness::Mesh;

const SCRIPT: &str = r#"
[[steps]]
name = "greet by name"
service = "greeter"
procedure = "Greeter::Greet"
body = { name = "Ada" }
expect = { protocol = "http3", body = { message = "Hello, Ada!" } }

[[steps]]
name = "greet as gRPC over HTTP/2, twice"
service = "greeter"
procedure = "samples.v1.Greeter/Greet"
body = { name = "Grace" }
grpc = true
protocol = "http2"
repeat = 2
expect.body.message = "Hello, Grace!"

[[steps]]
name = "nobody has no name"
service = "greeter"
procedure = "Greeter::Greet"
body = { name = "" }
expect = { status = "invalid-argument", message = "name" }

[[steps]]
name = "stock goes up"
service = "inventory"
procedure = "Inventory::AdjustStock"
encoding = "protobuf"
body = { item = "apple", by = 5 }
timeout = "30s"
expect.body.count = "5"

[[steps]]
name = "stock never goes below nought"
service = "inventory"
procedure = "Inventory::AdjustStock"
body = { item = "apple", by = -6 }
expect.status = "failed-precondition"
"#;

#[test]
fn a_script_says_what_is_otherwise() {
    let mesh = Mesh::start();
    crate::harness::eventually("the shards find their owners", || {
        let shards = mesh.run(&["mesh", "shards", "list", "--output", "json"]).ok().json();
        let shards = shards["shards"].as_array().unwrap().clone();
        (shards.len() == 16 && shards.iter().all(|shard| shard["owner"].is_string())).then_some(())
    });
    let file = mesh.dir.path().join("script.toml");
    let run = |text: &str, more: &[&str]| {
        std::fs::write(&file, text).unwrap();
        mesh.run(&[&["script", "run", file.to_str().unwrap()], more].concat())
    };
    let fine = run(SCRIPT, &[]).ok();
    check(&mesh, "script.out.txt", include_str!("golden/script.out.txt"), &fine.out);

    // The stock is higher by now, and Ada has another name.
    let otherwise =
        SCRIPT.replace("Hello, Ada!", "Hello, Eve!").replace("= \"invalid-argument\"", "= \"not-found\"");
    let told = run(&otherwise, &[]);
    assert_eq!(told.code, 6, "{}", told.err);
    check(&mesh, "script-otherwise.out.txt", include_str!("golden/script-otherwise.out.txt"), &told.out);
    let first = run(&otherwise, &["--fail-fast", "--output", "json"]);
    let document = first.json();
    assert_eq!((first.code, &document["run"], &document["passed"]), (6, &1.into(), &0.into()));
    assert_eq!(document["steps"][0]["body"]["message"], "Hello, Ada!");

    let broken = run(&SCRIPT.replace("service = \"greeter\"", "servce = \"greeter\""), &[]);
    assert!(broken.code == 3 && broken.err.contains("script.toml:4"), "{}", broken.err);
    assert!(broken.out.is_empty());
}
