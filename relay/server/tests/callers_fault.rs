//! Requests through the `relayd` binary whose bodies break off by their caller's fault: the caller hears why, no
//! service takes such a body for a whole one, and no peer is blamed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use relay_core::{Protocol, Status};
use relay_testkit::TestCa;
use relay_transport::{Body, body, respond};
use support::{Relay, Upstream, call, channel, config, introspection, text};

/// More calls than it takes for a peer to be left out.
const CALLS: u32 = 7;

/// A call with a body of three bytes, which ends or goes on without a word.
fn cut_call(length: Option<u32>, ends: bool) -> Request<Body> {
    let mut request = call("s", "p", "");
    request.headers_mut().remove("content-length");
    if let Some(length) = length {
        request.headers_mut().insert("content-length", length.into());
    }
    let piece = stream::once(async { Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"abc"))) });
    let rest = stream::pending().take_until(async move {
        if !ends {
            std::future::pending::<()>().await;
        }
    });
    request.map(|_| body::boxed(StreamBody::new(piece.chain(rest))))
}

#[tokio::test]
async fn a_peer_is_not_blamed_for_what_callers_send() {
    let ca = TestCa::new();
    let whole = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&whole);
    let up = Upstream::start(&ca, move |request| {
        let counted = Arc::clone(&counted);
        async move {
            match request.into_body().collect().await {
                Ok(body) => {
                    counted.fetch_add(1, Relaxed);
                    Response::new(body::full(format!("{} bytes", body.to_bytes().len())))
                }
                Err(error) => respond::problem(&Status::internal(format!("no body: {error}"))),
            }
        }
    });
    for upstream in ["http3", "http2", "http1"] {
        let outbound = format!(
            "protocols = [{upstream:?}]\noutliers = {{ consecutive_failures = 3, base_ms = 60000 }}\n"
        );
        let routes = "[[routes]]\nservice = \"s\"\noutbound = \"up\"\n";
        let limited = config(&ca, &[&up.url], &outbound, routes)
            .replace("[data]\n", "[data]\nlimits = { body_timeout_ms = 100 }\n");
        let relay = Relay::start(&ca, &limited);
        for caller in [Protocol::Http3, Protocol::Http2] {
            whole.store(0, Relaxed);
            let caller = channel(&ca, &relay.data, caller);
            for _ in 0..CALLS {
                let slow = caller.send(cut_call(None, false)).await.unwrap();
                let words = text(slow).await;
                assert!(words.contains("paused for too long"), "to {upstream}: {words}");
            }
            assert_eq!(whole.load(Relaxed), 0, "to {upstream}");
        }
        whole.store(0, Relaxed);
        let caller = channel(&ca, &relay.data, Protocol::Http3);
        for _ in 0..CALLS {
            let error = caller.send(cut_call(Some(5), true)).await.unwrap_err().to_string();
            assert!(error.contains("broke off"), "to {upstream}: {error}");
        }
        assert_eq!(whole.load(Relaxed), 0, "to {upstream}");
        let shown = introspection(&ca, &relay).await;
        let peer = &shown.outbounds[0].peers[0];
        assert_eq!((peer.ejections, peer.failures), (0, 0), "over {upstream}");
        assert_eq!(text(caller.send(call("s", "p", "hello")).await.unwrap()).await, "5 bytes");
    }
}
