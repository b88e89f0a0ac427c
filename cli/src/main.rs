//! `omnirelay`, the operator's command line.
//!
//! Read first: [`args`] is the whole grammar, [`commands`] what each word does, [`output`] how
//! anything reaches the terminal. No runtime and no file is touched before the command at hand
//! needs it, so that `--version` and completions answer at once.

mod args;
mod bench;
mod commands;
mod context;
mod contexts;
mod dev;
mod fault;
mod introspect;
mod mesh;
mod operate;
mod output;
mod paths;
mod progress;
mod reference;
mod remote;
mod request;
mod script;
mod table;
mod up;
mod usage;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let notation = usage::notation(std::env::args_os());
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(parsing) => {
            return match usage::error(&parsing, notation) {
                Some(error) => output::fail(&error, notation),
                None => {
                    // Help or the version; a closed terminal has nobody to tell.
                    let _closed = parsing.print();
                    ExitCode::from(u8::try_from(parsing.exit_code()).unwrap_or(2))
                }
            };
        }
    };
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) => output::fail(&error, notation),
    }
}
