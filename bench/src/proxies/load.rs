//! The callers: a process of its own, so that it can be kept off the proxy's core.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::caller::{Caller, Target};
use super::row::Row;
use super::{Failure, process};

/// Handshakes that are under way at once while connections are opened.
const OPENING: usize = 32;
/// Calls that have to be answered at full load.
const AT_LEAST: u64 = 100;

#[derive(Args)]
pub(crate) struct LoadArgs {
    #[arg(long)]
    row: Row,
    #[arg(long)]
    port: u16,
    #[arg(long)]
    ca: PathBuf,
    /// The process whose processor time and memory are read.
    #[arg(long)]
    watch: u32,
    #[command(subcommand)]
    shape: Shape,
}

#[derive(Subcommand)]
enum Shape {
    /// One call.
    Once,
    /// Each caller makes its next call when it has its answer.
    Saturate { seconds: f64 },
    /// Calls leave by the clock, so many a second.
    Rate { rate: f64, seconds: f64 },
    /// Opens connections, makes a call on each and leaves them at rest.
    Hold { connections: usize },
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Measured {
    /// Calls that were answered, or connections that were opened.
    pub(super) count: u64,
    pub(super) seconds: f64,
    /// Processor time of who was watched, in seconds.
    pub(super) cpu: f64,
    /// Resident memory of who was watched at the end, in bytes.
    pub(super) resident: u64,
    /// Latencies in microseconds.
    pub(super) p50: f64,
    pub(super) p99: f64,
}

pub(crate) async fn run(args: &LoadArgs) -> Result<(), Failure> {
    let target = Arc::new(Target::new(args.row, args.port, &args.ca)?);
    let measured = match args.shape {
        Shape::Once => {
            target.connect().await?.call(&target).await?;
            Measured::default()
        }
        Shape::Saturate { seconds } => saturate(args, &target, seconds).await?,
        Shape::Rate { rate, seconds } => steady(args, &target, rate, seconds).await?,
        Shape::Hold { connections } => hold(args, &target, connections).await?,
    };
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&measured)?)?;
    Ok(())
}

async fn callers(target: &Target) -> Result<Vec<Caller>, Failure> {
    let (connections, streams) = target.row().shape();
    let mut callers = Vec::with_capacity(connections * streams);
    for _ in 0..connections {
        let mut first = target.connect().await?;
        first.call(target).await?;
        callers.extend((1..streams).filter_map(|_| first.another()));
        callers.push(first);
    }
    Ok(callers)
}

async fn saturate(args: &LoadArgs, target: &Arc<Target>, seconds: f64) -> Result<Measured, Failure> {
    let (done, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
    let running: Vec<_> = callers(target)
        .await?
        .into_iter()
        .map(|mut caller| {
            let (target, done, over) = (Arc::clone(target), Arc::clone(&done), Arc::clone(&over));
            omnirelay_runtime::spawn("caller", async move {
                while !over.load(Relaxed) {
                    caller.call(&target).await?;
                    done.fetch_add(1, Relaxed);
                }
                Ok::<_, Failure>(())
            })
        })
        .collect();
    // Datagrams find their size, pools fill and buffers grow before anything counts.
    tokio::time::sleep(Duration::from_secs_f64((seconds / 3.0).min(0.5))).await;
    let (before, first, began) = (process::cpu(args.watch)?, done.load(Relaxed), Instant::now());
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    let (mut cpu, mut calls) = (process::cpu(args.watch)? - before, done.load(Relaxed) - first);
    // On a machine with much else to do a short time is longer: nothing can be said of no call.
    while (calls < AT_LEAST || cpu <= 0.0) && !running.iter().any(tokio::task::JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        (cpu, calls) = (process::cpu(args.watch)? - before, done.load(Relaxed) - first);
    }
    let seconds = began.elapsed().as_secs_f64();
    over.store(true, Relaxed);
    for one in running {
        one.await??;
    }
    let resident = process::resident(args.watch)?;
    Ok(Measured { count: calls, seconds, cpu, resident, ..Measured::default() })
}

/// Callers that wait for work, and how long calls took in microseconds.
struct Bench {
    idle: Mutex<Vec<Caller>>,
    took: Mutex<Vec<f64>>,
    failed: Mutex<Option<Failure>>,
}

async fn steady(args: &LoadArgs, target: &Arc<Target>, rate: f64, seconds: f64) -> Result<Measured, Failure> {
    let bench = Arc::new(Bench {
        idle: Mutex::new(callers(target).await?),
        took: Mutex::default(),
        failed: Mutex::default(),
    });
    let mut all = bench.idle.lock().unwrap_or_else(PoisonError::into_inner).len();
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    let (began, mut left) = (Instant::now(), 0_u64);
    let mut waiting = Vec::new();
    while began.elapsed().as_secs_f64() < seconds {
        tick.tick().await;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds times a rate")]
        let due = (began.elapsed().as_secs_f64() * rate) as u64;
        // Who cannot leave, as all callers are busy, counts from when it should have.
        waiting.extend((left..due).map(|_| Instant::now()));
        left = due.max(left);
        while !waiting.is_empty() {
            let caller = bench.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(caller) = caller else { break };
            leave(&bench, target, caller, waiting.remove(0));
        }
    }
    // Everybody comes back, or has failed.
    while all > 0 {
        if let Some(failed) = bench.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(failed);
        }
        let back = bench.idle.lock().unwrap_or_else(PoisonError::into_inner).drain(..).count();
        all -= back;
        tick.tick().await;
    }
    let mut took = std::mem::take(&mut *bench.took.lock().unwrap_or_else(PoisonError::into_inner));
    took.sort_by(f64::total_cmp);
    let at = |percent: usize| took.get(took.len() * percent / 100).copied().unwrap_or_default();
    Ok(Measured {
        count: u64::try_from(took.len())?,
        seconds,
        resident: process::resident(args.watch)?,
        p50: at(50),
        p99: at(99),
        ..Measured::default()
    })
}

fn leave(bench: &Arc<Bench>, target: &Arc<Target>, mut caller: Caller, since: Instant) {
    let (bench, target) = (Arc::clone(bench), Arc::clone(target));
    omnirelay_runtime::spawn("caller", async move {
        match caller.call(&target).await {
            Ok(()) => {
                let took = since.elapsed().as_secs_f64() * 1e6;
                bench.took.lock().unwrap_or_else(PoisonError::into_inner).push(took);
                bench.idle.lock().unwrap_or_else(PoisonError::into_inner).push(caller);
            }
            Err(failed) => *bench.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(failed),
        }
    });
}

async fn hold(args: &LoadArgs, target: &Arc<Target>, connections: usize) -> Result<Measured, Failure> {
    let (cpu, began) = (process::cpu(args.watch)?, Instant::now());
    let open: Vec<Caller> = stream::iter(0..connections)
        .map(|_| async {
            let mut caller = target.connect().await?;
            caller.call(target).await?;
            Ok::<_, Failure>(caller)
        })
        .buffer_unordered(OPENING)
        .try_collect()
        .await?;
    let (cpu, seconds) = (process::cpu(args.watch)? - cpu, began.elapsed().as_secs_f64());
    // What handshakes left behind is given back.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let resident = process::resident(args.watch)?;
    Ok(Measured { count: u64::try_from(open.len())?, seconds, cpu, resident, ..Measured::default() })
}
