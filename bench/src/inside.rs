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
        rows.push(Row {
            what: style.name(),
            nanoseconds: each_dispatch(time, &dispatch).await,
            target: 1000.0,
        });
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| vec![row.what.to_owned(), format!("{:.0}", row.nanoseconds), format!("{:.0}", row.target)])
        .collect();
    table::write(output, &rows, &["inside", "ns", "target"], &cells);
    Ok(())
}

/// Requests are made before the clock starts: a listener hands them over as they are.
async fn each_dispatch(time: Duration, dispatch: &Dispatch) -> f64 {
    let (whole, mut spent, mut calls) = (Stopwatch::start(), Duration::ZERO, 0_u32);
    while whole.read().1 < time {
        let requests: Vec<_> = (0..100).map(|_| dispatch.request()).collect();
        let watch = Stopwatch::start();
        for request in requests {
            std::hint::black_box(dispatch.call(request).await);
        }
        spent += watch.read().0;
        calls += 100;
    }
    spent.as_secs_f64() * 1e9 / f64::from(calls.max(1))
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
    watch.read().0.as_secs_f64() * 1e9 / f64::from(calls.max(1))
}
