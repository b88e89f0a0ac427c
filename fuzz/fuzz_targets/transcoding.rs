//! One contract in JSON and in protobuf, through a dispatcher: a message that was read in one is
//! written in the other and means the same when it is read again.

use std::sync::{LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, StatusCode};
use omnirelay_proto::DESCRIPTOR_SET;
use omnirelay_proto::meshkit::v1::{
    GetPeerRequest, GetPeerResponse, Peer, RegisterPeerRequest, RegisterPeerResponse,
};
use relay_core::headers;
use relay_rpc::{Call, DispatchService, Dispatcher};
use relay_transport::body;

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "transcoding",
    run,
    words: &[
        "{\"peer\":{",
        "\"id\":\"a\"",
        "\"endpoints\":[{\"url\":\"\",\"protocols\":[\"http3\"]}]",
        "\"labels\":{\"a\":\"b\"}",
        "\"status\":\"PEER_STATUS_ALIVE\"",
        "\"status\":-1",
        "\"registeredAt\":\"1970-01-01T00:00:00.5Z\"",
        "\"recordVersion\":\"18446744073709551615\"",
        "1e400",
        "null",
        "\\u0000",
        "\\ud800",
        "}",
        "]",
        ",",
        "\x42\x02\x0a\x00",
        "\x52\x02\x08\x01",
        "\x60\x01",
    ],
};

/// The peer that was registered last.
static LAST: Mutex<Option<Peer>> = Mutex::new(None);

static REGISTRY: LazyLock<DispatchService> = LazyLock::new(|| {
    let register = |_: Call, request: RegisterPeerRequest| async move {
        last(|last| last.clone_from(&request.peer));
        Ok(RegisterPeerResponse { peer: request.peer, heartbeat_interval_ms: 0 })
    };
    let get =
        |_: Call, _: GetPeerRequest| async move { Ok(GetPeerResponse { peer: last(|last| last.clone()) }) };
    let dispatcher = Dispatcher::new("fuzz", DESCRIPTOR_SET)
        .and_then(|it| it.unary("/meshkit.v1.RegistryService/RegisterPeer", register))
        .and_then(|it| it.unary("/meshkit.v1.RegistryService/GetPeer", get));
    dispatcher.unwrap_or_else(|error| panic!("no dispatcher: {error}")).into_service()
});

fn last<T>(with: impl FnOnce(&mut Option<Peer>) -> T) -> T {
    with(&mut LAST.lock().unwrap_or_else(PoisonError::into_inner))
}

fn run(data: &[u8]) {
    // What is refused is the caller's fault, whatever it is.
    for encoding in ["json", "proto"] {
        let (status, _) = call("RegisterPeer", encoding, Bytes::copy_from_slice(data));
        match status {
            StatusCode::OK => there_and_back(encoding),
            StatusCode::BAD_REQUEST => {}
            // Protobuf carries times that JSON has no words for; nothing that JSON carried is.
            other => panic!("{encoding} was answered {other}"),
        }
    }
}

/// Reads the last peer in JSON, registers what was read, and compares.
fn there_and_back(came_in: &str) {
    let before = last(|last| last.clone());
    let (status, json) = call("GetPeer", "json", Bytes::from_static(b"{}"));
    if status != StatusCode::OK {
        assert!(came_in == "proto" && status == StatusCode::INTERNAL_SERVER_ERROR, "{came_in}: {status}");
        return;
    }
    let (status, _) = call("RegisterPeer", "json", json.clone());
    let after = last(|last| last.clone());
    assert_eq!((status, after), (StatusCode::OK, before), "{}", String::from_utf8_lossy(&json));
}

fn call(procedure: &str, encoding: &str, message: Bytes) -> (StatusCode, Bytes) {
    let request = Request::post("/yarpc/v1")
        .header(headers::RPC_SERVICE, "fuzz")
        .header(headers::RPC_PROCEDURE, format!("RegistryService::{procedure}"))
        .header(headers::RPC_ENCODING, encoding)
        .body(body::full(message));
    let (head, answer, _) = super::ask(REGISTRY.clone(), request.unwrap_or_default());
    (head.status, answer)
}
