#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use std::task::{Context, Poll};

use http::Request;
use http_body_util::BodyExt as _;
use omnirelay_proto::DESCRIPTOR_SET;
use omnirelay_proto::samples::v1::{GreetRequest, GreetResponse};
use prost::Message as _;
use relay_core::headers;
use relay_transport::{Body, body};
use tower::ServiceExt as _;

use super::*;
use crate::BoxFuture;
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
    let greeter = || register("/samples.v1.Greeter/Greet").unwrap();
    assert!(greeter().alias("A::B", "Nobody::Nothing").is_err());
    assert!(
        greeter()
            .server_stream("/samples.v1.Inventory/GetStock", |_: Call, it: GreetRequest| async move {
                Ok(futures_util::stream::iter([Ok::<_, Status>(it)]))
            })
            .is_err(),
        "another shape than its contract's"
    );
}

/// Counts calls, and refuses those of a caller that it does not know.
#[derive(Clone)]
struct Guarded<S> {
    inner: S,
    known: &'static str,
    calls: Arc<std::sync::atomic::AtomicUsize>,
}

impl<S> Service<RpcRequest> for Guarded<S>
where
    S: Service<RpcRequest, Response = RpcResponse, Error = Status, Future: Send + 'static>,
{
    type Response = RpcResponse;
    type Error = Status;
    type Future = BoxFuture<Result<RpcResponse, Status>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: RpcRequest) -> Self::Future {
        self.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if request.call.caller() == Some(self.known) {
            return Box::pin(self.inner.call(request));
        }
        Box::pin(std::future::ready(Err(Status::permission_denied("nobody knows you"))))
    }
}

fn raw_call(procedure: &str) -> Request<Body> {
    yarpc(procedure, "raw", "x")
}

#[tokio::test]
async fn layers_wrap_their_procedure_and_are_composed_once() {
    let composed = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let calls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let guard = |known: &'static str| {
        let (composed, calls) = (Arc::clone(&composed), Arc::clone(&calls));
        tower::layer::layer_fn(move |inner: Procedure| {
            composed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Guarded { inner, known, calls: Arc::clone(&calls) }
        })
    };
    let same = |_: Call, bytes: bytes::Bytes| async move { Ok(bytes) };
    let service = Dispatcher::new("greeter", b"")
        .unwrap()
        .layer(guard("test"))
        .add(crate::raw("A::Open").unary(same))
        .unwrap()
        .add(crate::raw("A::Shut").unary(same).layer(guard("somebody else")))
        .unwrap()
        .into_service();
    for _ in 0..3 {
        assert_eq!(service.clone().oneshot(raw_call("A::Open")).await.unwrap().status(), 200);
        assert_eq!(service.clone().oneshot(raw_call("A::Shut")).await.unwrap().status(), 403);
    }
    assert_eq!(composed.load(std::sync::atomic::Ordering::Relaxed), 3);
    assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 9);
}

#[tokio::test]
async fn aliases_and_wildcards_find_their_procedure() {
    let named =
        |name: &'static str| move |_: Call, _: bytes::Bytes| async move { Ok(bytes::Bytes::from(name)) };
    let dispatcher = Dispatcher::new("greeter", b"")
        .unwrap()
        .add(crate::raw("Foo::Bar").unary(named("bar")).alias("Old::Bar"))
        .unwrap()
        .add(crate::raw("Foo::*").unary(named("foo")))
        .unwrap()
        .add(crate::raw("Foo::Deep*").unary(named("deep")))
        .unwrap();
    let dispatcher = dispatcher.alias("Older::Bar", "/Foo/Bar").unwrap();
    let names: Vec<String> = dispatcher.procedures().into_iter().map(|info| info.procedure).collect();
    assert_eq!(
        names,
        ["Foo/Bar", "Foo::*", "Foo::Bar", "Foo::Deep*", "Old/Bar", "Old::Bar", "Older/Bar", "Older::Bar"]
    );
    let service = dispatcher.into_service();
    let cases = [
        ("Foo::Bar", Some("bar")),
        ("Old::Bar", Some("bar")),
        ("Older::Bar", Some("bar")),
        ("Foo::Other", Some("foo")),
        ("Foo::Deeper", Some("deep")),
        ("Other::Bar", None),
    ];
    for (procedure, expected) in cases {
        let response = service.clone().oneshot(raw_call(procedure)).await.unwrap();
        let served = response.status().is_success();
        let answer = body::collect_limited(response.into_body(), 1000).await.unwrap();
        assert_eq!(served.then_some(&answer[..]), expected.map(str::as_bytes), "{procedure}");
    }
    for path in ["/Foo/Bar", "/Old/Bar", "/Foo/Other"] {
        let response = service.clone().oneshot(grpc_call(path, frame(b""))).await.unwrap();
        assert!(!response.headers().contains_key("grpc-status"), "{path}");
    }
}

#[tokio::test]
async fn what_fails_before_its_first_message_has_trailers_alone() {
    let failing = |_: Call, _: bytes::Bytes| async move {
        let nothing = Status::not_found("nothing there");
        Ok(futures_util::stream::iter([Err::<bytes::Bytes, _>(nothing)]))
    };
    let empty = |_: Call, _: bytes::Bytes| async move {
        Ok(futures_util::stream::iter(Vec::<Result<bytes::Bytes, Status>>::new()))
    };
    let service = Dispatcher::new("greeter", b"")
        .unwrap()
        .add(crate::raw("A::Fails").server_stream(failing))
        .unwrap()
        .add(crate::raw("A::Empty").server_stream(empty))
        .unwrap()
        .into_service();
    let response = service.clone().oneshot(grpc_call("/A/Fails", frame(b""))).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "5");
    assert!(http_body::Body::is_end_stream(response.body()));
    let response = service.clone().oneshot(grpc_call("/A/Empty", frame(b""))).await.unwrap();
    let answer = response.into_body().collect().await.unwrap();
    assert_eq!(answer.trailers().unwrap()["grpc-status"], "0");
    // Many messages where one is taken, and a compression that nobody knows.
    let two = [frame(b"a"), frame(b"b")].concat();
    let response = service.clone().oneshot(grpc_call("/A/Empty", two.into())).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "12");
    let mut request = grpc_call("/A/Empty", frame(b""));
    request.headers_mut().insert("grpc-encoding", HeaderValue::from_static("br"));
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "12");
    assert_eq!(response.headers()["grpc-accept-encoding"], "identity,gzip");
}
