//! `relayd`: the relay daemon.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use omnirelay_runtime::config::Layers;
use omnirelay_runtime::{LogFormat, LogOptions, bootstrap, usage};
use relay_server::relay;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Relays calls between services over HTTP/3, HTTP/2 and HTTP/1.1.
#[derive(Debug, Parser)]
#[command(name = "relayd", version)]
struct Arguments {
    /// Configuration file (TOML); a later one overrides an earlier one.
    #[arg(long, required_unless_present = "print_schema", value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Folder of secrets: each file holds the value of the key that it is named for, as `section.key`.
    #[arg(long, value_name = "DIR")]
    secrets: Vec<PathBuf>,
    /// One override of the configuration, as `section.key=value`.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// How log lines look: text or json.
    #[arg(long, default_value = "text", env = "OMNIRELAY_LOG_FORMAT", value_name = "FORMAT")]
    log_format: LogFormat,
    /// What is logged, as `info,relay_transport=debug`; it stands above the configuration's `log.filter`
    /// [default: info].
    #[arg(long, env = "OMNIRELAY_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// Print the JSON schema of the configuration, for editors, and end.
    #[arg(long, conflicts_with_all = ["config", "secrets", "set"])]
    print_schema: bool,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => return bootstrap::fail(&usage::explain(&error.to_string())),
        Err(help) => {
            // Help or the version; a closed terminal has nobody to tell.
            let _closed = help.print();
            return ExitCode::SUCCESS;
        }
    };
    if arguments.print_schema {
        // Whoever closes the pipe has read enough.
        let _closed = std::io::stdout().write_all(relay_config::schema().as_bytes());
        return ExitCode::SUCCESS;
    }
    let log = LogOptions { format: arguments.log_format, filter: arguments.log };
    let layers = Layers::from_process(arguments.config, arguments.secrets, arguments.set);
    bootstrap::run("relayd", &log, |startup| async move { relay::start(startup, layers?).await })
}
