//! Measures what the stack costs, beside what others cost in the same run.
//!
//! `omnirelay-bench echo` counts calls per CPU-second, `idle` the memory of idle connections,
//! `inside` what happens without a socket.

mod cpu;
mod echo;
mod idle;
mod inside;
mod peers;
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
    /// The server of `echo` and `idle`, a process of its own.
    #[command(hide = true)]
    Server(server::ServerArgs),
}

fn main() -> std::process::ExitCode {
    let args = Args::parse();
    let outcome = tokio::runtime::Builder::new_multi_thread()
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
        Command::Server(server) => server::serve(server).await,
    }
}
