//! The grammar of `omnirelay context`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Shown;
use crate::output::TextFormat;

#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// List the contexts that are known by name
    List(Shown),
    /// Use a context wherever none is named
    Use(NamedContext),
    /// Show one context
    Show(ShowContext),
    /// Make a context, or change what is said of it
    ///
    /// Credentials are named, never given: a file that holds a token, or a program that prints one.
    Set(Box<SetContext>),
    /// Forget a context; the files that it names stay
    Delete(NamedContext),
}

#[derive(Debug, Args)]
pub(crate) struct NamedContext {
    /// The context's name
    pub(crate) name: String,

    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: TextFormat,
}

#[derive(Debug, Args)]
pub(crate) struct ShowContext {
    /// The context's name [default: the one that other commands would take]
    pub(crate) name: Option<String>,

    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct SetContext {
    /// The context's name
    pub(crate) name: String,

    /// Begin with a file such as the `cli.toml` of `omnirelay up`
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,

    /// The control plane
    #[arg(long, value_name = "URL")]
    pub(crate) mesh: Option<String>,

    /// The authorities that the mesh is known by
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// The operator's certificate
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,

    /// Its key
    #[arg(long, value_name = "FILE")]
    pub(crate) private_key: Option<PathBuf>,

    /// A file that holds a bearer token
    #[arg(long, value_name = "FILE", conflicts_with = "token_command")]
    pub(crate) token_file: Option<PathBuf>,

    /// A program that prints a bearer token, with its arguments, parted by spaces
    #[arg(long, value_name = "COMMAND")]
    pub(crate) token_command: Option<String>,

    /// A relay: where calls go and where its diagnostics are. The first one is the default; one that is known by this
    /// name already is replaced. May be repeated
    #[arg(long = "relay", value_name = "NAME=DATA_URL,ADMIN_URL")]
    pub(crate) relays: Vec<String>,

    /// Forget a field first. May be repeated
    #[arg(long, value_enum, value_name = "FIELD")]
    pub(crate) unset: Vec<ContextField>,

    /// Use it from now on
    #[arg(long = "use")]
    pub(crate) in_use: bool,

    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: TextFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ContextField {
    /// The authorities
    Ca,
    /// The certificate with its key
    Certificate,
    /// The file or the program
    Token,
    /// All relays
    Relays,
}
