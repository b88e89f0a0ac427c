//! Errors of the command line's parser in the shape of every other error.

use crate::error::{ErrorKind, OperatorError};

/// What the parser says, paragraph by paragraph: what is wrong, tips, the usage, where there is more.
#[must_use]
pub fn explain(text: &str) -> OperatorError {
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
    error.unwrap_or_else(|| OperatorError::new(ErrorKind::Usage, text.trim())).hint(hints.join("; "))
}
