//! Reading files that an operator named, which may be anything, noticing that they changed, and replacing files so
//! that a reader sees the old content or the new one.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::SystemTime;

/// What a file looked like, its links followed: the size and inode tell what a coarse clock does not, and
/// that a link leads elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    /// How a file looks now; none where there is none to be seen.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Some(Self { modified: metadata.modified().ok(), length: metadata.len(), inode })
    }
}

/// Reads a whole file of at most `max` bytes.
///
/// # Errors
/// Those of opening and reading, and [`io::ErrorKind::FileTooLarge`] for a file that holds more: a device or a
/// log that was named by mistake must not fill the memory.
pub fn read_at_most(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it holds more than {max} bytes")));
    }
    Ok(bytes)
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody: mode 0644.
    Public,
    /// The owner alone: mode 0600.
    Private,
}

/// Puts `content` at `path` in one step, on the disk before it is seen there; a secret never stands open, not even for
/// a moment.
///
/// # Errors
/// Those of making, writing and renaming a file in the same directory.
pub fn replace(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    // A leftover of an interrupted run may carry another mode.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(if access == Access::Private { 0o600 } else { 0o644 });
    }
    let mut file = options.open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    #[test]
    fn a_file_may_be_as_long_as_the_bound_and_no_longer() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "12345").unwrap();
        assert_eq!(read_at_most(file.path(), 5).unwrap(), b"12345");
        assert_eq!(read_at_most(file.path(), 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[cfg(unix)]
    #[test]
    fn a_replaced_file_has_the_new_content_and_its_mode_from_the_start() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        for (content, access, mode) in [("a", Access::Public, 0o644), ("b", Access::Private, 0o600)] {
            // Left behind by somebody who was interrupted.
            fs::write(directory.path().join("key.new"), "half").unwrap();
            replace(&path, content.as_bytes(), access).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_device_without_end_is_refused() {
        assert!(read_at_most(Path::new("/dev/zero"), 1 << 20).is_err());
    }
}
