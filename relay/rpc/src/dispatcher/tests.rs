#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use http::Request;
use http_body_util::BodyExt as _;
use omnirelay_proto::DESCRIPTOR_SET;
use omnirelay_proto::samples::v1::{GreetRequest, GreetResponse};
use prost::Message as _;
use relay_core::headers;
use relay_transport::body;
use tower::ServiceExt as _;

use super::*;
use crate::compression::Compression;
use crate::frame::{Encoded, Frames};

fn greeter() -> DispatchService {
    Dispatcher::new("greeter", DESCRIPTOR_SET)
        .unwrap()
        .unary("/samples.v1.Greeter/Greet", |call: Call, request: GreetRequest| async move {
            match request.name.as_str() {
                "" => Err(Status::invalid_argument("the name is empty").with_name("NoName")),
                "slow" => std::future::pending().await,
                name => {
                    let message = format!("Hello, {name}!");
                    Ok(GreetResponse { message, served_by: call.caller().unwrap_or_default().to_owned() })
                }
            }
        })
        .unwrap()
        .into_service()
}

fn yarpc(procedure: &str, encoding: &str, body: impl Into<bytes::Bytes>) -> Request<Body> {
    Request::post("/yarpc/v1")
        .header(headers::RPC_SERVICE, "greeter")
        .header(headers::RPC_PROCEDURE, procedure)
        .header(headers::RPC_ENCODING, encoding)
        .header(headers::RPC_CALLER, "test")
        .header(headers::CONTEXT_TTL_MS, "200")
        .body(body::full(body.into()))
        .unwrap()
}

fn grpc_call(path: &str, framed: bytes::Bytes) -> Request<Body> {
    Request::post(path).header("content-type", "application/grpc").body(body::full(framed)).unwrap()
}

fn frame(message: &[u8]) -> bytes::Bytes {
    Encoded::new(message).framed()
}

/// Status, error code of either style, body.
async fn ask(request: Request<Body>) -> (u16, String, bytes::Bytes) {
    let response = greeter().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let mut heads = response.headers().clone();
    let answer = response.into_body().collect().await.unwrap();
    heads.extend(answer.trailers().cloned().unwrap_or_default());
    let code = heads.get(headers::RPC_ERROR_CODE).or_else(|| heads.get(headers::GRPC_STATUS));
    let code = code.map(|code| code.to_str().unwrap().to_owned()).unwrap_or_default();
    (status, code, answer.to_bytes())
}

#[tokio::test]
async fn one_registration_answers_every_style() {
    let request = GreetRequest { name: "Ada".into() };
    for name in ["Greeter::Greet", "samples.v1.Greeter::Greet"] {
        let (status, _, json) = ask(yarpc(name, "json", r#"{"name":"Ada"}"#)).await;
        assert_eq!((status, &json[..]), (200, br#"{"message":"Hello, Ada!","servedBy":"test"}"#.as_slice()));
        let (status, _, proto) = ask(yarpc(name, "proto", request.encode_to_vec())).await;
        assert_eq!((status, GreetResponse::decode(proto).unwrap().message), (200, "Hello, Ada!".into()));
    }
    let framed = frame(&request.encode_to_vec());
    let (status, code, framed) = ask(grpc_call("/samples.v1.Greeter/Greet", framed)).await;
    assert_eq!((status, code.as_str()), (200, "0"));
    let mut frames = Frames::new(body::full(framed), Compression::Identity, 1000);
    let message = frames.only().await.unwrap();
    assert_eq!(GreetResponse::decode(message).unwrap().message, "Hello, Ada!");
}

#[tokio::test]
async fn what_is_wrong_is_said_in_the_callers_style() {
    let cases = [
        (yarpc("Greeter::Greet", "json", "{}"), 400, "invalid-argument"),
        (yarpc("Greeter::Greet", "json", "{"), 400, "invalid-argument"),
        (yarpc("Greeter::Greet", "json", r#"{"name":"a"} x"#), 400, "invalid-argument"),
        (yarpc("Greeter::Greet", "json", r#"{"nam":"a"}"#), 400, "invalid-argument"),
        (yarpc("Greeter::Greet", "proto", "\u{ff}\u{ff}"), 400, "invalid-argument"),
        (yarpc("Greeter::Greet", "raw", "x"), 400, "invalid-argument"),
        (yarpc("Greeter::Other", "json", "{}"), 501, "unimplemented"),
        (yarpc("Greeter::Greet", "json", r#"{"name":"slow"}"#), 504, "deadline-exceeded"),
        (grpc_call("/samples.v1.Greeter/Other", frame(b"")), 200, "12"),
        (grpc_call("/samples.v1.Greeter/Greet", frame(b"")), 200, "3"),
        (grpc_call("/samples.v1.Greeter/Greet", bytes::Bytes::from_static(b"\0\0")), 200, "13"),
        (grpc_call("/samples.v1.Greeter/Greet", bytes::Bytes::from_static(b"\0\0\0\0\x09a")), 200, "13"),
        (grpc_call("/samples.v1.Greeter/Greet", bytes::Bytes::from_static(b"\x01\0\0\0\0")), 200, "13"),
    ];
    for (request, status, code) in cases {
        let what = format!("{request:?}");
        let (got_status, got_code, _) = ask(request).await;
        assert_eq!((got_status, got_code.as_str()), (status, code), "{what}");
    }
}

#[test]
fn wrong_registrations_are_refused() {
    let register = |path: &str| {
        Dispatcher::new("x", DESCRIPTOR_SET)?
            .unary(path, |_: Call, request: GreetRequest| async move { Ok(request) })
    };
    for path in ["Greet", "/samples.v1.Nobody/Greet", "/samples.v1.Greeter/Nothing"] {
        assert!(register(path).is_err(), "{path}");
    }
    let twice = register("/samples.v1.Greeter/Greet").and_then(|it| {
        it.unary("/samples.v1.Greeter/Greet", |_: Call, it: GreetRequest| async move { Ok(it) })
    });
    assert!(twice.is_err());
}
