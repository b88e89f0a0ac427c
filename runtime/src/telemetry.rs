//! Logs: one line an event, on standard error.

use std::io::IsTerminal as _;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

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

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The shape of a line.
    pub format: LogFormat,
    /// Levels by target, as `info,relay_transport=debug`.
    pub filter: String,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

impl LogOptions {
    /// Installs the process's logger; the second call in a process changes nothing.
    ///
    /// # Errors
    /// A filter that cannot be read.
    pub fn install(&self) -> Result<()> {
        let filter = EnvFilter::try_new(&self.filter).map_err(|error| {
            OperatorError::new(ErrorKind::Usage, format!("the log filter `{}` cannot be read", self.filter))
                .caused_by(&error)
                .hint("write levels by target, as `info,relay_transport=debug`")
        })?;
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        // Already installed: the first logger of a process stands.
        let _installed = match self.format {
            LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
            LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
        };
        Ok(())
    }
}
