//! The grammar of the command line. Help texts here are what users and `docs/reference/cli.md` read.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::output::{ListFormat, TextFormat};

mod bench;
mod context;
mod daemon;
mod fault;
mod mesh;

pub(crate) use bench::*;
pub(crate) use context::*;
pub(crate) use daemon::*;
pub(crate) use fault::*;
pub(crate) use mesh::*;

/// Runs, calls and inspects an OmniRelay mesh.
#[derive(Debug, Parser)]
#[command(name = "omnirelay", version, max_term_width = 100, propagate_version = true)]
pub(crate) struct Cli {
    /// The context: where the mesh is and which credentials to use, by its name among the known ones
    /// or as a file [default: the one in use, or cli.toml of `omnirelay up`] [env: OMNIRELAY_CONTEXT]
    // Not the parser's own variable: with it set, a command that is not complete would not show its help.
    #[arg(long, global = true, value_name = "NAME|FILE")]
    pub(crate) context: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a local mesh of real processes and keep it running until Ctrl-C
    Up(Up),
    /// Call a procedure of a service through a relay
    Request(Request),
    /// Put load on an address or a procedure, and tell how long answers took
    #[command(subcommand)]
    Bench(Bench),
    /// Calls that are written down in a file
    #[command(subcommand)]
    Script(Script),
    /// Read the mesh: its peers, its shards, its configuration
    #[command(subcommand)]
    Mesh(Mesh),
    /// Show a relay's procedures, inbounds, outbounds and peers
    Introspect(Introspect),
    /// The configuration of a running daemon
    #[command(subcommand)]
    Config(DaemonConfig),
    /// Show what a running daemon logs, or change it
    Log(Log),
    /// Delay or fail calls of a running relay on purpose
    #[command(subcommand)]
    Fault(FaultCommand),
    /// End a running daemon: it finishes what is in flight and stops
    Drain(Drain),
    /// The meshes that are known by name, and which of them is in use
    #[command(subcommand)]
    Context(ContextCommand),
    /// Make what a development mesh needs, without starting it
    #[command(subcommand)]
    Dev(Dev),
    /// Print the completion script for a shell
    Completion {
        /// The shell to complete for
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Dev {
    /// Write certificates, tokens and configurations of a development mesh
    ///
    /// Running it again keeps the authority and the tokens, and writes certificates and
    /// configurations anew.
    Init(Init),
    /// Print the reference of this command line as Markdown
    #[command(hide = true)]
    Docs,
}

/// What `up` and `dev init` share. What is not said stays as it was on the last run.
#[derive(Debug, Args)]
pub(crate) struct DevPlace {
    /// The first port; the mesh uses this one and the 22 above it [default: 7400]
    #[arg(long, value_name = "N")]
    pub(crate) base_port: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Where configuration, keys, state and logs go
    /// [default: ${XDG_STATE_HOME:-~/.local/state}/omnirelay/dev]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) place: DevPlace,

    /// The relay's binary [default: beside this one]
    #[arg(long, env = "OMNIRELAY_RELAYD", value_name = "PATH", hide_env_values = true)]
    pub(crate) relayd: Option<PathBuf>,

    /// The control plane's binary [default: beside this one]
    #[arg(long, env = "OMNIRELAY_MESHKITD", value_name = "PATH", hide_env_values = true)]
    pub(crate) meshkitd: Option<PathBuf>,

    /// The sample services' binary [default: beside this one]
    #[arg(long, env = "OMNIRELAY_SAMPLES", value_name = "PATH", hide_env_values = true)]
    pub(crate) samples: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Where to write; a new or empty directory, or one of an earlier run
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,

    #[command(flatten)]
    pub(crate) place: DevPlace,

    /// The address that every listener binds [default: 127.0.0.1]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<IpAddr>,

    /// A name or address, besides loopback, that processes are called by: all of them, or one as
    /// COMPONENT=NAME. Certificates hold for it and configurations call it. May be repeated
    #[arg(long = "host", value_name = "[COMPONENT=]NAME")]
    pub(crate) hosts: Vec<String>,

    /// The path that the processes see the directory at, where it is mounted elsewhere for them
    #[arg(long, value_name = "PATH")]
    pub(crate) mounted_at: Option<PathBuf>,

    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: TextFormat,
}

/// The encoding of a request's body on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WireEncoding {
    /// JSON as given
    Json,
    /// Protocol Buffers, made of the JSON by the procedure's descriptor
    Protobuf,
}

/// The version of HTTP to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum WireProtocol {
    /// HTTP/3, and HTTP/2 where that does not come through
    #[default]
    Auto,
    /// HTTP/3 alone
    Http3,
    /// HTTP/2 alone
    Http2,
    /// HTTP/1.1 alone
    Http1,
}

#[derive(Debug, Args)]
pub(crate) struct Request {
    #[command(flatten)]
    pub(crate) call: Calling,

    /// How to answer: the body alone with the rest on standard error, or all as a document
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: TextFormat,
}

/// One call through a relay.
#[derive(Clone, Debug, Args)]
pub(crate) struct Calling {
    /// The service to call
    pub(crate) service: String,

    /// The procedure: `Greeter::Greet`, or `samples.v1.Greeter/Greet`
    pub(crate) procedure: String,

    /// The body as JSON, `@FILE`, or `-` for standard input
    #[arg(long, default_value = "{}", value_name = "JSON", hide_default_value = true)]
    pub(crate) body: String,

    /// The encoding on the wire [default: json, with --grpc protobuf]
    #[arg(long, value_enum, value_name = "ENCODING")]
    pub(crate) encoding: Option<WireEncoding>,

    /// The version of HTTP to the relay
    #[arg(long, value_enum, default_value_t, value_name = "PROTOCOL")]
    pub(crate) protocol: WireProtocol,

    /// The relay, by its name in the context or by URL [default: the context's first]
    #[arg(long, value_name = "URL|NAME")]
    pub(crate) relay: Option<String>,

    /// Who calls, as the service and its logs see it
    #[arg(long, default_value = "omnirelay-cli", value_name = "NAME")]
    pub(crate) caller: String,

    /// The shard that the call is about
    #[arg(long, value_name = "KEY")]
    pub(crate) shard_key: Option<String>,

    /// How long to wait for the answer in all: `500ms`, `2s`, `1m`
    #[arg(long, default_value = "2s", value_parser = duration, value_name = "TIME")]
    pub(crate) timeout: Duration,

    /// A header for the service, as name=value. May be repeated
    #[arg(long = "header", value_parser = header, value_name = "NAME=VALUE")]
    pub(crate) headers: Vec<(String, String)>,

    /// Call as gRPC rather than as YARPC over HTTP
    #[arg(long)]
    pub(crate) grpc: bool,

    /// A FileDescriptorSet to find the procedure in [default: the built-in contracts]
    #[arg(long, value_name = "FILE")]
    pub(crate) descriptor_set: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Introspect {
    /// The relay, by its name in the context or by the URL of its diagnostics
    /// [default: the context's first]
    #[arg(long, value_name = "URL|NAME")]
    pub(crate) relay: Option<String>,

    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ListFormat,
}

/// The longest wait that is believed, one day: more is a mistake.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 =
        number.parse().map_err(|_| "write a number with a unit: `500ms`, `2s`, `1m`".to_owned())?;
    let duration = match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        _ => return Err("the unit is one of ms, s, m".to_owned()),
    };
    match duration {
        Some(duration) if !duration.is_zero() && duration <= MAX_TIMEOUT => Ok(duration),
        _ => Err("it must be above nought and at most a day".to_owned()),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as name=value".to_owned()),
    }
}
