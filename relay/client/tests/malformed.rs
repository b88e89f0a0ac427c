//! Answers over HTTP/3 as they must not be, from a peer of raw QUIC streams: none is taken for what it claims.
#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request};
use http_body_util::BodyExt as _;
use quinn::crypto::rustls::QuicServerConfig;
use relay_client::{Channel, ChannelConfig};
use relay_core::{Code, Protocol, Status};
use relay_testkit::TestCa;
use relay_transport::body;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::ServerConfig;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
/// A control stream with empty settings.
const CONTROL: [u8; 3] = [0, 4, 0];
/// `:status: 200`, `:status: 103` and `:status: 304` of QPACK's static table (RFC 9204, appendix A), with an
/// empty prefix each.
const OK: &[u8] = &[0, 0, 0xd9];
const EARLY_HINTS: &[u8] = &[0, 0, 0xd8];
const NOT_MODIFIED: &[u8] = &[0, 0, 0xda];

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind, u8::try_from(payload.len()).unwrap()], payload].concat()
}

/// A head with one more field, of a name of at least seven bytes.
fn head(section: &[u8], name: &str, value: &str) -> Vec<u8> {
    let lengths = (u8::try_from(name.len() - 7).unwrap(), u8::try_from(value.len()).unwrap());
    let line = [&[0x27, lengths.0], name.as_bytes(), &[lengths.1], value.as_bytes()].concat();
    frame(HEADERS, &[section, &line].concat())
}

/// A peer that answers every request with these bytes, whatever was asked.
fn answering(ca: &TestCa, answer: Vec<u8>) -> SocketAddr {
    let issued = ca.issue("spiffe://test/server/raw");
    let chain = CertificateDer::pem_file_iter(&issued.certificate).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&issued.private_key).unwrap();
    let mut tls = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    let endpoint = quinn::Endpoint::server(config, ([127, 0, 0, 1], 0).into()).unwrap();
    let address = endpoint.local_addr().unwrap();
    omnirelay_runtime::spawn("raw-server", async move {
        while let Some(incoming) = endpoint.accept().await {
            let connection = incoming.await.unwrap();
            let answer = answer.clone();
            omnirelay_runtime::spawn("raw-connection", async move {
                let mut control = connection.open_uni().await.unwrap();
                control.write_all(&CONTROL).await.unwrap();
                while let Ok((mut send, mut recv)) = connection.accept_bi().await {
                    let _asked = recv.read_to_end(1 << 16).await;
                    let _cut = send.write_all(&answer).await;
                    let _stopped = send.finish();
                }
            });
        }
    });
    address
}

/// What a call to such a peer comes to.
async fn ask(method: Method, answer: Vec<u8>) -> Result<String, Status> {
    let ca = TestCa::new();
    let address = answering(&ca, answer);
    let mut config = ChannelConfig::new(format!("https://localhost:{}", address.port()), ca.client_tls(None));
    config.protocols = vec![Protocol::Http3];
    config.connect_timeout = Duration::from_secs(5);
    let request = Request::builder().method(method).uri("/").body(body::empty()).unwrap();
    let answer = Channel::new(&config).unwrap().send(request).await?;
    let status = answer.status();
    let whole = answer.into_body().collect().await.map_err(|error| body::broken(error.as_ref()))?;
    Ok(format!("{status} {}", String::from_utf8_lossy(&whole.to_bytes())))
}

#[tokio::test]
async fn no_malformed_answer_is_believed() {
    for (what, answer) in [
        ("a shorter body", [head(OK, "content-length", "5"), frame(DATA, b"abc")].concat()),
        ("a longer body", [head(OK, "content-length", "2"), frame(DATA, b"abc")].concat()),
        ("no body", head(OK, "content-length", "2")),
        ("no number", head(OK, "content-length", "2x")),
        ("a field of HTTP/1.1", [head(OK, "connection", "close"), frame(DATA, b"abc")].concat()),
        ("a chunked one", [head(OK, "transfer-encoding", "chunked"), frame(DATA, b"abc")].concat()),
        ("two statuses", frame(HEADERS, &[OK, &[0xda]].concat())),
        ("a path", frame(HEADERS, &[OK, &[0xc1]].concat())),
        ("a status in trailers", [frame(HEADERS, OK), frame(DATA, b"abc"), frame(HEADERS, OK)].concat()),
    ] {
        let outcome = ask(Method::GET, answer).await;
        let refused = |status: &Status| status.code == Code::Internal && status.message.contains("malformed");
        assert!(outcome.as_ref().is_err_and(refused), "{what}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_length_that_says_no_more_than_it_may_is_fine() {
    for (method, answer, expected) in [
        (Method::GET, [head(OK, "content-length", "3"), frame(DATA, b"abc")].concat(), "200 OK abc"),
        (Method::HEAD, head(OK, "content-length", "3"), "200 OK "),
        (Method::GET, head(NOT_MODIFIED, "content-length", "3"), "304 Not Modified "),
        // Interim responses are not the answer (RFC 9114, section 4.1).
        (
            Method::GET,
            [
                head(EARLY_HINTS, "content-length", "9"),
                frame(HEADERS, EARLY_HINTS),
                frame(HEADERS, OK),
                frame(DATA, b"x"),
            ]
            .concat(),
            "200 OK x",
        ),
    ] {
        assert_eq!(ask(method, answer).await.as_deref(), Ok(expected));
    }
}
