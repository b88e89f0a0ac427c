//! The channel's HTTP/3 connection: opened once for all who wait, replaced when it is gone.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use h3::client::SendRequest;
use h3::error::{Code, StreamError};
use http::{Request, Response};
use http_body::Body as _;
use relay_core::DowngradeReason;
use relay_transport::quic::{Connection, Opener, RecvStream, Side, message};
use relay_transport::{Body, BoxError, body};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::debug;

use crate::connector::Target;
use crate::path_memory::PathMemory;

/// A path that did not come about.
#[derive(Clone, Debug)]
pub(crate) struct PathError {
    pub(crate) reason: DowngradeReason,
    pub(crate) source: Arc<dyn std::error::Error + Send + Sync>,
}

/// A connection that requests can be sent on.
pub(crate) struct Live {
    sender: SendRequest<Opener, Bytes>,
    connection: quinn::Connection,
    endpoint: quinn::Endpoint,
}

impl Live {
    fn is_usable(&self) -> bool {
        self.connection.close_reason().is_none()
    }
}

type Outcome = Option<Result<Arc<Live>, PathError>>;

/// The HTTP/3 path to one target.
pub(crate) struct Path {
    target: Target,
    config: quinn::ClientConfig,
    live: ArcSwapOption<Live>,
    connecting: Mutex<Option<watch::Receiver<Outcome>>>,
    memory: Mutex<PathMemory>,
}

impl Path {
    pub(crate) fn new(target: Target, config: quinn::ClientConfig) -> Self {
        Self {
            target,
            config,
            live: ArcSwapOption::empty(),
            connecting: Mutex::default(),
            memory: Mutex::default(),
        }
    }

    /// Why the path is to be left alone for now, where it is.
    pub(crate) fn broken(&self) -> Option<DowngradeReason> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.is_broken(Instant::now()).then_some(DowngradeReason::PathBroken)
    }

    /// Why the path failed last.
    pub(crate) fn last_reason(&self) -> Option<DowngradeReason> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).reason()
    }

    /// A usable connection: the one there is, or the one that all callers then wait for. The
    /// attempt goes on where a caller stops waiting.
    pub(crate) async fn connection(self: &Arc<Self>) -> Result<Arc<Live>, PathError> {
        if let Some(live) = self.live.load_full().filter(|live| live.is_usable()) {
            return Ok(live);
        }
        let mut waiting = self.join_attempt();
        match waiting.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            _ => Err(PathError {
                reason: DowngradeReason::PeerRefused,
                source: Arc::from(BoxError::from("the connection attempt was given up")),
            }),
        }
    }

    fn join_attempt(self: &Arc<Self>) -> watch::Receiver<Outcome> {
        let mut connecting = self.connecting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = connecting.as_ref().filter(|waiting| waiting.borrow().is_none()) {
            return waiting.clone();
        }
        let (done, waiting) = watch::channel(None);
        *connecting = Some(waiting.clone());
        let path = Arc::clone(self);
        omnirelay_runtime::spawn("h3-connect", async move {
            let outcome = path.connect().await;
            let mut memory = path.memory.lock().unwrap_or_else(PoisonError::into_inner);
            match &outcome {
                Ok(live) => {
                    memory.worked();
                    path.live.store(Some(Arc::clone(live)));
                }
                Err(error) => memory.failed(Instant::now(), error.reason),
            }
            drop(memory);
            *path.connecting.lock().unwrap_or_else(PoisonError::into_inner) = None;
            done.send_replace(Some(outcome));
        });
        waiting
    }

    async fn connect(&self) -> Result<Arc<Live>, PathError> {
        let lost =
            |error: BoxError| PathError { reason: DowngradeReason::NoQuicReply, source: Arc::from(error) };
        let addresses = tokio::net::lookup_host((self.target.host.as_ref(), self.target.port));
        let addresses: Vec<SocketAddr> = addresses.await.map_err(|error| lost(error.into()))?.collect();
        let mut last = lost(format!("{} has no address", self.target.host).into());
        for address in addresses {
            let attempt = tokio::time::timeout(self.target.connect_timeout, self.connect_to(address));
            match attempt.await {
                Ok(Ok(live)) => return Ok(Arc::new(live)),
                Ok(Err(error)) => last = error,
                Err(_elapsed) => last = lost(format!("no QUIC answer from {address}").into()),
            }
        }
        Err(last)
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<Live, PathError> {
        let ours: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let refused =
            |error: BoxError| PathError { reason: DowngradeReason::PeerRefused, source: Arc::from(error) };
        let endpoint = quinn::Endpoint::client(ours).map_err(|error| refused(error.into()))?;
        let name = self.target.server_name.to_str();
        let connecting = endpoint
            .connect_with(self.config.clone(), address, &name)
            .map_err(|error| refused(error.into()))?;
        let connection = connecting.await.map_err(handshake_error)?;
        let h3 = Connection::new(connection.clone(), Side::Client);
        let mut builder = h3::client::builder();
        builder.max_field_section_size(64 << 10).send_grease(false);
        let (mut driver, sender) = builder.build(h3).await.map_err(|error| refused(error.into()))?;
        omnirelay_runtime::spawn("h3-connection", async move {
            let ended = driver.wait_idle().await;
            if !ended.is_h3_no_error() {
                debug!(%ended, "connection ended");
            }
        });
        Ok(Live { sender, connection, endpoint })
    }

    /// Takes a connection out of use; what is in flight on it goes on.
    pub(crate) fn retire(&self, live: &Arc<Live>) {
        let current = self.live.load();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, live)) {
            self.live.compare_and_swap(&current, None);
        }
    }

    /// Tells the peer that we are done and waits until it knows, for at most `max`.
    pub(crate) async fn close(&self, max: Duration) {
        if let Some(live) = self.live.swap(None) {
            live.connection.close(quinn::VarInt::from_u32(relay_transport::quic::H3_NO_ERROR), b"");
            let _best_effort = tokio::time::timeout(max, live.endpoint.wait_idle()).await;
        }
    }
}

fn handshake_error(error: quinn::ConnectionError) -> PathError {
    /// TLS alert 120, no_application_protocol (RFC 9001, section 4.8: 0x100 plus the alert).
    const NO_APPLICATION_PROTOCOL: u64 = 0x178;
    let reason = match &error {
        quinn::ConnectionError::TimedOut => DowngradeReason::NoQuicReply,
        quinn::ConnectionError::TransportError(error) if u64::from(error.code) == NO_APPLICATION_PROTOCOL => {
            DowngradeReason::AlpnMismatch
        }
        quinn::ConnectionError::ConnectionClosed(close)
            if u64::from(close.error_code) == NO_APPLICATION_PROTOCOL =>
        {
            DowngradeReason::AlpnMismatch
        }
        _ => DowngradeReason::PeerRefused,
    };
    PathError { reason, source: Arc::new(error) }
}

/// Why a request got no answer on a connection, and the request itself where it never left.
#[allow(clippy::large_enum_variant, reason = "the common outcome of an error is to send the request again")]
pub(crate) enum SendError {
    /// The connection takes no more requests; nothing was sent.
    Unsent(Request<Body>),
    /// The peer says that it did nothing with the request.
    Refused(StreamError),
    /// Whether it was carried out is unknown.
    Broken(StreamError),
}

/// Sends one request and waits for the head of its answer.
pub(crate) async fn send(live: &Arc<Live>, request: Request<Body>) -> Result<Response<Body>, SendError> {
    let (parts, body) = request.into_parts();
    let mut head = Request::new(());
    *head.method_mut() = parts.method.clone();
    *head.uri_mut() = parts.uri.clone();
    *head.headers_mut() = parts.headers.clone();
    *head.version_mut() = http::Version::HTTP_3;
    let mut sender = live.sender.clone();
    let stream = match sender.send_request(head).await {
        Ok(stream) => stream,
        Err(error @ StreamError::HeaderTooBig { .. }) => return Err(SendError::Refused(error)),
        // The head did not fit onto the connection in full, so that the peer cannot have acted on it.
        Err(_) => return Err(SendError::Unsent(Request::from_parts(parts, body))),
    };
    let (mut send, mut recv) = stream.split();
    let sending = if body.is_end_stream() {
        // A peer that has answered already may have closed its side; its answer tells.
        let _answer_tells = send.finish().await;
        None
    } else {
        let task = omnirelay_runtime::spawn("h3-request-body", async move {
            if let Err(error) = message::send_body(&mut send, body).await {
                debug!(error, "request body broke off");
                send.stop_stream(Code::H3_REQUEST_CANCELLED);
            }
        });
        Some(AbortOnDrop(task.abort_handle()))
    };
    let answer = recv.recv_response().await.map_err(|error| match &error {
        StreamError::RemoteTerminate { code, .. } if *code == Code::H3_REQUEST_REJECTED => {
            SendError::Refused(error)
        }
        _ => SendError::Broken(error),
    })?;
    let incoming = Incoming { message: message::Incoming::new(recv), _sending: sending, _sender: sender };
    Ok(answer.map(|()| body::boxed(incoming)))
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer's body. Dropping it gives up the request's body too; while it lives, so does the
/// connection, which h3 closes with its last sender.
struct Incoming {
    message: message::Incoming<h3::client::RequestStream<RecvStream, Bytes>>,
    _sending: Option<AbortOnDrop>,
    _sender: SendRequest<Opener, Bytes>,
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
