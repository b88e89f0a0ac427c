//! The grammar of what is asked of a running daemon as a whole.

use clap::{Args, Subcommand};

use super::Daemon;
use crate::output::{ListFormat, TextFormat};

#[derive(Debug, Subcommand)]
pub(crate) enum DaemonConfig {
    /// Show what a running daemon's configuration came from, and what became of each reload
    History(ConfigReloads),
    /// Have a running daemon read its configuration anew
    ///
    /// The whole is validated first. Where anything is wrong, or cannot change while running, the old
    /// configuration goes on and the exit code is 3.
    Reload(ConfigReload),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigReloads {
    #[command(flatten)]
    pub(crate) daemon: Daemon,

    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ListFormat,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigReload {
    #[command(flatten)]
    pub(crate) daemon: Daemon,

    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: TextFormat,
}

/// Ends a daemon: it refuses what is new, finishes what is in flight and stops
///
/// It is what SIGTERM does. Whatever supervises the daemon may start it again.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("target").required(true).args(["relay", "url"]))]
pub(crate) struct Drain {
    #[command(flatten)]
    pub(crate) daemon: Daemon,

    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: TextFormat,
}

/// Shows what a running daemon logs, or changes it until its configuration does or it ends
#[derive(Debug, Args)]
pub(crate) struct Log {
    /// What is to be logged, as `info,relay_transport=debug`
    pub(crate) filter: Option<String>,

    #[command(flatten)]
    pub(crate) daemon: Daemon,

    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: TextFormat,
}
