//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use meshkit_config::ModuleName;
use omnirelay_runtime::{LogFormat, LogOptions};

/// The control plane of OmniRelay: who is in the mesh, and who owns what.
///
/// Logs go to standard error; the event `ready` tells the address. SIGTERM or SIGINT drains.
#[derive(Clone, Debug, Parser)]
#[command(name = "meshkitd", version)]
pub struct Args {
    /// A configuration file; a later one overrides an earlier one.
    #[arg(long = "config", value_name = "FILE", required = true)]
    pub config: Vec<PathBuf>,

    /// A folder of secrets: each file holds the value of the key that it is named for, as `store.user`.
    #[arg(long = "secrets", value_name = "DIR")]
    pub secrets: Vec<PathBuf>,

    /// Overrides one value, as in `--set store.path=/tmp/mesh.db`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,

    /// Runs these modules alone: registry, shards, leaders, members, clusters, config, audit, backup, bootstrap.
    #[arg(long = "module", value_name = "NAME", value_delimiter = ',', value_parser = module)]
    pub modules: Vec<ModuleName>,

    /// How log lines look: `text` or `json`.
    #[arg(long, value_name = "FORMAT", default_value = "text", env = "OMNIRELAY_LOG_FORMAT")]
    pub log_format: LogFormat,

    /// What is logged, as in `info,relay_transport=debug`; it stands above the configuration's `log.filter`
    /// [default: info].
    #[arg(long, value_name = "FILTER", env = "OMNIRELAY_LOG")]
    pub log: Option<String>,

    /// What is to be done instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What meshkitd does beside serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Makes the store that the configuration names of a backup, while no meshkitd uses it, and says in JSON which
    /// one it is.
    Restore(Restore),
}

/// How a store is restored.
#[derive(Clone, Debug, clap::Args)]
pub struct Restore {
    /// The file that `omnirelay mesh backup` wrote.
    pub backup: PathBuf,

    /// Who does it, for the audit.
    #[arg(long, value_name = "NAME", default_value = "local")]
    pub actor: String,

    /// Moves a store that is there already aside; otherwise it is in the way.
    #[arg(long)]
    pub replace: bool,

    /// Looks at everything and writes nothing.
    #[arg(long)]
    pub dry_run: bool,
}

impl Args {
    /// What is logged, and how.
    #[must_use]
    pub fn log_options(&self) -> LogOptions {
        LogOptions { format: self.log_format, filter: self.log.clone() }
    }
}

fn module(name: &str) -> Result<ModuleName, String> {
    ModuleName::ALL.into_iter().find(|module| module.as_str() == name).ok_or_else(|| {
        format!("`{name}` is not a module; there are registry, shards, leaders, members, clusters, config, audit, backup and bootstrap")
    })
}
