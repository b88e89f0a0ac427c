//! The process `meshkitd`.

use std::process::ExitCode;

use clap::Parser as _;
use meshkit_host::{Args, start};
use omnirelay_runtime::bootstrap;

// The allocator of a static libc is slow under threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    bootstrap::run("meshkitd", &args.log_options(), |startup| start(startup, args))
}
