//! The grammar of faults that a relay injects on purpose.

use std::time::Duration;

use clap::{Args, Subcommand};
use relay_core::Code;

use super::{Daemon, duration};
use crate::output::{ListFormat, TextFormat};

#[derive(Debug, Subcommand)]
pub(crate) enum FaultCommand {
    /// Show which routes have a fault, who ordered it and until when
    List(FaultList),
    /// Delay or fail calls of a route for a while, in the place of what its configuration says
    Set(FaultSet),
    /// Leave the calls of a route alone for a while, whatever its configuration says
    Off(FaultOff),
    /// Take orders back: what the configuration says counts again
    Clear(FaultClear),
}

#[derive(Debug, Args)]
pub(crate) struct FaultList {
    #[command(flatten)]
    pub(crate) daemon: Daemon,

    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ListFormat,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("fault").required(true).multiple(true).args(["delay", "abort"]))]
pub(crate) struct FaultSet {
    /// The route, as `omnirelay introspect` names it
    pub(crate) route: String,

    /// How long it counts: `30s`, `5m`, at most a day
    #[arg(long = "for", value_parser = duration, value_name = "TIME")]
    pub(crate) length: Duration,

    /// How long calls wait before they are sent: `200ms`, at most a minute
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub(crate) delay: Option<Duration>,

    /// So many of a hundred calls are delayed
    #[arg(long, default_value_t = 100, value_name = "N", requires = "delay")]
    pub(crate) delay_percent: u32,

    /// What calls fail with instead of being sent: `unavailable`, `internal`, any canonical code
    #[arg(long, value_parser = code, value_name = "CODE")]
    pub(crate) abort: Option<Code>,

    /// So many of a hundred calls fail
    #[arg(long, default_value_t = 100, value_name = "N", requires = "abort")]
    pub(crate) abort_percent: u32,

    #[command(flatten)]
    pub(crate) daemon: Daemon,

    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: TextFormat,
}

#[derive(Debug, Args)]
pub(crate) struct FaultOff {
    /// The route, as `omnirelay introspect` names it
    pub(crate) route: String,

    /// How long it counts: `30s`, `5m`, at most a day
    #[arg(long = "for", value_parser = duration, value_name = "TIME")]
    pub(crate) length: Duration,

    #[command(flatten)]
    pub(crate) daemon: Daemon,

    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: TextFormat,
}

#[derive(Debug, Args)]
pub(crate) struct FaultClear {
    /// The route, as `omnirelay introspect` names it [default: all of them]
    pub(crate) route: Option<String>,

    #[command(flatten)]
    pub(crate) daemon: Daemon,

    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: TextFormat,
}

fn code(text: &str) -> Result<Code, String> {
    let known = text.parse::<Code>().ok().filter(|code| *code != Code::Ok);
    known.ok_or_else(|| {
        let names: Vec<&str> = Code::all().skip(1).map(Code::name).collect();
        format!("the failures are {}", names.join(", "))
    })
}
