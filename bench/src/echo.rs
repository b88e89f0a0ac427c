//! Calls per CPU-second of client and server together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_testkit::TestCa;
use serde::Serialize;

use crate::Output;
use crate::cpu::process_time;
use crate::peers::{Caller, Stack};
use crate::server::Server;
use crate::table;

#[derive(Args)]
pub(crate) struct EchoArgs {
    /// Seconds that each stack is measured for in one round.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Rounds; each has every stack in turn, and the median of them counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only stacks whose names contain this.
    #[arg(long, default_value = "")]
    stack: String,
    /// Only the shape with so many connections.
    #[arg(long)]
    connections: Option<usize>,
    /// Only bodies of so many bytes.
    #[arg(long)]
    bytes: Option<usize>,
}

/// How many connections, and how many calls at once on each.
const SHAPES: [(usize, usize); 2] = [(8, 16), (64, 1)];
const SIZES: [usize; 2] = [32, 16 << 10];
/// Calls that each caller makes before anything counts.
const WARM_UP: u32 = 50;

#[derive(Serialize)]
struct Outcome {
    unit: &'static str,
    seconds: f64,
    rounds: usize,
    results: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    stack: String,
    connections: usize,
    streams: usize,
    bytes: usize,
    /// The median of the rounds.
    calls_per_cpu_second: f64,
    calls_per_second: f64,
    /// Against the stack that it is compared with, in the same round; the median.
    ratio: Option<f64>,
    reference: Option<String>,
}

#[derive(Clone, Copy, Default)]
struct Sample {
    per_cpu: f64,
    per_wall: f64,
}

pub(crate) async fn run(args: &EchoArgs, output: Output) -> Result<()> {
    let ca = TestCa::new();
    let mut results = Vec::new();
    for (connections, streams) in SHAPES {
        for bytes in SIZES {
            let wanted = args.connections.is_none_or(|one| one == connections);
            if !wanted || args.bytes.is_some_and(|one| one != bytes) {
                continue;
            }
            results.extend(shape(args, &ca, connections, streams, bytes).await?);
        }
    }
    let rows: Vec<Vec<String>> = results.iter().map(cells).collect();
    let outcome = Outcome {
        unit: "calls per CPU-second of client and server together",
        seconds: args.seconds,
        rounds: args.rounds,
        results,
    };
    let headings = ["stack", "shape", "bytes", "calls/CPU-s", "us/call", "calls/s", "ratio"];
    table::write(output, &outcome, &headings, &rows);
    Ok(())
}

fn cells(row: &Row) -> Vec<String> {
    vec![
        row.stack.clone(),
        format!("{}x{}", row.connections, row.streams),
        row.bytes.to_string(),
        format!("{:.0}", row.calls_per_cpu_second),
        format!("{:.1}", 1e6 / row.calls_per_cpu_second),
        format!("{:.0}", row.calls_per_second),
        row.ratio.map_or_else(|| "1".to_owned(), |ratio| format!("{ratio:.2}")),
    ]
}

async fn shape(
    args: &EchoArgs,
    ca: &TestCa,
    connections: usize,
    streams: usize,
    bytes: usize,
) -> Result<Vec<Row>> {
    let stacks: Vec<Stack> =
        Stack::ECHOES.into_iter().filter(|stack| stack.name().contains(&args.stack)).collect();
    let mut samples = vec![Vec::new(); stacks.len()];
    for _ in 0..args.rounds {
        for (stack, samples) in stacks.iter().zip(&mut samples) {
            samples.push(sample(args, *stack, ca, connections, streams, bytes).await?);
        }
    }
    let rows = stacks.iter().enumerate().map(|(index, stack)| {
        let own = &samples[index];
        let reference = stack.reference().and_then(|wanted| stacks.iter().position(|one| *one == wanted));
        Row {
            stack: stack.name(),
            connections,
            streams,
            bytes,
            calls_per_cpu_second: median(own.iter().map(|sample| sample.per_cpu)),
            calls_per_second: median(own.iter().map(|sample| sample.per_wall)),
            ratio: reference
                .map(|other| median(own.iter().zip(&samples[other]).map(|(a, b)| a.per_cpu / b.per_cpu))),
            reference: reference.map(|other| stacks[other].name()),
        }
    });
    Ok(rows.collect())
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

async fn sample(
    args: &EchoArgs,
    stack: Stack,
    ca: &TestCa,
    connections: usize,
    streams: usize,
    bytes: usize,
) -> Result<Sample> {
    let mut server = Server::start(stack, ca)?;
    let (callers, guard) = stack.connect(ca, server.port, connections).await?;
    // Connections come up, datagrams find their size and buffers grow before anything counts.
    load(&callers, streams, bytes, WARM_UP, Duration::from_secs_f64(args.seconds / 5.0)).await?;
    let (before, began) = (process_time() + server.cpu()?, Instant::now());
    let calls = load(&callers, streams, bytes, 0, Duration::from_secs_f64(args.seconds)).await?;
    let (cpu, wall) = (process_time() + server.cpu()? - before, began.elapsed());
    drop((callers, guard, server));
    // What the last stack leaves behind is not the next one's to pay for.
    tokio::time::sleep(Duration::from_millis(50)).await;
    #[allow(clippy::cast_precision_loss, reason = "nobody makes 2^52 calls")]
    let calls = calls as f64;
    Ok(Sample { per_cpu: calls / cpu.as_secs_f64(), per_wall: calls / wall.as_secs_f64() })
}

async fn load(
    callers: &[Caller],
    streams: usize,
    bytes: usize,
    at_least: u32,
    time: Duration,
) -> Result<u64> {
    let body = Bytes::from(vec![b'x'; bytes]);
    let done = Arc::new(AtomicU64::new(0));
    let until = Instant::now() + time;
    let mut running = Vec::new();
    for caller in callers {
        for _ in 0..streams {
            let (caller, body, done) = (Arc::clone(caller), body.clone(), Arc::clone(&done));
            running.push(omnirelay_runtime::spawn("caller", async move {
                let mut own = 0;
                while own < at_least || Instant::now() < until {
                    own += 1;
                    let size = caller(body.clone()).await?;
                    if size != body.len() {
                        return Err(format!("{size} bytes came back of {}", body.len()));
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }));
        }
    }
    for one in running {
        let outcome = one.await.unwrap_or_else(|error| Err(error.to_string()));
        outcome
            .map_err(|error| OperatorError::new(ErrorKind::Unavailable, "a call failed").because(error))?;
    }
    Ok(done.load(Ordering::Relaxed))
}
