//! Three nodes write to one etcd of three members while nodes are killed and members are killed and paused:
//! what was acknowledged is there, and all of it could have come from a single copy of the data.
//!
//! `MESHKIT_STORE_KILLS` says how many nodes are killed; fewer while one works on it.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a test says by panicking that it failed, and its nodes talk by standard output"
)]

mod support;

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meshkit_model::{Kind, Peer, Record as _};
use meshkit_store::{EtcdOptions, EtcdStore, Expect, Mutation, Store, StoreError, Write, audit};
use meshkit_testkit::records::{at, peer};
use meshkit_testkit::register::{Call, What, violation};
use relay_testkit::{EtcdCluster, kill};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot};

/// Makes a process of this test a node: where its etcd is.
const NODE: &str = "MESHKIT_STORE_NODE";
const KILLS: u64 = 300;
/// Every so many kills of a node a member of etcd is killed and another one paused, which takes seconds.
const KILLS_A_MEMBER: u64 = 15;
const NODES: usize = 3;
const CLIENTS: usize = 6;
const KEYS: u64 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_and_members_fail_and_nothing_is_lost() {
    match std::env::var(NODE) {
        Ok(place) => node(&place).await,
        Err(_) => disturb(EtcdCluster::start(3).with_users(support::PREFIX)).await,
    }
}

/// A record whose value tells its writer.
fn record(key: &str, value: &str, version: u64) -> Peer {
    let mut peer = peer(key);
    value.clone_into(&mut peer.spec.version);
    peer.record_version = version;
    peer
}

// ---- a node: carries out what standard input says, and tells the outcome

async fn node(place: &str) {
    let mut options = support::from_words(place);
    options.history_kept = Some(Duration::from_millis(700));
    let store = EtcdStore::open(&options).await.unwrap_or_else(|error| panic!("{}", error.report(false)));
    say("ready");
    let (sender, mut lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || std::io::stdin().lines().try_for_each(|line| sender.send(line.unwrap())));
    while let Some(line) = lines.recv().await {
        let store = store.clone();
        omnirelay_runtime::spawn("call", async move {
            let words: Vec<&str> = line.split(' ').collect();
            let outcome = match words.as_slice() {
                [_, "read", key] => read(&store, key).await,
                [_, "write", key, version, value] => {
                    write(&store, key, version.parse().unwrap(), value).await
                }
                _ => panic!("{line}"),
            };
            say(&format!("{} {outcome}", words[0]));
        });
    }
}

fn say(line: &str) {
    println!("{line}");
}

async fn read(store: &EtcdStore, key: &str) -> String {
    match store.get(Kind::Peer, key.to_owned()).await {
        Ok(None) => "found 0 -".to_owned(),
        Ok(Some(entry)) => {
            let peer: Peer = serde_json::from_str(&entry.value).unwrap();
            format!("found {} {}", entry.version, peer.spec.version)
        }
        Err(error) => format!("failed {error}"),
    }
}

async fn write(store: &EtcdStore, key: &str, version: u64, value: &str) -> String {
    let expect = if version == 1 { Expect::Absent } else { Expect::Version(version - 1) };
    let write = Write::put(&record(key, value, 0), expect).unwrap();
    match store.commit(Mutation::new("tester", "peer.write", at(1)).write(write)).await {
        Ok(_) => "done".to_owned(),
        Err(StoreError::Conflict { .. }) => "refused".to_owned(),
        // It says that nothing was changed, and is held to it.
        Err(StoreError::Unavailable(_)) => "refused".to_owned(),
        Err(StoreError::Unknown(_)) => "unknown".to_owned(),
        Err(error) => panic!("{error}"),
    }
}

// ---- the one who disturbs

/// A node's process, and the calls that it has not answered.
struct Node {
    child: Child,
    stdin: ChildStdin,
    waiting: Arc<Mutex<HashMap<u64, oneshot::Sender<String>>>>,
}

impl Node {
    async fn start(place: &str) -> Self {
        let name = "nodes_and_members_fail_and_nothing_is_lost";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(NODE, place)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The harness of the child's test speaks first, and on the same line.
        while !lines.next_line().await.unwrap().unwrap().ends_with("ready") {}
        let waiting: Arc<Mutex<HashMap<u64, oneshot::Sender<String>>>> = Arc::default();
        let answers = Arc::clone(&waiting);
        omnirelay_runtime::spawn("answers", async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some((id, outcome)) = line.split_once(' ')
                    && let Ok(id) = id.parse()
                    && let Some(reply) = answers.lock().unwrap().remove(&id)
                {
                    let _gone = reply.send(outcome.to_owned());
                }
            }
            // The node is dead: who waits hears that nobody knows.
            answers.lock().unwrap().clear();
        });
        Self { child, stdin, waiting }
    }
}

/// All nodes, the clock and what was called.
struct Scene {
    place: String,
    nodes: Vec<tokio::sync::Mutex<Option<Node>>>,
    alive: [AtomicBool; NODES],
    is_over: AtomicBool,
    clock: Instant,
    calls: Mutex<Vec<Call>>,
    number: AtomicU64,
}

impl Scene {
    /// Calls a node; none where it died over it, or was dead before.
    async fn call(&self, node: usize, what: &str) -> (u128, Option<(String, u128)>) {
        let began = self.clock.elapsed().as_nanos();
        let (reply, outcome) = oneshot::channel();
        let id = self.number.fetch_add(1, Ordering::Relaxed);
        {
            let mut node = self.nodes[node].lock().await;
            let Some(node) = node.as_mut() else { return (began, None) };
            node.waiting.lock().unwrap().insert(id, reply);
            if node.stdin.write_all(format!("{id} {what}\n").as_bytes()).await.is_err() {
                node.waiting.lock().unwrap().remove(&id);
            }
        }
        let answered = outcome.await.ok();
        (began, answered.map(|answer| (answer, self.clock.elapsed().as_nanos())))
    }

    async fn read(&self, node: usize, key: &str) -> Option<u64> {
        let (began, answer) = self.call(node, &format!("read {key}")).await;
        let (answer, ended) = answer?;
        let mut words = answer.strip_prefix("found ")?.split(' ');
        let version = words.next()?.parse().ok()?;
        let what = What::Read { version, value: words.next()?.to_owned() };
        self.note(Call { key: key.to_owned(), began, ended: Some(ended), what });
        Some(version)
    }

    async fn write(&self, node: usize, key: &str, version: u64, value: String) {
        let (began, answer) = self.call(node, &format!("write {key} {version} {value}")).await;
        let known = answer.filter(|(answer, _)| answer != "unknown");
        let done = known.as_ref().is_some_and(|(answer, _)| answer == "done");
        let what = What::Write { version, value, done };
        self.note(Call { key: key.to_owned(), began, ended: known.map(|(_, ended)| ended), what });
    }

    fn note(&self, call: Call) {
        self.calls.lock().unwrap().push(call);
    }

    /// One of the nodes that run, where one does.
    fn any(&self, random: &mut Seeded) -> usize {
        let first = random.index(NODES);
        let mut others = (0..NODES).map(|step| (first + step) % NODES);
        others.find(|node| self.alive[*node].load(Ordering::Relaxed)).unwrap_or(first)
    }

    /// Kills a node and starts it again.
    async fn kill(&self, node: usize) {
        self.alive[node].store(false, Ordering::Relaxed);
        // Who calls it meanwhile waits until it is back.
        let mut place = self.nodes[node].lock().await;
        if let Some(mut taken) = place.take() {
            kill(taken.child.id().unwrap());
            taken.child.wait().await.unwrap();
        }
        *place = Some(Node::start(&self.place).await);
        self.alive[node].store(true, Ordering::Relaxed);
    }
}

/// Numbers from a seed (splitmix64).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn index(&mut self, below: usize) -> usize {
        usize::try_from(self.below(below as u64)).unwrap()
    }
}

async fn disturb(mut cluster: EtcdCluster) {
    let kills = std::env::var("MESHKIT_STORE_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let options = support::options(&cluster);
    let place = support::words(&options);
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        nodes.push(tokio::sync::Mutex::new(Some(Node::start(&place).await)));
    }
    let scene = Arc::new(Scene {
        place,
        nodes,
        alive: std::array::from_fn(|_| AtomicBool::new(true)),
        is_over: AtomicBool::new(false),
        clock: Instant::now(),
        calls: Mutex::default(),
        number: AtomicU64::default(),
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let scene = Arc::clone(&scene);
            omnirelay_runtime::spawn("client", async move { calls(&scene, client).await })
        })
        .collect();

    let mut random = Seeded(7);
    for round in 0..kills {
        tokio::time::sleep(Duration::from_millis(random.below(100))).await;
        let member = random.index(3);
        match round % KILLS_A_MEMBER {
            2 => cluster.kill(member),
            4 => cluster.pause(member),
            _ => {}
        }
        scene.kill(random.index(NODES)).await;
        match round % KILLS_A_MEMBER {
            2 => cluster.restart(member),
            4 => cluster.proceed(member),
            _ => {}
        }
    }
    cluster.wait();
    scene.is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    judge(&scene, &options).await;
}

/// Reads and writes until it is over.
async fn calls(scene: &Scene, client: usize) {
    let mut random = Seeded(client as u64);
    for n in 0_u64.. {
        if scene.is_over.load(Ordering::Relaxed) {
            return;
        }
        let key = format!("k{}", random.below(KEYS));
        let Some(version) = scene.read(scene.any(&mut random), &key).await else { continue };
        scene.write(scene.any(&mut random), &key, version + 1, format!("c{client}-{n}")).await;
    }
}

async fn judge(scene: &Scene, options: &EtcdOptions) {
    let store = EtcdStore::open(options).await.unwrap();
    for key in (0..KEYS).map(|n| format!("k{n}")) {
        let began = scene.clock.elapsed().as_nanos();
        let found = store.get(Kind::Peer, key.clone()).await.unwrap().unwrap();
        let peer: Peer = serde_json::from_str(&found.value).unwrap();
        assert_eq!((peer.key(), peer.version()), (key.clone(), found.version));
        let what = What::Read { version: found.version, value: peer.spec.version };
        let ended = Some(scene.clock.elapsed().as_nanos());
        scene.note(Call { key, began, ended, what });
    }
    let calls = scene.calls.lock().unwrap().clone();
    let done = |call: &&Call| matches!(call.what, What::Write { done: true, .. });
    assert!(calls.iter().filter(done).count() > 100, "few writes were acknowledged: {}", calls.len());
    assert_eq!(violation(&calls), None);

    // The change log tells of every version once and in order, and so of every acknowledged write.
    let changes = store.changes(0, u32::MAX).await.unwrap().unwrap();
    let mut versions: HashMap<String, u64> = HashMap::new();
    let mut told = HashMap::new();
    for (n, change) in (1..).zip(&changes) {
        assert_eq!(change.revision, n);
        let version = versions.entry(change.key.clone()).or_default();
        assert_eq!(change.version, *version + 1, "{change:?}");
        *version = change.version;
        let peer: Peer = serde_json::from_str(change.value.as_ref().unwrap()).unwrap();
        told.insert((change.key.clone(), change.version), peer.spec.version);
    }
    for call in calls.iter().filter(done) {
        let What::Write { version, value, .. } = &call.what else { continue };
        assert_eq!(told.get(&(call.key.clone(), *version)), Some(value), "{call:?}");
    }
    let query = audit::AuditQuery { oldest_first: true, limit: u32::MAX, ..audit::AuditQuery::default() };
    let entries = store.audit(query).await.unwrap();
    assert_eq!(entries.len(), changes.len());
    audit::verify(&entries).unwrap();
}

#[test]
fn the_judge_is_not_fooled() {
    let call = |began, ended, what| Call { key: "k".to_owned(), began, ended, what };
    let write = |version, value: &str, done| What::Write { version, value: value.to_owned(), done };
    let read = |version, value: &str| What::Read { version, value: value.to_owned() };
    let good = vec![
        call(0, Some(2), write(1, "a", true)),
        call(1, Some(5), read(1, "a")),
        call(3, None, write(2, "b", false)),
        call(4, Some(6), read(2, "b")),
        call(4, Some(9), write(2, "c", false)),
    ];
    assert_eq!(violation(&good), None);
    for (bad, why) in [
        (call(3, Some(4), write(1, "z", true)), "is both"),
        (call(7, Some(8), read(1, "a")), "back in time"),
        (call(7, Some(8), read(0, "-")), "back in time"),
        (call(0, Some(1), read(2, "b")), "before it was written"),
        (call(7, Some(8), read(3, "q")), "nobody wrote"),
        (call(1, Some(3), write(2, "b", false)), "refused and carried out"),
    ] {
        let history = [good.as_slice(), &[bad]].concat();
        let found = violation(&history).unwrap();
        assert!(found.contains(why), "{found}");
    }
}
