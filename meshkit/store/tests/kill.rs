//! What was acknowledged is there after `kill -9` at any instant.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a test says by panicking that it failed, and talks to its child by standard output"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use meshkit_store::{Expect, SqliteOptions, SqliteStore, Store as _};
use meshkit_testkit::records::{commit, peer, put};

const PATH: &str = "MESHKIT_STORE_KILL_PATH";
const KILLS: usize = 12;

#[tokio::test]
async fn acknowledged_writes_survive_kill() {
    match std::env::var_os(PATH) {
        Some(path) => write_for_ever(path.into()).await,
        None => kill_again_and_again().await,
    }
}

/// The child: writes peers for as long as it lives and tells each one once it is acknowledged.
async fn write_for_ever(path: PathBuf) {
    let store = SqliteStore::open(&SqliteOptions::new(path)).unwrap();
    let first = *store.revisions().borrow();
    for n in first.. {
        let writers = ["a", "b", "c"].map(|x| {
            let write = put(&peer(&format!("{x}{n}")), Expect::Absent);
            commit(&store, vec![write])
        });
        for done in futures_util::future::join_all(writers).await {
            let mut stdout = std::io::stdout();
            writeln!(stdout, "acknowledged {}", done.unwrap().revision).unwrap();
            stdout.flush().unwrap();
        }
    }
}

async fn kill_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mesh.db");
    let mut acknowledged = 0;
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "acknowledged_writes_survive_kill", "--nocapture"])
            .env(PATH, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Each round lets the child get a little further before it dies; what it had told until
        // then is in the pipe.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = 0;
        while told <= kill * 7 {
            let line = lines.next().unwrap().unwrap();
            told += usize::from(note(&line, &mut acknowledged));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            note(&line.unwrap(), &mut acknowledged);
        }
        let store = SqliteStore::open(&SqliteOptions::new(&path)).unwrap();
        let revision = *store.revisions().borrow();
        assert!(revision >= acknowledged, "{revision} < {acknowledged}");
        let changes = store.changes(0, u32::MAX).await.unwrap().unwrap();
        let revisions: Vec<_> = changes.iter().map(|change| change.revision).collect();
        assert_eq!(revisions, (1..=revision).collect::<Vec<_>>());
    }
    assert!(acknowledged > 100, "{acknowledged}");
}

/// Takes a line of the child's into account; others are the test harness's own.
fn note(line: &str, acknowledged: &mut u64) -> bool {
    let Some((_, revision)) = line.split_once("acknowledged ") else {
        return false;
    };
    // A line that the kill cut short tells nothing certain.
    let Ok(revision) = revision.parse::<u64>() else {
        return false;
    };
    *acknowledged = (*acknowledged).max(revision);
    true
}
