//! Calls by shard key through a real relayd, which learns from a real meshkitd who owns what.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a test says by panicking that it failed, and has no readers from outside"
)]

mod support;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use meshkit_client::{AssignShard, Change, Place, Registration, Seen, ShardFilter, ShardHost, ShardOwner};
use omnirelay_runtime::{DrainController, Metrics};
use relay_client::{Channel, ChannelConfig};
use relay_core::{Protocol, RpcStyle, Status, headers};
use relay_transport::{Body, Listener, ListenerConfig, body, respond};
use support::cut::Cut;
use support::relay::Relay;
use support::{Bench, Meshkitd, OBSERVER, OPERATOR, eventually, peer};

const NAMESPACE: &str = "[[shards.namespaces]]\nname = \"stock\"\nservice = \"inventory\"\nshards = 8\n\
                         handover = \"acknowledged\"\n";
const SHARDS: u32 = 8;

/// What all owners accepted: the highest fence of each shard; and how often they refused.
#[derive(Default)]
struct Accepted {
    fences: Mutex<HashMap<u32, u64>>,
    refused: AtomicU64,
}

impl Accepted {
    fn accept(&self, shard: u32, fence: u64) {
        let mut fences = self.fences.lock().unwrap();
        let highest = fences.entry(shard).or_default();
        assert!(fence >= *highest, "shard {shard} is written under the stale fence {fence}, not {highest}");
        *highest = fence;
    }
}

struct Service;

impl ShardOwner for Service {
    async fn warm(&self, _place: &Place) {}
    async fn acquire(&self, _place: &Place, _fence: u64) {}
    async fn drain(&self, _place: &Place, _fence: u64, _successor: &str) {}
    async fn release(&self, _place: &Place) {}
}

/// An owner in this process: its listener, its shards and its registration.
struct Owner {
    host: ShardHost,
    leaves: DrainController,
    listener: DrainController,
    cut: Arc<Cut>,
}

impl Owner {
    fn join(bench: &Bench, meshkitd: &Meshkitd, id: &'static str, accepted: &Arc<Accepted>) -> Self {
        let tls = bench.ca.server_tls(&format!("spiffe://omnirelay.dev/service/{id}"));
        let config = ListenerConfig::new(([127, 0, 0, 1], 0), tls);
        let listener = Listener::bind("owner", &config, &Metrics::default()).unwrap();
        let mut peer = peer(id, "inventory");
        peer.endpoints[0].url = format!("https://{}", listener.local_addr());

        let (client, cut) = Cut::client(bench, meshkitd);
        let (leaves, ends) = (DrainController::new(), DrainController::new());
        let host = ShardHost::spawn(client.clone(), "stock", id, Arc::new(Service), leaves.drain());
        let (served, accepted) = (host.clone(), Arc::clone(accepted));
        let service = tower::service_fn(move |request: Request<Body>| {
            let (host, accepted) = (served.clone(), Arc::clone(&accepted));
            let headers = request.into_parts().0.headers;
            async move { Ok::<_, Infallible>(answer(&host, id, &accepted, &headers).await) }
        });
        omnirelay_runtime::spawn("owner", listener.serve(service, ends.drain()));
        let ended = host.clone();
        let registration = Registration::new(client, peer);
        let _state = registration.goodbye_after(async move { ended.ended().await }).spawn(leaves.drain());
        Self { host, leaves, listener: ends, cut }
    }

    /// Is gone without a word.
    fn crash(self) {
        self.cut.set(true);
        self.listener.start();
    }

    /// Hands its shards over, and ends.
    async fn leave(self) {
        self.leaves.start();
        assert_eq!(self.leaves.finished(Duration::from_secs(20)).await, 0);
        self.listener.start();
    }
}

/// Who accepted the call; a refusal where the shard is another's.
async fn answer(host: &ShardHost, id: &str, accepted: &Accepted, asked: &HeaderMap) -> Response<Body> {
    let Some(key) = asked.get(headers::RPC_SHARD_KEY) else {
        return Response::new(body::full(id.to_owned()));
    };
    match host.enter_soon(key.as_bytes(), Duration::from_secs(1)).await {
        Ok(entered) if entered.is_valid() => {
            accepted.accept(entered.shard(), entered.fence());
            Response::new(body::full(id.to_owned()))
        }
        _ => {
            accepted.refused.fetch_add(1, Ordering::Relaxed);
            let moved = Status::unavailable("the shard is another's").with_name(headers::STALE_OWNER);
            respond::status(RpcStyle::Yarpc, &moved)
        }
    }
}

fn ask(key: &str) -> Request<Body> {
    let request = Request::post("/yarpc/v1")
        .header("rpc-service", "inventory")
        .header("rpc-procedure", "Get")
        .header("rpc-encoding", "raw")
        .header("context-ttl-ms", "10000")
        .header("content-length", "0");
    let request = if key.is_empty() { request } else { request.header(headers::RPC_SHARD_KEY, key) };
    request.body(body::empty()).unwrap()
}

/// The answer, or what it says was wrong.
async fn called(channel: &Channel, key: &str) -> Result<String, String> {
    let answer = channel.send(ask(key)).await.map_err(|error| error.to_string())?;
    let failure = respond::read_yarpc_status(answer.status(), answer.headers());
    let bytes =
        body::collect_limited(answer.into_body(), 1 << 10).await.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    failure.map_or(Ok(text), |status| Err(status.to_string()))
}

#[derive(Default)]
struct Told {
    answered: AtomicU64,
    failed: Mutex<Vec<String>>,
}

/// One call after another, each of another key.
async fn load(channel: Channel, first: u64, told: Arc<Told>, goes_on: Arc<AtomicBool>) {
    let mut n = first;
    while goes_on.load(Ordering::Relaxed) {
        n += 7;
        match called(&channel, &format!("item-{n}")).await {
            Ok(_) => told.answered.fetch_add(1, Ordering::Relaxed),
            Err(failure) => {
                told.failed.lock().unwrap().push(failure);
                0
            }
        };
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn relay(bench: &Bench, meshkitd: &Meshkitd) -> Relay {
    let own = bench.ca.issue("spiffe://omnirelay.dev/service/relay-1");
    let (certificate, key, ca) = (own.certificate, own.private_key, bench.ca.ca());
    let server = format!("{{ certificate = {certificate:?}, private_key = {key:?}, client_ca = {ca:?} }}");
    let client = format!("{{ ca = {ca:?}, certificate = {certificate:?}, private_key = {key:?} }}");
    Relay::start(
        &bench.ca,
        &format!(
            r#"kind = "relay"
node = {{ name = "relay-1" }}
data = {{ address = "127.0.0.1:0", tls = {server} }}
admin = {{ address = "127.0.0.1:0", tls = {server} }}
[auth]
identities = [{{ spiffe = "spiffe://omnirelay.dev/operator/*", scope = "mesh.observe" }}]
[mesh]
endpoint = "https://{}"
tls = {client}
[[outbounds]]
name = "inventory"
mesh = {{ service = "inventory", namespace = "stock" }}
tls = {client}
[[routes]]
service = "inventory"
outbound = "inventory"
"#,
            meshkitd.address
        ),
    )
}

async fn serving(bench: &Bench, meshkitd: &Meshkitd) -> HashMap<String, u32> {
    let client = bench.client(meshkitd, Protocol::Http3, OBSERVER);
    let mut serving = HashMap::new();
    for shard in client.shards(ShardFilter::default()).await.unwrap().value {
        if !shard.leader.is_empty() && shard.successor.is_empty() {
            *serving.entry(shard.leader).or_insert(0) += 1;
        }
    }
    serving
}

async fn shared_by(bench: &Bench, meshkitd: &Meshkitd, owners: usize) {
    eventually(&format!("{owners} share"), async || {
        let serving = serving(bench, meshkitd).await;
        serving.len() == owners && serving.values().sum::<u32>() == SHARDS
    })
    .await;
}

fn channel(bench: &Bench, url: &str) -> Channel {
    let caller = bench.ca.client_tls(Some("spiffe://omnirelay.dev/operator/caller"));
    Channel::new(&ChannelConfig::new(url, caller)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_follow_their_shards_and_none_fails() {
    let bench = Bench::new(NAMESPACE);
    let meshkitd = bench.start(&[]);
    let relay = relay(&bench, &meshkitd);
    let channel_to_relay = channel(&bench, &relay.data);

    // Nobody is there: a caller hears which shard waits for whom.
    let short = {
        let mut request = ask("item-1");
        request.headers_mut().insert("context-ttl-ms", http::HeaderValue::from_static("300"));
        channel_to_relay.send(request).await.unwrap()
    };
    let refused = respond::read_yarpc_status(short.status(), short.headers()).unwrap();
    assert_eq!(refused.code, relay_core::Code::Unavailable, "{refused}");

    let accepted = Arc::new(Accepted::default());
    let ids = ["inventory-1", "inventory-2", "inventory-3"];
    let mut owners: Vec<Owner> = ids.iter().map(|id| Owner::join(&bench, &meshkitd, id, &accepted)).collect();
    shared_by(&bench, &meshkitd, 3).await;

    // Each key reaches its owner at once, and calls without one reach anybody.
    let operator = bench.client(&meshkitd, Protocol::Http3, OPERATOR);
    eventually("the relay knows the owners", async || called(&channel_to_relay, "item-0").await.is_ok())
        .await;
    for n in 0..50 {
        let key = format!("item-{n}");
        let owner = operator.lookup_shard("stock", key.as_bytes()).await.unwrap().value.owner;
        assert_eq!(called(&channel_to_relay, &key).await.unwrap(), owner, "{key}");
    }
    assert_eq!(accepted.refused.load(Ordering::Relaxed), 0, "the owner was asked at once");
    let mut anybody = std::collections::HashSet::new();
    for _ in 0..100 {
        anybody.insert(called(&channel_to_relay, "").await.unwrap());
    }
    assert!(anybody.iter().all(|id| ids.contains(&id.as_str())), "{anybody:?}");

    let (told, goes_on) = (Arc::new(Told::default()), Arc::new(AtomicBool::new(true)));
    let loads: Vec<_> = (0..4)
        .map(|n| {
            let channel = channel(&bench, &relay.data);
            tokio::spawn(load(channel, n, Arc::clone(&told), Arc::clone(&goes_on)))
        })
        .collect();

    // Every shard moves to one owner, and back to all.
    for peer in ["inventory-1", ""] {
        for id in 0..SHARDS {
            eventually("it is assigned", async || {
                let fence = operator.get_shard("stock", id).await.unwrap().value.fence;
                let asked = AssignShard { namespace: "stock".to_owned(), id, peer: peer.to_owned(), fence };
                operator.assign_shard(&asked, &Change::of(Seen::Any).ticket("OPS-7")).await.is_ok()
            })
            .await;
        }
        let wanted = if peer.is_empty() { 3 } else { 1 };
        shared_by(&bench, &meshkitd, wanted).await;
    }
    // One leaves as processes do.
    owners.remove(1).leave().await;
    shared_by(&bench, &meshkitd, 2).await;
    assert_eq!(told.failed.lock().unwrap().clone(), Vec::<String>::new(), "everything was planned");

    // The control plane is away for a while: who owns what does not change.
    meshkitd.pause();
    let before = told.answered.load(Ordering::Relaxed);
    eventually("calls go on", async || told.answered.load(Ordering::Relaxed) > before + 100).await;
    meshkitd.resume();

    // One crashes: calls wait until its lease has certainly ended and another took over.
    owners.remove(1).crash();
    shared_by(&bench, &meshkitd, 1).await;
    let answered = told.answered.load(Ordering::Relaxed);
    eventually("calls go on", async || told.answered.load(Ordering::Relaxed) > answered + 100).await;
    goes_on.store(false, Ordering::Relaxed);
    for load in loads {
        load.await.unwrap();
    }
    assert_eq!(told.failed.lock().unwrap().clone(), Vec::<String>::new());
}
