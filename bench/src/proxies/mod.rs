//! The relay beside nginx, HAProxy, Envoy and Caddy: the same upstream, the same load, one core for the proxy.

mod caller;
mod configs;
mod cross;
mod load;
mod measure;
mod page;
mod process;
mod progress;
mod proxy;
mod row;
mod running;
mod tls;
mod upstream;

use std::path::PathBuf;

use clap::Args;
use omnirelay_runtime::{ErrorKind, OperatorError, Result};

pub(crate) use load::{LoadArgs, run as load};
pub(crate) use upstream::{UpstreamArgs, serve as upstream};

use crate::Output;
use crate::peers::failed;
use measure::Plan;
use proxy::{Programs, Proxy};
use row::Row;
use running::{Cores, Scene};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Args)]
pub(crate) struct ProxiesArgs {
    /// The relay's program.
    #[arg(long)]
    relayd: PathBuf,
    /// Where the other proxies lie, as `bench/proxies.sh` makes it; those on the PATH without it.
    #[arg(long)]
    tools: Option<PathBuf>,
    /// Only these proxies.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Proxy>,
    /// Only these rows.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<Row>,
    /// Seconds of full load, and of load at the fixed rate, in one round.
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Rounds; each has every proxy in turn, and the median of them counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Calls a second at which latencies are taken.
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    /// Connections that rest.
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// Measures what a call costs by h2load as well.
    #[arg(long)]
    cross_check: bool,
    /// The core that the proxy has for itself.
    #[arg(long, default_value_t = 0)]
    proxy_core: usize,
    /// The core of the callers and of the upstream.
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// Writes the page of the reference to this file.
    #[arg(long)]
    write: Option<PathBuf>,
    /// What the page calls the commit that was measured.
    #[arg(long, default_value = "unknown")]
    commit: String,
}

pub(crate) async fn run(args: ProxiesArgs, output: Output) -> Result<()> {
    tokio::select! {
        // Asked first, so that a signal is heard before anything is started.
        biased;
        () = interrupted() => {
            Err(OperatorError::new(ErrorKind::Unavailable, "interrupted; what was started is ended"))
        }
        outcome = compare(args, output) => {
            outcome.map_err(|error| failed("the proxies cannot be compared", error.as_ref()))
        }
    }
}

/// Until somebody wants the measurement to end. What it started ends as it is dropped.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

async fn compare(args: ProxiesArgs, output: Output) -> std::result::Result<(), Failure> {
    let relayd = args.relayd.canonicalize().map_err(|error| format!("{}: {error}", args.relayd.display()))?;
    let programs = Programs { relayd, folder: args.tools };
    let chosen = |all: &[Proxy]| -> Vec<Proxy> {
        all.iter().copied().filter(|one| args.only.is_empty() || args.only.contains(one)).collect()
    };
    let rows = Row::ALL.into_iter().filter(|one| args.rows.is_empty() || args.rows.contains(one)).collect();
    let plan = Plan {
        proxies: chosen(&Proxy::ALL),
        rows,
        seconds: args.seconds,
        rounds: args.rounds.max(1),
        rate: args.rate,
        idle: args.idle,
        cross_check: args.cross_check,
    };
    let versions =
        plan.proxies.iter().map(|proxy| programs.version(*proxy)).collect::<std::result::Result<_, _>>()?;
    let scene = Scene::new(programs, Cores { proxy: args.proxy_core, load: args.load_core })?;
    let outcome = measure::measure(&plan, &scene, versions).await?;
    let (headings, rows) = outcome.table();
    crate::table::write(output, &outcome, &headings, &rows);
    if let Some(file) = &args.write {
        std::fs::write(file, page::page(&outcome, &args.commit))?;
    }
    Ok(())
}
