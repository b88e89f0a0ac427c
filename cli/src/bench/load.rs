//! Calls at once, each as soon as it is its turn.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use omnirelay_runtime::{OperatorError, Result, spawn};
use relay_client::Channel;
use relay_core::{DowngradeReason, Protocol};

use super::histogram::Histogram;
use super::target::{Came, Target};
use crate::args::Load;
use crate::progress::Progress;

/// How often the live line moves.
const TICK: Duration = Duration::from_millis(250);
/// The most kinds of failures that are told apart.
const MAX_KINDS: usize = 32;

/// What came of the calls.
#[derive(Debug)]
pub(super) struct Tally {
    /// How long calls took that were answered well.
    pub(super) times: Histogram,
    /// How much later than they should calls left that nothing held up: what the measuring itself is off by.
    pub(super) late: Histogram,
    failed: AtomicU64,
    bytes: AtomicU64,
    unsent: AtomicU64,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// Few, so they are looked through.
    protocols: Vec<((Protocol, Option<DowngradeReason>), u64)>,
    failures: BTreeMap<String, u64>,
    first: Option<OperatorError>,
}

impl Tally {
    fn new() -> Self {
        let [failed, bytes, unsent] = std::array::from_fn(|_| AtomicU64::new(0));
        Self {
            times: Histogram::new(),
            late: Histogram::new(),
            failed,
            bytes,
            unsent,
            told: Mutex::default(),
        }
    }

    /// Calls that ended, well or not.
    pub(super) fn calls(&self) -> u64 {
        self.times.count() + self.failed()
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// Calls whose turn had come and that had not left when the time was over.
    pub(super) fn unsent(&self) -> u64 {
        self.unsent.load(Relaxed)
    }

    /// Bytes in the bodies of good answers.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// How many answers came over what, by name.
    pub(super) fn protocols(&self) -> BTreeMap<String, u64> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let named = told.protocols.iter().map(|((protocol, downgrade), count)| match downgrade {
            Some(reason) => (format!("{protocol} ({reason})"), *count),
            None => (protocol.to_string(), *count),
        });
        named.collect()
    }

    /// How many calls failed of what.
    pub(super) fn failures(&self) -> BTreeMap<String, u64> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).failures.clone()
    }

    pub(super) fn first_failure(&self) -> Option<OperatorError> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).first.clone()
    }

    fn record(&self, outcome: Result<Came>, time: Duration) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(came) => {
                self.times.record(time);
                self.bytes.fetch_add(came.bytes, Relaxed);
                let way = (came.protocol, came.downgrade);
                match told.protocols.iter_mut().find(|(known, _)| *known == way) {
                    Some((_, count)) => *count += 1,
                    None => told.protocols.push((way, 1)),
                }
            }
            Err(error) => {
                self.failed.fetch_add(1, Relaxed);
                let kind = match told.failures.len() {
                    0..MAX_KINDS => error.to_string(),
                    _ => "other".to_owned(),
                };
                *told.failures.entry(kind).or_default() += 1;
                told.first.get_or_insert(error);
            }
        }
    }
}

/// When which call leaves, and when no more do.
struct Plan {
    began: Instant,
    interval: Option<Duration>,
    ends: Instant,
    left: u64,
    next: AtomicU64,
    stopped: AtomicBool,
}

/// Puts load on a target until the time is over, all calls are made, or Ctrl-C; says how long that took.
pub(super) async fn put(target: &Arc<Target>, load: &Load) -> Result<(Arc<Tally>, Duration)> {
    let channels: Vec<Channel> = (0..load.connections).map(|_| target.connection()).collect::<Result<_>>()?;
    // Connections come up before the clock runs; where none does, there is nothing to measure.
    for channel in &channels {
        target.call(channel).await?;
    }
    let (tally, began) = (Arc::new(Tally::new()), Instant::now());
    let plan = Arc::new(Plan {
        began,
        interval: load.rate.map(|rate| Duration::from_secs(1) / rate),
        ends: began + load.duration,
        left: load.calls.unwrap_or(u64::MAX),
        next: AtomicU64::new(0),
        stopped: AtomicBool::new(false),
    });
    let at_once = load.concurrency.max(load.connections);
    let workers: Vec<_> = channels
        .iter()
        .cycle()
        .take(at_once.into())
        .map(|channel| {
            let (target, channel) = (Arc::clone(target), channel.clone());
            let (plan, tally) = (Arc::clone(&plan), Arc::clone(&tally));
            spawn("bench", async move { work(&target, &channel, &plan, &tally).await })
        })
        .collect();
    let all = async {
        for worker in workers {
            // One that panicked says so by itself.
            let _ended = worker.await;
        }
    };
    watch(all, &plan, &tally).await;
    let took = began.elapsed();
    if !plan.stopped.load(Relaxed) {
        tally.unsent.store(plan.wanted().saturating_sub(tally.calls()), Relaxed);
    }
    for channel in channels {
        channel.close().await;
    }
    Ok((tally, took))
}

/// Shows how it goes until all calls have ended. The first Ctrl-C lets no more leave.
async fn watch(all: impl Future<Output = ()>, plan: &Plan, tally: &Tally) {
    let mut progress = Progress::new();
    let mut tick = tokio::time::interval(TICK);
    tokio::pin!(all);
    loop {
        tokio::select! {
            () = &mut all => break,
            _ = tokio::signal::ctrl_c(), if !plan.stopped.load(Relaxed) => plan.stopped.store(true, Relaxed),
            _ = tick.tick() => {
                let (calls, seconds) = (tally.calls(), plan.began.elapsed().as_secs_f64());
                let p99 = tally.times.quantile(0.99).as_secs_f64() * 1e3;
                #[allow(clippy::cast_precision_loss, reason = "it is shown to people")]
                let rate = calls as f64 / seconds.max(1e-9);
                progress.waiting(&format!("{calls} calls, {rate:.0}/s, p99 {p99:.2} ms, {} failed", tally.failed()));
            }
        }
    }
    progress.clear();
}

/// Makes calls on one connection, one after the other.
async fn work(target: &Target, channel: &Channel, plan: &Plan, tally: &Tally) {
    while !plan.stopped.load(Relaxed) {
        let number = plan.next.fetch_add(1, Relaxed);
        if number >= plan.left {
            return;
        }
        let Some(from) = plan.turn(number, tally).await else { return };
        let outcome = target.call(channel).await;
        tally.record(outcome, from.elapsed());
    }
}

impl Plan {
    /// Waits for the turn of a call; says from when it counts, and nothing where it is not made any more.
    async fn turn(&self, number: u64, tally: &Tally) -> Option<Instant> {
        let now = Instant::now();
        let due = self.due(number).unwrap_or(now);
        // A target that cannot keep up is not waited for: what is left over is told.
        if due >= self.ends || now >= self.ends {
            return None;
        }
        if due <= now {
            // It was held up by the calls before it.
            return Some(due);
        }
        tokio::time::sleep_until(due.into()).await;
        let left = Instant::now();
        // The timer is late by up to a millisecond, which is no fault of who answers.
        tally.late.record(left - due);
        Some(left)
    }

    /// How many calls there should be by the clock; nought where there is none.
    fn wanted(&self) -> u64 {
        let Some(interval) = self.interval else { return 0 };
        let turns = (self.ends - self.began).as_nanos().div_ceil(interval.as_nanos().max(1));
        u64::try_from(turns).unwrap_or(u64::MAX).min(self.left)
    }

    /// When a call should leave; nothing where it leaves as soon as it can.
    fn due(&self, number: u64) -> Option<Instant> {
        let interval = self.interval?;
        let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).saturating_mul(number);
        Some(self.began.checked_add(Duration::from_nanos(nanos)).unwrap_or(self.ends))
    }
}
