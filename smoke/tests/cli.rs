//! The core commands of the CLI image, inside the mesh's network.
#![allow(clippy::expect_used, clippy::panic, reason = "a check says by panicking that it failed")]

use std::process::ExitCode;
use std::time::Duration;

use omnirelay_smoke::{Mesh, Ran, STATE, Suite, until};
use serde_json::{Value, json};

/// How long registering and placing, or one command, may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let mut suite = Suite::new("cli")
        .check("version", version)
        .check("mesh peers list", peers)
        .check("mesh shards list", shards)
        .check("introspect", introspect);
    for protocol in ["http3", "http2", "http1"] {
        for encoding in ["json", "protobuf"] {
            suite = suite.check(format!("request over {protocol} in {encoding}"), move |mesh| {
                request(mesh, protocol, encoding);
            });
        }
    }
    suite
        .check("request prints the answer, the protocol and the time", request_for_people)
        .check("request by gRPC", request_by_grpc)
        .check("a service's refusal is an error with a code and a hint", request_is_refused)
        .check("config validate accepts what dev init wrote", validate_accepts)
        .check("config validate refuses an unknown key with line and hint", validate_refuses)
        .check("a wrong token is exit code 4", wrong_token)
        .check("a mesh that is not there is exit code 7", nobody_there)
        .check("a wrong command line is exit code 2", usage)
        .check("completion", completion)
        .run(Mesh::start)
}

fn names(list: &Value, records: &str, key: &str) -> Vec<String> {
    let records = list[records].as_array().unwrap_or_else(|| panic!("no {records} in {list}")).iter();
    records.map(|one| one[key].as_str().unwrap_or_default().to_owned()).collect()
}

fn version(mesh: &Mesh) {
    let ran = mesh.cli(&["--version"]).exits(0).prints("omnirelay ");
    assert!(ran.stdout.trim().ends_with(env!("CARGO_PKG_VERSION")), "{ran}");
}

fn peers(mesh: &Mesh) {
    let listed = until("all peers are alive", PATIENCE, || {
        let listed =
            mesh.cli(&["mesh", "peers", "list", "--status", "alive", "--output", "json"]).exits(0).json();
        let ids = names(&listed, "peers", "id");
        if ids == ["greeter", "inventory-1", "inventory-2", "relay-1", "relay-2"] {
            Ok(listed)
        } else {
            Err(format!("{ids:?}"))
        }
    });
    assert_eq!(listed["peers"][0]["endpoints"][0]["url"], "https://greeter:7420", "{listed}");
    let table = mesh.cli(&["mesh", "peers", "list"]).exits(0).prints("ID ").prints("STATUS").tells("http3");
    assert!(row(&table, "inventory-2").contains("alive"), "{table}");
}

fn row<'a>(table: &'a Ran, id: &str) -> &'a str {
    let row = table.stdout.lines().find(|line| line.starts_with(id));
    row.unwrap_or_else(|| panic!("no row of {id}\n{table}"))
}

fn shards(mesh: &Mesh) {
    let list = ["mesh", "shards", "list", "--namespace", "inventory"];
    until("every shard has an owner", PATIENCE, || {
        let listed = mesh.cli(&[list.as_slice(), &["--output", "json"]].concat()).exits(0).json();
        let mut owners = names(&listed, "shards", "owner");
        assert_eq!(owners.len(), 16, "{listed}");
        owners.sort();
        owners.dedup();
        if owners == ["inventory-1", "inventory-2"] { Ok(()) } else { Err(format!("{owners:?}")) }
    });
    let _table = mesh.cli(&list).exits(0).prints("OWNER").prints("inventory-1").prints("inventory-2");
}

fn introspect(mesh: &Mesh) {
    let relay = mesh.cli(&["introspect", "--relay", "relay-2", "--output", "json"]).exits(0).json();
    assert_eq!((&relay["node"], &relay["draining"]), (&json!("relay-2"), &json!(false)), "{relay}");
    assert_eq!(names(&relay, "inbounds", "name"), ["data", "admin"]);
    assert_eq!(names(&relay, "outbounds", "name"), ["greeter", "inventory"]);
    assert!(names(&relay, "procedures", "service").contains(&"greeter".to_owned()), "{relay}");
    let _table = mesh.cli(&["introspect"]).exits(0).prints("relay-1").prints("https://greeter:7420");
}

fn request(mesh: &Mesh, protocol: &str, encoding: &str) {
    let call = ["request", "greeter", "Greeter::Greet", "--body", r#"{"name":"Ada"}"#, "--timeout", "20s"];
    let how = ["--protocol", protocol, "--encoding", encoding];
    let words = [call.as_slice(), &how].concat();
    let document = mesh.cli(&[words.as_slice(), &["--output", "json"]].concat()).exits(0).json();
    assert_eq!(document["body"]["message"], "Hello, Ada!", "{document}");
    assert_eq!(
        (&document["protocol"], &document["encoding"]),
        (&json!(protocol), &json!(encoding)),
        "{document}"
    );
}

fn request_for_people(mesh: &Mesh) {
    let call = ["request", "greeter", "Greeter::Greet", "--body", r#"{"name":"Ada"}"#, "--timeout", "20s"];
    let told = mesh.cli(&call).exits(0).tells("ok over http3, json, ").tells(" ms");
    assert_eq!(told.json(), json!({ "message": "Hello, Ada!", "servedBy": "greeter" }));
}

fn request_by_grpc(mesh: &Mesh) {
    for protocol in ["http3", "http2"] {
        let call = ["request", "greeter", "samples.v1.Greeter/Greet", "--grpc", "--relay", "relay-2"];
        let rest = ["--body", r#"{"name":"Ada"}"#, "--protocol", protocol, "--timeout", "20s"];
        let _told =
            mesh.cli(&[call.as_slice(), &rest].concat()).exits(0).prints("Hello, Ada!").tells(protocol);
    }
}

fn request_is_refused(mesh: &Mesh) {
    let call = ["request", "greeter", "Greeter::Greet", "--body", r#"{"name":""}"#, "--timeout", "20s"];
    let refused = mesh.cli(&call).tells("invalid-argument").tells("send a name of");
    assert!(refused.code != 0 && refused.stdout.is_empty(), "{refused}");
}

fn validate_accepts(mesh: &Mesh) {
    for (file, kind) in [("meshkit.toml", "meshkit"), ("relay-1.toml", "relay")] {
        let path = format!("{STATE}/{file}");
        let _judged =
            mesh.cli(&["mesh", "config", "validate", &path]).exits(0).prints(&format!("valid {kind}"));
    }
}

fn validate_refuses(mesh: &Mesh) {
    let good = std::fs::read_to_string(mesh.file("relay-1.toml")).expect("`dev init` wrote it");
    let (broken, line) = misspelt(&good);
    let file = mesh.engine.scratch("broken").join("broken.toml");
    std::fs::write(&file, broken).expect("the scratch folder can be written");
    for output in ["text", "json"] {
        let name = format!("validate-{output}");
        let spec = mesh.beside(&name, &mesh.cli);
        let command = spec.args(["mesh", "config", "validate", "/broken.toml", "--output", output]).create();
        command.put(&file, "/broken.toml");
        let refused = command.run(PATIENCE).exits(3);
        let text = format!("{}{}", refused.stdout, refused.stderr);
        assert!(text.contains(&format!("broken.toml:{line}")), "line {line} was expected\n{refused}");
        assert!(text.contains("adress") && text.contains("`address`") && text.contains("hint"), "{refused}");
    }
}

/// The configuration with its first `address` misspelt, and the line of that.
fn misspelt(good: &str) -> (String, usize) {
    let at = good.find("\naddress =").expect("a relay has an address") + 1;
    let line = good.get(..at).unwrap_or_default().lines().count() + 1;
    (good.replacen("\naddress =", "\nadress =", 1), line)
}

fn wrong_token(mesh: &Mesh) {
    let good = std::fs::read_to_string(mesh.file("cli.toml")).expect("`dev init` wrote it");
    let certificate = |line: &&str| !line.starts_with("certificate") && !line.starts_with("private_key");
    let context = good.lines().filter(certificate).collect::<Vec<_>>().join("\n");
    let folder = mesh.engine.scratch("stranger");
    let (context_file, token_file) = (folder.join("cli.toml"), folder.join("token"));
    let context = context.replace(&format!("{STATE}/tokens/operator.token"), "/token");
    std::fs::write(&context_file, context).expect("the scratch folder can be written");
    std::fs::write(&token_file, "guessed\n").expect("the scratch folder can be written");
    for (name, args) in [("peers", ["mesh", "peers", "list"].as_slice()), ("introspect", &["introspect"])] {
        let spec = mesh.inside(&format!("stranger-{name}"), &mesh.cli);
        let command = spec.args(["--context", "/cli.toml"]).args(args.iter().copied()).create();
        command.put(&context_file, "/cli.toml");
        command.put(&token_file, "/token");
        let refused = command.run(PATIENCE);
        command.remove();
        let refused = refused.exits(4).tells("hint");
        assert!(refused.stdout.is_empty() && !refused.stderr.contains("guessed"), "{refused}");
    }
}

fn nobody_there(mesh: &Mesh) {
    // A port of a living host that nobody listens on.
    let call =
        ["request", "greeter", "Greeter::Greet", "--relay", "https://greeter:7999", "--timeout", "20s"];
    let _told = mesh.cli(&call).exits(7).tells("https://greeter:7999").tells("hint");
}

fn usage(mesh: &Mesh) {
    let _told = mesh.cli(&["mesh", "pears", "list"]).exits(2).tells("pears").tells("peers");
}

fn completion(mesh: &Mesh) {
    for shell in ["bash", "zsh", "fish"] {
        let script = mesh.cli(&["completion", shell]).exits(0).prints("omnirelay").prints("introspect");
        assert!(script.stderr.is_empty(), "{script}");
    }
}
