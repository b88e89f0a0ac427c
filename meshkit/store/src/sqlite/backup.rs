//! Copies of a store that can be taken while it serves, and stores made of them.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use meshkit_model::Timestamp;
use omnirelay_runtime::{ErrorKind, OperatorError};
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use super::inspect::{Found, inspect};
use super::open::{beside, lock, prepare, refused};
use super::{apply, rows, schema};
use crate::api::{Identity, Removed, StoreCopy};
use crate::audit::{AuditEntry, Hash};
use crate::error::StoreError;

/// How far the revision jumps on a restore. Whoever saw revisions that the backup does not hold is
/// told to read everything anew, instead of taking new ones for those.
const LEAP: u64 = 1_000_000_000;

/// Copies the store as it is now to `to`, which must not exist. It appears there whole or not at all.
pub(super) fn backup(connection: &Connection, to: &Path) -> Result<u64, OperatorError> {
    let partial = Partial::create(to)?;
    copy(connection, &partial.path).map_err(|error| refused(to, &error))?;
    // Read as a start would read it: a copy that cannot be restored is none.
    inspect(&partial.path)?;
    let copied = read_only(&partial.path).and_then(|copy| rows::revision(&copy));
    let revision = copied.map_err(|error| refused(to, &error))?;
    partial.keep(to)?;
    Ok(revision)
}

/// Copies the store at `place` to a file beside it, and opens that. What was left there is of an earlier run.
pub(super) fn copied(connection: &Connection, place: &Path) -> Result<StoreCopy, StoreError> {
    let path = beside(place, ".copy");
    let failed = |error: &OperatorError| StoreError::Unavailable(told(error));
    remove(&path).map_err(|error| failed(&unwritable(&path, &error)))?;
    let revision = backup(connection, &path).map_err(|error| failed(&error))?;
    let opened = File::open(&path);
    let _place = Removed(path);
    let file = opened.map_err(|error| failed(&unwritable(&_place.0, &error)))?;
    Ok(StoreCopy { file, revision, _place })
}

/// An error in one line.
fn told(error: &OperatorError) -> String {
    let causes = error.to_json();
    let causes: Vec<&str> =
        causes["causes"].as_array().into_iter().flatten().filter_map(|cause| cause.as_str()).collect();
    std::iter::once(error.to_string().as_str()).chain(causes).collect::<Vec<_>>().join(": ")
}

/// How a store is to be restored.
#[derive(Clone, Copy, Debug)]
pub struct Restore<'a> {
    /// Who does it, for the audit.
    pub actor: &'a str,
    /// When.
    pub now: Timestamp,
    /// Whether a store that is there already is moved aside; otherwise it is in the way.
    pub replace: bool,
    /// Whether everything is looked at and nothing written.
    pub dry_run: bool,
}

/// A store that was restored, or would have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Which store it is; where nothing was written as the backup has it.
    pub identity: Identity,
    /// The revision that the backup holds.
    pub revision: u64,
    /// Where the store is that was there before.
    pub aside: Option<PathBuf>,
}

/// Makes a store of a backup.
pub(super) fn restore(backup: &Path, to: &Path, how: &Restore<'_>) -> Result<Restored, OperatorError> {
    let _lock = lock(to)?;
    if matches!(inspect(backup)?, Found::Nothing) {
        return Err(OperatorError::new(ErrorKind::Config, "there is no backup to restore")
            .at(backup.display().to_string())
            .hint("name a file that `omnirelay mesh backup` wrote"));
    }
    let source = read_only(backup).map_err(|error| refused(backup, &error))?;
    let read = |source: &Connection| Ok((rows::identity(source)?, rows::revision(source)?));
    let (identity, revision) = read(&source).map_err(|error| refused(backup, &error))?;
    let present = is_there(to);
    if present && !how.replace {
        return Err(in_the_way(to));
    }
    let aside = present.then(|| beside(to, &format!(".before-{}", how.now.as_millisecond())));
    if how.dry_run {
        return Ok(Restored { identity, revision, aside });
    }
    let partial = Partial::begin(to)?;
    copy(&source, &partial.path).map_err(|error| refused(backup, &error))?;
    let identity =
        renew(&partial.path, how.actor, how.now).map_err(|error| refused(&partial.path, &error))?;
    if let Some(aside) = &aside {
        move_aside(to, aside).map_err(|error| unwritable(aside, &error))?;
    }
    partial.keep(to)?;
    Ok(Restored { identity, revision, aside })
}

/// Whether anything of a store lies there: its log alone holds acknowledged writes too.
fn is_there(to: &Path) -> bool {
    [to.to_owned(), beside(to, "-wal")].iter().any(|path| path.metadata().is_ok_and(|found| found.len() > 0))
}

/// Moves a store with the files that belong to it. Its log goes last: where that is all that is left behind a start
/// refuses, without it a start would lose writes.
fn move_aside(from: &Path, to: &Path) -> std::io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        match std::fs::rename(beside(from, suffix), beside(to, suffix)) {
            Err(error) if error.kind() != IoKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != IoKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn in_the_way(to: &Path) -> OperatorError {
    OperatorError::new(ErrorKind::Conflict, "there is a file already")
        .at(to.display().to_string())
        .hint("move it away first, or name another file; it was left as it is")
}

/// Gives the copy a new incarnation and says so in its audit.
fn renew(path: &Path, actor: &str, now: Timestamp) -> rusqlite::Result<Identity> {
    let mut connection = Connection::open(path)?;
    let found = match schema::version(&connection)? {
        schema::VERSION => Found::Ours,
        _ => Found::Older,
    };
    prepare(&mut connection, &found)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let at = u64::try_from(now.as_millisecond()).unwrap_or_default();
    // The time tells two restores of the same backup apart.
    transaction.execute(
        "UPDATE meta SET incarnation = max(incarnation + 1, ?1), revision = revision + ?2",
        params![at, LEAP],
    )?;
    transaction.execute("DELETE FROM changes", [])?;
    let (identity, revision) = (rows::identity(&transaction)?, rows::revision(&transaction)?);
    let entry = AuditEntry {
        number: 0,
        revision,
        at: now,
        actor: actor.to_owned(),
        action: "store.restore".to_owned(),
        ticket: String::new(),
        reason: String::new(),
        record: format!("store/{}", identity.id),
        refused: None,
        before: None,
        after: Some(format!("{{\"incarnation\":{},\"revision\":{revision}}}", identity.incarnation)),
        previous: Hash::START,
        hash: Hash::START,
    };
    apply::insert_audit(&transaction, &rows::head(&transaction)?.append(entry))?;
    transaction.commit()?;
    // One file alone is moved into place.
    connection.pragma_update(None, "journal_mode", "delete")?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(identity)
}

fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

/// One consistent state of the source; its writers do not wait.
fn copy(source: &Connection, to: &Path) -> rusqlite::Result<()> {
    source.execute("VACUUM INTO ?1", [to.to_string_lossy()]).map(drop)
}

/// A file in the making beside the one that it will be; gone unless it is kept.
struct Partial {
    path: PathBuf,
}

impl Partial {
    fn create(to: &Path) -> Result<Self, OperatorError> {
        if std::fs::metadata(to).is_ok_and(|found| found.len() > 0) {
            return Err(in_the_way(to));
        }
        Self::begin(to)
    }

    fn begin(to: &Path) -> Result<Self, OperatorError> {
        let path = beside(to, ".partial");
        // What an interrupted run left is of no use to anybody.
        remove(&path).map_err(|error| unwritable(&path, &error))?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            // It holds the store's secrets.
            options.mode(0o600);
        }
        options.open(&path).map_err(|error| unwritable(&path, &error))?;
        Ok(Self { path })
    }

    /// Moves the file to its place once it is on disk.
    fn keep(self, to: &Path) -> Result<(), OperatorError> {
        let keep = || -> std::io::Result<()> {
            File::open(&self.path)?.sync_all()?;
            std::fs::rename(&self.path, to)?;
            let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        };
        keep().map_err(|error| unwritable(to, &error))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Moved into place already, in the good case.
        let _gone = std::fs::remove_file(&self.path);
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> OperatorError {
    OperatorError::new(ErrorKind::Io, "the file cannot be written")
        .at(path.display().to_string())
        .caused_by(error)
        .hint("name a file in a directory that exists and can be written, on a disk with space for all of the store")
}
