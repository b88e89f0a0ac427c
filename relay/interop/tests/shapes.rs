//! What ends a call, and what a caller sees of it, over real sockets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderName, HeaderValue};
use relay_rpc::{Ask, Call, Client, Code, Dispatcher, Messages, Reply, Status, raw};
use relay_transport::Limits;
use support::{GRPC, Server, soon};
use tokio::sync::mpsc;

const SUM: HeaderName = HeaderName::from_static("x-sum");

/// Says when a handler is gone.
struct Gone(mpsc::UnboundedSender<&'static str>);

impl Drop for Gone {
    fn drop(&mut self) {
        let _nobody_listens = self.0.send("gone");
    }
}

/// Handlers that never end by themselves, in each shape, and say when they begin and are gone.
fn endless(events: &mpsc::UnboundedSender<&'static str>) -> Dispatcher {
    let began = |events: &mpsc::UnboundedSender<&'static str>| {
        events.send("began").unwrap();
        Gone(events.clone())
    };
    let [unary, server, client, bidi] = std::array::from_fn(|_| events.clone());
    Dispatcher::new("endless", b"")
        .unwrap()
        .add(raw("/e.E/Unary").unary(move |_call: Call, _request: Bytes| {
            let gone = began(&unary);
            async move {
                std::future::pending::<()>().await;
                drop(gone);
                Ok(Bytes::new())
            }
        }))
        .unwrap()
        .add(raw("/e.E/Server").server_stream(move |_call: Call, _request: Bytes| {
            let gone = began(&server);
            let first = stream::iter([Ok(Bytes::from_static(b"first"))]);
            async move {
                Ok(first.chain(stream::pending()).inspect(move |_: &Result<_, Status>| drop_later(&gone)))
            }
        }))
        .unwrap()
        .add(raw("/e.E/Client").client_stream(move |_call: Call, mut requests: Messages<Bytes>| {
            let gone = began(&client);
            async move {
                while requests.message().await?.is_some() {}
                std::future::pending::<()>().await;
                drop(gone);
                Ok(Bytes::new())
            }
        }))
        .unwrap()
        .add(raw("/e.E/Bidi").bidi(move |_call: Call, requests: Messages<Bytes>| {
            let gone = began(&bidi);
            async move { Ok(requests.inspect(move |_| drop_later(&gone))) }
        }))
        .unwrap()
}

/// Keeps what it is told to keep for as long as the closure that calls it lives.
fn drop_later(_kept: &Gone) {}

#[tokio::test]
async fn a_call_that_is_given_up_ends_its_handler() {
    let (events, mut seen) = mpsc::unbounded_channel();
    let server = Server::start(endless(&events));
    for protocol in GRPC {
        let client = Client::new(server.channel(protocol));
        for path in ["/e.E/Unary", "/e.E/Client", "/e.E/Server", "/e.E/Bidi"] {
            let what = format!("{path} over {protocol}");
            let caller = client.clone();
            let endless = stream::iter([Bytes::from_static(b"x")]).chain(stream::pending());
            let call = omnirelay_runtime::spawn("call", async move {
                match path {
                    "/e.E/Unary" => drop(caller.unary::<Bytes, Bytes>(path, Bytes::new()).await),
                    "/e.E/Client" => drop(caller.client_stream::<Bytes, Bytes>(path, endless).await),
                    "/e.E/Server" => {
                        let mut answers =
                            caller.server_stream::<Bytes, Bytes>(path, Bytes::new()).await.unwrap();
                        while answers.message().await.unwrap().is_some() {}
                    }
                    _ => {
                        let mut answers = caller.bidi::<Bytes, Bytes>(path, endless).await.unwrap();
                        while answers.message().await.unwrap().is_some() {}
                    }
                }
            });
            assert_eq!(soon(&what, seen.recv()).await, Some("began"), "{what}");
            call.abort();
            assert_eq!(soon(&what, seen.recv()).await, Some("gone"), "{what}");
        }
    }
}

#[tokio::test]
async fn a_deadline_holds_for_the_streamed_part_and_ends_in_trailers() {
    let (events, mut seen) = mpsc::unbounded_channel();
    let server = Server::start(endless(&events));
    for protocol in GRPC {
        let channel = server.channel(protocol);
        // A client that does not look at the clock itself.
        let request = http::Request::post("/e.E/Server")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", "300m")
            .body(relay_transport::body::full(&b"\0\0\0\0\0"[..]))
            .unwrap();
        let response = channel.send(request).await.unwrap();
        assert!(!response.headers().contains_key("grpc-status"), "{protocol}");
        let all = relay_transport::body::collect_with_trailers(response.into_body(), 1000);
        let (messages, trailers) = soon("the end", all).await.unwrap();
        assert_eq!(messages, &b"\0\0\0\0\x05first"[..], "{protocol}");
        let trailers = trailers.unwrap();
        assert_eq!(trailers.get("grpc-status"), Some(&HeaderValue::from_static("4")), "{protocol}");
        assert_eq!((seen.recv().await, seen.recv().await), (Some("began"), Some("gone")));
    }
}

/// A handler that answers with as many bytes as it is asked for, and panics where that is none.
async fn bytes(_call: Call, request: Bytes) -> Result<Reply<Bytes>, Status> {
    let size: usize = std::str::from_utf8(&request).unwrap().parse().unwrap();
    assert!(size > 0, "as asked for");
    let sum = HeaderValue::from(size);
    Ok(Reply::new(Bytes::from(vec![b'x'; size])).with_trailer(SUM, sum))
}

#[tokio::test]
async fn a_body_of_65_535_bytes_keeps_its_trailers() {
    let dispatcher = Dispatcher::new("sizes", b"").unwrap();
    let server = Server::start(dispatcher.add(raw("/s.S/Bytes").unary(bytes)).unwrap());
    for protocol in GRPC {
        let channel = server.channel(protocol);
        // Five of the bytes are the message's frame.
        for size in [65_529, 65_530, 65_531] {
            let framed = [&[0, 0, 0, 0, 5], size.to_string().as_bytes()].concat();
            let request = http::Request::post("/s.S/Bytes")
                .header("content-type", "application/grpc")
                .body(relay_transport::body::full(framed))
                .unwrap();
            let response = channel.send(request).await.unwrap();
            let all = relay_transport::body::collect_with_trailers(response.into_body(), 1 << 20);
            let (body, trailers) = all.await.unwrap();
            let trailers = trailers.unwrap_or_default();
            assert_eq!(body.len(), size + 5, "{protocol}");
            assert_eq!(
                trailers.get("grpc-status"),
                Some(&HeaderValue::from_static("0")),
                "{protocol} {size}"
            );
            assert_eq!(trailers.get(SUM), Some(&HeaderValue::from(size)), "{protocol} {size}");
        }
    }
}

#[tokio::test]
async fn a_handler_that_panics_is_an_error_and_no_more() {
    let panicking = |_call: Call, request: Bytes| async move {
        let first = stream::iter([Ok(request)]);
        Ok(first.chain(stream::poll_fn(|_cx| panic!("as asked for"))))
    };
    let dispatcher = Dispatcher::new("panics", b"")
        .unwrap()
        .add(raw("/p.P/Bytes").unary(bytes))
        .unwrap()
        .add(raw("/p.P/Stream").server_stream(panicking))
        .unwrap();
    let server = Server::start(dispatcher);
    for protocol in GRPC {
        let client = Client::new(server.channel(protocol));
        let status = client.unary::<Message, Message>("/p.P/Bytes", Message::of(b"0")).await.unwrap_err();
        assert_eq!(status.code, Code::Internal, "{protocol}");
        let answers = client.server_stream::<Message, Message>("/p.P/Stream", Message::of(b"a")).await;
        let answers: Vec<_> = answers.unwrap().collect().await;
        assert_eq!(answers[0].as_ref().unwrap(), &Message::of(b"a"));
        assert_eq!(answers[1].as_ref().unwrap_err().code, Code::Internal, "{protocol}");
        assert_eq!(answers.len(), 2);
        let fine = client.unary::<Message, Message>("/p.P/Bytes", Message::of(b"3")).await.unwrap();
        assert_eq!(fine.into_message(), Message::of(b"xxx"));
    }
    let counted = "omnirelay_listener_panics_total{listener=\"test\"} 4\n";
    assert!(
        server.metrics.render().contains(counted),
        "a panic within a stream: {}",
        server.metrics.render()
    );
}

#[tokio::test]
async fn a_stream_may_be_longer_than_any_of_its_messages() {
    let counting = |_call: Call, mut requests: Messages<Bytes>| async move {
        let mut count = 0_u64;
        while requests.message().await?.is_some() {
            count += 1;
        }
        Ok(Reply::new(Bytes::from(count.to_string())))
    };
    let dispatcher = Dispatcher::new("count", b"").unwrap().add(raw("/c.C/Count").client_stream(counting));
    let limits = Limits { max_body_bytes: 1_000, max_stream_bytes: 100_000, ..Limits::default() };
    let server = Server::bounded(dispatcher.unwrap(), limits);
    for protocol in GRPC {
        let client = Client::new(server.channel(protocol));
        let ask = |count: usize, size: usize| {
            let messages = stream::iter(std::iter::repeat_n(Message(Bytes::from(vec![b'x'; size])), count));
            client.client_stream::<Message, Message>("/c.C/Count", messages)
        };
        let counted = ask(90, 900).await.unwrap().into_message();
        assert_eq!(counted, Message::of(b"90"), "{protocol}: ninety times the bound of one");
        for (count, size, key) in [(1, 1_001, "max_body_bytes"), (120, 900, "max_stream_bytes")] {
            let status = ask(count, size).await.unwrap_err();
            assert_eq!(status.code, Code::ResourceExhausted, "{protocol}: {status:?}");
            assert!(format!("{status:?}").contains(key), "{protocol}: {status:?}");
        }
    }
}

/// Bytes as a message of a typed client: a raw procedure takes whatever comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Message(Bytes);

impl Message {
    fn of(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl prost::Message for Message {
    fn encode_raw(&self, buf: &mut impl bytes::BufMut) {
        buf.put_slice(&self.0);
    }

    fn merge_field(
        &mut self,
        _tag: u32,
        _wire_type: prost::encoding::WireType,
        _buf: &mut impl bytes::Buf,
        _ctx: prost::encoding::DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0 = Bytes::new();
    }

    fn decode(mut buf: impl bytes::Buf) -> Result<Self, prost::DecodeError> {
        Ok(Self(buf.copy_to_bytes(buf.remaining())))
    }
}

#[tokio::test]
async fn a_sender_is_no_faster_than_its_reader() {
    // A reader that takes three messages and no more.
    let (taken, mut reports) = mpsc::unbounded_channel();
    let (resume, resumed) = mpsc::channel::<()>(1);
    let resumed = Arc::new(tokio::sync::Mutex::new(resumed));
    let reader = move |_call: Call, mut requests: Messages<Bytes>| {
        let (taken, resumed) = (taken.clone(), Arc::clone(&resumed));
        async move {
            for _ in 0..3 {
                requests.message().await?;
            }
            taken.send(()).unwrap();
            resumed.lock().await.recv().await;
            let mut count = 3_u64;
            while requests.message().await?.is_some() {
                count += 1;
            }
            Ok(Bytes::from(count.to_string()))
        }
    };
    let dispatcher = Dispatcher::new("slow", b"").unwrap();
    let server = Server::start(dispatcher.add(raw("/s.S/Take").client_stream(reader)).unwrap());
    for protocol in GRPC {
        let client = Client::new(server.channel(protocol));
        let sent = Arc::new(AtomicU64::new(0));
        let counting = Arc::clone(&sent);
        // 32 MiB in all, far above every window and buffer between the two.
        let messages = stream::iter(0..1024).map(move |_| {
            counting.fetch_add(1, Ordering::Relaxed);
            Message::of(&[0; 32 << 10])
        });
        let call = omnirelay_runtime::spawn("call", async move {
            client.client_stream::<Message, Message>("/s.S/Take", messages).await
        });
        soon("the reader", reports.recv()).await;
        // Nothing tells that a sender waits; it is still where it was a moment later.
        let mut before = u64::MAX;
        while before != sent.load(Ordering::Relaxed) {
            before = sent.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(before < 600, "{before} of 1024 messages left over {protocol} while nobody read them");
        resume.send(()).await.unwrap();
        let reply = soon("the sum", call).await.unwrap().unwrap();
        assert_eq!(reply.into_message(), Message::of(b"1024"), "{protocol}");
    }
}

#[tokio::test]
async fn details_and_bounds_come_through() {
    let failing = |_call: Call, _request: Bytes| async move {
        Err::<Bytes, _>(Status::new(Code::Aborted, "no").with_details(&b"\x08\x0a"[..]))
    };
    let dispatcher = Dispatcher::new("errors", b"")
        .unwrap()
        .max_message(1000)
        .add(raw("/e.E/Fail").unary(failing))
        .unwrap()
        .add(raw("/e.E/Bytes").unary(bytes))
        .unwrap();
    let server = Server::start(dispatcher);
    for protocol in GRPC {
        let client = Client::new(server.channel(protocol));
        let call = |path: &'static str, asked: Ask<Message>| client.unary::<Message, Message>(path, asked);
        let status = call("/e.E/Fail", ask(b"")).await.unwrap_err();
        assert_eq!(status, Status::new(Code::Aborted, "no").with_details(&b"\x08\x0a"[..]), "{protocol}");
        for asked in [ask(&[0; 1001]), ask(&[0; 100_000]).compressed(), ask(b"1001")] {
            let status = call("/e.E/Bytes", asked).await.unwrap_err();
            assert_eq!(status.code, Code::ResourceExhausted, "{protocol}: {status}");
        }
    }
}

fn ask(bytes: &[u8]) -> Ask<Message> {
    Ask::new(Message::of(bytes))
}
