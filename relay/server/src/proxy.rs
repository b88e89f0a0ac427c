//! The data plane: from an inbound request to an outbound's answer.

use std::convert::Infallible;
use std::sync::Arc;

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Request, Response};
use relay_core::{RpcMeta, RpcStyle, Status};
use relay_enforcement::{Checkpoint, guard};
use relay_transport::{Body, body, respond};

use crate::outbound::{Outgoing, Outward, Replay};
use crate::router::Router;

/// A request of at most so many bytes is read whole, so that another peer can be tried.
const REPLAY_MAX: usize = 64 << 10;

/// The data plane: where calls go, and what they have to pass.
pub(crate) struct Proxy {
    pub(crate) router: Router,
    pub(crate) checkpoint: Arc<Checkpoint>,
}

impl Proxy {
    /// Answers one request of the data plane.
    pub(crate) async fn handle(
        self: Arc<Self>,
        request: Request<Body>,
    ) -> Result<Response<Body>, Infallible> {
        let (head, body) = request.into_parts();
        let style = RpcStyle::of(&head);
        let request = Request::from_parts(head, body);
        if style == RpcStyle::Http {
            // It is no call, so there is nothing to decide on: the router says what is missing.
            return Ok(self.forward(style, request).await);
        }
        Ok(guard(&self.checkpoint, request, |request| self.forward(style, request)).await)
    }

    async fn forward(&self, style: RpcStyle, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        forward(&self.router, head, body).await.unwrap_or_else(|status| {
            tracing::debug!(code = %status.code, message = status.message, "refused");
            respond::status(style, &status)
        })
    }
}

async fn forward(
    router: &Router,
    mut head: http::request::Parts,
    body: Body,
) -> Result<Response<Body>, Status> {
    let meta = RpcMeta::of(&head);
    let outbound = router.route(&meta, head.uri.path())?;
    let procedure = meta.procedure.unwrap_or_default().to_owned();
    let (style, encoding, timeout) = (meta.style, meta.encoding, meta.timeout);
    let length =
        head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    strip_hop_by_hop(&mut head.headers);
    head.headers.remove(HOST);
    // The listener has answered `100 Continue` already.
    head.headers.remove(EXPECT);
    let outgoing = match length {
        Some(length) if length <= REPLAY_MAX => {
            let body = body::collect_limited(body, REPLAY_MAX).await?;
            Outgoing::Replayable(Replay { head, body })
        }
        _ => {
            let mut request = Request::new(body);
            *request.method_mut() = head.method;
            *request.uri_mut() = head.uri;
            *request.headers_mut() = head.headers;
            Outgoing::Once(request)
        }
    };
    let call = Outward { style, encoding, procedure: &procedure, timeout };
    let mut response = outbound.call(call, outgoing).await?;
    strip_hop_by_hop(response.headers_mut());
    response.headers_mut().remove(http::header::ALT_SVC);
    *response.version_mut() = http::Version::default();
    Ok(response)
}

/// Removes what is for one hop only (RFC 9110, section 7.6.1). `TE: trailers` stays: gRPC needs it
/// at every hop, and HTTP/2 and HTTP/3 allow it.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
    if headers.get(TE).is_some_and(|value| value != "trailers") {
        headers.remove(TE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_one_hop_stays_there() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-mine"),
            ("x-mine", "1"),
            ("keep-alive", "5"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("x-other", "1"),
        ] {
            headers.insert(HeaderName::from_static(name), http::HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["te", "x-other"]);
    }
}
