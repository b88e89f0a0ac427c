//! A local mesh of real processes: started in order, watched, and stopped in order.

pub(crate) mod binaries;
mod events;
mod leftovers;
mod ports;
mod process;
mod ready;
mod signals;
mod summary;
mod supervise;

use std::process::ExitCode;

use omnirelay_runtime::Result;

use crate::args::Up;
use crate::{dev, paths, remote};

pub(crate) use summary::{component_table, own_name};

/// Starts the mesh and stays until it is told to stop or a process dies.
pub(crate) fn run(args: &Up) -> Result<ExitCode> {
    let binaries = binaries::Binaries::find(args)?;
    let directory = match &args.dir {
        Some(directory) => directory.clone(),
        None => paths::default_dev_dir()?,
    };
    let mesh = dev::prepare(&paths::absolute(&directory)?, |options| {
        options.base_port = args.place.base_port.unwrap_or(options.base_port);
    })?;
    ports::check(&mesh)?;
    remote::runtime()?.block_on(supervise::run(&mesh, &binaries))
}
