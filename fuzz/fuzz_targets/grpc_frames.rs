//! gRPC's framing: a line of headers, a byte for the size of the pieces that the body comes in, the
//! body. A dispatcher echoes each message; what comes back is compared with a plain reading.

use std::convert::Infallible;
use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::StreamBody;
use relay_core::{Code, headers};
use relay_rpc::{Call, DispatchService, Dispatcher, Messages, Status, raw};
use relay_transport::{body, respond};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "grpc_frames",
    run,
    words: &[
        "grpc-encoding: gzip\n",
        "grpc-accept-encoding: gzip\n",
        "\0\0\0\0\0",
        "\0\0\0\0\x01a",
        "\x01\0\0\0\x16",
        "\0\0\0\x02\0",
        "\0\x7f\x7f\x7f\x7f",
    ],
};

/// The most bytes of one message.
const MAX: usize = 512;
const PREFIX: usize = 5;

static ECHO: LazyLock<DispatchService> = LazyLock::new(|| {
    let echo = raw("Fuzz::Echo").bidi(|_: Call, messages: Messages<Bytes>| async move { Ok(messages) });
    let dispatcher = Dispatcher::new("fuzz", &[]).and_then(|dispatcher| dispatcher.add(echo));
    dispatcher.unwrap_or_else(|error| panic!("no dispatcher: {error}")).max_message(MAX).into_service()
});

fn run(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let (line, rest) = data.split_at(end);
    let Some((size, wire)) = rest.split_first() else { return };
    let pieces: Vec<_> = wire
        .chunks(usize::from(*size).max(1))
        .map(|piece| Ok::<_, Infallible>(http_body::Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    let body = body::boxed(StreamBody::new(futures_util::stream::iter(pieces)));
    let mut request = Request::post("/Fuzz/Echo").body(body).unwrap_or_default();
    *request.headers_mut() = super::headers(line);
    request.headers_mut().insert("content-type", http::HeaderValue::from_static("application/grpc"));
    request.headers_mut().remove(headers::GRPC_TIMEOUT);
    let packed = [headers::GRPC_ENCODING, headers::GRPC_ACCEPT_ENCODING];
    let packed = packed.iter().any(|name| request.headers().contains_key(name));
    let (head, answer, trailers) = super::ask(ECHO.clone(), request);
    assert_eq!(head.status, 200, "gRPC has one status");
    let statuses: Vec<Status> = [&head.headers, &trailers].into_iter().filter_map(outcome).collect();
    let [status] = &statuses[..] else { panic!("{} outcomes of one call", statuses.len()) };
    if packed {
        return;
    }
    let (messages, code) = plainly(wire);
    let echoed: Vec<u8> = messages.concat();
    assert_eq!((&answer[..], status.code), (&echoed[..], code), "read otherwise than framed");
}

fn outcome(headers: &HeaderMap) -> Option<Status> {
    respond::read_grpc_status(headers)
}

/// The whole messages with their frames, and how their stream ends.
fn plainly(mut wire: &[u8]) -> (Vec<&[u8]>, Code) {
    let mut messages = Vec::new();
    loop {
        let [flag, a, b, c, d, rest @ ..] = wire else {
            return (messages, if wire.is_empty() { Code::Ok } else { Code::Internal });
        };
        let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
        if *flag > 1 {
            return (messages, Code::Internal);
        }
        if length > MAX {
            return (messages, Code::ResourceExhausted);
        }
        if rest.len() < length || *flag == 1 {
            return (messages, Code::Internal);
        }
        let (message, next) = wire.split_at(PREFIX + length);
        messages.push(message);
        wire = next;
    }
}
