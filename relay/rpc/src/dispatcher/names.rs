//! Which name means which procedure.

use std::collections::HashMap;

use omnirelay_runtime::{ErrorKind, OperatorError, Result};

use super::Entry;
use crate::procedure::Wrap;

/// Procedures by name: exact ones first, then the longest beginning.
#[derive(Default)]
pub(crate) struct Names {
    entries: Vec<Entry>,
    exact: HashMap<String, usize>,
    /// Beginnings, longest first.
    wild: Vec<(String, usize)>,
}

impl Names {
    pub(crate) fn insert(&mut self, entry: Entry, names: Vec<String>) -> Result<()> {
        let index = self.entries.len();
        for name in names {
            let taken = match name.strip_suffix('*') {
                None => self.exact.insert(name.clone(), index).is_some_and(|old| old != index),
                Some(beginning) => {
                    let known = self.wild.iter().find(|(known, _)| known == beginning).map(|known| known.1);
                    if known.is_none() {
                        self.wild.push((beginning.to_owned(), index));
                    }
                    known.is_some_and(|old| old != index)
                }
            };
            if taken {
                let message = format!("the procedure `{}` is registered already, as `{name}`", entry.name);
                return Err(OperatorError::new(ErrorKind::Internal, message)
                    .hint("give each name and each alias to one procedure"));
            }
        }
        self.wild.sort_by_key(|(beginning, _)| std::cmp::Reverse(beginning.len()));
        self.entries.push(entry);
        Ok(())
    }

    pub(crate) fn alias(&mut self, alias: &str, of: &str) -> Result<()> {
        let wrong = |what: &str| {
            OperatorError::new(ErrorKind::Internal, format!("`{alias}` cannot name `{of}` too: {what}"))
                .hint("register the procedure first, and give each name to one")
        };
        let index = self.exact.get(of.trim_start_matches('/')).copied();
        let index = index.ok_or_else(|| wrong("nothing has that name"))?;
        for name in spellings(alias) {
            if self.exact.insert(name, index).is_some_and(|old| old != index) {
                return Err(wrong("the name is taken"));
            }
        }
        Ok(())
    }

    /// The number of the entry that a name means.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        let wild =
            || self.wild.iter().find(|(beginning, _)| name.starts_with(beginning)).map(|found| &found.1);
        self.exact.get(name).or_else(wild).copied()
    }

    pub(crate) fn entry(&self, index: usize) -> &Entry {
        &self.entries[index]
    }

    /// Every name that can be called.
    pub(crate) fn all(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.exact.keys().map(String::as_str).collect();
        names.extend(self.wild.iter().filter_map(|(_, index)| Some(self.entries.get(*index)?.name.as_str())));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The procedures' own names.
    pub(crate) fn own(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.entries.iter().map(|entry| entry.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn wrap(&mut self, layer: &Wrap) {
        for entry in &mut self.entries {
            entry.procedure = layer(entry.procedure.clone());
        }
    }
}

/// A name as gRPC and as YARPC spell it.
pub(crate) fn spellings(name: &str) -> Vec<String> {
    let name = name.strip_prefix('/').unwrap_or(name);
    if let Some((service, method)) = name.rsplit_once("::") {
        return vec![name.to_owned(), format!("{service}/{method}")];
    }
    match name.rsplit_once('/') {
        Some((service, method)) => vec![name.to_owned(), format!("{service}::{method}")],
        None => vec![name.to_owned()],
    }
}

/// What a method of a contract is called by: its path, its own name, and without its package.
pub(crate) fn of_contract(path: &str, own: &str) -> Vec<String> {
    let (service, method) = own.rsplit_once("::").unwrap_or((own, ""));
    let short = service.rsplit('.').next().unwrap_or(service);
    vec![path.trim_start_matches('/').to_owned(), own.to_owned(), format!("{short}::{method}")]
}
