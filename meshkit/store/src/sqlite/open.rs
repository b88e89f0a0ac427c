//! Opening the file, or refusing it untouched.
//!
//! The order matters: the lock first, so that nobody else writes; then a look at the raw bytes and
//! through a read-only connection; and only a file that passed is opened for writing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind as IoKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use omnirelay_runtime::{ErrorKind, OperatorError};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{rows, schema};
use crate::api::Identity;

/// A file up to this size is checked in full at every start, which takes some ten milliseconds at most; of a
/// larger one only what the start needs.
const CHECKED_IN_FULL: u64 = 4 << 20;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";

pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) identity: Identity,
    pub(super) revision: u64,
    pub(super) lock: Lock,
}

/// While it is held no other meshkitd opens the file. The kernel gives it back even when the
/// process is killed, so a lock file that lies about means nothing by itself.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

enum Found {
    Nothing,
    Ours,
}

pub(super) fn open(path: &Path) -> Result<Opened, OperatorError> {
    let lock = lock(path)?;
    let found = inspect(path)?;
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(|error| refused(path, &error))?;
    let (identity, revision) = prepare(&mut connection, &found).map_err(|error| refused(path, &error))?;
    Ok(Opened { connection, identity, revision, lock })
}

fn prepare(connection: &mut Connection, found: &Found) -> rusqlite::Result<(Identity, u64)> {
    schema::configure(connection)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    if matches!(found, Found::Nothing) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        schema::create(&transaction)?;
        transaction.commit()?;
        // The marks belong into the main file, where the next start looks for them first.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    let identity = connection.query_row("SELECT store_id, incarnation FROM meta", [], |row| {
        Ok(Identity { id: row.get(0)?, incarnation: row.get(1)? })
    })?;
    Ok((identity, rows::revision(connection)?))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn lock(path: &Path) -> Result<Lock, OperatorError> {
    let lock_path = beside(path, ".lock");
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&lock_path);
    let mut file = opened.map_err(|error| {
        let hint = match error.kind() {
            IoKind::NotFound => "make the directory first, or set `store.path` to one that exists",
            IoKind::PermissionDenied | IoKind::ReadOnlyFilesystem => {
                "let the user that runs meshkitd write into the directory, or set `store.path` elsewhere"
            }
            _ => "set `store.path` to a file in a directory that can be written",
        };
        OperatorError::new(ErrorKind::Io, "the store's directory cannot be written")
            .at(path.display().to_string())
            .caused_by(&error)
            .hint(hint)
    })?;
    match file.try_lock() {
        Ok(()) => {
            // The number is a help for people; the lock itself is the kernel's.
            let _note = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            Ok(Lock { _file: file })
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _note = file.read_to_string(&mut holder);
            let error = OperatorError::new(ErrorKind::Conflict, "the store is in use by another meshkitd")
                .at(path.display().to_string())
                .hint("stop the other one, or give this one its own `store.path`");
            Err(match holder.trim() {
                "" => error,
                pid => error.because(format!("process {pid} holds {}", lock_path.display())),
            })
        }
        Err(TryLockError::Error(error)) => {
            Err(OperatorError::new(ErrorKind::Io, "the store cannot be locked")
                .at(lock_path.display().to_string())
                .caused_by(&error)
                .hint("set `store.path` to a file system that supports locks"))
        }
    }
}

/// Looks at the file without changing it and says whether it may be opened for writing.
fn inspect(path: &Path) -> Result<Found, OperatorError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == IoKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(unreadable(path, &error)),
    };
    let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(foreign(path, "it is not a file"));
    }
    let length = metadata.len();
    if length == 0 {
        return Ok(Found::Nothing);
    }
    let mut header = [0_u8; 100];
    let mut read = 0;
    while read < header.len() {
        match file.read(&mut header[read..]) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(error) => return Err(unreadable(path, &error)),
        }
    }
    if read < header.len() || !header.starts_with(MAGIC) {
        return Err(foreign(path, "it is not an SQLite database"));
    }
    drop(file);
    check(path, length)
}

/// The checks of SQLite itself, through a connection that cannot write.
fn check(path: &Path, length: u64) -> Result<Found, OperatorError> {
    // Without a write-ahead log the file is all there is, and SQLite need not make files beside it.
    let has_log = std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
    let uri = format!("file:{}?mode=ro{}", escaped(path), if has_log { "" } else { "&immutable=1" });
    let connection = Connection::open_with_flags(
        uri,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(|error| refused(path, &error))?;
    let number = |pragma: &str| {
        connection
            .pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))
            .map_err(|error| refused(path, &error))
    };
    if number("application_id")? != i64::from(schema::APPLICATION_ID) {
        return Err(foreign(path, "it is another program's SQLite database"));
    }
    let version = number("user_version")?;
    if version > i64::from(schema::VERSION) {
        return Err(OperatorError::new(ErrorKind::Config, "the store was made by a newer meshkitd")
            .at(path.display().to_string())
            .because(format!(
                "it has schema {version}; this meshkitd knows schemas up to {}",
                schema::VERSION
            ))
            .hint("run the newer meshkitd again, or set `store.path` to a new file"));
    }
    if length <= CHECKED_IN_FULL {
        let verdict: String = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|error| refused(path, &error))?;
        if verdict != "ok" {
            return Err(damaged(path).because(verdict));
        }
    }
    rows::revision(&connection).map_err(|error| refused(path, &error))?;
    Ok(Found::Ours)
}

/// The path as part of an SQLite URI.
fn escaped(path: &Path) -> String {
    let mut out = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                out.push(char::from(*byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

fn unreadable(path: &Path, error: &std::io::Error) -> OperatorError {
    OperatorError::new(ErrorKind::Io, "the store cannot be read")
        .at(path.display().to_string())
        .caused_by(error)
        .hint("let the user that runs meshkitd read and write the file")
}

fn foreign(path: &Path, cause: &str) -> OperatorError {
    OperatorError::new(ErrorKind::Config, "the store's file is not a MeshKit store")
        .at(path.display().to_string())
        .because(cause)
        .hint("set `store.path` to a MeshKit store or to a file that does not exist yet; this one was left as it is")
}

fn damaged(path: &Path) -> OperatorError {
    OperatorError::new(ErrorKind::Config, "the store is damaged").at(path.display().to_string()).hint(
        "restore the file from a backup, or move it away to begin with an empty store; it was left as it is",
    )
}

fn refused(path: &Path, error: &rusqlite::Error) -> OperatorError {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, PermissionDenied, ReadOnly, SystemIoFailure,
    };
    let message = match error.sqlite_error_code() {
        Some(CannotOpen | PermissionDenied | ReadOnly) => "the store cannot be opened for writing",
        Some(DiskFull | SystemIoFailure) => "the disk refuses the store",
        Some(DatabaseBusy | DatabaseLocked) => {
            return OperatorError::new(ErrorKind::Conflict, "the store is in use by another program")
                .at(path.display().to_string())
                .caused_by(error)
                .hint("close the other program (an `sqlite3` shell, a backup) and start again");
        }
        _ => return damaged(path).caused_by(error),
    };
    OperatorError::new(ErrorKind::Io, message)
        .at(path.display().to_string())
        .caused_by(error)
        .hint("check the space on the disk and that the user that runs meshkitd may write the file and its directory")
}
