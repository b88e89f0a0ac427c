//! Measures the control plane's store: durable writes, pages, fan-out to watchers, and a start with
//! a million shards. One line of JSON a figure.

mod load;
mod map;
mod pages;
mod placement;
mod watchers;
mod writes;

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use meshkit_store::{SqliteOptions, SqliteStore, View};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

#[derive(Parser)]
#[command(about = "Measures the control plane's store, one line of JSON a figure")]
struct Args {
    /// Where the store is made; a folder of its own by default. What counts is the disk.
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Durable writes a second.
    Writes(writes::WritesArgs),
    /// Pages of 1 000 of 10 000 peers while somebody writes.
    Peers(pages::PeersArgs),
    /// A change until the last of 10 000 watchers has it.
    Watchers(watchers::WatchersArgs),
    /// Start, memory, pages and lookups with a million shards.
    Shards(load::ShardsArgs),
    /// Placing 100 000 shards among 1 000 nodes, from nothing and after a change of nodes.
    Placement(placement::PlacementArgs),
    /// The SDK's map: a snapshot, differences and lookups by key.
    Map(map::MapArgs),
    /// The start of `shards`, a process of its own.
    #[command(hide = true)]
    ShardsStart(load::StartArgs),
}

fn main() -> std::process::ExitCode {
    let args = Args::parse();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run(args)));
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            // A reader that is gone needs no outcome.
            let _reader_gone = writeln!(std::io::stderr(), "error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Outcome {
    let directory = match args.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let path = directory.path().join("mesh.db");
    match args.command {
        Command::Writes(args) => writes::run(&args, &open(&path).await?).await,
        Command::Peers(args) => pages::run(&args, &open(&path).await?).await,
        Command::Watchers(args) => watchers::run(&args, &open(&path).await?).await,
        Command::Shards(args) => load::run(&args, &path).await,
        Command::ShardsStart(args) => load::start(&args).await,
        Command::Placement(args) => placement::run(&args),
        Command::Map(args) => map::run(&args),
    }
}

async fn open(path: &std::path::Path) -> Result<View, Box<dyn std::error::Error + Send + Sync>> {
    let store = SqliteStore::open(&SqliteOptions::new(path)).map_err(|error| error.report(false))?;
    Ok(View::open(Arc::new(store)).await?)
}

/// Writes a figure.
fn tell(figure: &serde_json::Value) {
    let _reader_gone = writeln!(std::io::stdout(), "{figure}");
}

/// Median, 99th percentile and worst of some times, in milliseconds.
fn spread(mut times: Vec<Duration>) -> serde_json::Value {
    times.sort_unstable();
    let at = |share: f64| {
        let last = times.len().saturating_sub(1) as f64;
        let time = times.get((last * share).round() as usize).copied().unwrap_or_default();
        (time.as_secs_f64() * 1e6).round() / 1e3
    };
    serde_json::json!({ "count": times.len(), "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1.0) })
}
