//! How a request came in, and the guard of services that are no proxies.

use std::fmt;
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Request, Response};
use jiff::Timestamp;
use relay_core::{Encoding, Protocol, RpcStyle};
use relay_policy::Wire;
use relay_transport::{Body, ConnInfo, respond};
use tracing::Instrument as _;

use crate::checkpoint::{Call, Checkpoint};
use crate::outcome::Outcome;

/// How a request came in.
#[derive(Clone, Copy)]
pub struct Inbound<'a> {
    /// How it is carried.
    pub wire: Wire,
    /// How it is written.
    pub style: RpcStyle,
    /// The procedure, or the path of what is no call.
    pub procedure: &'a str,
    /// Who called, as far as is known.
    pub peer: Peer<'a>,
}

/// The address at the other end of a connection.
#[derive(Clone, Copy)]
pub struct Peer<'a>(Option<&'a ConnInfo>);

impl fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(info) => write!(f, "{}", info.remote),
            None => Ok(()),
        }
    }
}

impl<'a> Inbound<'a> {
    /// Reads it from a request. A request that is no call is in JSON unless it says otherwise: it
    /// is JSON that it is answered with.
    #[must_use]
    pub fn of(head: &'a Parts) -> Self {
        let style = RpcStyle::of(head);
        let info = head.extensions.get::<ConnInfo>();
        let encoding = match style {
            RpcStyle::Grpc | RpcStyle::Yarpc => style.encoding(head),
            RpcStyle::Http => rest_encoding(head),
        };
        let protocol = info.map_or_else(|| Protocol::of(head.version), |info| info.protocol);
        Self {
            wire: Wire { protocol, style: style.into(), encoding },
            style,
            procedure: style.procedure(head).unwrap_or_else(|| head.uri.path()),
            peer: Peer(info),
        }
    }

    /// What events and logs say of it.
    #[must_use]
    pub fn call(&self) -> Call<'_> {
        Call { procedure: self.procedure, peer: &self.peer }
    }
}

fn rest_encoding(head: &Parts) -> Encoding {
    let kind = head.headers.get(CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or("?"));
    let Some(kind) = kind else { return Encoding::Json };
    match kind.split(';').next().unwrap_or_default().trim() {
        "application/x-protobuf" | "application/protobuf" => Encoding::Protobuf,
        kind if kind == "application/json" || kind.ends_with("+json") => Encoding::Json,
        _ => Encoding::Raw,
    }
}

/// Whether a request asks for health alone. Diagnostics let it go whatever the policy says: what
/// answers it decides whether the process is restarted, and a restart helps no exception. It is
/// not for a proxy to ask: there the path is the caller's to choose.
#[must_use]
pub fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

/// Lets a service answer a request where the policy lets the request go, and counts it.
pub async fn guard<F>(
    checkpoint: &Arc<Checkpoint>,
    request: Request<Body>,
    serve: impl FnOnce(Request<Body>) -> F,
) -> Response<Body>
where
    F: Future<Output = Response<Body>>,
{
    let (head, body) = request.into_parts();
    let inbound = Inbound::of(&head);
    let (wire, style) = (inbound.wire, inbound.style);
    let span = checkpoint.span(Some(wire.protocol), wire.encoding, inbound.procedure);
    let passage = match span.in_scope(|| checkpoint.admit(wire, inbound.call(), Timestamp::now())) {
        Ok(passage) => passage,
        Err(status) => {
            span.record("outcome", Outcome::Refused.name());
            return respond::status(style, &status);
        }
    };
    let counted = checkpoint.counted(wire.protocol, wire.encoding, span.clone());
    counted.passed(passage);
    let response = serve(Request::from_parts(head, body)).instrument(span).await;
    counted.answered(style, response)
}
