//! Servers that are believed no more while calls go to them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response};
use relay_client::{Channel, ChannelError};
use relay_core::Protocol;
use relay_transport::tls::ReloadInterval;
use relay_transport::{Body, Limits, body};
use support::{Server, get, text};

/// Answers; `/hang` never.
async fn answer(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    if request.uri().path() == "/hang" {
        std::future::pending::<()>().await;
    }
    Ok(Response::new(body::full("hello")))
}

#[tokio::test]
async fn connections_to_a_revoked_server_end_and_others_stay() {
    for protocols in [&[Protocol::Http3][..], &[Protocol::Http2], &[Protocol::Http1]] {
        let bad = Server::start(&Protocol::ALL, Limits::default(), tower::service_fn(answer));
        // Of the same authority, with the next serial number.
        let good = bad.sibling(tower::service_fn(answer));
        let list = bad.ca.revoke(&[]);
        let channel = |server: &Server| {
            let mut config = server.config(protocols);
            config.tls.crl = vec![list.clone()];
            config.tls.reload_interval_ms = ReloadInterval(20);
            Channel::new(&config).unwrap()
        };
        let (to_bad, to_good) = (channel(&bad), channel(&good));
        for channel in [&to_bad, &to_good] {
            assert_eq!(text(channel.send(get("/")).await.unwrap()).await, "hello");
        }
        let in_flight = [&to_bad, &to_good].map(|channel| {
            let channel = channel.clone();
            omnirelay_runtime::spawn("call", async move { channel.send(get("/hang")).await })
        });
        while bad.stats.in_flight() + good.stats.in_flight() < 2 {
            tokio::task::yield_now().await;
        }

        let _list = bad.ca.revoke(&[1]);
        let [lost, kept] = in_flight;
        let lost = tokio::time::timeout(Duration::from_secs(10), lost).await.unwrap().unwrap();
        assert!(lost.is_err(), "{protocols:?}");
        // Its connection is gone, and no new one comes about.
        let refused = to_bad.send(get("/")).await.unwrap_err();
        assert!(matches!(refused, ChannelError::Connect { .. }), "{protocols:?} {refused:?}");
        bad.until_empty().await;
        assert!(!kept.is_finished(), "{protocols:?}");
        assert_eq!(text(to_good.send(get("/")).await.unwrap()).await, "hello");
        kept.abort();
    }
}
