//! A Unix socket: its file, who may open it, and who did.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use crate::conn_info::LocalPeer;

/// A listening Unix socket whose file goes with it.
pub(crate) struct UnixDoor {
    listener: UnixListener,
    path: PathBuf,
    /// Which file is ours: one that took its place is not removed.
    inode: u64,
}

impl UnixDoor {
    /// Makes the file with `mode`. One that is there already is removed where it is a socket at
    /// which nobody listens.
    pub(crate) fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        remove_stale(path)?;
        // Made in a folder that nobody else enters and then renamed: at no time can anyone open it
        // whom the mode does not allow.
        let parent = path.parent().unwrap_or(Path::new("/"));
        let private = parent.join(format!(".{:08x}", nonce()));
        fs::DirBuilder::new().create(&private)?;
        let made = (|| {
            fs::set_permissions(&private, fs::Permissions::from_mode(0o700))?;
            let first = private.join("s");
            let listener = UnixListener::bind(&first)?;
            fs::set_permissions(&first, fs::Permissions::from_mode(mode))?;
            let inode = inode(&first)?;
            fs::rename(&first, path)?;
            Ok(Self { listener, path: path.to_owned(), inode })
        })();
        fs::remove_dir_all(&private)?;
        made
    }

    /// The next connection and who made it.
    pub(crate) async fn accept(&self) -> io::Result<(UnixStream, LocalPeer)> {
        let (stream, _unnamed) = self.listener.accept().await?;
        let credentials = stream.peer_cred()?;
        let peer = LocalPeer { uid: credentials.uid(), gid: credentials.gid(), pid: credentials.pid() };
        Ok((stream, peer))
    }
}

impl Drop for UnixDoor {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            // What cannot be removed is stale, and removed by the next who listens here.
            let _stays = fs::remove_file(&self.path);
        }
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is there"));
    }
    match BlockingStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // A full queue is a listener as well.
        Ok(_) | Err(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

fn inode(path: &Path) -> io::Result<u64> {
    fs::symlink_metadata(path).map(|metadata| std::os::unix::fs::MetadataExt::ino(&metadata))
}

fn nonce() -> u64 {
    use std::hash::BuildHasher as _;
    std::hash::RandomState::new().hash_one(std::time::Instant::now()) & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    #[tokio::test]
    async fn a_stale_file_gives_way_and_a_live_or_foreign_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let door = UnixDoor::bind(&path, 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let taken = UnixDoor::bind(&path, 0o600).err().unwrap();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(door);
        assert!(!path.exists(), "the file goes with its listener");

        fs::write(&path, "precious").unwrap();
        assert!(UnixDoor::bind(&path, 0o600).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left behind");
    }

    #[tokio::test]
    async fn a_file_that_took_its_place_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let first = UnixDoor::bind(&path, 0o600).unwrap();
        fs::remove_file(&path).unwrap();
        let _second = UnixDoor::bind(&path, 0o600).unwrap();
        drop(first);
        assert!(path.exists());
    }
}
