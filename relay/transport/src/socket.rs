//! Stream sockets of both kinds: what accepts connections, and the connections.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::net::{TcpListener, TcpStream};

use crate::address::ListenAddress;
use crate::conn_info::RemoteAddress;
#[cfg(unix)]
use crate::unix::UnixDoor;

/// Whether connections are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// Another process is about to accept them instead.
    #[cfg(unix)]
    Paused,
    /// Another process does.
    #[cfg(unix)]
    Released,
}

/// What accepts connections.
pub(crate) enum Door {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixDoor),
}

impl Door {
    /// Goes on with the TCP socket of another process.
    #[cfg(unix)]
    pub(crate) fn adopt(socket: std::os::fd::OwnedFd) -> io::Result<Self> {
        let listener = std::net::TcpListener::from(socket);
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener).map(Self::Tcp)
    }

    /// A copy of the socket.
    #[cfg(unix)]
    pub(crate) fn copy(&self) -> io::Result<std::os::fd::OwnedFd> {
        use std::os::fd::AsFd as _;
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(door) => door.as_fd(),
        }
        .try_clone_to_owned()
    }

    /// The next connection and who made it.
    pub(crate) async fn accept(&self) -> io::Result<(Socket, RemoteAddress)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, remote) = listener.accept().await?;
                // Small answers go out at once; they are written whole. A client that is gone
                // already does not mind.
                let _gone = stream.set_nodelay(true);
                Ok((Socket::Tcp(stream), RemoteAddress::Inet(remote)))
            }
            #[cfg(unix)]
            Self::Unix(door) => {
                let (stream, peer) = door.accept().await?;
                Ok((Socket::Unix(stream), RemoteAddress::Local(peer)))
            }
        }
    }
}

/// A connection.
pub(crate) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Socket {
    /// Our own end, as precisely as the kernel tells it.
    pub(crate) fn local(&self, listener: &ListenAddress) -> ListenAddress {
        match self {
            Self::Tcp(stream) => stream.local_addr().map_or_else(|_gone| listener.clone(), Into::into),
            #[cfg(unix)]
            Self::Unix(_) => listener.clone(),
        }
    }
}

macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Socket::Tcp($stream) => $call,
            #[cfg(unix)]
            Socket::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// A new TCP socket that listens at `address`.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    // A restart must not wait for the old connections' TIME_WAIT; on Windows it would mean sharing.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}
