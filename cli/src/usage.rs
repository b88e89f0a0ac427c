//! Errors of the command line's parser in the shape of every other error.

use clap::error::ErrorKind as Parsing;
use omnirelay_runtime::{ErrorKind, OperatorError, usage};

#[cfg(test)]
mod tests;

/// The parser's error; none where it is help or a version: what was asked for, or what a person reads
/// who stopped before the command was complete.
pub(crate) fn error(parsing: &clap::Error, json: bool) -> Option<OperatorError> {
    match parsing.kind() {
        Parsing::DisplayHelp | Parsing::DisplayVersion => return None,
        Parsing::DisplayHelpOnMissingArgumentOrSubcommand if json => {
            let error = OperatorError::new(ErrorKind::Usage, "the command is not complete");
            return Some(error.hint("`--help` after what is written so far shows what can follow"));
        }
        Parsing::DisplayHelpOnMissingArgumentOrSubcommand => return None,
        _ => {}
    }
    Some(usage::explain(&parsing.to_string()))
}

/// Whether the arguments ask for JSON, as far as that can be told of a line that cannot be parsed.
pub(crate) fn wants_json(mut args: impl Iterator<Item = std::ffi::OsString>) -> bool {
    while let Some(arg) = args.next() {
        if arg == "--output=json" || (arg == "--output" && args.next().is_some_and(|value| value == "json")) {
            return true;
        }
    }
    false
}
