//! The seam between quinn and h3: h3's `quic` traits over quinn's connections.
//!
//! Our own because the published adapter loses a stream's id while a read is in flight and lets a
//! dropped response look complete (hyperium/h3 #330, #331, #351, #361). Here a stream knows its id
//! from the start, reads are polled in place, and a send half that is dropped before its end is
//! reset.

mod bidi;
mod error;
mod field_section;
mod malformed;
pub mod message;
mod recv;
mod rules;
mod runtime;
mod send;

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Buf;
use futures_util::stream::{self, Stream, StreamExt as _};
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId};
use rustls_pki_types::CertificateDer;

use bidi::BidiStream;
use error::{connection_error, stream_error};
pub use malformed::{Malformed, check_fields, check_request};
pub use recv::RecvStream;
use rules::{Rules, Violation};
pub use runtime::Runtime;
pub use send::SendStream;

/// H3_NO_ERROR (RFC 9114, section 8.1).
pub const H3_NO_ERROR: u32 = 0x100;
/// H3_REQUEST_CANCELLED (RFC 9114, section 8.1).
pub const H3_REQUEST_CANCELLED: u32 = 0x10c;
/// H3_REQUEST_REJECTED (RFC 9114, section 8.1): not processed, safe to try again.
pub const H3_REQUEST_REJECTED: u32 = 0x10b;
/// H3_MESSAGE_ERROR (RFC 9114, section 8.1): the message is malformed.
pub const H3_MESSAGE_ERROR: u32 = 0x10e;

/// How much longer than the longest field section a frame may be that h3 keeps until it is whole: one that is
/// longer than it should be can then still be answered.
const FRAMES_FOR_SECTION: u64 = 4;

/// The longest datagram's payload that is tried where the path takes it, as loopback and networks
/// with jumbo frames do: a long body then costs a quarter of the packets. quinn hands ten datagrams
/// at a time to the kernel, which takes less than 64 KiB at a time and drops the whole otherwise.
const MAX_DATAGRAM: u16 = 6_500;

/// Packets that may arrive before one has to be acknowledged at once. An answer carries the
/// acknowledgement of its request for nothing; one packet in two, the default, is mostly packets
/// that say nothing else.
const PACKETS_PER_ACK: u32 = 10;

/// How both ends of our connections drive QUIC; windows and time-outs are each end's own.
#[must_use]
pub fn transport_config() -> quinn::TransportConfig {
    let mut acks = quinn::AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(PACKETS_PER_ACK.into());
    let mut discovery = quinn::MtuDiscoveryConfig::default();
    discovery.upper_bound(MAX_DATAGRAM);
    let mut transport = quinn::TransportConfig::default();
    transport
        .ack_frequency_config(Some(acks))
        .mtu_discovery_config(Some(discovery))
        .datagram_receive_buffer_size(None);
    transport
}

/// What both ends tell of their sockets.
#[must_use]
pub fn endpoint_config() -> quinn::EndpointConfig {
    let mut config = quinn::EndpointConfig::default();
    // The bound is between 1200 and 65 527 (RFC 9000, section 18.2), which this is.
    let _in_bounds = config.max_udp_payload_size(MAX_DATAGRAM);
    config
}

/// The certificates that the peer showed in its handshake, its own first.
#[must_use]
pub fn peer_chain(connection: &quinn::Connection) -> Vec<CertificateDer<'static>> {
    let chain =
        connection.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    chain.map(|chain| *chain).unwrap_or_default()
}

/// Which end of the connection this is; it decides the code that tells a peer to stop sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// We called.
    Client,
    /// We were called.
    Server,
}

impl Side {
    /// A server that has answered needs no more of the request (RFC 9114, section 4.1); a client
    /// that stops reading has given the request up.
    const fn stop_code(self) -> u32 {
        match self {
            Self::Client => H3_REQUEST_CANCELLED,
            Self::Server => H3_NO_ERROR,
        }
    }
}

type Streams<T> = Pin<Box<dyn Stream<Item = Result<T, quinn::ConnectionError>> + Send + Sync>>;
type BidiPair = (quinn::SendStream, quinn::RecvStream);

/// Tells the streams of a connection that it is about to be closed. A close throws away what is
/// not acknowledged yet, so from then on a message counts as finished only once the peer has it.
#[derive(Clone, Debug, Default)]
pub struct Closing(Arc<AtomicBool>);

impl Closing {
    /// Says that the connection is about to be closed.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Resolves once the peer wants no more of a stream that we answer on: it told us to stop, or it
/// is gone.
pub type Abandoned = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// Where a connection leaves word of the stream that it accepted last. h3 hands its requests out
/// one by one and shows nothing of their streams, and a handler that only waits has to hear that
/// nobody wants its answer any more.
#[derive(Clone, Default)]
pub struct LastAccepted(Arc<Mutex<Option<Abandoned>>>);

impl LastAccepted {
    /// The end of interest in the stream that was accepted last; it can be taken once.
    #[must_use]
    pub fn take(&self) -> Option<Abandoned> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, stream: &quinn::SendStream) {
        let stopped = stream.stopped();
        let abandoned = Box::pin(async move {
            // `None` says that the peer has everything, which is no reason to give anything up.
            if let Ok(None) = stopped.await {
                std::future::pending::<()>().await;
            }
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(abandoned);
    }
}

impl std::fmt::Debug for LastAccepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LastAccepted").finish_non_exhaustive()
    }
}

/// A quinn connection as h3 wants it.
pub struct Connection {
    side: Side,
    max_frame: u64,
    closing: Closing,
    last_accepted: LastAccepted,
    incoming_bidi: Streams<BidiPair>,
    incoming_uni: Streams<quinn::RecvStream>,
    violation: Violation,
    opener: Opener,
}

impl Connection {
    /// Wraps an established connection whose peer is told to send no field section above `max_section` bytes.
    #[must_use]
    pub fn new(connection: quinn::Connection, side: Side, max_section: u32) -> Self {
        let (violation, max_frame) = (Violation::default(), FRAMES_FOR_SECTION * u64::from(max_section));
        Self {
            incoming_bidi: repeat(connection.clone(), |it| async move { it.accept_bi().await }),
            incoming_uni: repeat(connection.clone(), |it| async move { it.accept_uni().await }),
            opener: Opener::new(connection, side, max_frame, violation.clone()),
            violation,
            side,
            max_frame,
            closing: Closing::default(),
            last_accepted: LastAccepted::default(),
        }
    }

    /// The place where each accepted stream leaves word of its end of interest.
    #[must_use]
    pub fn last_accepted(&self) -> LastAccepted {
        self.last_accepted.clone()
    }

    /// The handle that announces the connection's close.
    #[must_use]
    pub fn closing(&self) -> Closing {
        self.closing.clone()
    }
}

/// An endless stream of one operation's outcomes, kept between polls.
fn repeat<T, F>(connection: quinn::Connection, operation: fn(quinn::Connection) -> F) -> Streams<T>
where
    T: 'static,
    F: Future<Output = Result<T, quinn::ConnectionError>> + Send + Sync + 'static,
{
    Box::pin(stream::unfold(connection, move |connection| async move {
        Some((operation(connection.clone()).await, connection))
    }))
}

/// What an endless stream gives next.
fn poll_next<T>(streams: &mut Streams<T>, cx: &mut Context<'_>) -> Poll<Result<T, quinn::ConnectionError>> {
    let next = ready!(streams.poll_next_unpin(cx));
    Poll::Ready(next.unwrap_or(Err(quinn::ConnectionError::LocallyClosed)))
}

impl<B: Buf + Send> quic::Connection<B> for Connection {
    type RecvStream = RecvStream;
    type OpenStreams = Opener;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<RecvStream, ConnectionErrorIncoming>> {
        let stream = ready!(poll_next(&mut self.incoming_uni, cx)).map_err(connection_error)?;
        Poll::Ready(Ok(RecvStream::new(
            stream,
            self.side.stop_code(),
            Rules::of_one_way(self.side, self.max_frame),
            self.violation.clone(),
        )))
    }

    fn poll_accept_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BidiStream<B>, ConnectionErrorIncoming>> {
        let pair = ready!(poll_next(&mut self.incoming_bidi, cx)).map_err(connection_error)?;
        self.last_accepted.put(&pair.0);
        let rules = Rules::of_request(self.side, self.max_frame);
        Poll::Ready(Ok(BidiStream::new(
            pair,
            self.side.stop_code(),
            rules,
            self.closing.clone(),
            self.violation.clone(),
        )))
    }

    fn opener(&self) -> Opener {
        self.opener.clone()
    }
}

impl<B: Buf + Send> quic::OpenStreams<B> for Connection {
    type BidiStream = BidiStream<B>;
    type SendStream = SendStream<B>;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<BidiStream<B>, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendStream<B>, StreamErrorIncoming>> {
        self.opener.poll_open_send(cx)
    }

    fn close(&mut self, code: h3::error::Code, reason: &[u8]) {
        quic::OpenStreams::<B>::close(&mut self.opener, code, reason);
    }
}

/// Opens streams on a connection.
pub struct Opener {
    connection: quinn::Connection,
    side: Side,
    max_frame: u64,
    violation: Violation,
    opening_bidi: Option<Streams<BidiPair>>,
    opening_uni: Option<Streams<quinn::SendStream>>,
}

impl Opener {
    fn new(connection: quinn::Connection, side: Side, max_frame: u64, violation: Violation) -> Self {
        Self { connection, side, max_frame, violation, opening_bidi: None, opening_uni: None }
    }
}

impl Clone for Opener {
    fn clone(&self) -> Self {
        Self::new(self.connection.clone(), self.side, self.max_frame, self.violation.clone())
    }
}

impl<B: Buf + Send> quic::OpenStreams<B> for Opener {
    type BidiStream = BidiStream<B>;
    type SendStream = SendStream<B>;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<BidiStream<B>, StreamErrorIncoming>> {
        let connection = &self.connection;
        let opened = match &mut self.opening_bidi {
            Some(opening) => poll_next(opening, cx),
            // Nearly always the peer has room for one more, and nothing needs to be kept.
            None => match pin!(connection.open_bi()).poll(cx) {
                Poll::Ready(opened) => Poll::Ready(opened),
                Poll::Pending => {
                    let opening = repeat(connection.clone(), |it| async move { it.open_bi().await });
                    poll_next(self.opening_bidi.insert(opening), cx)
                }
            },
        };
        let pair = ready!(opened).map_err(stream_error)?;
        let rules = Rules::of_request(self.side, self.max_frame);
        Poll::Ready(Ok(BidiStream::new(
            pair,
            self.side.stop_code(),
            rules,
            Closing::default(),
            self.violation.clone(),
        )))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendStream<B>, StreamErrorIncoming>> {
        let connection = &self.connection;
        let opened = match &mut self.opening_uni {
            Some(opening) => poll_next(opening, cx),
            None => match pin!(connection.open_uni()).poll(cx) {
                Poll::Ready(opened) => Poll::Ready(opened),
                Poll::Pending => {
                    let opening = repeat(connection.clone(), |it| async move { it.open_uni().await });
                    poll_next(self.opening_uni.insert(opening), cx)
                }
            },
        };
        let stream = ready!(opened).map_err(stream_error)?;
        Poll::Ready(Ok(SendStream::unguarded(stream)))
    }

    fn close(&mut self, code: h3::error::Code, reason: &[u8]) {
        // Codes are QUIC varints by construction; a larger one cannot come from h3.
        let code = quinn::VarInt::from_u64(code.value()).unwrap_or(quinn::VarInt::from_u32(H3_NO_ERROR));
        let code = self.violation.code().map_or(code, quinn::VarInt::from_u32);
        self.connection.close(code, reason);
    }
}

/// h3's name of a stream.
#[allow(
    clippy::expect_used,
    reason = "a QUIC stream id is below 2^62 by its encoding (RFC 9000, section 2.1)"
)]
fn stream_id(id: quinn::StreamId) -> StreamId {
    u64::from(id).try_into().expect("a QUIC stream id")
}
