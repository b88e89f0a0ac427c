//! One reload, from reading to its outcome.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::changes;
use super::history::Outcome;
use crate::config::Loaded;
use crate::error::{ErrorKind, OperatorError, Result};

/// Reads all sources and says everything that is wrong with what they say.
pub(super) type Read<T> = Box<dyn FnMut() -> Result<Loaded<T>, Vec<OperatorError>> + Send>;
type Stage<T> = Box<dyn FnMut(&Loaded<T>) -> Result<Staged> + Send>;

/// A part of a daemon that follows some keys of the configuration.
pub struct Section<T> {
    name: &'static str,
    keys: &'static [&'static str],
    always: bool,
    stage: Stage<T>,
}

impl<T> Section<T> {
    /// A part that follows `keys` and all below them. `stage` reads and makes what the new configuration
    /// needs and changes nothing.
    pub fn new(
        name: &'static str,
        keys: &'static [&'static str],
        stage: impl FnMut(&Loaded<T>) -> Result<Staged> + Send + 'static,
    ) -> Self {
        Self { name, keys, always: false, stage: Box::new(stage) }
    }

    /// Asked at every reload, whatever has changed: it looks at files that its keys name.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.always = true;
        self
    }

    pub(super) fn keys(&self) -> &'static [&'static str] {
        self.keys
    }

    fn follows(&self, path: &str) -> bool {
        self.keys.iter().any(|key| changes::covers(key, path))
    }
}

impl<T> fmt::Debug for Section<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Section").field("name", &self.name).field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// What a section has prepared. Dropped, it leaves everything as it was.
#[derive(Default)]
pub struct Staged {
    commit: Option<Box<dyn FnOnce() + Send>>,
    notes: Vec<String>,
}

impl Staged {
    /// There is nothing to change.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// `commit` makes the change, which cannot fail any more.
    pub fn new(commit: impl FnOnce() + Send + 'static) -> Self {
        Self { commit: Some(Box::new(commit)), notes: Vec::new() }
    }

    /// Says what has changed beside keys: a file that one of them names.
    #[must_use]
    pub fn noting(mut self, what: impl Into<String>) -> Self {
        self.notes.push(what.into());
        self
    }
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staged").field("notes", &self.notes).finish_non_exhaustive()
    }
}

/// What a reload came to.
pub(super) struct Attempt {
    pub(super) outcome: Outcome,
    pub(super) changed: Vec<String>,
    pub(super) problems: Vec<OperatorError>,
}

/// Reads, and keeps what is in force.
pub(super) struct Engine<T> {
    pub(super) read: Read<T>,
    pub(super) sections: Vec<Section<T>>,
    /// What is in force.
    pub(super) current: Value,
}

impl<T: Serialize> Engine<T> {
    /// Reads, validates, prepares and changes.
    pub(super) fn attempt(&mut self) -> Attempt {
        let refused = |changed, problems| Attempt { outcome: Outcome::Refused, changed, problems };
        let loaded = match (self.read)() {
            Ok(loaded) => loaded,
            Err(problems) => return refused(Vec::new(), problems),
        };
        let new = match value(&loaded.value) {
            Ok(new) => new,
            Err(error) => return refused(Vec::new(), vec![error]),
        };
        let mut changed = changes::between(&self.current, &new);
        let fixed: Vec<OperatorError> = changed
            .iter()
            .filter(|path| !self.sections.iter().any(|section| section.follows(path)))
            .map(|path| fixed(&loaded, path))
            .collect();
        if !fixed.is_empty() {
            return refused(changed, fixed);
        }
        let mut staged = Vec::new();
        for section in &mut self.sections {
            if !section.always && !changed.iter().any(|path| section.follows(path)) {
                continue;
            }
            match (section.stage)(&loaded) {
                Ok(one) => staged.push(one),
                Err(error) => {
                    let error = error.because(format!("the section `{}` cannot take it", section.name));
                    return Attempt { outcome: Outcome::RolledBack, changed, problems: vec![error] };
                }
            }
        }
        for one in staged {
            if let Some(commit) = one.commit {
                commit();
                changed.extend(one.notes);
            }
        }
        self.current = new;
        let outcome = if changed.is_empty() { Outcome::Unchanged } else { Outcome::Applied };
        Attempt { outcome, changed, problems: Vec::new() }
    }
}

/// A configuration as what is compared: with everything that is not said at its default.
pub(super) fn value(config: &impl Serialize) -> Result<Value> {
    serde_json::to_value(config).map_err(|error| {
        OperatorError::new(ErrorKind::Internal, "the configuration cannot be compared").caused_by(&error)
    })
}

fn fixed<T>(loaded: &Loaded<T>, path: &str) -> OperatorError {
    let error = OperatorError::new(ErrorKind::Conflict, format!("`{path}` cannot change while running"))
        .rule("config/fixed")
        .hint("take the change back, or restart the daemon to have it");
    loaded.place(path, error)
}
