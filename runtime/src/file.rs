//! Reading files that an operator named, which may be anything, and noticing that they changed.

use std::io::{self, Read as _};
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
        let metadata = std::fs::metadata(path).ok()?;
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
    std::fs::File::open(path)?.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it holds more than {max} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    #[test]
    fn a_file_may_be_as_long_as_the_bound_and_no_longer() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "12345").unwrap();
        assert_eq!(read_at_most(file.path(), 5).unwrap(), b"12345");
        assert_eq!(read_at_most(file.path(), 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[cfg(unix)]
    #[test]
    fn a_device_without_end_is_refused() {
        assert!(read_at_most(Path::new("/dev/zero"), 1 << 20).is_err());
    }
}
