//! Writes through three meshkitd on three etcd, while any of them is killed or cut off: all of them could have come from a single copy
//! of the data, and none that was acknowledged is lost.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test says by panicking that it failed, and on standard output how it went"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meshkit_client::{Change, MeshClient, MeshError, Seen, v1};
use meshkit_fleet::{Fleet, Programs, eventually, inside, is_thorough};
use meshkit_testkit::register::{Call, What, violation};
use relay_core::Code;

/// The records that are written.
const KEYS: [&str; 3] = ["eu-1", "eu-2", "eu-3"];
/// What tells a write from every other.
const FIELD: &str = "written";
/// How many writes are acknowledged before the next thing happens.
const WRITES: u64 = 100;
/// How long a writer waits for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

#[test]
fn writes_are_linearizable_whatever_fails() {
    inside("writes_are_linearizable_whatever_fails", || {
        tokio::runtime::Runtime::new().unwrap().block_on(disturbed());
    });
}

/// What writers did.
struct History {
    began: Instant,
    calls: Mutex<Vec<Call>>,
    acknowledged: AtomicU64,
    goes_on: AtomicBool,
}

impl History {
    fn now(&self) -> u128 {
        self.began.elapsed().as_micros()
    }
}

async fn disturbed() {
    let mut fleet = Fleet::start_control_plane(Programs::find(env!("CARGO_BIN_EXE_fleet-host"))).await;
    let admin = fleet.admin_at("meshkit-1");
    for key in KEYS {
        admin.create_cluster(spec(key, "nobody"), &change(Seen::Any)).await.unwrap();
    }
    let history = Arc::new(History {
        began: Instant::now(),
        calls: Mutex::default(),
        acknowledged: AtomicU64::new(0),
        goes_on: AtomicBool::new(true),
    });
    let mut writers = Vec::new();
    for meshkitd in fleet.names("meshkit") {
        for key in KEYS {
            let client = fleet.admin_at(&meshkitd).with_timeout(PATIENCE);
            let (history, name) = (Arc::clone(&history), format!("{meshkitd}-{key}"));
            writers.push(omnirelay_runtime::spawn("writer", async move {
                write_on(&client, &history, key, &name).await;
            }));
        }
    }
    goes_on(&history, "at first").await;
    let leader = fleet.etcd_leader().await;
    let mut struck = vec![leader, "meshkit-1".to_owned()];
    if is_thorough() {
        struck = fleet.names("etcd").into_iter().chain(fleet.names("meshkit")).collect();
    }
    for name in struck {
        fleet.kill(&name);
        goes_on(&history, &format!("without {name}")).await;
        fleet.run(&name).await;
        if !is_thorough() && name.starts_with("etcd") {
            continue;
        }
        fleet.cut(&name);
        goes_on(&history, &format!("cut off from {name}")).await;
        fleet.heal(&name);
        fleet.mute(&name, true);
        goes_on(&history, &format!("while {name} is mute")).await;
        fleet.mute(&name, false);
    }
    history.goes_on.store(false, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }

    // Every meshkitd comes to say the same, which is at least what was acknowledged.
    for meshkitd in fleet.names("meshkit") {
        let client = fleet.admin_at(&meshkitd).with_timeout(PATIENCE);
        for key in KEYS {
            let newest = newest(&history, key);
            eventually("the newest version is there", async || {
                client.get_cluster(key).await.is_ok_and(|answer| answer.value.record_version >= newest)
            })
            .await;
            let began = history.now();
            let found = client.get_cluster(key).await.unwrap().value;
            let value = found.spec.unwrap().annotations[FIELD].clone();
            let what = What::Read { version: found.record_version, value };
            let call = Call { key: key.to_owned(), began, ended: Some(history.now()), what };
            history.calls.lock().unwrap().push(call);
        }
        let audit = client.verify_audit().await.unwrap().value;
        assert!(audit.intact, "{audit:?}");
    }
    let calls = history.calls.lock().unwrap();
    let unknown = calls.iter().filter(|call| call.ended.is_none()).count();
    println!(
        "{} calls: {} acknowledged, {unknown} without an answer",
        calls.len(),
        history.acknowledged.load(Ordering::Relaxed)
    );
    assert_eq!(violation(&calls), None);
}

/// Waits until so many more writes were acknowledged.
async fn goes_on(history: &History, when: &str) {
    let began = Instant::now();
    let wanted = history.acknowledged.load(Ordering::Relaxed) + WRITES;
    eventually(&format!("writes go on {when}"), async || {
        history.acknowledged.load(Ordering::Relaxed) >= wanted
    })
    .await;
    println!("{when}: {WRITES} writes in {:?}", began.elapsed());
}

fn newest(history: &History, key: &str) -> u64 {
    let calls = history.calls.lock().unwrap();
    let version = |call: &Call| match call.what {
        What::Write { version, done: true, .. } if call.key == key => Some(version),
        _ => None,
    };
    calls.iter().filter_map(version).max().unwrap_or(0)
}

/// Writes on top of what it sees, again and again.
async fn write_on(client: &MeshClient, history: &History, key: &'static str, name: &str) {
    for n in 0.. {
        if !history.goes_on.load(Ordering::Relaxed) {
            return;
        }
        let Ok(seen) = client.get_cluster(key).await else {
            client.close().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (before, value) = (seen.value.record_version, format!("{name}-{n}"));
        let began = history.now();
        let wrote =
            client.update_cluster(spec(key, &value), &["annotations"], &change(Seen::Version(before))).await;
        let ended = history.now();
        let (done, ended) = match wrote {
            Ok(answer) => {
                assert_eq!(answer.value.record.record_version, before + 1, "{value}");
                history.acknowledged.fetch_add(1, Ordering::Relaxed);
                (true, Some(ended))
            }
            Err(error) if is_refusal(&error) => (false, Some(ended)),
            // Nobody knows.
            Err(_) => (false, None),
        };
        let what = What::Write { version: before + 1, value, done };
        history.calls.lock().unwrap().push(Call { key: key.to_owned(), began, ended, what });
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether an answer says that the write was not carried out.
fn is_refusal(error: &MeshError) -> bool {
    matches!(error.code, Code::Aborted | Code::FailedPrecondition | Code::InvalidArgument)
}

fn spec(key: &str, value: &str) -> v1::ClusterSpec {
    v1::ClusterSpec {
        id: key.to_owned(),
        annotations: BTreeMap::from([(FIELD.to_owned(), value.to_owned())]).into_iter().collect(),
        ..v1::ClusterSpec::default()
    }
}

fn change(seen: Seen) -> Change {
    Change::of(seen).ticket("OPS-7").reason("a test")
}
