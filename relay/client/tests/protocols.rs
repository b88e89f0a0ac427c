//! The channel against the listener over real sockets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use relay_client::{Channel, ChannelConfig, ChannelError};
use relay_core::{DowngradeReason, Negotiated, Protocol};
use relay_testkit::TestCa;
use relay_transport::{Body, ConnInfo, Limits, body};
use support::{Server, get, text};

fn start(protocols: &[Protocol], limits: Limits) -> Server {
    Server::start(protocols, limits, tower::service_fn(answer))
}

/// Answers by path: `/echo` with body and trailers, `/who` with what is known of the caller,
/// `/slow` after a while, `/panic` never, `/broken` with half a body.
async fn answer(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let response = match path.as_str() {
        "/echo" => Response::new(request.into_body()),
        "/who" => {
            let info = request.extensions().get::<ConnInfo>().unwrap().clone();
            let identity = info.identity.map(|identity| identity.spiffe().to_owned());
            Response::new(body::full(format!("{} {}", info.protocol, identity.unwrap_or_default())))
        }
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Response::new(body::full("slow"))
        }
        "/broken" => {
            let frames: [Result<_, relay_transport::BoxError>; 2] =
                [Ok(http_body::Frame::data(Bytes::from_static(b"half"))), Err("cut".into())];
            Response::new(body::boxed(StreamBody::new(futures_util::stream::iter(frames))))
        }
        _ => panic!("as asked for"),
    };
    Ok(response)
}

/// A body of `size` bytes in uneven pieces, then trailers.
fn with_trailers(size: usize) -> Body {
    let whole = Bytes::from(vec![b'x'; size]);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from(size));
    let mut frames: Vec<Result<_, Infallible>> =
        whole.chunks(7919).map(|piece| Ok(http_body::Frame::data(Bytes::copy_from_slice(piece)))).collect();
    frames.push(Ok(http_body::Frame::trailers(trailers)));
    body::boxed(StreamBody::new(futures_util::stream::iter(frames)))
}

#[tokio::test]
async fn each_protocol_carries_the_call_and_the_identity() {
    let server = start(&Protocol::ALL, Limits::default());
    for protocol in Protocol::ALL {
        let response = server.channel(&[protocol]).send(get("/who")).await.unwrap();
        assert_eq!(response.extensions().get(), Some(&Negotiated { protocol, downgrade: None }));
        assert_eq!(response.headers().contains_key("alt-svc"), protocol != Protocol::Http3);
        assert_eq!(text(response).await, format!("{protocol} spiffe://test/client/b"));
    }
}

#[tokio::test]
async fn bodies_keep_their_trailers_whatever_their_size() {
    let server = start(&Protocol::ALL, Limits::default());
    for protocol in [Protocol::Http3, Protocol::Http2] {
        let channel = server.channel(&[protocol]);
        // 65 535 is the size at which Envoy lost trailers (envoyproxy/envoy#40821).
        for size in [0, 1, 65_534, 65_535, 65_536, 3_000_000] {
            let request = Request::post("/echo").body(with_trailers(size)).unwrap();
            let answer = channel.send(request).await.unwrap().into_body().collect().await.unwrap();
            let trailers = answer.trailers().cloned().unwrap_or_default();
            assert_eq!(trailers.get("x-sum"), Some(&HeaderValue::from(size)), "{protocol} {size}");
            assert_eq!(answer.to_bytes().len(), size, "{protocol} {size}");
        }
    }
}

#[tokio::test]
async fn a_broken_answer_never_looks_complete() {
    let server = start(&Protocol::ALL, Limits::default());
    for protocol in Protocol::ALL {
        let response = server.channel(&[protocol]).send(get("/broken")).await;
        // HTTP/1.1 may close before the head is out; whichever it is, it is an error.
        if let Ok(response) = response {
            assert!(response.into_body().collect().await.is_err(), "{protocol}");
        }
    }
}

#[tokio::test]
async fn a_panic_is_one_failed_request_and_no_more() {
    let server = start(&Protocol::ALL, Limits::default());
    for protocol in Protocol::ALL {
        let channel = server.channel(&[protocol]);
        assert_eq!(channel.send(get("/panic")).await.unwrap().status(), 500, "{protocol}");
        assert_eq!(channel.send(get("/who")).await.unwrap().status(), 200, "{protocol}");
    }
    assert!(
        server.metrics.render().contains("panics_total{listener=\"test\"} 3"),
        "{}",
        server.metrics.render()
    );
}

#[tokio::test]
async fn without_quic_the_channel_goes_over_tcp_and_says_why() {
    let server = start(&[Protocol::Http2, Protocol::Http1], Limits::default());
    let channel = server.channel(&[Protocol::Http3, Protocol::Http2]);
    let first = channel.send(get("/who")).await.unwrap();
    let no_reply = Negotiated { protocol: Protocol::Http2, downgrade: Some(DowngradeReason::NoQuicReply) };
    assert_eq!(first.extensions().get(), Some(&no_reply));
    // Once the attempt has failed for good, calls no longer wait for the hedge.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let later = channel.send(get("/who")).await.unwrap();
    let broken = Negotiated { protocol: Protocol::Http2, downgrade: Some(DowngradeReason::PathBroken) };
    assert_eq!(later.extensions().get(), Some(&broken));
}

#[tokio::test]
async fn a_hundred_first_calls_share_one_connection() {
    let server = start(&Protocol::ALL, Limits::default());
    let channel = server.channel(&[Protocol::Http3]);
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let channel = channel.clone();
            omnirelay_runtime::spawn(
                "call",
                async move { text(channel.send(get("/who")).await.unwrap()).await },
            )
        })
        .collect();
    for call in calls {
        assert!(call.await.unwrap().starts_with("http3"));
    }
    let rendered = server.metrics.render();
    assert!(rendered.contains("connections_total{listener=\"test\",protocol=\"http3\"} 1\n"), "{rendered}");
}

#[tokio::test]
async fn draining_finishes_what_is_in_flight_and_refuses_the_rest() {
    for protocol in Protocol::ALL {
        let server = start(&Protocol::ALL, Limits::default());
        let channel = server.channel(&[protocol]);
        assert_eq!(channel.send(get("/who")).await.unwrap().status(), 200);
        let in_flight = {
            let channel = channel.clone();
            omnirelay_runtime::spawn(
                "call",
                async move { text(channel.send(get("/slow")).await.unwrap()).await },
            )
        };
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.drain.start();
        assert_eq!(in_flight.await.unwrap(), "slow", "{protocol}");
        tokio::time::timeout(Duration::from_secs(5), server.serving).await.unwrap().unwrap();
        assert_eq!(server.drain.finished(Duration::from_secs(5)).await, 0, "{protocol}");
        let refused = channel.send(get("/who")).await;
        assert!(matches!(refused, Err(ChannelError::Connect { .. })), "{protocol} {refused:?}");
    }
}

#[tokio::test]
async fn a_restarted_server_is_found_again() {
    let mut server = start(&Protocol::ALL, Limits::default());
    let channel = server.channel(&[Protocol::Http3]);
    assert_eq!(channel.send(get("/who")).await.unwrap().status(), 200);
    server.drain.start();
    (&mut server.serving).await.unwrap();
    server.again(tower::service_fn(answer)).await;
    assert_eq!(channel.send(get("/who")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn bounds_hold_on_every_protocol() {
    let limits = Limits { max_body_bytes: 1000, max_header_bytes: 8192, ..Limits::default() };
    let server = start(&Protocol::ALL, limits);
    for protocol in Protocol::ALL {
        let channel = server.channel(&[protocol]);
        let large = Request::post("/echo").body(body::full(vec![0; 2000])).unwrap();
        let answer = channel.send(large).await;
        let refused = match answer {
            Ok(response) => response.into_body().collect().await.is_err(),
            Err(_) => true,
        };
        assert!(refused, "{protocol}: a body above the bound came through");
        let header = "v".repeat(20_000);
        let oversize = Request::get("/who").header("x-large", header).body(body::empty()).unwrap();
        let answer = channel.send(oversize).await;
        assert!(
            !answer.is_ok_and(|response| response.status() == 200),
            "{protocol}: headers above the bound"
        );
        assert_eq!(server.channel(&[protocol]).send(get("/who")).await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused() {
    let server = start(&Protocol::ALL, Limits::default());
    let stranger = TestCa::new();
    for protocol in Protocol::ALL {
        let mut config = ChannelConfig::new(&server.url, stranger.client_tls(None));
        config.protocols = vec![protocol];
        let error = Channel::new(&config).unwrap().send(get("/who")).await.unwrap_err();
        assert!(error.is_unsent(), "{protocol} {error:?}");
        let report = omnirelay_runtime::OperatorError::from(error).report(false);
        assert!(report.contains("hint:  check that `ca`"), "{protocol}: {report}");
    }
}

/// Answers; `/hang` never.
async fn hanging(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    if request.uri().path() == "/hang" {
        std::future::pending::<()>().await;
    }
    Ok(Response::new(body::full("hello")))
}

#[tokio::test]
async fn a_connection_that_says_nothing_takes_no_more_calls() {
    let server = Server::start(&Protocol::ALL, Limits::default(), tower::service_fn(hanging));
    let mut config = server.config(&[Protocol::Http2]);
    config.keep_alive.dead_after = Duration::from_millis(100);
    let channel = Channel::new(&config).unwrap();
    let opened = || {
        let metrics = server.metrics.render();
        let line = "omnirelay_listener_connections_total{listener=\"test\",protocol=\"http2\"} ";
        metrics.lines().find_map(|one| one.strip_prefix(line)?.parse::<u64>().ok()).unwrap()
    };
    let answered = || async {
        assert_eq!(text(channel.send(get("/")).await.unwrap()).await, "hello");
    };
    let given_up =
        |after: u64| tokio::time::timeout(Duration::from_millis(after), channel.send(get("/hang")));
    answered().await;
    // Soon given up, which says nothing of the peer.
    assert!(given_up(1).await.is_err());
    answered().await;
    // Long waited for, while others are answered.
    let others = async {
        for _ in 0..10 {
            answered().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (hung, ()) = tokio::join!(given_up(200), others);
    assert!(hung.is_err());
    answered().await;
    assert_eq!(opened(), 1);
    // Not a word.
    assert!(given_up(200).await.is_err());
    answered().await;
    assert_eq!(opened(), 2);
}
