//! One `up` or `dev init` at a time for a directory. The lock is the operating system's, so it
//! ends with its process however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use omnirelay_runtime::{ErrorKind, OperatorError, Result};

/// Held as long as the directory is in use.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the directory.
    pub(super) fn take(directory: &Path) -> Result<Self> {
        let path = directory.join("up.lock");
        let failed = |error: &std::io::Error| {
            OperatorError::new(ErrorKind::Io, format!("`{}` cannot be locked", path.display()))
                .caused_by(error)
                .hint("make the directory yours to write in, or name another with `--dir DIR`")
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| failed(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _unknown = file.read_to_string(&mut holder);
                let holder = holder.trim();
                let who = if holder.is_empty() { String::new() } else { format!(" (process {holder})") };
                return Err(OperatorError::new(
                    ErrorKind::Conflict,
                    format!("another `omnirelay` is using `{}`{who}", directory.display()),
                )
                .hint("stop it with Ctrl-C, or run a second mesh with `--dir OTHER --base-port N`"));
            }
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(|error| failed(&error))?;
        writeln!(file, "{}", std::process::id()).map_err(|error| failed(&error))?;
        Ok(Self { _file: file })
    }
}
