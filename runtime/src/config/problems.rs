//! The collector of everything that is wrong with a configuration.

use super::Loaded;
use crate::error::{ErrorKind, OperatorError, Result};

/// Everything found wrong so far, each problem with the place that its key was set at.
#[derive(Debug)]
pub struct Problems<'a, T> {
    loaded: &'a Loaded<T>,
    list: Vec<OperatorError>,
}

impl<'a, T> Problems<'a, T> {
    /// Nothing is wrong with `loaded` yet.
    #[must_use]
    pub fn new(loaded: &'a Loaded<T>) -> Self {
        Self { loaded, list: Vec::new() }
    }

    /// Adds a problem of the value at `key`, such as `outbounds.0.name`.
    pub fn say(&mut self, key: &str, problem: &str, hint: &str) {
        self.add(key, OperatorError::new(ErrorKind::Config, problem).hint(hint));
    }

    /// Adds a problem that has a name of its own, as `policy/missing`.
    pub fn say_as(&mut self, rule: &str, key: &str, problem: String, hint: &str) {
        self.add(key, OperatorError::new(ErrorKind::Config, problem).rule(rule).hint(hint));
    }

    /// Adds an error that the value at `key` led to.
    pub fn add(&mut self, key: &str, error: OperatorError) {
        self.list.push(self.loaded.place(key, error).rule(rule(key)));
    }

    /// All of them in the order in which they were found.
    #[must_use]
    pub fn into_list(self) -> Vec<OperatorError> {
        self.list
    }
}

/// The name of the kind of problem that the value at a key has: the key with `*` for every number.
fn rule(key: &str) -> String {
    let segment = |part: &str| match part.bytes().all(|byte| byte.is_ascii_digit()) {
        true => "*".to_owned(),
        false => part.to_owned(),
    };
    format!("config/{}", key.split('.').map(segment).collect::<Vec<_>>().join("."))
}

/// What a daemon says when it cannot start with a configuration: the problem, or one error that
/// lists them all.
///
/// # Errors
/// Whenever there is a problem.
pub fn refuse(problems: &[OperatorError]) -> Result<()> {
    let (first, others) = match problems {
        [] => return Ok(()),
        [problem] => return Err(problem.clone()),
        [first, others @ ..] => (first, others.len()),
    };
    let several = format!("the configuration has {} problems", others + 1);
    let hint = first.hint_text().unwrap_or("correct them one by one");
    let error = OperatorError::new(ErrorKind::Config, several).hint(format!(
        "of the first: {hint}; `omnirelay mesh config validate` shows all with their remedies"
    ));
    Err(problems.iter().fold(error, |error, problem| {
        error.because(match problem.location() {
            Some(location) => format!("{location}: {problem}"),
            None => problem.to_string(),
        })
    }))
}
