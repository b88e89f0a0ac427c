//! What stands on the hosts of a fleet: `fleet-host host` keeps a namespace, `fleet-host owner …` owns shards there.
#![allow(clippy::print_stderr, reason = "whoever started it reads what went wrong")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((role, _)) if role == "host" => match meshkit_fleet::serve_host() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        Some((role, rest)) if role == "owner" => meshkit_fleet::serve_owner(rest),
        _ => {
            eprintln!("usage: fleet-host host | owner ID ADDRESS CA CERTIFICATE KEY RECORD ENDPOINT,…");
            ExitCode::FAILURE
        }
    }
}
