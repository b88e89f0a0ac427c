//! Opening the file, or refusing it untouched.
//!
//! The order matters: the lock first, so that nobody else writes; then a look at the raw bytes and
//! through a read-only connection; and only a file that passed is opened for writing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind as IoKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use omnirelay_runtime::{ErrorKind, OperatorError};
use rusqlite::{Connection, MAIN_DB, OpenFlags, TransactionBehavior};

use super::inspect::{Found, inspect};
use super::{migrate, rows, schema};
use crate::api::Identity;

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

pub(super) fn open(path: &Path) -> Result<Opened, OperatorError> {
    let lock = lock(path)?;
    let found = inspect(path)?;
    if matches!(found, Found::Nothing) {
        create_private(path)?;
    }
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(|error| refused(path, &error))?;
    // SQLite opens for reading alone where it may not write.
    if connection.is_readonly(MAIN_DB).map_err(|error| refused(path, &error))? {
        return Err(unwritable(path));
    }
    let (identity, revision) = prepare(&mut connection, &found).map_err(|error| refused(path, &error))?;
    Ok(Opened { connection, identity, revision, lock })
}

/// Makes the file, for its owner alone: it holds the store's secrets. SQLite gives the files beside
/// it the same permissions.
fn create_private(path: &Path) -> Result<(), OperatorError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path).map(drop).map_err(|error| unreadable(path, &error))
}

pub(super) fn prepare(connection: &mut Connection, found: &Found) -> rusqlite::Result<(Identity, u64)> {
    schema::configure(connection)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    if !matches!(found, Found::Ours) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        match found {
            Found::Older => migrate::migrate(&transaction)?,
            Found::Nothing | Found::Ours => schema::create(&transaction)?,
        }
        transaction.commit()?;
        // The marks belong into the main file, where the next start looks for them first.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    Ok((rows::identity(connection)?, rows::revision(connection)?))
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(super) fn lock(path: &Path) -> Result<Lock, OperatorError> {
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

pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> OperatorError {
    OperatorError::new(ErrorKind::Io, "the store cannot be read")
        .at(path.display().to_string())
        .caused_by(error)
        .hint("let the user that runs meshkitd read and write the file")
}

fn unwritable(path: &Path) -> OperatorError {
    OperatorError::new(ErrorKind::Io, "the store cannot be written")
        .at(path.display().to_string())
        .hint("let the user that runs meshkitd write the file")
}

pub(super) fn foreign(path: &Path, cause: &str) -> OperatorError {
    OperatorError::new(ErrorKind::Config, "the store's file is not a MeshKit store")
        .at(path.display().to_string())
        .because(cause)
        .hint("set `store.path` to a MeshKit store or to a file that does not exist yet; this one was left as it is")
}

pub(super) fn damaged(path: &Path) -> OperatorError {
    OperatorError::new(ErrorKind::Config, "the store is damaged").at(path.display().to_string()).hint(
        "restore the file from a backup, or move it away to begin with an empty store; it was left as it is",
    )
}

pub(super) fn refused(path: &Path, error: &rusqlite::Error) -> OperatorError {
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
