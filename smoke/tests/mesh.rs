//! Peers, shards and relayed calls over every protocol, with our own client from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a check says by panicking that it failed"
)]

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use meshkit_client::{PeerFilter, ShardFilter};
use omnirelay_proto::samples::v1::{GreetRequest, GreetResponse};
use omnirelay_smoke::{Client, Mesh, Suite, block_on, until};
use prost::Message as _;
use relay_core::Protocol::{self, Http1, Http2, Http3};
use relay_core::headers;
use serde_json::{Value, json};

/// Everybody who registers.
const PEERS: [&str; 5] = ["greeter", "inventory-1", "inventory-2", "relay-1", "relay-2"];
/// As `dev init` cuts them.
const SHARDS: usize = 16;
/// How long registering and placing may take.
const SETTLED: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let mut suite = Suite::new("mesh")
        .check("every peer registers and every shard finds an owner", settles)
        .check("REST wants to know who asks", strangers_are_refused);
    for protocol in [Http3, Http2, Http1] {
        suite = suite
            .check(format!("peers by REST over {protocol}"), move |mesh| rest_peers(mesh, protocol))
            .check(format!("shards by REST over {protocol}"), move |mesh| rest_shards(mesh, protocol));
    }
    for protocol in [Http3, Http2] {
        suite = suite.check(format!("peers and shards by gRPC over {protocol}"), move |mesh| {
            grpc_lists(mesh, protocol);
        });
    }
    for relay in ["relay-1", "relay-2"] {
        for protocol in [Http3, Http2, Http1] {
            suite = suite.check(format!("YARPC call through {relay} over {protocol}"), move |mesh| {
                greets_by_yarpc(&mesh.client(relay, protocol));
            });
        }
        for protocol in [Http3, Http2] {
            suite = suite.check(format!("gRPC call through {relay} over {protocol}"), move |mesh| {
                greets_by_grpc(&mesh.client(relay, protocol));
            });
        }
    }
    suite
        .check("state written through one relay is read through the other", state_is_shared)
        .check("what nobody serves is an error that says so", unknown_services_are_told)
        .run(Mesh::start)
}

fn ids(list: &Value) -> BTreeSet<String> {
    let peers = list["peers"].as_array().expect("a list of peers").iter();
    peers.map(|peer| peer["id"].as_str().expect("a peer has an id").to_owned()).collect()
}

fn settles(mesh: &Mesh) {
    let meshkit = mesh.client("meshkitd", Http2);
    until("every peer is alive", SETTLED, || {
        let seen = ids(&meshkit.get("/meshkit/peers?status=alive").has(200).json());
        if PEERS.iter().all(|id| seen.contains(*id)) { Ok(()) } else { Err(format!("there are {seen:?}")) }
    });
    until("both inventories own shards, and nobody else does", SETTLED, || {
        let owners = owners(&meshkit.get("/meshkit/shards?namespace=inventory").has(200).json());
        let wanted = BTreeSet::from(["inventory-1".to_owned(), "inventory-2".to_owned()]);
        if owners == wanted { Ok(()) } else { Err(format!("owners are {owners:?}")) }
    });
}

fn owners(list: &Value) -> BTreeSet<String> {
    let shards = list["shards"].as_array().expect("a list of shards");
    assert_eq!(shards.len(), SHARDS, "{list}");
    shards.iter().map(|shard| shard["owner"].as_str().unwrap_or_default().to_owned()).collect()
}

fn rest_peers(mesh: &Mesh, protocol: Protocol) {
    let list = mesh.client("meshkitd", protocol).get("/meshkit/peers").has(200).json();
    assert_eq!(ids(&list), PEERS.iter().map(ToString::to_string).collect());
    let greeter = mesh.client("meshkitd", protocol).get("/meshkit/peers/greeter").has(200).json();
    assert_eq!((&greeter["role"], &greeter["service"]), (&json!("service"), &json!("greeter")), "{greeter}");
    assert_eq!(greeter["endpoints"][0]["url"], "https://greeter:7420", "{greeter}");
}

fn rest_shards(mesh: &Mesh, protocol: Protocol) {
    let list = mesh.client("meshkitd", protocol).get("/meshkit/shards?namespace=inventory").has(200).json();
    assert_eq!(owners(&list), BTreeSet::from(["inventory-1".to_owned(), "inventory-2".to_owned()]));
}

fn grpc_lists(mesh: &Mesh, protocol: Protocol) {
    let meshkit = mesh.meshkit(protocol);
    let peers = block_on(meshkit.peers(PeerFilter::default())).unwrap();
    assert_eq!(peers.negotiated.protocol, protocol);
    assert_eq!(peers.value.iter().map(|peer| peer.id.as_str()).collect::<Vec<_>>(), PEERS);
    let shards = block_on(meshkit.shards(ShardFilter::default())).unwrap();
    assert_eq!(shards.negotiated.protocol, protocol);
    assert_eq!(shards.value.len(), SHARDS);
    assert!(shards.value.iter().all(|shard| shard.owner.starts_with("inventory-")), "{:?}", shards.value);
}

fn strangers_are_refused(mesh: &Mesh) {
    for protocol in [Http3, Http2, Http1] {
        let stranger = mesh.stranger("meshkitd", protocol);
        let _open = stranger.get("/readyz").has(200);
        let refused = stranger.get("/meshkit/peers").has(401);
        assert_eq!(refused.header(&http::header::CONTENT_TYPE), "application/problem+json");
    }
}

fn greets_by_yarpc(relay: &Client) {
    let answer = relay.call("greeter", "Greeter::Greet", "json", r#"{"name":"Ada"}"#).has(200);
    assert_eq!(answer.header(&headers::RPC_STATUS), "success", "{answer:?}");
    assert_eq!(answer.json(), json!({ "message": "Hello, Ada!", "servedBy": "greeter" }));

    let request = GreetRequest { name: "Grace".to_owned() }.encode_to_vec();
    let answer = relay.call("greeter", "Greeter::Greet", "proto", request).has(200);
    let expected = GreetResponse { message: "Hello, Grace!".to_owned(), served_by: "greeter".to_owned() };
    assert_eq!(GreetResponse::decode(answer.body).unwrap(), expected);
}

fn greets_by_grpc(relay: &Client) {
    let request = GreetRequest { name: "Edsger".to_owned() };
    let answer: GreetResponse = relay.grpc("/samples.v1.Greeter/Greet", &request);
    assert_eq!((answer.message.as_str(), answer.served_by.as_str()), ("Hello, Edsger!", "greeter"));
}

fn state_is_shared(mesh: &Mesh) {
    let (first, second) = (mesh.client("relay-1", Http3), mesh.client("relay-2", Http2));
    let mut served_by = BTreeSet::new();
    // Enough items for both owners; each item is counted by the one that owns its shard.
    for number in 0..SHARDS {
        let item = format!("item-{number}");
        let change = json!({ "item": item, "by": number + 1 }).to_string();
        let written = first.call("inventory", "Inventory::AdjustStock", "json", change).has(200).json();
        let question = json!({ "item": item }).to_string();
        let read = second.call("inventory", "Inventory::GetStock", "json", question).has(200).json();
        assert_eq!((&read["count"], &read["servedBy"]), (&written["count"], &written["servedBy"]), "{item}");
        // 64-bit numbers are texts in the JSON of protobuf.
        assert_eq!(read["count"], (number + 1).to_string(), "{read}");
        served_by.insert(read["servedBy"].to_string());
    }
    assert_eq!(served_by.len(), 2, "one inventory did all the work: {served_by:?}");
}

fn unknown_services_are_told(mesh: &Mesh) {
    for protocol in [Http3, Http2, Http1] {
        let answer = mesh.client("relay-1", protocol).call("nobody", "Nobody::Answers", "json", "{}");
        assert!(answer.status >= 400, "{answer:?}");
        assert_eq!(answer.header(&headers::RPC_STATUS), "error", "{answer:?}");
        assert!(answer.header(&headers::RPC_ERROR_MESSAGE).contains("nobody"), "{answer:?}");
    }
}
