//! A file that must not be opened is refused with cause and hint, and left byte for byte.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a test says by panicking that it failed, and has no readers from outside"
)]

use std::path::Path;

use meshkit_model::Peer;
use meshkit_store::{Expect, SqliteOptions, SqliteStore};
use meshkit_testkit::records::{commit, peer, put, read};
use omnirelay_runtime::{ErrorKind, OperatorError};

fn open(path: &Path) -> Result<SqliteStore, OperatorError> {
    SqliteStore::open(&SqliteOptions::new(path))
}

/// A store with some records in it, closed.
async fn filled(path: &Path) {
    let store = open(path).unwrap();
    for n in 0..100 {
        let write = put(&peer(&format!("p{n}")), Expect::Absent);
        commit(&store, vec![write]).await.unwrap();
    }
}

/// Opening `path` fails as told and changes nothing about the file.
#[track_caller]
fn refused(path: &Path, kind: ErrorKind, message: &str) {
    let before = std::fs::read(path).ok();
    let error = open(path).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (kind, message));
    assert!(error.hint_text().is_some());
    assert!(error.report(false).contains("cause:"), "{}", error.report(false));
    assert_eq!(std::fs::read(path).ok(), before, "the file was touched");
}

#[tokio::test]
async fn damage_anywhere_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let good = directory.path().join("good.db");
    filled(&good).await;
    let bytes = std::fs::read(&good).unwrap();
    let path = directory.path().join("bad.db");
    // Page 1 holds the schema; the later ones hold records.
    for from in [100, 4_096, bytes.len() / 2] {
        let mut bad = bytes.clone();
        bad[from..from + 1_000].fill(0xAA);
        std::fs::write(&path, bad).unwrap();
        refused(&path, ErrorKind::Config, "the store is damaged");
    }
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    refused(&path, ErrorKind::Config, "the store is damaged");
}

/// A store of several megabytes, most of it history.
async fn large(path: &Path) {
    let store = open(path).unwrap();
    for round in 0..30 {
        let writes = (0..100).map(|n| {
            let mut peer = peer(&format!("p{round}-{n}"));
            peer.spec.labels.insert("note".to_owned(), "x".repeat(200));
            put(&peer, Expect::Absent)
        });
        commit(&store, writes.collect()).await.unwrap();
    }
}

#[tokio::test]
async fn damage_in_a_large_store_is_refused_too() {
    let directory = tempfile::tempdir().unwrap();
    let good = directory.path().join("good.db");
    large(&good).await;
    let bytes = std::fs::read(&good).unwrap();
    assert!(bytes.len() > 4 << 20, "{}", bytes.len());
    let connection = rusqlite::Connection::open(&good).unwrap();
    let sql = "SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0";
    let roots: Vec<(String, usize)> = connection
        .prepare(sql)
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    drop(connection);
    assert!(roots.iter().any(|(name, _)| name == "changes_by_revision"), "{roots:?}");
    let path = directory.path().join("bad.db");
    for (_table, root) in roots {
        let mut bad = bytes.clone();
        bad[(root - 1) * 4_096..root * 4_096].fill(0xAA);
        std::fs::write(&path, bad).unwrap();
        refused(&path, ErrorKind::Config, "the store is damaged");
    }
}

#[tokio::test]
async fn records_and_tables_that_no_meshkitd_made_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let good = directory.path().join("good.db");
    filled(&good).await;
    let path = directory.path().join("bad.db");
    for sql in [
        "DROP TABLE touched",
        "DROP TABLE audit",
        "DROP INDEX changes_by_revision",
        "DELETE FROM meta",
        "UPDATE records SET value = '{broken' WHERE key = 'p7'",
        "UPDATE records SET value = replace(value, 'alive', 'zombie') WHERE key = 'p7'",
        "UPDATE records SET version = 9 WHERE key = 'p7'",
        "UPDATE records SET kind = 'planet' WHERE key = 'p7'",
        "INSERT INTO touched VALUES ('NOBODY', 0)",
    ] {
        std::fs::copy(&good, &path).unwrap();
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(connection);
        refused(&path, ErrorKind::Config, "the store is damaged");
    }
}

#[tokio::test]
async fn a_log_that_lost_its_header_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (path, log) = (directory.path().join("mesh.db"), directory.path().join("mesh.db-wal"));
    filled(&path).await;
    let store = open(&path).unwrap();
    commit(&store, vec![put(&peer("late"), Expect::Absent)]).await.unwrap();
    // As a kill leaves it: what was acknowledged last stands in the log alone.
    let (main, written) = (std::fs::read(&path).unwrap(), std::fs::read(&log).unwrap());
    drop(store);
    std::fs::write(&path, &main).unwrap();
    for at in [0, 5, 17, 30] {
        let mut bad = written.clone();
        bad[at] ^= 0x40;
        std::fs::write(&log, &bad).unwrap();
        refused(&path, ErrorKind::Config, "the store is damaged");
        assert_eq!(std::fs::read(&log).unwrap(), bad, "the log was touched");
    }
    std::fs::write(&log, &written).unwrap();
    let store = open(&path).unwrap();
    assert!(read::<Peer>(&store, "late").await.is_some());
}

#[test]
fn foreign_files_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    for text in ["dear diary".to_owned(), "dear diary".repeat(100)] {
        std::fs::write(&path, text).unwrap();
        refused(&path, ErrorKind::Config, "the store's file is not a MeshKit store");
    }
    let other = directory.path().join("other.db");
    let connection = rusqlite::Connection::open(&other).unwrap();
    connection.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(connection);
    refused(&other, ErrorKind::Config, "the store's file is not a MeshKit store");
    refused(directory.path(), ErrorKind::Config, "the store's file is not a MeshKit store");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mesh.db");
    filled(&path).await;
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 3).unwrap();
    drop(connection);
    refused(&path, ErrorKind::Config, "the store was made by a newer meshkitd");
}

#[test]
fn a_store_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mesh.db");
    let first = open(&path).unwrap();
    refused(&path, ErrorKind::Conflict, "the store is in use by another meshkitd");
    drop(first);
    open(&path).unwrap();
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing/mesh.db");
    refused(&missing, ErrorKind::Io, "the store's directory cannot be written");
    refused(Path::new("/proc/mesh.db"), ErrorKind::Io, "the store's directory cannot be written");
}

#[test]
fn an_empty_file_becomes_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mesh.db");
    std::fs::write(&path, "").unwrap();
    drop(open(&path).unwrap());
    drop(open(&path).unwrap());
}
