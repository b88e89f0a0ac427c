//! The grammar of backup and restore.

use std::path::PathBuf;

use clap::Args;

use crate::output::TextFormat;

#[derive(Debug, Args)]
pub(crate) struct TakeBackup {
    /// The file to write; it must not exist
    pub(crate) file: PathBuf,

    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: TextFormat,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreStore {
    /// The backup
    pub(crate) file: PathBuf,

    /// The configuration of the meshkitd whose store it is, in layers as meshkitd takes it. May be repeated
    #[arg(long = "config", value_name = "FILE", required = true)]
    pub(crate) config: Vec<PathBuf>,

    /// A value over all files, as section.key=value. May be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) sets: Vec<String>,

    /// What the backup has to sum up to, as `mesh backup` told it: SHA-256 in hexadecimal
    #[arg(long, value_name = "HEX")]
    pub(crate) sha256: Option<String>,

    /// Move a store that is there already aside, where it is kept
    #[arg(long)]
    pub(crate) replace: bool,

    /// Look at everything and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Do not ask back
    #[arg(long, short)]
    pub(crate) yes: bool,

    /// The control plane's binary [default: beside this one]
    #[arg(long, env = "OMNIRELAY_MESHKITD", value_name = "PATH", hide_env_values = true)]
    pub(crate) meshkitd: Option<PathBuf>,

    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: TextFormat,
}
