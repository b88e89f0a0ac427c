//! The same procedures for callers over HTTP with one body each way, over real sockets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, HeaderValue, Request};
use http_body_util::BodyExt as _;
use relay_core::{Encoding, Protocol};
use relay_interop::DESCRIPTOR_SET;
use relay_interop::guide::{AppendResponse, JournalServer, Line, ReadRequest};
use relay_interop::journal::Memory;
use relay_rpc::{Ask, Call, Code, Dispatcher, Reply, Status, YarpcClient, metadata, raw};
use relay_transport::{Body, body};
use support::{Server, soon};
use tokio::sync::mpsc;

fn journal() -> Dispatcher {
    let dispatcher = Dispatcher::new("journal", DESCRIPTOR_SET).unwrap();
    JournalServer::register(dispatcher, &Arc::new(Memory::default())).unwrap()
}

fn events(path: &str, message: &str) -> Request<Body> {
    Request::post(path)
        .header("content-type", "application/json")
        .header("accept", "text/event-stream")
        .body(body::full(message.to_owned()))
        .unwrap()
}

#[tokio::test]
async fn one_registration_serves_yarpc_json_and_events() {
    let server = Server::start(journal());
    for (index, protocol) in Protocol::ALL.into_iter().enumerate() {
        let channel = server.channel(protocol);
        let client = YarpcClient::new(channel.clone(), "journal", "test").unwrap();
        let line = Line { text: format!("over {protocol}") };
        let count = u64::try_from(2 * index + 1).unwrap();
        let reply: Reply<AppendResponse> = client.unary("Journal::Append", line.clone()).await.unwrap();
        assert_eq!(reply.into_message().count, count, "{protocol}");
        client.oneway("guide.v1.Journal::Note", line).await.unwrap();
        let json = Bytes::from_static(br#"{"text":""}"#);
        let status = client.bytes("Journal::Append", Encoding::Json, json).await.unwrap_err();
        assert_eq!(status.code, Code::InvalidArgument, "{protocol}");

        let request = events("/guide.v1.Journal/Read", &format!(r#"{{"skip":"{}"}}"#, count - 1));
        let response = channel.send(request).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let event = format!("data: {{\"text\":\"over {protocol}\"}}\n\n");
        assert_eq!(text, format!("{event}{event}"), "{protocol}");
    }
}

#[tokio::test]
async fn an_error_is_the_last_event_and_a_stream_needs_a_taker() {
    let broken = |_call: Call, _request: Bytes| async move {
        let answers: [Result<Bytes, Status>; 2] =
            [Ok(Bytes::from_static(b"{\"a\":1}")), Err(Status::unavailable("gone").with_hint("wait"))];
        Ok(stream::iter(answers))
    };
    let failing = |_call: Call, _request: Bytes| async move {
        Ok(stream::iter([Err::<Bytes, _>(Status::not_found("nothing there"))]))
    };
    let dispatcher = journal()
        .add(raw("Events::Broken").server_stream(broken))
        .unwrap()
        .add(raw("Events::Failing").server_stream(failing))
        .unwrap();
    let server = Server::start(dispatcher);
    for protocol in Protocol::ALL {
        let channel = server.channel(protocol);
        let response = channel.send(events("/Events/Broken", "{}")).await.unwrap();
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let expected = "data: {\"a\":1}\n\n\
                        event: error\ndata: {\"code\":\"unavailable\",\"hint\":\"wait\",\"message\":\"gone\"}\n\n";
        assert_eq!(text, expected, "{protocol}");
        // What fails before its first message is an answer like any other.
        let response = channel.send(events("/Events/Failing", "{}")).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (404, &HeaderValue::from_static("application/problem+json"))
        );
        let client = YarpcClient::new(channel.clone(), "journal", "test").unwrap();
        for procedure in ["Journal::Read", "Journal::Import", "Journal::Converse"] {
            let refused: Result<Reply<Line>, _> = client.unary(procedure, ReadRequest::default()).await;
            assert_eq!(refused.unwrap_err().code, Code::Unimplemented, "{protocol}");
        }
    }
}

#[tokio::test]
async fn a_oneway_call_is_answered_before_it_is_done() {
    let (done, mut seen) = mpsc::channel(1);
    let (go, gate) = tokio::sync::watch::channel(false);
    let slow = move |_call: Call, _request: Bytes| {
        let (done, mut gate) = (done.clone(), gate.clone());
        async move {
            drop(gate.wait_for(|open| *open).await);
            done.send(()).await.map_err(|_| Status::internal("nobody listens"))
        }
    };
    let dispatcher =
        Dispatcher::new("slow", b"").unwrap().max_oneway(3).add(raw("Slow::Do").oneway(slow)).unwrap();
    let server = Server::start(dispatcher);
    for protocol in Protocol::ALL {
        let client = YarpcClient::new(server.channel(protocol), "slow", "test").unwrap();
        let answer = client.bytes("Slow::Do", Encoding::Raw, Bytes::new()).await.unwrap();
        assert!(answer.message().is_empty(), "{protocol}");
    }
    // Three are running, and no more may.
    let client = YarpcClient::new(server.channel(Protocol::Http2), "slow", "test").unwrap();
    let refused = client.bytes("Slow::Do", Encoding::Raw, Bytes::new()).await.unwrap_err();
    assert_eq!(refused.code, Code::ResourceExhausted);
    assert!(seen.try_recv().is_err());
    go.send_replace(true);
    for _ in Protocol::ALL {
        soon("the handler's end", seen.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn metadata_details_and_deadlines_go_both_ways() {
    const TAG: HeaderName = HeaderName::from_static("tag-bin");
    let echo = |call: Call, request: Bytes| async move {
        if request == "fail" {
            return Err(Status::new(Code::Aborted, "no").with_name("nope").with_details(&b"\x08\x0a"[..]));
        }
        if request == "sleep" {
            std::future::pending::<()>().await;
        }
        assert_eq!(call.metadata_bin("tag-bin").unwrap(), b"\0\xff"[..]);
        assert!(call.timeout().unwrap() <= Duration::from_secs(7));
        let caller = call.caller().unwrap_or_default().to_owned();
        let identity = call.identity().map(|it| it.spiffe().to_owned()).unwrap_or_default();
        let tag = call.metadata("tag-bin").unwrap().clone();
        Ok(Reply::new(Bytes::from(format!("{caller} {identity}"))).with_metadata(TAG, tag))
    };
    let dispatcher = Dispatcher::new("echo", b"").unwrap().add(raw("Echo::Echo").unary(echo)).unwrap();
    let server = Server::start(dispatcher);
    for protocol in Protocol::ALL {
        let client = YarpcClient::new(server.channel(protocol), "echo", "me").unwrap();
        let call = |ask: Ask<Bytes>| client.bytes("Echo::Echo", Encoding::Raw, ask);
        let tag = metadata::encode_bin(b"\0\xff");
        let ask = Ask::new(Bytes::new()).with_metadata(TAG, tag.clone()).with_timeout(Duration::from_secs(7));
        let reply = call(ask).await.unwrap();
        assert_eq!(reply.message(), "me spiffe://test/client/b", "{protocol}");
        assert_eq!(reply.metadata().get(TAG), Some(&tag), "{protocol}");
        let status = call(Bytes::from_static(b"fail").into()).await.unwrap_err();
        let expected = Status::new(Code::Aborted, "no").with_name("nope").with_details(&b"\x08\x0a"[..]);
        assert_eq!(status, expected, "{protocol}");
        let late = Ask::new(Bytes::from_static(b"sleep")).with_timeout(Duration::from_millis(50));
        assert_eq!(call(late).await.unwrap_err().code, Code::DeadlineExceeded, "{protocol}");
    }
}
