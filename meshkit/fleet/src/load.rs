//! Callers: two for each shard, each with one call after another through the relays, who write down what they were told. The calls of
//! one may be carried out twice, those of the other may not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use meshkit_client::shard_of_key;
use relay_client::Channel;
use relay_core::headers;
use relay_transport::{Body, body, respond};
use tokio::task::JoinHandle;

use crate::check::Called;
use crate::owner::micros;
use crate::text::SHARDS;

/// How long a caller waits for an answer, whatever happens.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it waits for a relay before it asks the other one, where the call may be carried out twice.
const TRY: Duration = Duration::from_secs(2);
/// Between two calls of one caller.
const PAUSE: Duration = Duration::from_millis(120);

/// Steady load.
pub struct Load {
    shared: Arc<Shared>,
    callers: Vec<JoinHandle<()>>,
}

struct Shared {
    relays: Vec<Channel>,
    told: Mutex<Vec<Called>>,
    calls: AtomicU64,
    goes_on: AtomicBool,
}

/// For how long no call of a shard was answered, at most, in a time.
#[derive(Clone, Debug, Default)]
pub struct Gaps(pub BTreeMap<u32, Duration>);

impl Load {
    /// Begins.
    #[must_use]
    pub fn start(relays: Vec<Channel>) -> Self {
        let shared = Arc::new(Shared {
            relays,
            told: Mutex::default(),
            calls: AtomicU64::new(0),
            goes_on: AtomicBool::new(true),
        });
        let caller = |n| {
            let shared = Arc::clone(&shared);
            omnirelay_runtime::spawn("caller", async move { shared.call_on(n / 2, n % 2 == 0).await })
        };
        let callers = (0..2 * SHARDS).map(caller).collect();
        Self { shared, callers }
    }

    /// Waits until so many more calls were answered.
    pub async fn goes_on(&self, more: u64) {
        let wanted = self.shared.calls.load(Ordering::Relaxed) + more;
        crate::eventually("calls are answered", async || self.shared.calls.load(Ordering::Relaxed) >= wanted)
            .await;
    }

    /// Waits until each of these shards was answered for again.
    pub async fn answered(&self, shards: &[u32]) {
        let since = micros();
        crate::eventually("each shard is answered for", async || {
            let told = self.shared.told.lock().unwrap();
            let is_there = |shard: &u32| {
                told.iter()
                    .rev()
                    .take_while(|one| one.ended > since)
                    .any(|one| one.shard == *shard && one.answer.is_ok() && one.began > since)
            };
            shards.iter().all(is_there)
        })
        .await;
    }

    /// All calls so far.
    #[must_use]
    pub fn told(&self) -> Vec<Called> {
        self.shared.told.lock().unwrap().clone()
    }

    /// The calls that failed, of those that ended behind a moment.
    #[must_use]
    pub fn failed(&self, since: u64) -> Vec<Called> {
        self.told().into_iter().filter(|one| one.ended > since && one.answer.is_err()).collect()
    }

    /// The longest time without an answer, by shard, from a moment on.
    #[must_use]
    pub fn gaps(&self, since: u64) -> Gaps {
        let mut last: BTreeMap<u32, u64> = BTreeMap::new();
        let mut gaps = Gaps::default();
        let mut told = self.told();
        told.sort_by_key(|one| one.ended);
        for one in told.iter().filter(|one| one.answer.is_ok()) {
            let before = last.insert(one.shard, one.ended).unwrap_or(one.began);
            if one.ended > since {
                let gap = gaps.0.entry(one.shard).or_default();
                *gap = (*gap).max(Duration::from_micros(one.ended - before));
            }
        }
        gaps
    }

    /// Ends, and gives all calls.
    pub async fn stop(self) -> Vec<Called> {
        self.shared.goes_on.store(false, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.unwrap();
        }
        self.shared.told.lock().unwrap().clone()
    }
}

impl Gaps {
    /// The longest of some shards.
    #[must_use]
    pub fn longest(&self, of: impl Fn(u32) -> bool) -> Duration {
        self.0.iter().filter(|(shard, _)| of(**shard)).map(|(_, gap)| *gap).max().unwrap_or_default()
    }
}

/// The moment, as records say it.
#[must_use]
pub fn now() -> u64 {
    micros()
}

impl Shared {
    async fn call_on(&self, shard: u32, idempotent: bool) {
        let keys: Vec<String> = (0..)
            .map(|n| format!("item-{n}"))
            .filter(|key| shard_of_key(key.as_bytes(), SHARDS) == shard)
            .take(5)
            .collect();
        let mut n = 0_usize;
        while self.goes_on.load(Ordering::Relaxed) {
            n += 1;
            let call = format!("{}{shard}-{n}", if idempotent { "put" } else { "add" });
            let began = micros();
            let first = (n + shard as usize) % self.relays.len();
            let answer = self.patiently(&call, &keys[n % keys.len()], idempotent, first).await;
            if answer.is_ok() {
                self.calls.fetch_add(1, Ordering::Relaxed);
            }
            let called = Called { call, shard, idempotent, began, ended: micros(), answer };
            self.told.lock().unwrap().push(called);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Calls one relay, and the other one where that is safe.
    async fn patiently(
        &self,
        call: &str,
        key: &str,
        idempotent: bool,
        first: usize,
    ) -> Result<(String, u64), String> {
        let until = tokio::time::Instant::now() + PATIENCE;
        let mut at = first;
        loop {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            let relay = &self.relays[at % self.relays.len()];
            at += 1;
            let time = if idempotent { left.min(TRY) } else { left };
            let asked = tokio::time::timeout(time, ask(relay, call, key, idempotent, left)).await;
            let why = match asked {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err((why, may_repeat))) if may_repeat || idempotent => why,
                Ok(Err((why, _))) => return Err(why),
                Err(_) if idempotent => "no answer".to_owned(),
                Err(_) => return Err("no answer".to_owned()),
            };
            if tokio::time::Instant::now() + Duration::from_millis(20) >= until {
                return Err(why);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// One call; what went wrong comes with whether it certainly did nothing.
async fn ask(
    relay: &Channel,
    call: &str,
    key: &str,
    idempotent: bool,
    left: Duration,
) -> Result<(String, u64), (String, bool)> {
    let answer = relay
        .send(request(call, key, idempotent, left))
        .await
        .map_err(|error| (relay_core::Status::from(&error).to_string(), error.is_unsent()))?;
    if let Some(status) = respond::read_yarpc_status(answer.status(), answer.headers()) {
        return Err((status.to_string(), false));
    }
    let bytes = body::collect_limited(answer.into_body(), 256).await;
    let text = bytes.map_err(|error| (error.to_string(), false))?;
    let text = String::from_utf8_lossy(&text);
    let (owner, fence) = text.split_once(' ').ok_or_else(|| (text.to_string(), false))?;
    Ok((owner.to_owned(), fence.parse().unwrap()))
}

fn request(call: &str, key: &str, idempotent: bool, left: Duration) -> Request<Body> {
    let mut request = Request::post("/yarpc/v1")
        .header("rpc-service", "inventory")
        .header("rpc-procedure", if idempotent { "Put" } else { "Add" })
        .header("rpc-encoding", "raw")
        .header("context-ttl-ms", left.as_millis().to_string())
        .header(headers::RPC_SHARD_KEY, key);
    if idempotent {
        request = request.extension(relay_client::Idempotent);
    }
    request.body(body::full(call.to_owned())).unwrap()
}
