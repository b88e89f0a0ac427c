//! How anything reaches the terminal: answers on standard output, everything about them on
//! standard error, colour only where a person looks.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::ValueEnum;
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use serde::Serialize;

/// The shape of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// Aligned columns for people
    #[default]
    Table,
    /// One JSON document for programs
    Json,
}

/// The shape of a single answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextFormat {
    /// Text for people
    #[default]
    Text,
    /// One JSON document for programs
    Json,
}

/// The shape of a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerdictFormat {
    /// Text for people
    #[default]
    Text,
    /// One JSON document for programs
    Json,
    /// SARIF 2.1.0 for code review and editors
    Sarif,
}

/// Writes to standard output. A reader that went away (`| head`) has what it wanted.
pub(crate) fn print(text: &str) -> Result<()> {
    write_all(&mut io::stdout().lock(), text.as_bytes())
}

/// Writes bytes to standard output as they are.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<()> {
    write_all(&mut io::stdout().lock(), bytes)
}

/// Writes one line of what never ends to standard output; says whether anybody still reads it.
pub(crate) fn print_line(line: &str) -> Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(unwritable(&error)),
        Ok(()) => Ok(true),
    }
}

/// Writes one JSON document, indented, to standard output.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    print(&to_json(value)?)
}

/// One JSON document, indented, with its line end.
pub(crate) fn to_json(value: &impl Serialize) -> Result<String> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| {
        OperatorError::new(ErrorKind::Internal, "the answer cannot be written as JSON").caused_by(&error)
    })?;
    text.push('\n');
    Ok(text)
}

/// Writes a line about the work at hand to standard error.
pub(crate) fn note(line: &str) {
    // Nobody is left to tell where standard error is closed.
    let _closed = writeln!(io::stderr().lock(), "{line}");
}

/// Prints an error once, as text or as JSON, and gives its exit code.
pub(crate) fn fail(error: &OperatorError, json: bool) -> ExitCode {
    if json {
        let document = serde_json::json!({ "error": error.to_json() });
        note(to_json(&document).unwrap_or_else(|_| error.report(false)).trim_end());
    } else {
        note(&error.report(color_on_stderr()));
    }
    ExitCode::from(error.kind().exit_code())
}

/// Whether standard error may be coloured: a terminal, and `NO_COLOR` unset or empty.
pub(crate) fn color_on_stderr() -> bool {
    io::stderr().is_terminal() && !no_color()
}

/// Whether standard output may be coloured: a terminal, and `NO_COLOR` unset or empty.
pub(crate) fn color_on_stdout() -> bool {
    io::stdout().is_terminal() && !no_color()
}

fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|value| value == "dumb")
}

fn write_all(to: &mut impl io::Write, bytes: &[u8]) -> Result<()> {
    match to.write_all(bytes).and_then(|()| to.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(unwritable(&error)),
        _ => Ok(()),
    }
}

fn unwritable(error: &io::Error) -> OperatorError {
    OperatorError::new(ErrorKind::Io, "standard output cannot be written")
        .caused_by(error)
        .hint("make room where it goes, or send it elsewhere")
}

/// Replaces what could steer a terminal: names and messages come from other machines.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
