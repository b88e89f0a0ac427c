//! What was acknowledged is there after `kill -9` at any instant, and everything fits together.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    missing_docs,
    reason = "a test says by panicking that it failed, and talks to its child by standard output"
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use meshkit_model::{Kind, Peer};
use meshkit_store::audit::{AuditQuery, verify};
use meshkit_store::{Expect, Holds, SqliteOptions, SqliteStore, Store, Write};
use meshkit_testkit::records::{at, commit, id, mutation, peer, put, put_shard, read, shard};
use meshkit_testkit::validator::Dice;

const PATH: &str = "MESHKIT_STORE_KILL_PATH";
/// How many kills; fewer while one works on it.
const KILLS: &str = "MESHKIT_STORE_KILLS";
const KILLS_BY_DEFAULT: u64 = 2_000;
/// Kills of one file, before another begins empty.
const OF_ONE_FILE: u64 = 30;

#[tokio::test]
async fn acknowledged_writes_survive_kill() {
    match std::env::var_os(PATH) {
        Some(path) => write_for_ever(path.into()).await,
        None => kill_again_and_again().await,
    }
}

/// The child: writes for as long as it lives, tells each revision once it is acknowledged, and
/// copies its store now and then.
async fn write_for_ever(path: PathBuf) {
    let store = SqliteStore::open(&SqliteOptions::new(&path)).unwrap();
    let first = *store.revisions().borrow();
    if first == 0 {
        let fenced = put_shard(&shard(0, Some("a"), 1), Expect::Absent, 0);
        tell(commit(&store, vec![fenced]).await.unwrap().revision);
    }
    for n in first.. {
        let copy = path.with_extension(format!("copy-{n}"));
        let writers = ["a", "b", "c"].map(|x| write(&store, format!("{x}{n}")));
        let copying = async {
            if n % 16 == 0 {
                store.backup(&copy).await.unwrap();
                std::fs::remove_file(&copy).unwrap();
            }
        };
        tokio::join!(futures_util::future::join_all(writers), copying);
    }
}

/// A peer that comes under a guard, is heard, and goes again every other time.
async fn write(store: &SqliteStore, name: String) {
    let guard = Write::guard(Kind::Shard, "orders/0", Holds::Fence(1));
    let done = commit(store, vec![guard, put(&peer(&name), Expect::Absent)]).await.unwrap();
    tell(done.revision);
    store.touch(vec![(id(&name), at(5_000))]).await.unwrap();
    store.commit(mutation(vec![]).refused(format!("peer/{name}"), "no")).await.unwrap();
    if done.revision % 2 == 0 {
        let known = read::<Peer>(store, &name).await.unwrap();
        tell(commit(store, vec![Write::delete(&known)]).await.unwrap().revision);
    }
}

fn tell(revision: u64) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "acknowledged {revision}").unwrap();
    stdout.flush().unwrap();
}

async fn kill_again_and_again() {
    let kills = std::env::var(KILLS).map_or(KILLS_BY_DEFAULT, |kills| kills.parse().unwrap());
    let mut dice = Dice(9);
    let mut kill = 0;
    while kill < kills {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mesh.db");
        let mut acknowledged = 0;
        for _kill in 0..OF_ONE_FILE {
            live_and_die(&path, &mut dice, &mut acknowledged);
            check(&path, acknowledged).await;
            kill += 1;
        }
        assert!(acknowledged > OF_ONE_FILE, "{acknowledged}");
    }
}

fn live_and_die(path: &Path, dice: &mut Dice, acknowledged: &mut u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "acknowledged_writes_survive_kill", "--nocapture"])
        .env(PATH, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It dies after some acknowledgements, at whatever it is doing some microseconds later; what it
    // had told until then is in the pipe.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut told, wanted) = (0, 1 + dice.roll(25));
    while told < wanted {
        let line = lines.next().unwrap().unwrap();
        told += u64::from(note(&line, acknowledged));
    }
    std::thread::park_timeout(Duration::from_micros(dice.roll(4_000)));
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines {
        note(&line.unwrap(), acknowledged);
    }
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

/// Nothing acknowledged is lost, and records, changes and audit tell the same story.
async fn check(path: &Path, acknowledged: u64) {
    let store = SqliteStore::open(&SqliteOptions::new(path)).unwrap();
    let revision = *store.revisions().borrow();
    assert!(revision >= acknowledged, "{revision} < {acknowledged}");
    let changes = store.changes(0, u32::MAX).await.unwrap().unwrap();
    let revisions: Vec<_> = changes.iter().map(|change| change.revision).collect();
    assert_eq!(revisions, (1..=revision).collect::<Vec<_>>());
    let mut expected = BTreeMap::new();
    for change in &changes {
        match &change.value {
            Some(value) => expected.insert((change.kind, change.key.clone()), value.clone()),
            None => expected.remove(&(change.kind, change.key.clone())),
        };
    }
    let mut loading = store.load(&[Kind::Peer, Kind::Shard]).await.unwrap();
    let mut found = BTreeMap::new();
    while let Some(chunk) = loading.chunks.recv().await {
        found.extend(chunk.unwrap().into_iter().map(|entry| ((entry.kind, entry.key), entry.value)));
    }
    assert!(found == expected, "records are not what the changes made");
    let all = AuditQuery { oldest_first: true, limit: u32::MAX, ..AuditQuery::default() };
    let entries = store.audit(all).await.unwrap();
    verify(&entries).unwrap();
    let told = entries.iter().filter(|entry| entry.refused.is_none()).map(|entry| entry.revision);
    assert_eq!(told.collect::<Vec<_>>(), revisions);
    store.closed().await;
}
