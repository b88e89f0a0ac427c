//! The file of a listening Unix socket: made so that nobody opens it who may not, removed with its owner.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Removes the file of a socket where it is dropped, unless another process has the socket by then.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Which file is ours: one that took its place is not removed.
    inode: u64,
    left: AtomicBool,
}

impl SocketFile {
    /// Makes the file with `mode` and listens there, without blocking. One that is there already is removed where
    /// it is a socket at which nobody listens.
    ///
    /// # Errors
    /// A path at which somebody listens (`AddrInUse`), or where a file stands that is no socket
    /// (`AlreadyExists`), and whatever the file system says.
    pub fn bind(path: &Path, mode: u32) -> io::Result<(Self, UnixListener)> {
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
            listener.set_nonblocking(true)?;
            fs::set_permissions(&first, fs::Permissions::from_mode(mode))?;
            let inode = inode(&first)?;
            fs::rename(&first, path)?;
            Ok((Self { path: path.to_owned(), inode, left: AtomicBool::new(false) }, listener))
        })();
        fs::remove_dir_all(&private)?;
        made
    }

    /// A file that another process made, which stays that one's until it is [owned](Self::own).
    ///
    /// # Errors
    /// A file that is no more, or no longer the one that was made.
    pub fn adopt(path: &Path, made: u64) -> io::Result<Self> {
        if inode(path)? != made {
            return Err(io::Error::new(io::ErrorKind::NotFound, "another file has taken its place"));
        }
        Ok(Self { path: path.to_owned(), inode: made, left: AtomicBool::new(true) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which file it is.
    #[must_use]
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Whether it is another process's, which made it or goes on with it.
    #[must_use]
    pub fn is_left(&self) -> bool {
        self.left.load(Relaxed)
    }

    /// Another process goes on with it: it stays.
    pub fn leave(&self) {
        self.left.store(true, Relaxed);
    }

    /// It is ours from now on, and has `mode`.
    ///
    /// # Errors
    /// A mode that cannot be set.
    pub fn own(&self, mode: u32) -> io::Result<()> {
        self.left.store(false, Relaxed);
        fs::set_permissions(&self.path, fs::Permissions::from_mode(mode))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.is_left() && inode(&self.path).is_ok_and(|inode| inode == self.inode) {
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
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // A full queue is a listener as well.
        Ok(_) | Err(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

fn inode(path: &Path) -> io::Result<u64> {
    fs::symlink_metadata(path).map(|metadata| metadata.ino())
}

fn nonce() -> u64 {
    use std::hash::BuildHasher as _;
    std::hash::RandomState::new().hash_one(std::time::Instant::now()) & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    #[test]
    fn a_stale_file_gives_way_and_a_live_or_foreign_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        drop(UnixListener::bind(&path).unwrap());
        let bound = SocketFile::bind(&path, 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let taken = SocketFile::bind(&path, 0o600).err().unwrap();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(bound);
        assert!(!path.exists(), "the file goes with its listener");

        fs::write(&path, "precious").unwrap();
        assert!(SocketFile::bind(&path, 0o600).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left behind");
    }

    #[test]
    fn a_file_that_took_its_place_or_was_left_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let first = SocketFile::bind(&path, 0o600).unwrap();
        fs::remove_file(&path).unwrap();
        let (second, _listener) = SocketFile::bind(&path, 0o600).unwrap();
        drop(first);
        assert!(path.exists());

        let adopted = SocketFile::adopt(&path, second.inode()).unwrap();
        second.leave();
        drop(second);
        assert!(path.exists());
        assert!(SocketFile::adopt(&path, adopted.inode() + 1).is_err());
        adopted.own(0o660).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        drop(adopted);
        assert!(!path.exists(), "the last one removes it");
    }
}
