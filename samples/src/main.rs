//! `omnirelay-samples`: the services behind the development mesh. *Greeter* keeps nothing;
//! *Inventory* owns state that is split among its instances by shard.
//!
//! Read first: [`greeter`] and [`inventory`] are the services themselves, [`instance`] is the life
//! of one process, [`ownership`] knows the instance that owns an item, [`stockist`] asks it.

mod config;
mod contracts;
mod greeter;
mod instance;
mod inventory;
mod ownership;
mod peer;
mod stockist;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use omnirelay_runtime::config::Layers;
use omnirelay_runtime::{LogFormat, LogOptions, bootstrap};

/// Runs one instance of a sample service.
#[derive(Debug, Parser)]
#[command(name = "omnirelay-samples", version)]
struct Arguments {
    #[command(subcommand)]
    service: Service,
}

#[derive(Debug, Subcommand)]
enum Service {
    /// Greets by name and keeps nothing.
    Greeter(Options),
    /// Counts stock by item; each item lives on the instance that owns its shard.
    Inventory(Options),
}

#[derive(Debug, Args)]
struct Options {
    /// Configuration file (TOML); a later one overrides an earlier one.
    #[arg(long, required = true, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// One override of the configuration, as `section.key=value`.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// How log lines look: text or json.
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    log_format: LogFormat,
    /// What is logged, as `info,relay_transport=debug`.
    #[arg(long, default_value = "info", env = "OMNIRELAY_LOG", value_name = "FILTER")]
    log: String,
}

fn main() -> ExitCode {
    let (which, options) = match Arguments::parse().service {
        Service::Greeter(options) => (instance::Which::Greeter, options),
        Service::Inventory(options) => (instance::Which::Inventory, options),
    };
    let log = LogOptions { format: options.log_format, filter: Some(options.log) };
    let layers = Layers::from_process(options.config, Vec::new(), options.set);
    bootstrap::run(
        which.name(),
        &log,
        |startup| async move { instance::start(startup, layers?, which).await },
    )
}
