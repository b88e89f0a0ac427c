//! The command line.

use std::path::PathBuf;

use clap::Parser;
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

    /// Runs these modules alone: registry, shards, leaders, members, clusters, config, audit, bootstrap.
    #[arg(long = "module", value_name = "NAME", value_delimiter = ',', value_parser = module)]
    pub modules: Vec<ModuleName>,

    /// How log lines look: `text` or `json`.
    #[arg(long, value_name = "FORMAT", default_value = "text", env = "OMNIRELAY_LOG_FORMAT")]
    pub log_format: LogFormat,

    /// What is logged, as in `info,relay_transport=debug`; it stands above the configuration's `log.filter`
    /// [default: info].
    #[arg(long, value_name = "FILTER", env = "OMNIRELAY_LOG")]
    pub log: Option<String>,
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
        format!("`{name}` is not a module; there are registry, shards, leaders, members, clusters, config, audit and bootstrap")
    })
}
