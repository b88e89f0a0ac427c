//! What a watcher wants to know of.

use meshkit_model::placement::hash;
use meshkit_model::{Fields, Kind};

use super::Event;

/// Which records a watch is about: of some kinds, with keys that begin alike, and with fields that
/// have exactly these values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    kinds: Vec<Kind>,
    prefix: String,
    fields: Vec<(String, String)>,
}

impl Filter {
    /// All records of some kinds.
    pub fn of(kinds: impl IntoIterator<Item = Kind>) -> Self {
        let mut kinds: Vec<_> = kinds.into_iter().collect();
        kinds.sort_unstable();
        kinds.dedup();
        Self { kinds, prefix: String::new(), fields: Vec::new() }
    }

    /// Only keys that begin with `prefix`, such as `orders/`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Only records whose [`fields`](meshkit_model::Record::fields) have this one.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.push((name.into(), value.into()));
        self.fields.sort_unstable();
        self
    }

    /// Whether the event may concern anyone with this filter, whatever the fields are.
    pub(super) fn is_about(&self, event: &Event) -> bool {
        self.kinds.contains(&event.kind()) && event.change().key.starts_with(&self.prefix)
    }

    /// Whether the record is one now.
    pub(super) fn matches(&self, event: &Event) -> bool {
        self.is_about(event) && event.fields_after().is_some_and(|fields| self.accepts(fields))
    }

    /// Whether the record was one before, or may have been.
    pub(super) fn matched(&self, event: &Event, from_history: bool) -> bool {
        let may_have = || event.fields_before().map_or(from_history, |fields| self.accepts(fields));
        self.is_about(event) && may_have()
    }

    fn accepts(&self, fields: &Fields) -> bool {
        self.fields.iter().all(|(name, value)| fields.iter().any(|(n, v)| n == name && v == value))
    }

    /// The same for the same filter, in every process and version.
    pub(super) fn digest(&self) -> u64 {
        let mut text = String::new();
        let mut add = |part: &str| {
            text.push_str(&part.len().to_string());
            text.push(':');
            text.push_str(part);
        };
        self.kinds.iter().for_each(|kind| add(kind.as_str()));
        add("/");
        add(&self.prefix);
        for (name, value) in &self.fields {
            add(name);
            add(value);
        }
        hash(text.as_bytes())
    }
}
