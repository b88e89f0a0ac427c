//! Measures what the stack costs, beside what others cost in the same run.
//!
//! `omnirelay-bench echo` counts calls per CPU-second, `idle` the memory of idle connections,
//! `inside` what happens without a socket.

mod cpu;
mod echo;
mod idle;
mod inside;
mod peers;
mod proxies;
mod server;
mod table;

use clap::{Parser, Subcommand, ValueEnum};
use omnirelay_runtime::Result;

#[cfg(not(feature = "system-allocator"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "Measures what the stack costs, beside what others cost in the same run")]
struct Args {
    /// How the outcome is written.
    #[arg(long, global = true, default_value = "text")]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

/// How the outcome is written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table.
    Text,
    /// One JSON document.
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Calls per CPU-second of client and server together, beside tonic and plain h3 with quinn.
    Echo(echo::EchoArgs),
    /// Memory of a server with idle HTTP/3 connections.
    Idle(idle::IdleArgs),
    /// A policy decision and a dispatch without a socket.
    Inside(inside::InsideArgs),
    /// The relay beside nginx, HAProxy, Envoy and Caddy.
    Proxies(proxies::ProxiesArgs),
    /// The server of `echo` and `idle`, a process of its own.
    #[command(hide = true)]
    Server(server::ServerArgs),
    /// What the proxies of `proxies` call, a process of its own.
    #[command(hide = true)]
    Upstream(proxies::UpstreamArgs),
    /// The callers of `proxies`, a process of their own.
    #[command(hide = true)]
    Load(proxies::LoadArgs),
}

fn main() -> std::process::ExitCode {
    let args = Args::parse();
    let mut builder = match args.command {
        // It has one core, and threads that wake each other on it cost what they are to measure.
        Command::Upstream(_) | Command::Load(_) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let outcome = builder
        .enable_all()
        .build()
        .map_err(|error| {
            omnirelay_runtime::OperatorError::new(omnirelay_runtime::ErrorKind::Internal, "no runtime")
                .caused_by(&error)
        })
        .and_then(|runtime| runtime.block_on(run(args)));
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            table::complain(&error.report(false));
            std::process::ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Echo(echo) => echo::run(&echo, args.output).await,
        Command::Idle(idle) => idle::run(&idle, args.output).await,
        Command::Inside(inside) => inside::run(&inside, args.output).await,
        Command::Proxies(proxies) => proxies::run(proxies, args.output).await,
        Command::Server(server) => server::serve(server).await,
        Command::Upstream(upstream) => {
            proxies::upstream(&upstream).await.map_err(|error| broken(error.as_ref()))
        }
        Command::Load(load) => proxies::load(&load).await.map_err(|error| broken(error.as_ref())),
    }
}

fn broken(error: &(dyn std::error::Error + 'static)) -> omnirelay_runtime::OperatorError {
    peers::failed("a part of the measurement failed", error)
}
