//! Logs: one line an event, on standard error.

use std::fmt;
use std::io::IsTerminal as _;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, reload};

use crate::error::{ErrorKind, OperatorError, Result};

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("`{other}` is neither `text` nor `json`")),
        }
    }
}

/// What is logged where nobody says it.
const DEFAULT: &str = "info";

/// What is logged, and how.
#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    /// The shape of a line.
    pub format: LogFormat,
    /// Levels by target, as `info,relay_transport=debug`. It stands above the configuration's; none leaves it
    /// to that.
    pub filter: Option<String>,
}

impl LogOptions {
    /// Installs the process's logger; the second call in a process changes nothing.
    ///
    /// # Errors
    /// A filter that cannot be read.
    pub fn install(&self) -> Result<LogControl> {
        let (name, by) = match &self.filter {
            Some(filter) => (filter.as_str(), LogSetter::CommandLine),
            None => (DEFAULT, LogSetter::Default),
        };
        let (filter, handle) = reload::Layer::new(parse(name, ErrorKind::Usage)?);
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let lines = match self.format {
            LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
            LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
        };
        // Already installed: the first logger of a process stands.
        let _installed = tracing_subscriber::registry().with(filter).with(lines).try_init();
        let state = LogState { filter: name.to_owned(), set_by: by };
        Ok(LogControl(Arc::new(Control { handle, state: Mutex::new(state) })))
    }
}

/// Changes what is logged while the process runs. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct LogControl(Arc<Control>);

#[derive(Debug)]
struct Control {
    handle: reload::Handle<Targets, Registry>,
    state: Mutex<LogState>,
}

/// What is logged at present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogState {
    /// Levels by target.
    pub filter: String,
    /// Who said so.
    pub set_by: LogSetter,
}

/// Who says what is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogSetter {
    /// Nobody: `info`.
    Default,
    /// The configuration.
    Configuration,
    /// The command line or `OMNIRELAY_LOG`; it stands above the configuration.
    CommandLine,
    /// An operator, until the configuration's filter changes or the process ends.
    Operator,
}

/// What a daemon logs, in its configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Levels by target, as `info,relay_transport=debug`; `info` where nothing is said. The command line's
    /// `--log` stands above it.
    pub filter: Option<String>,
}

impl LogConfig {
    /// Says whether it can be used.
    ///
    /// # Errors
    /// A filter that cannot be read.
    pub fn check(&self) -> Result<()> {
        self.filter.as_deref().map_or(Ok(()), |filter| parse(filter, ErrorKind::Config).map(drop))
    }
}

impl LogControl {
    /// What is logged at present.
    #[must_use]
    pub fn state(&self) -> LogState {
        self.lock().clone()
    }

    /// Logs by the configuration from now on, unless the command line says something else.
    ///
    /// # Errors
    /// A filter that cannot be read.
    pub fn configure(&self, config: &LogConfig) -> Result<()> {
        if self.lock().set_by == LogSetter::CommandLine {
            return Ok(());
        }
        let by = if config.filter.is_some() { LogSetter::Configuration } else { LogSetter::Default };
        self.set(config.filter.as_deref().unwrap_or(DEFAULT), by, ErrorKind::Config)
    }

    /// Logs as an operator says from now on.
    ///
    /// # Errors
    /// A filter that cannot be read.
    pub fn operate(&self, filter: &str) -> Result<()> {
        self.set(filter, LogSetter::Operator, ErrorKind::Usage)
    }

    fn set(&self, filter: &str, by: LogSetter, kind: ErrorKind) -> Result<()> {
        let parsed = parse(filter, kind)?;
        let mut state = self.lock();
        // The process's logger is another one's: a test's.
        let _other = self.0.handle.reload(parsed);
        *state = LogState { filter: filter.to_owned(), set_by: by };
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Filters of more bytes are a mistake.
const MAX_FILTER: usize = 4 << 10;

fn parse(filter: &str, kind: ErrorKind) -> Result<Targets> {
    let refused = |cause: &dyn fmt::Display| {
        OperatorError::new(kind, format!("the log filter `{}` cannot be read", filter.escape_debug()))
            .because(cause.to_string())
            .hint("write levels by target, as `info,relay_transport=debug`")
    };
    if filter.len() > MAX_FILTER {
        return Err(OperatorError::new(kind, "the log filter is above 4 KiB")
            .hint("write levels by target, as `info,relay_transport=debug`"));
    }
    if filter.trim().is_empty() {
        return Err(refused(&"it is empty; `off` logs nothing"));
    }
    filter.parse().map_err(|error: tracing_subscriber::filter::ParseError| refused(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_by_target_are_read_and_nothing_else() {
        for filter in ["off", "warn", "info,relay_transport=debug", "relay_transport::quic=trace"] {
            assert!(parse(filter, ErrorKind::Usage).is_ok(), "{filter}");
        }
        for filter in ["", " ", "info,relay_transport=loud", "a=b=c", &"a,".repeat(4 << 10)] {
            assert!(parse(filter, ErrorKind::Usage).is_err(), "{filter}");
        }
    }
}
