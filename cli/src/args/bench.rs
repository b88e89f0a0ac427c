//! The grammar of load and of scripts.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Calling, WireProtocol, duration, header};
use crate::output::TextFormat;

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Call a procedure through a relay, again and again
    ///
    /// Exit code 0 where any call was answered well, else that of the first failure.
    Request(Box<BenchRequest>),
    /// Ask for an address, again and again
    ///
    /// An answer below 400 is a good one. Exit code 0 where there was any, else that of the first failure.
    Http(Box<BenchHttp>),
}

#[derive(Debug, Args)]
pub(crate) struct BenchRequest {
    #[command(flatten)]
    pub(crate) call: Calling,

    #[command(flatten)]
    pub(crate) load: Load,
}

#[derive(Debug, Args)]
pub(crate) struct BenchHttp {
    /// The address: https://HOST:PORT/PATH
    pub(crate) url: String,

    /// The method
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub(crate) method: String,

    /// The body, or `@FILE`
    #[arg(long, default_value = "", value_name = "TEXT", hide_default_value = true)]
    pub(crate) body: String,

    /// A header, as name=value. May be repeated
    #[arg(long = "header", value_parser = header, value_name = "NAME=VALUE")]
    pub(crate) headers: Vec<(String, String)>,

    /// The version of HTTP
    #[arg(long, value_enum, default_value_t, value_name = "PROTOCOL")]
    pub(crate) protocol: WireProtocol,

    /// Whom to believe [default: the context's authority]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// Send the context's bearer token along
    #[arg(long)]
    pub(crate) authorize: bool,

    /// How long to wait for one answer
    #[arg(long, default_value = "2s", value_parser = duration, value_name = "TIME")]
    pub(crate) timeout: Duration,

    #[command(flatten)]
    pub(crate) load: Load,
}

/// How much, and for how long.
#[derive(Clone, Debug, Args)]
pub(crate) struct Load {
    /// Calls a second, however long they take: one that could not leave in time is counted from when it should have
    /// [default: each call as soon as the one before it ended]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: Option<u32>,

    /// For how long: `10s`, `5m`, at most an hour
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "TIME")]
    pub(crate) duration: Duration,

    /// End after so many calls
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) calls: Option<u64>,

    /// Connections, 1 to 1000; over HTTP/1.1 there are as many as calls at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) connections: u16,

    /// Calls at once on all connections together, 1 to 10000
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) concurrency: u16,

    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: TextFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Script {
    /// Make the calls of a file one after the other, and compare what comes back with what is expected
    ///
    /// Exit code 6 where anything is otherwise.
    Run(RunScript),
}

#[derive(Debug, Args)]
pub(crate) struct RunScript {
    /// The script, in TOML
    pub(crate) file: PathBuf,

    /// End with the first step that is otherwise
    #[arg(long)]
    pub(crate) fail_fast: bool,

    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: TextFormat,
}
