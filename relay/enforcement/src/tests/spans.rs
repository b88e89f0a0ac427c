//! What a trace says of a call.

use std::io::Write;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use omnirelay_runtime::Metrics;
use relay_transport::{Body, body};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

use super::checkpoints;
use crate::guard;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn the_span_of_a_call_says_how_it_was_carried() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::DEBUG)
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(lines.clone())
        .finish();
    let _installed = tracing::subscriber::set_default(subscriber);
    let checkpoints = checkpoints(&["data:http"], &Metrics::default());
    let data = checkpoints.get("data:http").unwrap();
    let request = |version, encoding: &str| {
        Request::post("/yarpc/v1")
            .version(version)
            .header("rpc-procedure", "Greeter::Greet")
            .header("rpc-encoding", encoding)
            .body(body::empty())
            .unwrap()
    };
    let serve = |_request: Request<Body>| async { Response::new(body::empty()) };
    assert_eq!(guard(&data, request(http::Version::HTTP_2, "proto"), serve).await.status(), 200);
    assert_eq!(guard(&data, request(http::Version::HTTP_2, "json"), serve).await.status(), 403);

    let mut outgoing = data.counted_hoping(
        relay_core::Protocol::Http3,
        relay_core::Encoding::Protobuf,
        data.span(None, relay_core::Encoding::Protobuf, "Greeter::Greet"),
    );
    outgoing.over(relay_core::Protocol::Http2);
    drop(outgoing);

    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let closed: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|line| line["fields"]["message"] == "close")
        .map(|line| line["span"].clone())
        .collect();
    assert_eq!(closed.len(), 3, "{text}");
    for (name, value) in [
        ("endpoint", "data:http"),
        ("protocol", "http2"),
        ("encoding", "protobuf"),
        ("procedure", "Greeter::Greet"),
        ("downgrade", "caller-preference"),
        ("outcome", "answered"),
    ] {
        assert_eq!(closed[0][name], value, "{text}");
    }
    assert_eq!((&closed[1]["encoding"], &closed[1]["outcome"]), (&"json".into(), &"refused".into()));
    assert_eq!((&closed[2]["protocol"], &closed[2]["outcome"]), (&"http2".into(), &"failed".into()));
    let ended = text.lines().filter(|line| line.contains("\"message\":\"ended\"")).count();
    assert_eq!(ended, 2, "a log line for each call that was let go: {text}");
}
