//! The one shape in which a person meets an error: what, where, why, what to do.

use std::error::Error;
use std::fmt;

/// The result of an operation whose failure a person has to act on.
pub type Result<T, E = OperatorError> = std::result::Result<T, E>;

/// What went wrong, as far as a script needs to know: each kind is one exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A fault of ours (exit code 1).
    Internal,
    /// The command line is off (exit code 2).
    Usage,
    /// The configuration, or a file that it names, is off (exit code 3).
    Config,
    /// Who calls is unknown or may not (exit code 4).
    Auth,
    /// What was asked for does not exist (exit code 5).
    NotFound,
    /// Somebody else was faster, or the state does not allow it (exit code 6).
    Conflict,
    /// The other side cannot be reached or refuses for now (exit code 7).
    Unavailable,
    /// Time ran out (exit code 8).
    Deadline,
    /// The operating system refused: a file, a port, a directory (exit code 9).
    Io,
}

impl ErrorKind {
    /// The process exit code that stands for this kind, 1 to 9.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Config => 3,
            Self::Auth => 4,
            Self::NotFound => 5,
            Self::Conflict => 6,
            Self::Unavailable => 7,
            Self::Deadline => 8,
            Self::Io => 9,
        }
    }

    /// A stable lower-case name for JSON output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::Config => "config",
            Self::Auth => "auth",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
            Self::Deadline => "deadline",
            Self::Io => "io",
        }
    }
}

/// An error for a person: one primary line, where it is, why, and what to do about it.
///
/// `Display` prints the primary line only; [`report`](Self::report) prints all of it.
#[derive(Clone, Debug)]
pub struct OperatorError(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    kind: ErrorKind,
    message: String,
    rule: Option<String>,
    key: Option<String>,
    location: Option<String>,
    causes: Vec<String>,
    hint: Option<String>,
}

impl OperatorError {
    /// Makes an error from a fragment without a capital or a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            kind,
            message: message.into(),
            rule: None,
            key: None,
            location: None,
            causes: Vec::new(),
            hint: None,
        }))
    }

    /// Adds what the reader can do about it; the last one said stands.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds a name that never changes for what kind of problem this is, as `config/node.name`, for
    /// reports that are read by programs; the first one said stands.
    #[must_use]
    pub fn rule(mut self, rule: impl Into<String>) -> Self {
        self.0.rule.get_or_insert_with(|| rule.into());
        self
    }

    /// Says which key of a section led to it, from the inside outwards: `certificate`, then `tls`. Whoever
    /// knows the file finds the line by it.
    #[must_use]
    pub fn under(mut self, key: &str) -> Self {
        self.0.key = Some(match self.0.key.take() {
            Some(inner) => format!("{key}.{inner}"),
            None => key.to_owned(),
        });
        self
    }

    /// The key below the section that was configured, where it is known.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// Adds the place: `file.toml:12`, a flag, a variable.
    #[must_use]
    pub fn at(mut self, location: impl Into<String>) -> Self {
        self.0.location = Some(location.into());
        self
    }

    /// Adds an error and all its sources as the chain of causes. A source that only repeats what
    /// the error above it said is left out.
    #[must_use]
    pub fn caused_by(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self = self.because(error.to_string());
            next = error.source();
        }
        self
    }

    /// Adds one cause in words.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        let cause = cause.into();
        if !self.0.causes.last().is_some_and(|above| above.contains(&cause)) {
            self.0.causes.push(cause);
        }
        self
    }

    /// The kind, and by it the exit code.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What kind of problem this is, where it has a name.
    #[must_use]
    pub fn rule_id(&self) -> Option<&str> {
        self.0.rule.as_deref()
    }

    /// The causes in words, the nearest first.
    pub fn causes(&self) -> impl Iterator<Item = &str> {
        self.0.causes.iter().map(String::as_str)
    }

    /// The hint, where there is one.
    #[must_use]
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The place, where there is one.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.0.location.as_deref()
    }

    /// The whole error over several lines, with ANSI colour where `color` is set.
    #[must_use]
    pub fn report(&self, color: bool) -> String {
        let paint = |style: anstyle::Style, text: &str| {
            if color { format!("{style}{text}{style:#}") } else { text.to_owned() }
        };
        let red = anstyle::AnsiColor::Red.on_default().bold();
        let cyan = anstyle::AnsiColor::Cyan.on_default();
        let mut out = format!("{} {}", paint(red, "error:"), self.0.message);
        if let Some(location) = &self.0.location {
            out.push_str(&format!("\n  {} {location}", paint(cyan, "where:")));
        }
        for cause in &self.0.causes {
            out.push_str(&format!("\n  {} {cause}", paint(cyan, "cause:")));
        }
        if let Some(hint) = &self.0.hint {
            out.push_str(&format!("\n  {}  {hint}", paint(cyan, "hint:")));
        }
        out
    }

    /// The error as one JSON object: `kind`, `message`, `location`, `causes`, `hint`, and `rule`
    /// where the kind of problem has a name.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let mut document = serde_json::json!({
            "kind": self.0.kind.name(),
            "message": self.0.message,
            "location": self.0.location,
            "causes": self.0.causes,
            "hint": self.0.hint,
        });
        if let (Some(rule), Some(object)) = (&self.0.rule, document.as_object_mut()) {
            object.insert("rule".to_owned(), rule.as_str().into());
        }
        document
    }
}

impl fmt::Display for OperatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl Error for OperatorError {}
