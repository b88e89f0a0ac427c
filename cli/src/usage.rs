//! Errors of the command line's parser in the shape of every other error.

use std::ffi::OsString;

use clap::error::ErrorKind as Parsing;
use omnirelay_runtime::{ErrorKind, OperatorError, usage};

use crate::output::Notation;

#[cfg(test)]
mod tests;

/// The parser's error; none where it is help or a version: what was asked for, or what a person reads
/// who stopped before the command was complete.
pub(crate) fn error(parsing: &clap::Error, notation: Option<Notation>) -> Option<OperatorError> {
    match parsing.kind() {
        Parsing::DisplayHelp | Parsing::DisplayVersion => return None,
        Parsing::DisplayHelpOnMissingArgumentOrSubcommand if notation.is_some() => {
            let error = OperatorError::new(ErrorKind::Usage, "the command is not complete");
            return Some(error.hint("`--help` after what is written so far shows what can follow"));
        }
        Parsing::DisplayHelpOnMissingArgumentOrSubcommand => return None,
        _ => {}
    }
    Some(usage::explain(&parsing.to_string()))
}

/// The notation that the arguments ask for documents in, whether or not they can be parsed: errors follow it too.
pub(crate) fn notation(args: impl Iterator<Item = OsString>) -> Option<Notation> {
    let mut args = args.take_while(|arg| arg != "--");
    while let Some(arg) = args.next() {
        let format = match arg.to_str().map(|arg| arg.strip_prefix("--output")) {
            Some(Some("")) => args.next(),
            Some(Some(rest)) => rest.strip_prefix('=').map(Into::into),
            _ => None,
        };
        match format.as_ref().and_then(|format| format.to_str()) {
            Some("json" | "sarif") => return Some(Notation::Json),
            Some("yaml") => return Some(Notation::Yaml),
            _ => {}
        }
    }
    None
}
