//! How a channel notices that its peer is gone, and keeps its connections.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// When a connection counts as dead.
///
/// Over HTTP/3 QUIC probes. Over TCP the kernels do, since gRPC's servers end a connection that is pinged more
/// often than every five minutes while they have nothing to send (`GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS`,
/// gRPC proposal A8). A peer whose kernel lives and whose process hangs shows in calls that end without a word:
/// the next ones go over a connection of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// How long a connection may be quiet before it is probed.
    pub probe_every: Duration,
    /// How long it may give no answer.
    pub dead_after: Duration,
    /// How long HTTP/2 may hear nothing while calls are in flight before it sends a PING; without calls it
    /// sends none.
    pub http2_ping_after: Duration,
}

impl Default for KeepAlive {
    /// Every 3 s; dead after 9; PING after 6 min.
    fn default() -> Self {
        Self {
            probe_every: Duration::from_secs(3),
            dead_after: Duration::from_secs(9),
            http2_ping_after: Duration::from_secs(360),
        }
    }
}

impl KeepAlive {
    /// Has the kernel probe a connection. It works without as well, so that a platform that lacks some of it
    /// is no error.
    pub(crate) fn probe(self, stream: &TcpStream) {
        // The kernel counts in seconds.
        let second = Duration::from_secs(1);
        let probes = TcpKeepalive::new().with_time(self.probe_every.max(second));
        #[cfg(not(any(target_os = "openbsd", target_os = "redox", target_os = "solaris")))]
        let probes = probes.with_interval(self.probe_every.max(second));
        let _granted = SockRef::from(stream).set_tcp_keepalive(&probes);
    }

    /// Has the kernel end a connection on which nothing that was sent is acknowledged. Not for HTTP/1.1: there a
    /// peer that reads slowly closes TCP's own window, which looks the same.
    pub(crate) fn expect_acknowledgements(self, stream: &TcpStream) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _granted = SockRef::from(stream).set_tcp_user_timeout(Some(self.dead_after));
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _unsupported = (stream, self.dead_after);
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    #[tokio::test]
    async fn the_kernel_looks_after_a_connection() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let keep_alive = KeepAlive::default();
        keep_alive.probe(&stream);
        keep_alive.expect_acknowledgements(&stream);
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), keep_alive.probe_every);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), keep_alive.probe_every);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(keep_alive.dead_after));
    }
}
