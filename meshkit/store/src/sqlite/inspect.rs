//! A look at a store's files without changing them: what is damaged, foreign or newer is refused here.

use std::fs::File;
use std::io::{ErrorKind as IoKind, Read as _};
use std::path::Path;

use omnirelay_runtime::{ErrorKind, OperatorError};
use rusqlite::{Connection, OpenFlags};

use super::open::{beside, damaged, foreign, refused, unreadable};
use super::{migrate, rows, schema};

const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// What lies where the store should be.
pub(super) enum Found {
    /// No file, or an empty one.
    Nothing,
    /// A store of an older schema that can be taken over in full.
    Older,
    /// A store that can be read in full.
    Ours,
}

/// Says whether the file may be opened for writing. All of it is read: what is damaged must not be
/// written to, and is found here rather than by the first call that meets it.
pub(super) fn inspect(path: &Path) -> Result<Found, OperatorError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == IoKind::NotFound => return nothing(path, "the file is gone"),
        Err(error) => return Err(unreadable(path, &error)),
    };
    let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(foreign(path, "it is not a file"));
    }
    if metadata.len() == 0 {
        return nothing(path, "the file is empty");
    }
    let mut header = Vec::new();
    file.take(100).read_to_end(&mut header).map_err(|error| unreadable(path, &error))?;
    if header.len() < 100 || !header.starts_with(MAGIC) {
        return Err(foreign(path, "it is not an SQLite database"));
    }
    check(path)
}

/// There is no file, or nothing in it. A log beside it holds writes that were acknowledged, which SQLite would drop.
fn nothing(path: &Path, what: &str) -> Result<Found, OperatorError> {
    let log = beside(path, "-wal");
    match read_log(&log)? {
        Log::Nothing | Log::Unwritten => Ok(Found::Nothing),
        Log::Written => {
            let cause = format!("{what}, and its write-ahead log {} is there", log.display());
            Err(damaged(path).because(cause).hint(
                "put the file back beside its log or restore a backup; to begin with an empty store move the log away too",
            ))
        }
    }
}

/// The checks of SQLite itself and of every record, through a connection that cannot write.
fn check(path: &Path) -> Result<Found, OperatorError> {
    // Without a write-ahead log the file is all there is, and SQLite need not make files beside it.
    let immutable = if read_log(&beside(path, "-wal"))? == Log::Nothing { "&immutable=1" } else { "" };
    let uri = format!("file:{}?mode=ro{immutable}", escaped(path));
    let connection = read_only(&uri).map_err(|error| refused(path, &error))?;
    let application = connection.pragma_query_value(None, "application_id", |row| row.get::<_, i64>(0));
    if application.map_err(|error| refused(path, &error))? != i64::from(schema::APPLICATION_ID) {
        return Err(foreign(path, "it is another program's SQLite database"));
    }
    let version = schema::version(&connection).map_err(|error| refused(path, &error))?;
    if version > schema::VERSION {
        return Err(OperatorError::new(ErrorKind::Config, "the store was made by a newer meshkitd")
            .at(path.display().to_string())
            .because(format!(
                "it has schema {version}; this meshkitd knows schemas up to {}",
                schema::VERSION
            ))
            .hint("run the newer meshkitd again, or set `store.path` to a new file"));
    }
    if version == 0 {
        return Err(damaged(path).because("its schema has no number"));
    }
    // Pages and records take about as long; what the first finds is told rather than what follows of it.
    let (pages, records) = std::thread::scope(|scope| {
        let pages = scope.spawn(|| check_pages(path, &uri));
        let records = check_records(path, &connection, version);
        (pages.join(), records)
    });
    pages.unwrap_or_else(|_| Err(damaged(path).because("it cannot be checked")))?;
    records
}

fn check_pages(path: &Path, uri: &str) -> Result<(), OperatorError> {
    let verdict = read_only(uri)
        .and_then(|connection| {
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
        })
        .map_err(|error| refused(path, &error))?;
    match verdict.as_str() {
        "ok" => Ok(()),
        _ => Err(damaged(path).because(verdict.replace('\n', " "))),
    }
}

fn check_records(path: &Path, connection: &Connection, version: u32) -> Result<Found, OperatorError> {
    if let Some(missing) = schema::missing(connection, version).map_err(|error| refused(path, &error))? {
        return Err(damaged(path).because(format!("{missing} is not as meshkitd makes it")));
    }
    if version < schema::VERSION {
        migrate::check(connection).map_err(|error| damaged(path).caused_by(&error))?;
        return Ok(Found::Older);
    }
    rows::read_all(connection).map_err(|error| damaged(path).caused_by(&error))?;
    Ok(Found::Ours)
}

fn read_only(uri: &str) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(uri, flags)
}

/// What a write-ahead log looks like.
#[derive(PartialEq, Eq)]
enum Log {
    /// There is none, or an empty one.
    Nothing,
    /// A power cut left a header that never reached the disk: then nothing behind it did.
    Unwritten,
    /// It begins as a log does.
    Written,
}

/// Looks at a write-ahead log. SQLite passes over one whose header is broken, and with it over writes that were
/// acknowledged; here that is damage.
fn read_log(path: &Path) -> Result<Log, OperatorError> {
    let mut header = [0_u8; 32];
    let read = match File::open(path) {
        Ok(mut file) => file.read(&mut header),
        Err(error) if error.kind() == IoKind::NotFound => return Ok(Log::Nothing),
        Err(error) => Err(error),
    };
    match read.map_err(|error| unreadable(path, &error))? {
        0 => Ok(Log::Nothing),
        read if read < header.len() || header.iter().all(|byte| *byte == 0) => Ok(Log::Unwritten),
        _ if is_log_header(&header) => Ok(Log::Written),
        _ => Err(damaged(path).because("the write-ahead log has no valid header")),
    }
}

/// Magic number, version and checksum (SQLite's file format, section 4.1).
fn is_log_header(header: &[u8; 32]) -> bool {
    let word = |at: usize| {
        let bytes = header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.unwrap_or_default()
    };
    let magic = u32::from_be_bytes(word(0));
    let checked = |at: usize| match magic & 1 {
        0 => u32::from_le_bytes(word(at)),
        _ => u32::from_be_bytes(word(at)),
    };
    let (mut even, mut odd) = (0_u32, 0_u32);
    for at in [0, 8, 16] {
        even = even.wrapping_add(checked(at)).wrapping_add(odd);
        odd = odd.wrapping_add(checked(at + 4)).wrapping_add(even);
    }
    magic | 1 == 0x377f_0683
        && u32::from_be_bytes(word(4)) == 3_007_000
        && (even, odd) == (u32::from_be_bytes(word(24)), u32::from_be_bytes(word(28)))
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
