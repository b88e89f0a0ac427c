//! One unary call through a relay.

pub(crate) mod answer;
mod contract;
mod grpc;
mod yarpc;

#[cfg(test)]
mod tests;

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_core::{Encoding, Negotiated, Protocol};
use relay_transport::body;

pub(crate) use self::answer::Answer;
use self::contract::Contract;
use crate::args::{Calling, Request, WireEncoding, WireProtocol};
use crate::context::{Context, Side};
use crate::remote;

/// The largest body that is sent.
const MAX_BODY_BYTES: u64 = 64 << 20;

/// A call as both styles write it.
#[derive(Debug)]
pub(crate) struct Call {
    args: Calling,
    encoding: Encoding,
    contract: Option<Contract>,
    /// In `encoding`.
    body: Bytes,
}

/// Sends the call and prints its answer.
pub(crate) fn run(context: Option<&Path>, args: &Request) -> Result<ExitCode> {
    let call = Call::prepare(&args.call)?;
    let context = Context::read(context)?;
    let relay = context.relay(args.call.relay.as_deref(), Side::Data)?;
    let answer = remote::runtime()?.block_on(call.carry_out(&context, &relay))?;
    answer.print(args.output, &relay, &call)
}

impl Call {
    /// Sends it and waits for its answer.
    pub(crate) async fn carry_out(&self, context: &Context, relay: &str) -> Result<Answer> {
        let protocols = protocols(&self.args)?;
        tokio::time::timeout(self.args.timeout, send(context, relay, protocols, self))
            .await
            .unwrap_or_else(|_| Err(too_late(relay, &self.args)))
    }

    /// It as a request, once more.
    pub(crate) fn request(&self) -> Result<http::Request<relay_transport::Body>> {
        if self.args.grpc { grpc::request(self) } else { yarpc::request(self) }
    }

    /// What an answer says.
    pub(crate) fn outcome(
        &self,
        head: &http::response::Parts,
        bytes: Bytes,
        trailers: Option<HeaderMap>,
    ) -> Result<Bytes, relay_core::Status> {
        if self.args.grpc { grpc::outcome(head, &bytes, trailers) } else { yarpc::outcome(head, bytes) }
    }

    /// Makes it of what the command line says.
    pub(crate) fn prepare(args: &Calling) -> Result<Self> {
        let encoding = match (args.encoding, args.grpc) {
            (Some(WireEncoding::Protobuf), _) | (None, true) => Encoding::Protobuf,
            (Some(WireEncoding::Json), _) | (None, false) => Encoding::Json,
        };
        let json = read_body(&args.body)?;
        let parsed: serde_json::Value = serde_json::from_slice(&json).map_err(|error| {
            OperatorError::new(ErrorKind::Usage, "the body is not JSON")
                .caused_by(&error)
                .hint("write it as `--body '{\"name\":\"Ada\"}'`, or name a file with `--body @FILE`")
        })?;
        // JSON over YARPC needs no contract; everything else is written by one.
        let contract = match (encoding, args.grpc) {
            (Encoding::Protobuf, _) | (_, true) => {
                Some(Contract::find(args.descriptor_set.as_deref(), &args.procedure)?)
            }
            _ => None,
        };
        let body = match (&contract, encoding) {
            (Some(contract), Encoding::Protobuf) => contract.encode(&parsed)?,
            _ => json,
        };
        Ok(Self { args: args.clone(), encoding, contract, body: body.into() })
    }
}

fn read_body(text: &str) -> Result<Vec<u8>> {
    let failed = |error: std::io::Error, from: &str| {
        OperatorError::new(ErrorKind::Io, format!("the body cannot be read from {from}"))
            .caused_by(&error)
            .hint("check the path after `--body @`")
    };
    let mut bytes = Vec::new();
    let from = match (text, text.strip_prefix('@')) {
        ("-", _) => {
            let read = std::io::stdin().take(MAX_BODY_BYTES + 1).read_to_end(&mut bytes);
            read.map_err(|error| failed(error, "standard input"))?;
            "standard input"
        }
        (_, Some(file)) => {
            let read = std::fs::File::open(file)
                .and_then(|open| open.take(MAX_BODY_BYTES + 1).read_to_end(&mut bytes));
            read.map_err(|error| failed(error, file))?;
            file
        }
        _ => return Ok(text.as_bytes().to_vec()),
    };
    if bytes.len() as u64 > MAX_BODY_BYTES {
        let error = OperatorError::new(ErrorKind::Usage, format!("the body from {from} is above 64 MiB"));
        return Err(
            error.hint("send less: a relay takes no larger body by default (`limits.max_body_bytes`)")
        );
    }
    Ok(bytes)
}

pub(crate) fn protocols(args: &Calling) -> Result<Vec<Protocol>> {
    Ok(match args.protocol {
        WireProtocol::Auto => vec![Protocol::Http3, Protocol::Http2],
        WireProtocol::Http3 => vec![Protocol::Http3],
        WireProtocol::Http2 => vec![Protocol::Http2],
        WireProtocol::Http1 if args.grpc => {
            return Err(OperatorError::new(ErrorKind::Usage, "gRPC does not go over HTTP/1.1")
                .hint("use `--protocol http2` or `--protocol http3`, or leave `--grpc` out"));
        }
        WireProtocol::Http1 => vec![Protocol::Http1],
    })
}

async fn send(context: &Context, relay: &str, protocols: Vec<Protocol>, call: &Call) -> Result<Answer> {
    // Less than the whole, so that it is said what there was no answer to.
    let connecting = call.args.timeout * 9 / 10;
    let channel = remote::channel(relay, remote::context_tls(context), protocols, connecting)?;
    // No token goes along: a relay hands headers on, and the service has no business with it.
    let request = call.request()?;
    let began = Instant::now();
    let response = channel.send(request).await.map_err(|error| {
        if error.got_no_quic_answer() {
            return OperatorError::from(error).hint(NO_UDP);
        }
        let error = OperatorError::from(error);
        // In TLS 1.3 a client hears late, or not at all, that a certificate was missing.
        match context.certificate {
            Some(_) => error,
            None => error.hint(
                "the relay may want to see a certificate: name `certificate` and `private_key` in the context, \
                 or check that it runs",
            ),
        }
    })?;
    let negotiated = response.extensions().get::<Negotiated>().copied();
    let (head, body) = response.into_parts();
    let (bytes, trailers) = body::collect_with_trailers(body, remote::MAX_ANSWER_BYTES)
        .await
        .map_err(|status| remote::status_error(&status))?;
    let elapsed = began.elapsed();
    channel.close().await;
    let protocol = negotiated.map_or_else(|| Protocol::of(head.version), |negotiated| negotiated.protocol);
    let outcome = call.outcome(&head, bytes, trailers);
    Ok(Answer {
        outcome,
        protocol,
        downgrade: negotiated.and_then(|negotiated| negotiated.downgrade),
        elapsed,
    })
}

/// What HTTP/3 alone and no answer may mean.
const NO_UDP: &str = "UDP may be blocked between here and the relay: try `--protocol http2`, and let UDP pass to this port; \
                      or the relay does not run";

fn too_late(relay: &str, args: &Calling) -> OperatorError {
    let timeout = args.timeout;
    let error = OperatorError::new(ErrorKind::Deadline, format!("no answer from {relay} within {timeout:?}"));
    error.hint(match args.protocol {
        WireProtocol::Http3 => format!("allow more with `--timeout`, or {NO_UDP}"),
        _ => "allow more with `--timeout`, and check the relay with `omnirelay introspect`".to_owned(),
    })
}

/// Puts a header in whose value the user wrote.
fn put(headers: &mut HeaderMap, name: &str, value: &str, what: &str) -> Result<()> {
    let wrong = || {
        OperatorError::new(ErrorKind::Usage, format!("{what} cannot stand in a header"))
            .hint("names hold letters, digits and `-`; values hold printable ASCII")
    };
    let name = HeaderName::try_from(name).map_err(|_| wrong())?;
    // Other bytes are legal in a field and are read by nobody as text (RFC 9110, section 5.5).
    let value = HeaderValue::try_from(value).ok().filter(|_| value.is_ascii()).ok_or_else(wrong)?;
    headers.append(name, value);
    Ok(())
}
