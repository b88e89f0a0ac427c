//! One HTTP/3 connection of the pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use h3::client::SendRequest;
use relay_transport::quic::{H3_NO_ERROR, Opener};
use tokio::sync::{Notify, watch};

use crate::pool::Load;
use crate::stall::Progress;

/// Calls at once on a connection before another is opened: what a peer should allow at least
/// (RFC 9114, section 6.1).
const ROOM: usize = 100;

/// A connection that requests can be sent on.
pub(crate) struct Live {
    pub(super) sender: SendRequest<Opener, Bytes>,
    pub(super) connection: quinn::Connection,
    pub(super) endpoint: quinn::Endpoint,
    /// The connection has ended.
    pub(super) ended: Arc<AtomicBool>,
    in_flight: AtomicUsize,
    /// Calls that wait for the peer to allow one more.
    queued: AtomicUsize,
    silent: watch::Sender<bool>,
    unwatched: AtomicBool,
    watcher: Arc<Notify>,
}

impl Live {
    pub(super) fn new(
        sender: SendRequest<Opener, Bytes>,
        connection: quinn::Connection,
        endpoint: quinn::Endpoint,
    ) -> Self {
        Self {
            sender,
            connection,
            endpoint,
            ended: Arc::default(),
            in_flight: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            silent: watch::Sender::new(false),
            unwatched: AtomicBool::new(false),
            watcher: Arc::default(),
        }
    }

    pub(crate) fn is_usable(&self) -> bool {
        !self.ended.load(Ordering::Relaxed)
    }

    /// As [`Self::is_usable`] denied, and certain: for once a call has failed.
    pub(crate) fn has_ended(&self) -> bool {
        self.connection.close_reason().is_some()
    }

    /// Whether something is on its way and the peer has not been heard of for too long.
    pub(crate) fn is_silent(&self) -> bool {
        *self.silent.borrow()
    }

    /// Returns once the peer has not been heard of for too long.
    pub(crate) async fn fell_silent(&self) {
        let mut silent = self.silent.subscribe();
        // The sender lives as long as this connection.
        let _lives = silent.wait_for(|silent| *silent).await;
    }

    pub(super) fn set_silent(&self, silent: bool) {
        self.silent.send_if_modified(|was| std::mem::replace(was, silent) != silent);
    }

    pub(crate) fn load(&self) -> Load {
        let room = if self.queued.load(Ordering::Relaxed) > 0 { 0 } else { ROOM };
        Load { in_flight: self.in_flight.load(Ordering::Relaxed), room }
    }

    pub(super) fn progress(&self) -> Progress {
        let stats = self.connection.stats();
        let tx = stats.frame_tx;
        // With fewer acknowledgements agreed on, a probe for lost data asks for one at once in the place of a PING.
        let sent = tx.stream
            + tx.ping
            + tx.immediate_ack
            + tx.crypto
            + tx.reset_stream
            + tx.stop_sending
            + tx.max_data
            + tx.max_stream_data
            + tx.max_streams_bidi
            + tx.max_streams_uni;
        Progress { sent, acknowledged: stats.frame_rx.acks }
    }

    /// Waits, unwatched, until there is something to watch again.
    pub(super) fn rest(&self) -> Option<Arc<Notify>> {
        self.unwatched.store(true, Ordering::SeqCst);
        if self.in_flight.load(Ordering::SeqCst) > 0 {
            self.unwatched.store(false, Ordering::SeqCst);
            return None;
        }
        Some(Arc::clone(&self.watcher))
    }

    pub(super) fn resume(&self) {
        self.unwatched.store(false, Ordering::SeqCst);
    }

    pub(super) fn close(&self, reason: &[u8]) {
        self.ended.store(true, Ordering::Relaxed);
        self.connection.close(quinn::VarInt::from_u32(H3_NO_ERROR), reason);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.watcher.notify_one();
    }
}

/// A call's place on a connection, which lives at least as long: h3 closes it with its last sender.
pub(super) struct Place(Arc<Live>);

impl Place {
    pub(super) fn take(live: &Arc<Live>) -> Self {
        live.in_flight.fetch_add(1, Ordering::SeqCst);
        if live.unwatched.load(Ordering::SeqCst) {
            live.watcher.notify_one();
        }
        Self(Arc::clone(live))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Counts a call that waits for the peer to allow one more, for as long as it is held.
pub(super) struct Queued<'a>(&'a Live);

impl<'a> Queued<'a> {
    pub(super) fn new(live: &'a Live) -> Self {
        live.queued.fetch_add(1, Ordering::Relaxed);
        Self(live)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Ordering::Relaxed);
    }
}
