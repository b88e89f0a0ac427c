//! Calls in the clear to what is on this machine: over loopback and over socket files, HTTP/2 with prior knowledge and
//! HTTP/1.1.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use std::convert::Infallible;

use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use omnirelay_runtime::{DrainController, Metrics};
use relay_client::{Channel, ChannelConfig, ChannelError};
use relay_core::{Negotiated, Protocol};
use relay_testkit::TestCa;
use relay_transport::tls::ClientTlsConfig;
use relay_transport::{Body, ListenAddress, Listener, ListenerConfig, body};

/// Tells how it was asked, and gives the body back.
async fn answer(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let asked = format!("{:?} {}", request.version(), request.uri());
    let host = request.headers().get("host").cloned();
    let sent = request.into_body().collect().await.unwrap().to_bytes();
    let mut response = Response::new(body::full(sent));
    response.headers_mut().insert("x-asked", asked.parse().unwrap());
    if let Some(host) = host {
        response.headers_mut().insert("x-host", host);
    }
    Ok(response)
}

fn serve(address: ListenAddress) -> (DrainController, ListenAddress) {
    let config = ListenerConfig::without_tls(address);
    let listener = Listener::bind("test", &config, &Metrics::default()).unwrap();
    let (drain, address) = (DrainController::new(), listener.local_addr().clone());
    omnirelay_runtime::spawn("test-server", listener.serve(tower::service_fn(answer), drain.drain()));
    (drain, address)
}

fn channel(endpoint: &str, protocols: &[Protocol]) -> Channel {
    let mut config = ChannelConfig::new(endpoint, ClientTlsConfig::default());
    config.protocols = protocols.to_vec();
    Channel::new(&config).unwrap()
}

async fn ask(endpoint: &str, protocols: &[Protocol]) -> (Negotiated, HeaderMap, String) {
    let request = Request::post("/echo?x=1").body(body::full("hello")).unwrap();
    let response = channel(endpoint, protocols).send(request).await.unwrap();
    let negotiated = *response.extensions().get::<Negotiated>().unwrap();
    let headers = response.headers().clone();
    let text = response.into_body().collect().await.unwrap().to_bytes();
    (negotiated, headers, String::from_utf8(text.to_vec()).unwrap())
}

#[tokio::test]
async fn what_is_on_this_machine_is_called_in_the_clear() {
    let directory = TestCa::new();
    let socket = directory.dir().join("service.sock");
    let (_drain, address) = serve(([127, 0, 0, 1], 0).into());
    let (_also, _path) = serve(ListenAddress::Unix(socket.clone()));
    for endpoint in [format!("http://{address}"), format!("unix:{}", socket.display())] {
        for (protocols, expected) in [
            // What is wanted most, of those that there are in the clear; which is no downgrade.
            (&Protocol::ALL[..], None),
            (&[Protocol::Http3, Protocol::Http2], Some(Protocol::Http2)),
            (&[Protocol::Http2], Some(Protocol::Http2)),
            (&[Protocol::Http1], Some(Protocol::Http1)),
        ] {
            let (negotiated, headers, text) = ask(&endpoint, protocols).await;
            let first = protocols.iter().copied().find(|one| *one != Protocol::Http3);
            assert_eq!(Some(negotiated.protocol), expected.or(first), "{endpoint}");
            assert_eq!(negotiated.downgrade, None, "{endpoint}");
            assert_eq!(text, "hello", "{endpoint}");
            let asked = headers["x-asked"].to_str().unwrap();
            let host =
                if endpoint.starts_with("unix") { "localhost".to_owned() } else { address.to_string() };
            if negotiated.protocol == Protocol::Http2 {
                assert_eq!(asked, format!("HTTP/2.0 http://{host}/echo?x=1"));
            } else {
                assert_eq!(asked, "HTTP/1.1 /echo?x=1");
                assert_eq!(headers["x-host"], HeaderValue::from_str(&host).unwrap());
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let directory = TestCa::new();
    let nowhere = format!("unix:{}", directory.dir().join("nobody.sock").display());
    let request = Request::get("/").body(body::empty()).unwrap();
    let error = channel(&nowhere, &[Protocol::Http2]).send(request).await.unwrap_err();
    assert!(matches!(error, ChannelError::Connect { .. }) && error.is_unsent(), "{error:?}");
    let mut config = ChannelConfig::new(nowhere, ClientTlsConfig::default());
    config.protocols = vec![Protocol::Http3];
    let error = Channel::new(&config).err().map(|error| error.report(false)).unwrap();
    assert!(error.contains("in the clear there is no HTTP/3"), "{error}");
}
