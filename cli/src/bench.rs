//! Load on a mesh: so many calls a second, or as many as go, and how long they took.
//!
//! With a rate calls leave by the clock and not when the one before has ended. One that could not leave in time, because
//! everything was still waiting for answers, counts from when it should have left: otherwise a server that stands still
//! would hide the calls that it held up.

mod histogram;
mod load;
mod report;
mod target;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use omnirelay_runtime::{ErrorKind, OperatorError, Result};

use crate::args::{Bench, Load};
use load::Tally;
use target::Target;

/// Puts the load on and tells what came of it.
pub(crate) fn run(context: Option<&Path>, args: &Bench) -> Result<ExitCode> {
    let (target, load) = match args {
        Bench::Request(args) => (Target::procedure(context, &args.call)?, &args.load),
        Bench::Http(args) => (Target::address(context, args)?, &args.load),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        OperatorError::new(ErrorKind::Io, "the async runtime cannot start")
            .caused_by(&error)
            .hint("check the limits on threads and file descriptors (`ulimit -a`)")
    })?;
    let target = Arc::new(target);
    let (tally, took) = runtime.block_on(load::put(&target, load))?;
    show(&target, load, &tally, took)
}

fn show(target: &Target, load: &Load, tally: &Tally, took: Duration) -> Result<ExitCode> {
    match load.output.notation() {
        Some(notation) => {
            crate::output::print_document(notation, &report::document(target, load, tally, took))?;
        }
        None => crate::output::print(&report::text(target, load, tally, took))?,
    }
    if tally.calls() == tally.failed() {
        return Err(tally.first_failure().unwrap_or_else(|| {
            OperatorError::new(ErrorKind::Deadline, "no call was made").hint("allow more with `--duration`")
        }));
    }
    Ok(ExitCode::SUCCESS)
}
