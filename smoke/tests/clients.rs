//! The mesh as programs see it that share no code with it: curl, grpcio, aioquic, buf and h2load.
#![allow(clippy::expect_used, clippy::panic, reason = "a check says by panicking that it failed")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use meshkit_client::{AssignShard, Change, Seen};
use omnirelay_smoke::{Mesh, Ran, Suite, block_on, run, until};
use relay_core::Protocol::{self, Http1, Http2, Http3};
use serde_json::{Value, json};

/// How long a client may take; the most of it is Python's start on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let mut suite = Suite::new("clients").check("every sample registers", samples_register);
    for protocol in [Http3, Http2, Http1] {
        suite = suite
            .check(format!("curl reads peers and shards over {protocol}"), move |mesh| {
                curl_reads(mesh, protocol);
            })
            .check(format!("curl calls through a relay over {protocol}"), move |mesh| {
                curl_calls(mesh, protocol);
            });
    }
    suite
        .check("curl with a wrong token is refused", curl_is_refused)
        .check("grpcio lists peers", grpcio_lists_peers)
        .check("grpcio lists shards and finds a key's", grpcio_reads_shards)
        .check("grpcio calls through a relay", grpcio_calls)
        .check("a sample follows shards with grpcio", a_sample_follows_shards)
        .check("a sample reads peers with Python's own library", a_sample_reads_peers)
        .check("aioquic reads peers and shards over HTTP/3", aioquic_reads)
        .check("buf calls through a relay as gRPC over HTTP/3", |mesh| buf_calls(mesh, Http3))
        .check("buf calls through a relay as gRPC over HTTP/2", |mesh| buf_calls(mesh, Http2))
        .check("h2load's requests are all answered", h2load_reads)
        .run(Mesh::start)
}

/// Runs curl with one version of HTTP; the last line it prints is that version and the status.
fn curl(mesh: &Mesh, protocol: Protocol, url: &str, more: &[&str]) -> Ran {
    let flag = match protocol {
        Http3 => "--http3-only",
        Http2 => "--http2",
        Http1 => "--http1.1",
    };
    let ca = shown(mesh.operator().ca);
    let base = [flag, "--silent", "--show-error", "--max-time", "30", "--cacert", &ca];
    let form = ["--write-out", "\n%{http_version} %{http_code}", url];
    let words = base.iter().chain(more).chain(&form).copied();
    let ran = run("curl", words, PATIENCE);
    assert!(
        ran.code != 2 || protocol != Http3,
        "this curl speaks no HTTP/3: `OMNIRELAY_BAZEL_MODE=debian ./bazelw test //smoke/...` brings one\n{ran}"
    );
    ran.exits(0)
}

/// The body, once the version of HTTP and the status are as expected.
fn answer(ran: &Ran, protocol: Protocol, status: &str) -> Value {
    let (body, line) = ran.stdout.rsplit_once('\n').expect("curl writes a last line");
    let version = match protocol {
        Http3 => "3",
        Http2 => "2",
        Http1 => "1.1",
    };
    assert_eq!(line, format!("{version} {status}"), "{ran}");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("no JSON ({error})\n{ran}"))
}

/// A path as an argument.
fn shown(path: Option<PathBuf>) -> String {
    path.unwrap_or_default().display().to_string()
}

fn bearer(mesh: &Mesh) -> String {
    format!("authorization: Bearer {}", mesh.token())
}

fn ids(list: &Value) -> Vec<&str> {
    let peers = list["peers"].as_array().expect("a list of peers").iter();
    peers.filter_map(|peer| peer["id"].as_str()).collect()
}

fn samples_register(mesh: &Mesh) {
    until("all samples are alive", PATIENCE, || {
        let list = mesh.client("meshkitd", Http2).get("/meshkit/peers?role=service&status=alive").json();
        if ids(&list) == ["greeter", "inventory-1", "inventory-2"] { Ok(()) } else { Err(list.to_string()) }
    });
}

fn curl_reads(mesh: &Mesh, protocol: Protocol) {
    let (url, bearer) = (mesh.url("meshkitd", protocol), bearer(mesh));
    let token = ["--header", bearer.as_str()];
    let peers = curl(mesh, protocol, &format!("{url}/meshkit/peers?role=service"), &token);
    assert_eq!(ids(&answer(&peers, protocol, "200")), ["greeter", "inventory-1", "inventory-2"]);
    let shards = curl(mesh, protocol, &format!("{url}/meshkit/shards?namespace=inventory"), &token);
    assert_eq!(answer(&shards, protocol, "200")["shards"].as_array().map(Vec::len), Some(16));
}

fn curl_calls(mesh: &Mesh, protocol: Protocol) {
    let url = format!("{}/yarpc/v1", mesh.url("relay-1", protocol));
    let tls = mesh.operator();
    let (certificate, key) = (shown(tls.certificate), shown(tls.private_key));
    let call: Vec<&str> = [
        "rpc-caller: curl",
        "rpc-service: greeter",
        "rpc-procedure: Greeter::Greet",
        "rpc-encoding: json",
        "context-ttl-ms: 20000",
        "content-type: application/json",
    ]
    .into_iter()
    .flat_map(|header| ["--header", header])
    // A relay knows who calls by the certificate.
    .chain(["--cert", &certificate, "--key", &key, "--data", r#"{"name":"curl"}"#])
    .collect();
    let greeting = answer(&curl(mesh, protocol, &url, &call), protocol, "200");
    assert_eq!(greeting, json!({ "message": "Hello, curl!", "servedBy": "greeter" }));
}

fn curl_is_refused(mesh: &Mesh) {
    for protocol in [Http3, Http2, Http1] {
        let url = format!("{}/meshkit/peers", mesh.url("meshkitd", protocol));
        let refused = curl(mesh, protocol, &url, &["--header", "authorization: Bearer guessed"]);
        assert_eq!(answer(&refused, protocol, "401")["status"], 401);
    }
}

/// A script of the folder that a variable names; Bazel and cargo start suites in different folders.
fn script_of(variable: &str, name: &str) -> String {
    let folder = std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} names no folder"));
    PathBuf::from(folder).join(name).display().to_string()
}

fn script(name: &str) -> String {
    script_of("SMOKE_CLIENTS", name)
}

/// Runs a sample against meshkitd; the lines that it prints, each a JSON document.
fn sample(mesh: &Mesh, name: &str, process: &[&str], more: &[&str]) -> Vec<Value> {
    let token = scratch(mesh, name).join("token");
    std::fs::write(&token, mesh.token()).expect("the scratch folder can be written");
    let (script, ca) = (script_of("SMOKE_PYTHON_SAMPLES", name), shown(mesh.operator().ca));
    let token = token.display().to_string();
    let common = [script.as_str(), "--ca", &ca, "--token-file", &token];
    let ran = run("python3", common.iter().chain(process).chain(more).copied(), PATIENCE).exits(0);
    let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}\n{ran}"));
    ran.stdout.lines().map(line).collect()
}

fn a_sample_reads_peers(mesh: &Mesh) {
    let url = mesh.url("meshkitd", Http1);
    let told = sample(mesh, "read_peers.py", &["--url", &url], &["--role", "service", "--limit", "2"]);
    let [answer] = &told[..] else { panic!("{told:?}") };
    assert_eq!(ids(answer), ["greeter", "inventory-1", "inventory-2"]);
    assert_eq!((&answer["pages"], &answer["unchanged"]), (&json!(2), &json!(true)), "{answer}");
}

/// The snapshot, a change behind it, and another behind where the second call ended.
fn a_sample_follows_shards(mesh: &Mesh) {
    let target = mesh.url("meshkitd", Http2).replace("https://", "");
    let descriptors = descriptors(mesh, "follow-shards");
    let process = ["--target", &target, "--descriptors", &descriptors, "--namespace", "inventory"];
    let follow = |more: &[&str]| sample(mesh, "follow_shards.py", &process, more);
    let assign = |peer: &str| {
        let client = mesh.meshkit(Http2);
        // Its fence may grow between the look and the change.
        until("the shard is bound", PATIENCE, || {
            let bound = block_on(async {
                let shard = client.get_shard("inventory", 3).await?.value;
                let (namespace, peer) = ("inventory".to_owned(), peer.to_owned());
                let asked = AssignShard { namespace, id: 3, peer, fence: shard.fence };
                client.assign_shard(&asked, &Change::of(Seen::Any)).await
            });
            bound.map(drop).map_err(|error| error.to_string())
        });
    };

    // Whoever owns it, one of the two does not.
    assign("inventory-1");
    until("the shard is where it was bound", PATIENCE, || {
        let shard =
            block_on(mesh.meshkit(Http2).get_shard("inventory", 3)).map_err(|error| error.to_string())?;
        if shard.value.owner == "inventory-1" { Ok(()) } else { Err(shard.value.owner) }
    });
    let snapshot =
        grpcio(mesh, "meshkitd", "meshkit.v1.ShardsService/ListShards", r#"{"shardNamespace":"inventory"}"#);
    let revision = snapshot["revision"].as_str().unwrap_or("0").to_owned();
    assign("inventory-2");
    let changed = follow(&["--after", &revision, "--events", "1"]);
    let [change] = &changed[..] else { panic!("{changed:?}") };
    assert_eq!(change["event"], "put", "{change}");
    let resume = change["resume"].as_str().expect("a token");
    assign("");
    let more = follow(&["--resume", resume, "--events", "1"]);
    // What comes behind the token is the very next change: none is missed, none comes twice.
    let both = follow(&["--after", &revision, "--events", "2"]);
    let told = |change: &Value| (change["key"].to_string(), change["revision"].to_string());
    assert_eq!([told(&both[0]), told(&both[1])], [told(change), told(&more[0])], "{both:?}");
}

fn grpcio(mesh: &Mesh, process: &str, method: &str, body: &str) -> Value {
    let target = mesh.url(process, Http2).replace("https://", "");
    let tls = mesh.operator();
    let [ca, certificate, key] = &[tls.ca, tls.certificate, tls.private_key].map(shown);
    let descriptors = descriptors(mesh, &format!("grpc-{process}"));
    let script = script("grpc_calls.py");
    let words = [script.as_str(), &target, ca, certificate, key, &descriptors, method, body];
    run("python3", words, PATIENCE).exits(0).json()
}

/// A new folder.
fn scratch(mesh: &Mesh, name: &str) -> PathBuf {
    static MADE: AtomicU32 = AtomicU32::new(0);
    mesh.engine.scratch(&format!("{name}-{}", MADE.fetch_add(1, Relaxed)))
}

/// The contracts as a file.
fn descriptors(mesh: &Mesh, name: &str) -> String {
    let file = scratch(mesh, name).join("descriptors.bin");
    std::fs::write(&file, omnirelay_proto::DESCRIPTOR_SET).expect("the scratch folder can be written");
    file.display().to_string()
}

fn buf_calls(mesh: &Mesh, protocol: Protocol) {
    let url = format!("{}/samples.v1.Greeter/Greet", mesh.url("relay-1", protocol));
    let tls = mesh.operator();
    let [ca, certificate, key] = &[tls.ca, tls.certificate, tls.private_key].map(shown);
    let schema = descriptors(mesh, &format!("buf-{protocol}"));
    let mut words = vec!["curl", "--protocol", "grpc", "--cacert", ca, "--cert", certificate, "--key", key];
    words.extend(["--schema", &schema, "--emit-defaults", "--data", r#"{"name":"buf"}"#, &url]);
    if protocol == Http3 {
        words.push("--http3");
    }
    // It keeps a cache in the home folder, which a sandbox has none of.
    let home = format!("HOME={}", mesh.engine.scratch(&format!("buf-home-{protocol}")).display());
    let greeting = run("env", [home.as_str(), "buf"].into_iter().chain(words), PATIENCE).exits(0).json();
    assert_eq!(greeting, json!({ "message": "Hello, buf!", "servedBy": "greeter" }));
}

fn h2load_reads(mesh: &Mesh) {
    let (url, bearer) = (format!("{}/meshkit/peers", mesh.url("meshkitd", Http2)), bearer(mesh));
    let words = ["--requests=2000", "--clients=10", "--max-concurrent-streams=20", "--header", &bearer, &url];
    let ran = run("h2load", words, PATIENCE).exits(0);
    assert!(ran.stdout.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{ran}");
    assert!(ran.stdout.contains("2000 2xx"), "{ran}");
}

fn grpcio_lists_peers(mesh: &Mesh) {
    let list = grpcio(mesh, "meshkitd", "meshkit.v1.RegistryService/ListPeers", r#"{"role":"service"}"#);
    assert_eq!(ids(&list), ["greeter", "inventory-1", "inventory-2"]);
    assert_eq!(list["peers"][0]["status"], "PEER_STATUS_ALIVE", "{list}");
}

fn grpcio_reads_shards(mesh: &Mesh) {
    let shards = "meshkit.v1.ShardsService";
    let list = grpcio(mesh, "meshkitd", &format!("{shards}/ListShards"), r#"{"shardNamespace":"inventory"}"#);
    assert_eq!(list["shards"].as_array().map(Vec::len), Some(16), "{list}");
    // `apple`, in the base64 of JSON.
    let asked = r#"{"shardNamespace":"inventory","key":"YXBwbGU="}"#;
    let found = grpcio(mesh, "meshkitd", &format!("{shards}/LookupShard"), asked);
    let owner = found["shard"]["owner"].as_str().expect("an owner");
    assert!(["inventory-1", "inventory-2"].contains(&owner), "{found}");
}

fn grpcio_calls(mesh: &Mesh) {
    let greeting = grpcio(mesh, "relay-2", "samples.v1.Greeter/Greet", r#"{"name":"grpcio"}"#);
    assert_eq!(greeting, json!({ "message": "Hello, grpcio!", "servedBy": "greeter" }));
}

fn aioquic_reads(mesh: &Mesh) {
    let (url, ca) = (mesh.url("meshkitd", Http3), shown(mesh.operator().ca));
    let script = script("http3_get.py");
    let read = |path: &str| {
        let url = format!("{url}{path}");
        run("python3", [script.as_str(), &url, &ca, &mesh.token()], PATIENCE).exits(0).json()
    };
    let peers = read("/meshkit/peers");
    assert!(ids(&peers).contains(&"greeter"), "{peers}");
    let shards = read("/meshkit/shards?namespace=inventory");
    assert_eq!(shards["shards"].as_array().map(Vec::len), Some(16), "{shards}");
}
