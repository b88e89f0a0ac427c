//! The merged tree of all layers and where each value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::join;
use crate::error::{ErrorKind, OperatorError, Result};

/// Where a configuration value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A line of a file; lines count from 1.
    File {
        /// The file as it was named.
        name: String,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A file of a folder of secrets.
    Secret(PathBuf),
    /// The text after `--set`.
    Flag(String),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::Environment(name) => write!(f, "environment variable {name:.MAX_SHOWN$}"),
            Self::Secret(file) => write!(f, "secret {}", file.display()),
            Self::Flag(set) => write!(f, "--set {:.*}", MAX_SHOWN, set.split('=').next().unwrap_or_default()),
        }
    }
}

/// Characters of an override's path that are shown.
const MAX_SHOWN: usize = 200;
/// Parts of a path to a key: more than any configuration has, and few enough for what walks down them.
const MAX_DEPTH: usize = 32;

/// Merged values with their origins by dotted path.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) value: Value,
    origins: BTreeMap<String, Location>,
}

impl Default for Tree {
    fn default() -> Self {
        Self { value: Value::Object(Map::new()), origins: BTreeMap::new() }
    }
}

impl Tree {
    pub(super) fn locate(&self, path: &str) -> Option<&Location> {
        let mut path = path;
        loop {
            if let Some(location) = self.origins.get(path) {
                return Some(location);
            }
            path = path.rsplit_once('.')?.0;
        }
    }

    pub(super) fn merge_toml(&mut self, name: &str, text: &str) -> Result<()> {
        let table = DeTable::parse(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            OperatorError::new(ErrorKind::Config, format!("{name} is not valid TOML"))
                .at(format!("{name}:{line}"))
                .because(error.message())
                .rule("config/syntax")
                .hint("strings need quotes, tables are `[name]`, lists of tables `[[name]]`")
        })?;
        let source = Source { name, text };
        source.merge_table(table.get_ref(), &mut self.value, "", &mut self.origins);
        Ok(())
    }

    /// Takes the key at a path of its table away; whether it was there.
    pub(super) fn remove(&mut self, path: &str) -> bool {
        let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
        let mut parts = parent.split('.').filter(|part| !part.is_empty());
        let table = parts.try_fold(&mut self.value, step);
        table.and_then(Value::as_object_mut).is_some_and(|table| table.remove(key).is_some())
    }

    /// Sets one value; `text` is TOML, or else a bare string.
    pub(super) fn set(&mut self, path: &str, text: &str, location: &Location) -> Result<()> {
        self.put(path, bare_value(text), location)
    }

    pub(super) fn put(&mut self, path: &str, value: Value, location: &Location) -> Result<()> {
        let keys: Vec<&str> = path.split('.').take(MAX_DEPTH + 1).collect();
        if keys.len() > MAX_DEPTH {
            return Err(OperatorError::new(
                ErrorKind::Usage,
                format!("`{path:.40}…` is not a path to a key"),
            )
            .at(location.to_string())
            .because(format!("it has more than {MAX_DEPTH} parts"))
            .hint("write the path as `section.key`"));
        }
        if keys.iter().any(|key| key.is_empty()) {
            return Err(OperatorError::new(ErrorKind::Usage, format!("`{path}` is not a path to a key"))
                .at(location.to_string())
                .hint("write the path as `section.key`"));
        }
        let mut slot = &mut self.value;
        let mut so_far = String::new();
        for key in keys {
            so_far = join(&so_far, key);
            let found = match slot {
                Value::Array(items) => key.parse().ok().and_then(|index: usize| items.get_mut(index)),
                Value::Object(map) => Some(map.entry(key).or_insert(Value::Null)),
                other => {
                    *other = Value::Object(Map::new());
                    other.as_object_mut().map(|map| map.entry(key).or_insert(Value::Null))
                }
            };
            slot = found.ok_or_else(|| {
                OperatorError::new(ErrorKind::Usage, format!("`{so_far}` does not exist"))
                    .at(location.to_string())
                    .hint("lists are counted from 0; add entries in a file")
            })?;
        }
        *slot = value;
        forget_below(&mut self.origins, path);
        self.origins.insert(path.to_owned(), location.clone());
        Ok(())
    }
}

/// What a part of a path leads to.
fn step<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    match value {
        Value::Array(items) => items.get_mut(key.parse::<usize>().ok()?),
        Value::Object(map) => map.get_mut(key),
        _ => None,
    }
}

fn bare_value(text: &str) -> Value {
    let assignment = format!("v = {text}");
    match DeTable::parse(&assignment) {
        Ok(table) if table.get_ref().len() == 1 => table
            .get_ref()
            .values()
            .next()
            .map_or_else(|| Value::String(text.to_owned()), |value| plain(value.get_ref())),
        _ => Value::String(text.to_owned()),
    }
}

struct Source<'a> {
    name: &'a str,
    text: &'a str,
}

impl Source<'_> {
    fn merge_table(
        &self,
        table: &DeTable<'_>,
        into: &mut Value,
        path: &str,
        origins: &mut BTreeMap<String, Location>,
    ) {
        if !into.is_object() {
            *into = Value::Object(Map::new());
            forget_below(origins, path);
        }
        let Value::Object(map) = into else { return };
        for (key, value) in table {
            let path = join(path, key.get_ref());
            origins.insert(path.clone(), self.location(key.span().start));
            let slot = map.entry(key.get_ref().to_string()).or_insert(Value::Null);
            if let DeValue::Table(table) = value.get_ref() {
                self.merge_table(table, slot, &path, origins);
            } else {
                forget_below(origins, &path);
                *slot = plain(value.get_ref());
                self.note(value, &path, origins);
            }
        }
    }

    /// Notes the origins of everything below a value that was taken whole.
    fn note(&self, value: &Spanned<DeValue<'_>>, path: &str, origins: &mut BTreeMap<String, Location>) {
        match value.get_ref() {
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = join(path, &index.to_string());
                    origins.insert(path.clone(), self.location(item.span().start));
                    self.note(item, &path, origins);
                }
            }
            DeValue::Table(table) => {
                for (key, item) in table {
                    let path = join(path, key.get_ref());
                    origins.insert(path.clone(), self.location(key.span().start));
                    self.note(item, &path, origins);
                }
            }
            _ => {}
        }
    }

    fn location(&self, offset: usize) -> Location {
        Location::File { name: self.name.to_owned(), line: line_of(self.text, offset) }
    }
}

fn forget_below(origins: &mut BTreeMap<String, Location>, path: &str) {
    let below = format!("{path}.");
    origins.retain(|known, _| !known.starts_with(&below));
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// A TOML value as the JSON value that serde reads it from.
fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::String(number.as_str().to_owned()), Value::from),
        DeValue::Float(number) => number
            .as_str()
            .parse::<f64>()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map_or_else(|| Value::String(number.as_str().to_owned()), Value::Number),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(items) => Value::Array(items.iter().map(|item| plain(item.get_ref())).collect()),
        DeValue::Table(table) => Value::Object(
            table.iter().map(|(key, value)| (key.get_ref().to_string(), plain(value.get_ref()))).collect(),
        ),
    }
}
