//! A Unix socket that accepts connections, and who made them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;

use omnirelay_runtime::socket_file::SocketFile;
use tokio::net::{UnixListener, UnixStream};

use crate::conn_info::LocalPeer;

/// A listening Unix socket whose file goes with it.
pub(crate) struct UnixDoor {
    listener: UnixListener,
    pub(crate) file: SocketFile,
}

impl UnixDoor {
    /// Makes the file with `mode`. One that is there already is removed where it is a socket at
    /// which nobody listens.
    pub(crate) fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        let (file, listener) = SocketFile::bind(path, mode)?;
        Ok(Self { listener: UnixListener::from_std(listener)?, file })
    }

    /// Goes on with the socket of another process, whose file is `inode`.
    pub(crate) fn adopt(socket: OwnedFd, path: &Path, inode: u64) -> io::Result<Self> {
        let file = SocketFile::adopt(path, inode)?;
        let listener = StdListener::from(socket);
        listener.set_nonblocking(true)?;
        Ok(Self { listener: UnixListener::from_std(listener)?, file })
    }

    /// The next connection and who made it.
    pub(crate) async fn accept(&self) -> io::Result<(UnixStream, LocalPeer)> {
        let (stream, _unnamed) = self.listener.accept().await?;
        let credentials = stream.peer_cred()?;
        let peer = LocalPeer { uid: credentials.uid(), gid: credentials.gid(), pid: credentials.pid() };
        Ok((stream, peer))
    }
}

impl AsFd for UnixDoor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}
