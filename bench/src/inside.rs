//! What happens without a socket: a policy decision, a dispatch.

use std::time::Duration;

use clap::Args;
use omnirelay_runtime::Result;
use serde::Serialize;

use crate::Output;
use crate::cpu::Stopwatch;
use crate::table;
use omnirelay_bench::{Dispatch, PolicyCase};

#[derive(Args)]
pub(crate) struct InsideArgs {
    /// Seconds for each.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

#[derive(Serialize)]
struct Row {
    what: &'static str,
    nanoseconds: f64,
    target: f64,
}

pub(crate) async fn run(args: &InsideArgs, output: Output) -> Result<()> {
    let time = Duration::from_secs_f64(args.seconds);
    let mut rows = Vec::new();
    for case in PolicyCase::ALL {
        let policy = omnirelay_bench::Asked::new(case);
        let nanoseconds = repeat(time, || policy.decide());
        rows.push(Row { what: case.name(), nanoseconds, target: 100.0 });
    }
    for style in Dispatch::STYLES {
        let dispatch = Dispatch::new(style)?;
        let watch = Stopwatch::start();
        let mut calls = 0_u32;
        while watch.read().1 < time {
            for _ in 0..100 {
                dispatch.call().await;
            }
            calls += 100;
        }
        rows.push(Row { what: style.name(), nanoseconds: each(&watch, calls), target: 1000.0 });
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| vec![row.what.to_owned(), format!("{:.0}", row.nanoseconds), format!("{:.0}", row.target)])
        .collect();
    table::write(output, &rows, &["inside", "ns", "target"], &cells);
    Ok(())
}

fn repeat<T>(time: Duration, mut work: impl FnMut() -> T) -> f64 {
    let watch = Stopwatch::start();
    let mut calls = 0_u32;
    while watch.read().1 < time {
        for _ in 0..1000 {
            std::hint::black_box(work());
        }
        calls += 1000;
    }
    each(&watch, calls)
}

fn each(watch: &Stopwatch, calls: u32) -> f64 {
    watch.read().0.as_secs_f64() * 1e9 / f64::from(calls.max(1))
}
