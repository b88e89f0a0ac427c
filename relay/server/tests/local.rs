//! The `relayd` binary beside services on its own machine: over a socket file and in the clear over loopback.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::convert::Infallible;

use http::{Request, Response};
use omnirelay_runtime::{DrainController, Metrics};
use relay_core::Protocol;
use relay_testkit::TestCa;
use relay_transport::{Body, ListenAddress, Listener, ListenerConfig, body};
use support::{Relay, call, channel, config, introspection, text};

/// A service that tells by which HTTP it was asked.
fn serve(address: ListenAddress) -> (DrainController, ListenAddress) {
    let listener =
        Listener::bind("local", &ListenerConfig::without_tls(address), &Metrics::default()).unwrap();
    let (drain, address) = (DrainController::new(), listener.local_addr().clone());
    let service = tower::service_fn(async |request: Request<Body>| {
        let version = format!("{:?}", request.version());
        Ok::<_, Infallible>(Response::new(body::full(version)))
    });
    omnirelay_runtime::spawn("local", listener.serve(service, drain.drain()));
    (drain, address)
}

#[tokio::test]
async fn a_service_beside_the_relay_needs_no_certificate() {
    let ca = TestCa::new();
    let socket = ListenAddress::Unix(ca.dir().join("service.sock"));
    let (_drain, by_file) = serve(socket);
    let (_also, by_loopback) = serve(([127, 0, 0, 1], 0).into());
    for peer in [by_file.to_string(), format!("http://{by_loopback}")] {
        for (upstream, expected) in [("http2", "HTTP/2.0"), ("http1", "HTTP/1.1")] {
            let outbound =
                format!("protocols = [{upstream:?}]\nhealth = {{ kind = \"tcp\", interval_ms = 100 }}\n");
            let routes = "[[routes]]\nservice = \"s\"\noutbound = \"up\"\n";
            let relay = Relay::start(&ca, &config(&ca, &[&peer], &outbound, routes));
            for caller in Protocol::ALL {
                let answer = channel(&ca, &relay.data, caller).send(call("s", "p", "hello")).await.unwrap();
                assert_eq!(text(answer).await, expected, "{caller} to {peer}");
            }
            let shown = introspection(&ca, &relay).await;
            assert_eq!(shown.outbounds[0].peers[0].url, peer);
            assert_eq!(shown.outbounds[0].peers[0].failures, 0);
        }
    }
}
