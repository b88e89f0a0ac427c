//! Writing files so that a reader sees the old content or the new one, and secrets never stand
//! open, not even for a moment.

use std::fs;
use std::path::Path;

pub(super) use omnirelay_runtime::file::Access;
use omnirelay_runtime::{ErrorKind, OperatorError, Result, file};

/// Puts `content` at `path`, replacing what was there in one step. A file that already holds it
/// is left alone, so that its time tells when it changed.
pub(super) fn write(path: &Path, content: &[u8], access: Access) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == content) && access == Access::Public {
        return Ok(());
    }
    file::replace(path, content, access).map_err(|error| {
        OperatorError::new(ErrorKind::Io, format!("`{}` cannot be written", path.display()))
            .caused_by(&error)
            .hint("check that the directory is yours and the disk has room")
    })
}

/// Reads a file whole; `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OperatorError::new(ErrorKind::Io, format!("`{}` cannot be read", path.display()))
            .caused_by(&error)
            .hint("make it readable for you, or name another directory with `--dir DIR`")),
    }
}

/// Makes a directory and those above it; a new one is the owner's alone.
pub(super) fn make_dir(path: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path).map_err(|error| {
        OperatorError::new(ErrorKind::Io, format!("the directory `{}` cannot be made", path.display()))
            .caused_by(&error)
            .hint("name another one with `--dir DIR`")
    })
}
