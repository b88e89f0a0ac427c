//! Errors of the command line's parser in the shape of every other error.

use clap::error::ErrorKind as Parsing;
use omnirelay_runtime::{ErrorKind, OperatorError};

#[cfg(test)]
mod tests;

/// The parser's error; none where it is help or a version that somebody asked for.
pub(crate) fn error(parsing: &clap::Error) -> Option<OperatorError> {
    if matches!(parsing.kind(), Parsing::DisplayHelp | Parsing::DisplayVersion) {
        return None;
    }
    if parsing.kind() == Parsing::DisplayHelpOnMissingArgumentOrSubcommand {
        return Some(OperatorError::new(ErrorKind::Usage, "the command is not complete").hint(
            "`--help` after what is written so far shows what can follow, `omnirelay --help` where to begin",
        ));
    }
    // Paragraphs: what is wrong, tips, the usage, where there is more.
    let text = parsing.to_string();
    let mut error = None;
    let mut hints = Vec::new();
    for paragraph in text.split("\n\n") {
        let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(message) = line.strip_prefix("error: ") {
            error = Some(OperatorError::new(ErrorKind::Usage, message));
        } else if let Some(tip) = line.strip_prefix("tip: ") {
            hints.push(tip.to_owned());
        } else if let Some(usage) = line.strip_prefix("Usage: ") {
            hints.push(format!("usage is `{usage}`"));
        }
    }
    hints.push("`--help` tells more".to_owned());
    Some(
        error.unwrap_or_else(|| OperatorError::new(ErrorKind::Usage, text.trim())).hint(hints.join("; ")),
    )
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
