//! One request on one HTTP/3 connection.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h3::error::{Code, StreamError};
use http::{Method, Request, Response, StatusCode};
use relay_core::headers::GRPC_STATUS;
use relay_transport::quic::message::{self, Unsent};
use relay_transport::quic::{Malformed, RecvStream, SendStream, check_fields};
use relay_transport::{Body, BoxError, body};
use tokio::task::AbortHandle;
use tracing::debug;

use super::live::{Live, Place, Queued};
use crate::outgoing::Outgoing;

/// Why a request got no answer on a connection.
pub(crate) enum SendError {
    /// The connection takes no more requests; nothing was sent.
    Unsent,
    /// The peer says that it did nothing with the request.
    Refused(StreamError),
    /// The connection fell silent, and the request may be carried out twice.
    Silent,
    /// The request itself cannot be sent, here or anywhere.
    Unfit(StreamError),
    /// Whether it was carried out is unknown.
    Broken(BoxError),
}

type RequestStream = h3::client::RequestStream<SendStream<Bytes>, Bytes>;
type Receiving = h3::client::RequestStream<RecvStream, Bytes>;
type Upload = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Sends one request and waits for the head of its answer.
pub(crate) async fn send(live: &Arc<Live>, outgoing: &Outgoing) -> Result<Response<Body>, SendError> {
    let place = Place::take(live);
    let mut head = Request::new(());
    *head.method_mut() = outgoing.head.method.clone();
    *head.uri_mut() = outgoing.head.uri.clone();
    *head.headers_mut() = outgoing.head.headers.clone();
    *head.version_mut() = http::Version::HTTP_3;
    let mut sender = live.sender.clone();
    let stream = match unless_queued(live, sender.send_request(head)).await {
        Ok(stream) => stream,
        Err(error @ StreamError::HeaderTooBig { .. }) => return Err(SendError::Unfit(error)),
        // The head did not fit onto the connection in full, so that the peer cannot have acted on it.
        Err(_) => return Err(SendError::Unsent),
    };
    let (send, mut recv) = stream.split();
    let mut upload = begin_upload(send, outgoing).await;
    let answer = {
        let mut answer = pin!(final_response(&mut recv));
        poll_fn(|cx| {
            if upload.as_mut().is_some_and(|upload| upload.as_mut().poll(cx).is_ready()) {
                upload = None;
            }
            answer.as_mut().poll(cx)
        })
        .await
    };
    let answer = answer.map_err(|error| match &error {
        StreamError::RemoteTerminate { code, .. } if *code == Code::H3_REQUEST_REJECTED => {
            SendError::Refused(error)
        }
        _ => SendError::Broken(error.into()),
    })?;
    let length = body_length(&outgoing.head.method, &answer).map_err(|malformed| {
        recv.stop_sending(Code::H3_MESSAGE_ERROR);
        SendError::Broken(malformed.into())
    })?;
    // An answer may come before the request is out; then the rest follows beside it.
    let sending =
        upload.map(|upload| AbortOnDrop(omnirelay_runtime::spawn("h3-request-body", upload).abort_handle()));
    let mut message = message::Incoming::new(recv, length);
    if answer.headers().contains_key(GRPC_STATUS) {
        // A gRPC refusal is its head alone, and whoever it is handed on to takes it for one only so.
        if let Err(error) = message.look_ahead().await {
            debug!(error, "a refusal broke off");
        }
    }
    let incoming = Incoming { message, _sending: sending, _place: place };
    Ok(answer.map(|()| body::boxed(incoming)))
}

/// The response behind those that are interim (RFC 9114, section 4.1).
async fn final_response(recv: &mut Receiving) -> Result<Response<()>, StreamError> {
    loop {
        let response = recv.recv_response().await?;
        if !response.status().is_informational() {
            return Ok(response);
        }
    }
}

/// How long the body of a response has to be; `None` where nothing says so.
fn body_length(method: &Method, response: &Response<()>) -> Result<Option<u64>, Malformed> {
    let length = check_fields(response.headers())?;
    // Both say how long a body would be that they do not have (RFC 9110, section 8.6).
    let has_none = *method == Method::HEAD || response.status() == StatusCode::NOT_MODIFIED;
    Ok(length.filter(|_| !has_none))
}

/// Waits for `opening`, and tells the pool where that takes waiting.
async fn unless_queued<T>(live: &Live, opening: impl Future<Output = T>) -> T {
    let mut opening = pin!(opening);
    match at_once(opening.as_mut()).await {
        Poll::Ready(opened) => opened,
        Poll::Pending => {
            let _queued = Queued::new(live);
            opening.await
        }
    }
}

/// Sends what there is to send without waiting; what remains is a future of its own.
async fn begin_upload(mut send: RequestStream, outgoing: &Outgoing) -> Option<Upload> {
    let whole = outgoing.whole();
    if whole.as_ref().is_some_and(Bytes::is_empty) {
        // A peer that has answered already may have closed its side; its answer tells.
        let _answer_tells = send.finish().await;
        return None;
    }
    let Some(bytes) = whole.filter(|bytes| bytes.len() <= message::MAX_PIECE) else {
        let body = outgoing.body();
        return Some(Box::pin(async move {
            let sent = message::send_body(&mut send, body, None).await;
            settle(&mut send, sent);
        }));
    };
    // What finds no room at once stays with the stream and goes before its end.
    if let Poll::Ready(Err(error)) = at_once(send.send_data(bytes)).await {
        settle(&mut send, Err(error.into()));
        return None;
    }
    if let Poll::Ready(finished) = at_once(send.finish()).await {
        settle(&mut send, finished.map_err(Unsent::from));
        return None;
    }
    Some(Box::pin(async move {
        let finished = send.finish().await;
        settle(&mut send, finished.map_err(Unsent::from));
    }))
}

/// What comes of a future without waiting for it.
async fn at_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Resets a body that is not complete.
fn settle(send: &mut RequestStream, sent: Result<(), Unsent>) {
    let Err(unsent) = sent else { return };
    debug!(%unsent, "request body broke off");
    let code = match &unsent {
        Unsent::Message(error) => body::broken(error.as_ref()).code,
        Unsent::Stream(_) | Unsent::Stalled => relay_core::Code::Cancelled,
    };
    send.stop_stream(code.h3_reset().into());
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer's body. Dropping it gives up the request's body too; while it lives, so does the
/// connection.
struct Incoming {
    message: message::Incoming<Receiving>,
    _sending: Option<AbortOnDrop>,
    _place: Place,
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.message).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_end_stream()
    }
}
