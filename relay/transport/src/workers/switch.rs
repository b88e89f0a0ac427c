//! Where a worker's datagrams come from while one process takes over from another, and which of them are not its own.
//!
//! Both processes have the same sockets. The old one stops receiving, and gets what is for its connections from the new
//! one, which has received it; it sends by itself. Several processes that still drain stand in a row, each of which hands
//! on what is not its own. While nothing of that is under way a switch costs one look at a flag for each batch.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

#[cfg(unix)]
use omnirelay_runtime::takeover::Descriptor;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use super::cid::{Key, destination};
#[cfg(unix)]
use super::way;
use super::way::{Inward, Outward};
use crate::stats::Forwarded;

/// A worker's socket as its endpoint sees it.
#[derive(Debug)]
pub(super) struct Switched {
    socket: Arc<dyn AsyncUdpSocket>,
    switch: Arc<Switch>,
}

/// Leads datagrams to and from other processes.
pub(crate) struct Switch {
    /// A copy of the socket, for the next process.
    #[cfg(unix)]
    socket: UdpSocket,
    key: Key,
    generation: u8,
    #[cfg(unix)]
    inherited: bool,
    /// Whether there is more to do than to receive.
    detour: AtomicBool,
    ways: Mutex<Ways>,
    forwarded: Forwarded,
}

struct Ways {
    /// Nothing is received before this process serves.
    waits: bool,
    /// From the process after this one.
    newer: Option<Inward>,
    /// To the process before this one.
    older: Option<Outward>,
    /// Who receives, where it was here that it found nothing.
    receiver: Option<Waker>,
}

impl Switch {
    /// One for a socket; one that is inherited waits until it is [opened](Self::open).
    pub(super) fn new(
        socket: &UdpSocket,
        (key, generation): (Key, u8),
        inherited: bool,
        forwarded: &Forwarded,
    ) -> io::Result<Arc<Self>> {
        #[cfg(not(unix))]
        let _never_handed_over = socket;
        let ways = Mutex::new(Ways { waits: inherited, newer: None, older: None, receiver: None });
        let detour = AtomicBool::new(inherited);
        Ok(Arc::new(Self {
            #[cfg(unix)]
            socket: socket.try_clone()?,
            key,
            generation,
            #[cfg(unix)]
            inherited,
            detour,
            ways,
            forwarded: forwarded.clone(),
        }))
    }

    /// The socket with the switch before it.
    pub(super) fn before(self: &Arc<Self>, socket: Arc<dyn AsyncUdpSocket>) -> Arc<Switched> {
        Arc::new(Switched { socket, switch: Arc::clone(self) })
    }

    /// How ids of this process are made.
    #[cfg(unix)]
    pub(crate) fn place(&self) -> (&Key, u8) {
        (&self.key, self.generation)
    }

    /// A copy of the socket.
    #[cfg(unix)]
    pub(crate) fn copy(&self) -> io::Result<Descriptor> {
        self.socket.try_clone().map(Into::into)
    }

    /// Receives from here on.
    pub(super) fn open(&self) {
        self.change(|ways| ways.waits = false);
    }

    /// Whether another process has had the socket.
    #[cfg(unix)]
    pub(crate) fn is_inherited(&self) -> bool {
        self.inherited
    }

    /// Makes a way to the process before this one, and gives the end that is its.
    #[cfg(unix)]
    pub(crate) fn claim(&self) -> io::Result<Descriptor> {
        let (out, end) = way::pair()?;
        self.change(|ways| ways.older = Some(out));
        Ok(end)
    }

    /// The process before this one has ended.
    #[cfg(unix)]
    pub(crate) fn outlived(&self) {
        self.change(|ways| ways.older = None);
    }

    /// Receives from the process after this one, and no more from the network.
    #[cfg(unix)]
    pub(crate) fn yield_to(&self, end: Descriptor) -> io::Result<()> {
        let inward = Inward::new(end)?;
        self.change(|ways| ways.newer = Some(inward));
        Ok(())
    }

    /// Receives from the network again: the process after this one is gone.
    #[cfg(unix)]
    pub(crate) fn resume(&self) {
        self.change(|ways| ways.newer = None);
    }

    fn change(&self, change: impl FnOnce(&mut Ways)) {
        let mut ways = self.ways();
        change(&mut ways);
        self.look(&ways);
        // One that waits at the network instead wakes up by the next datagram, as both processes do.
        if let Some(receiver) = ways.receiver.take() {
            receiver.wake();
        }
    }

    fn look(&self, ways: &Ways) {
        let detour = ways.waits || ways.newer.is_some() || ways.older.is_some();
        self.detour.store(detour, Ordering::Release);
    }

    fn ways(&self) -> MutexGuard<'_, Ways> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll_recv(
        &self,
        socket: &dyn AsyncUdpSocket,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut ways = self.ways();
        let ways = &mut *ways;
        ways.receiver = Some(cx.waker().clone());
        if ways.waits {
            return Poll::Pending;
        }
        let came = match &mut ways.newer {
            Some(newer) => match ready!(newer.poll_recv(cx, bufs, metas)) {
                Ok(came) => came,
                Err(_broken) => {
                    ways.newer = None;
                    self.look(ways);
                    ready!(socket.poll_recv(cx, bufs, metas))?
                }
            },
            None => ready!(socket.poll_recv(cx, bufs, metas))?,
        };
        if let Some(older) = &ways.older {
            let batches = bufs.iter_mut().zip(&mut *metas).take(came);
            // Each is looked at, even where the way has ended: what is not ours is not to be received.
            let ended = batches.fold(false, |ended, (buf, meta)| self.sort(older, buf, meta) || ended);
            if ended {
                ways.older = None;
                self.look(ways);
            }
        }
        Poll::Ready(Ok(came))
    }

    /// Leaves of a batch what is for this process, and sends the rest on; whether the way there has ended.
    fn sort(&self, older: &Outward, batch: &mut [u8], meta: &mut RecvMeta) -> bool {
        let (mut kept, mut at, mut ended) = (0, 0, false);
        while at < meta.len {
            let first = at;
            while at < meta.len && self.is_older(&batch[at..meta.len.min(at + meta.stride)]) {
                at = meta.len.min(at + meta.stride);
            }
            if at > first {
                match older.send(meta, &batch[first..at]) {
                    Ok(()) => self.forwarded.sent(),
                    Err(error) => {
                        self.forwarded.lost();
                        ended |= error.kind() != io::ErrorKind::WouldBlock;
                    }
                }
                continue;
            }
            at = meta.len.min(at + meta.stride);
            if kept < first {
                batch.copy_within(first..at, kept);
            }
            kept += at - first;
        }
        meta.len = kept;
        ended
    }

    fn is_older(&self, datagram: &[u8]) -> bool {
        let place = destination(datagram).and_then(|id| self.key.place(id));
        place.is_some_and(|place| place.generation != self.generation)
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for Switched {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if self.switch.detour.load(Ordering::Acquire) {
            self.switch.poll_recv(&*self.socket, cx, bufs, metas)
        } else {
            self.socket.poll_recv(cx, bufs, metas)
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}
