//! A request's field section as HTTP/3 has it (QPACK, RFC 9204): sent over a real connection to a real listener, which answers
//! it, resets its stream or ends the connection by the RFC's codes, and hands on nothing that no request may hold.

use std::convert::Infallible;
use std::net::UdpSocket;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{CONNECTION, TE, TRANSFER_ENCODING, UPGRADE};
use http::{Method, Request, Response};
use omnirelay_runtime::{DrainController, Metrics};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ConnectionError, Endpoint, EndpointConfig, ReadError, ReadToEndError};
use relay_core::Protocol;
use relay_testkit::TestCa;
use relay_transport::{Body, Limits, Listener, ListenerConfig, body, tls};
use tokio::runtime::{Builder, Runtime};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "http3_fields",
    run,
    words: &[
        // An empty prefix, and lines of the static table.
        "\0\0",
        ":authority",
        ":method",
        ":path",
        ":protocol",
        ":scheme",
        ":status",
        "connection",
        "content-length",
        "host",
        "te",
        "trailers",
        "transfer-encoding",
        "\x27\0",
        "\x50\x01a",
        "\x51\x01/",
        "\x2f\x7f\x7f\x7f",
        "%",
        "@",
        "\r\n",
    ],
};

/// Longer than any answer takes.
const LONG: Duration = Duration::from_secs(20);
const HEADERS: u8 = 1;
/// A control stream with empty settings.
const CONTROL: [u8; 3] = [0, 4, 0];
const H3_INTERNAL_ERROR: u64 = 0x102;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.unwrap_or_else(|error| panic!("no runtime: {error}"))
});

static BENCH: LazyLock<Bench> = LazyLock::new(Bench::start);

/// What was handed on that should not have been.
static WRONG: Mutex<Option<String>> = Mutex::new(None);

struct Bench {
    ca: TestCa,
    address: std::net::SocketAddr,
    /// The connection in use, and its control stream.
    connection: Mutex<Option<(quinn::Connection, quinn::SendStream)>>,
    _drain: DrainController,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn or_panic<T, E: std::fmt::Display>(result: Result<T, E>, what: &str) -> T {
    result.unwrap_or_else(|error| panic!("{what}: {error}"))
}

impl Bench {
    fn start() -> Self {
        let _entered = RUNTIME.enter();
        let ca = TestCa::new();
        let mut config = ListenerConfig::new(([127, 0, 0, 1], 0), ca.server_tls("spiffe://test/server"));
        config.quic_workers = 1;
        config.protocols = vec![Protocol::Http3];
        config.limits = Limits { max_resets_per_second: u32::MAX, ..Limits::default() };
        let listener = or_panic(Listener::bind("fuzz", &config, &Metrics::default()), "no listener");
        let Some(address) = listener.local_addr().inet() else { panic!("no address") };
        let drain = DrainController::new();
        omnirelay_runtime::spawn("fuzz", listener.serve(tower::service_fn(answer), drain.drain()));
        Self { ca, address, connection: Mutex::new(None), _drain: drain }
    }

    async fn connect(&self) -> (quinn::Connection, quinn::SendStream) {
        let socket = or_panic(UdpSocket::bind("127.0.0.1:0"), "no socket");
        let endpoint = Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(quinn::TokioRuntime));
        let endpoint = or_panic(endpoint, "no endpoint");
        let tls = or_panic(tls::client_config(&self.ca.client_tls(None), &[Protocol::Http3]), "no TLS");
        let crypto = or_panic(QuicClientConfig::try_from(tls), "no TLS of QUIC");
        let config = quinn::ClientConfig::new(Arc::new(crypto));
        let connecting = or_panic(endpoint.connect_with(config, self.address, "localhost"), "no connection");
        let connection = or_panic(connecting.await, "the listener takes no connection");
        let mut control = or_panic(connection.open_uni().await, "no control stream");
        or_panic(control.write_all(&CONTROL).await, "no settings");
        (connection, control)
    }
}

/// Looks at what came through.
async fn answer(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let (headers, uri) = (request.headers(), request.uri());
    let wrong = if headers.keys().any(|name| name.as_str().starts_with(':')) {
        Some("a pseudo-header field")
    } else if [CONNECTION, TRANSFER_ENCODING, UPGRADE].iter().any(|name| headers.contains_key(name)) {
        Some("a field of an HTTP/1.1 connection")
    } else if headers.get_all(TE).iter().any(|te| !te.as_bytes().eq_ignore_ascii_case(b"trailers")) {
        Some("a transfer coding")
    } else if *request.method() != Method::CONNECT && (uri.path().is_empty() || uri.scheme().is_none()) {
        Some("a request for nothing")
    } else {
        None
    };
    if let Some(wrong) = wrong {
        *lock(&WRONG) = Some(format!("{wrong} came through: {uri} {headers:?}"));
    }
    Ok(Response::new(body::empty()))
}

fn run(data: &[u8]) {
    RUNTIME.block_on(async {
        let outcome = tokio::time::timeout(LONG, ask(data)).await;
        outcome.unwrap_or_else(|_elapsed| panic!("the listener does not answer"));
    });
    if let Some(wrong) = lock(&WRONG).take() {
        panic!("{wrong}");
    }
}

/// A frame of field lines; none is longer than two bytes of length can say.
fn frame(section: &[u8]) -> Vec<u8> {
    let length = u16::try_from(section.len()).unwrap_or(u16::MAX) & 0x3fff | 0x4000;
    [&[HEADERS], &length.to_be_bytes()[..], section].concat()
}

async fn ask(section: &[u8]) {
    let bench = &*BENCH;
    let held = lock(&bench.connection).take();
    let (connection, control) = match held {
        Some(held) => held,
        None => bench.connect().await,
    };
    let (mut send, mut recv) = or_panic(connection.open_bi().await, "a connection that ended unasked");
    // The listener may say no before it has heard everything.
    let _cut = send.write_all(&frame(section)).await;
    let _cut = send.finish();
    let by_the_rfc = |code: u64| (0x101..=0x110).contains(&code) || (0x200..=0x202).contains(&code);
    match recv.read_to_end(1 << 16).await {
        Ok(answer) => assert_eq!(answer.first(), Some(&HEADERS), "an answer without a head: {answer:?}"),
        Err(ReadToEndError::Read(ReadError::Reset(code))) => {
            let code = code.into_inner();
            assert!(by_the_rfc(code) && code != H3_INTERNAL_ERROR, "reset with {code:#x}");
        }
        Err(ReadToEndError::Read(ReadError::ConnectionLost(ConnectionError::ApplicationClosed(close)))) => {
            let code = close.error_code.into_inner();
            assert!(by_the_rfc(code) && code != H3_INTERNAL_ERROR, "closed with {code:#x}");
            // The next one finds out whether the listener takes another connection.
            return;
        }
        Err(other) => panic!("ended otherwise: {other}"),
    }
    *lock(&bench.connection) = Some((connection, control));
}
