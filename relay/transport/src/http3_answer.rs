//! One request over HTTP/3, from its headers to the end of its answer.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use h3::error::StreamError;
use h3::server::{RequestResolver, RequestStream};
use http::header::DATE;
use http::{Request, Response};
use relay_core::Code;
use tower::Service;
use tracing::debug;

use crate::body::{self, Body};
use crate::date;
use crate::exchange::Exchange;
use crate::quic::message::{self, Unsent};
use crate::quic::{Connection, Malformed, SendStream, check_request};
use crate::serve::{Conn, Shared};
use crate::stats::Bound;

const MESSAGE_ERROR: h3::error::Code = h3::error::Code::H3_MESSAGE_ERROR;

/// Answers a request. An answer that breaks off is reset with the code that says why.
pub(crate) async fn answer<S>(
    resolver: RequestResolver<Connection, Bytes>,
    service: S,
    shared: Shared,
    conn: Arc<Conn>,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send,
{
    let patience = Some(shared.limits().header_timeout());
    let (request, mut stream) = match message::within(patience, pin!(resolver.resolve_request())).await {
        Ok(resolved) => resolved,
        Err(Unsent::Stream(error)) => {
            match &error {
                StreamError::RemoteTerminate { .. } => conn.given_up(),
                StreamError::HeaderTooBig { .. } => shared.stats.refused(Bound::HeaderBytes),
                StreamError::StreamError { .. } => shared.stats.refused(Bound::Malformed),
                StreamError::Undefined(error) if error.is::<Malformed>() => {
                    shared.stats.refused(Bound::Malformed);
                }
                _ => {}
            }
            return debug!(%error, "request refused");
        }
        Err(Unsent::Stalled | Unsent::Message(_)) => {
            shared.stats.refused(Bound::HeaderTime);
            return debug!("request headers took too long");
        }
    };
    let length = match check_request(&request) {
        Ok(length) => length,
        Err(malformed) => {
            shared.stats.refused(Bound::Malformed);
            stream.stop_sending(MESSAGE_ERROR);
            stream.stop_stream(MESSAGE_ERROR);
            return debug!(%malformed, "request refused");
        }
    };
    let (mut send, recv) = stream.split();
    let request = request.map(|()| body::boxed(message::Incoming::new(recv, length)));
    let exchange = Arc::<Exchange>::default();
    let answered = shared.call(service, &conn, Arc::clone(&exchange), request).await;
    if exchange.is_malformed() {
        // Whatever the service has made of it (RFC 9114, section 4.1.2).
        return send.stop_stream(MESSAGE_ERROR);
    }
    let (head, body) = answered.into_parts();
    let Err(broken) = respond(&mut send, Response::from_parts(head, ()), body, &shared).await else { return };
    debug!(%broken, "response broke off");
    match &broken {
        Unsent::Stream(StreamError::RemoteTerminate { .. }) => conn.given_up(),
        Unsent::Stalled => shared.stats.refused(Bound::SendTime),
        Unsent::Stream(_) | Unsent::Message(_) => {}
    }
    if exchange.is_malformed() {
        return send.stop_stream(MESSAGE_ERROR);
    }
    let code = match &broken {
        Unsent::Message(error) => body::broken(error.as_ref()).code,
        Unsent::Stream(_) | Unsent::Stalled => Code::Cancelled,
    };
    send.stop_stream(code.h3_reset().into());
}

async fn respond(
    send: &mut RequestStream<SendStream<Bytes>, Bytes>,
    mut head: Response<()>,
    body: Body,
    shared: &Shared,
) -> Result<(), Unsent> {
    head.headers_mut().entry(DATE).or_insert_with(date::now);
    let patience = Some(shared.limits().send_timeout());
    message::within(patience, pin!(send.send_response(head))).await?;
    message::send_body(send, body, patience).await
}
