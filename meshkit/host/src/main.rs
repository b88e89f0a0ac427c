//! The process `meshkitd`.

use std::process::ExitCode;

use clap::Parser as _;
use meshkit_host::{Args, Command, restore, start};
use omnirelay_runtime::{bootstrap, usage};

// The allocator of a static libc is slow under threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if error.use_stderr() => return bootstrap::fail(&usage::explain(&error.to_string())),
        Err(help) => {
            // Help or the version; a closed terminal has nobody to tell.
            let _closed = help.print();
            return ExitCode::SUCCESS;
        }
    };
    if let Some(Command::Restore(how)) = &args.command {
        return match restore(&args, how) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => bootstrap::fail(&error),
        };
    }
    bootstrap::run("meshkitd", &args.log_options(), |startup| start(startup, args))
}
