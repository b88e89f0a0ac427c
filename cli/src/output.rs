//! How anything reaches the terminal: answers on standard output, everything about them on
//! standard error, colour only where a person looks.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::ValueEnum;
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use serde::Serialize;
use serde_json::Value;

#[cfg(test)]
mod tests;

/// The shape of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// Aligned columns for people
    #[default]
    Table,
    /// The same with every column
    Wide,
    /// One JSON document for programs
    Json,
    /// The same document as YAML
    Yaml,
}

/// The shape of a single answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextFormat {
    /// Text for people
    #[default]
    Text,
    /// One JSON document for programs
    Json,
    /// The same document as YAML
    Yaml,
}

/// The shape of a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerdictFormat {
    /// Text for people
    #[default]
    Text,
    /// One JSON document for programs
    Json,
    /// The same document as YAML
    Yaml,
    /// SARIF 2.1.0 for code review and editors
    Sarif,
}

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    Json,
    Yaml,
}

/// How a table looks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    pub(crate) color: bool,
    /// Whether it has every column.
    pub(crate) wide: bool,
}

impl Look {
    /// As it fits standard output, with the usual columns.
    pub(crate) fn usual() -> Self {
        Self { color: color_on_stdout(), wide: false }
    }
}

impl ListFormat {
    /// How the document that programs want is written; none where people read.
    pub(crate) const fn notation(self) -> Option<Notation> {
        match self {
            Self::Table | Self::Wide => None,
            Self::Json => Some(Notation::Json),
            Self::Yaml => Some(Notation::Yaml),
        }
    }

    /// How its table looks.
    pub(crate) fn look(self) -> Look {
        Look { wide: self == Self::Wide, ..Look::usual() }
    }
}

impl TextFormat {
    /// How the document that programs want is written; none where people read.
    pub(crate) const fn notation(self) -> Option<Notation> {
        match self {
            Self::Text => None,
            Self::Json => Some(Notation::Json),
            Self::Yaml => Some(Notation::Yaml),
        }
    }
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

/// Writes one event of what never ends to standard output; says whether anybody still reads it. JSON is one
/// document a line, YAML a stream of documents.
pub(crate) fn print_event(notation: Notation, event: &Value) -> Result<bool> {
    match notation {
        Notation::Json => print_line(&event.to_string()),
        Notation::Yaml => print_line(&format!("---\n{}", to_yaml(event)?.trim_end())),
    }
}

/// Writes one document to standard output.
pub(crate) fn print_document(notation: Notation, value: &impl Serialize) -> Result<()> {
    print(&to_document(notation, value)?)
}

/// One document, indented, with its line end.
fn to_document(notation: Notation, value: &impl Serialize) -> Result<String> {
    match notation {
        Notation::Json => to_json(value),
        // By way of JSON, so that both say the same.
        Notation::Yaml => to_yaml(&serde_json::to_value(value).map_err(|error| unfit("JSON", &error))?),
    }
}

/// One JSON document, indented, with its line end.
pub(crate) fn to_json(value: &impl Serialize) -> Result<String> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| unfit("JSON", &error))?;
    text.push('\n');
    Ok(text)
}

fn to_yaml(value: &Value) -> Result<String> {
    serde_saphyr::to_string(value).map_err(|error| unfit("YAML", &error))
}

fn unfit(notation: &str, error: &dyn std::error::Error) -> OperatorError {
    OperatorError::new(ErrorKind::Internal, format!("the answer cannot be written as {notation}"))
        .because(error.to_string())
}

/// Writes a line about the work at hand to standard error.
pub(crate) fn note(line: &str) {
    // Nobody is left to tell where standard error is closed.
    let _closed = writeln!(io::stderr().lock(), "{line}");
}

/// Prints an error once, as text or as a document, and gives its exit code.
pub(crate) fn fail(error: &OperatorError, notation: Option<Notation>) -> ExitCode {
    if let Some(notation) = notation {
        let document = serde_json::json!({ "error": error.to_json() });
        note(to_document(notation, &document).unwrap_or_else(|_| error.report(false)).trim_end());
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
fn color_on_stdout() -> bool {
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
