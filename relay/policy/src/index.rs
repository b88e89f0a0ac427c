//! Which exceptions a procedure may go by: found by the procedure, not by trying each.

use jiff::Timestamp;

use crate::config::Exception;

/// Exceptions by the procedures that they are for. A look-up is a binary search, and then a step for
/// each beginning of the name that has exceptions of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    /// For every call.
    all: Option<Grants>,
    exact: Sorted<Named>,
    beginnings: Sorted<Beginning>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    name: String,
    grants: Grants,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Beginning {
    named: Named,
    /// The longest other one that this one begins with.
    outer: Option<usize>,
}

/// An exception as the index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grant {
    /// Its place among the exceptions: the first that has not expired counts.
    order: usize,
    exception: usize,
    expires: Timestamp,
}

/// The exceptions for one name or beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Grants {
    /// In order, those alone that outlast each before them: no other is ever the first that has not
    /// expired.
    lasting: Vec<Grant>,
    last: Option<Grant>,
}

/// What the index says of one procedure.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    /// The first exception that grants it now.
    pub(crate) granting: Option<usize>,
    /// The last one that granted it; of interest where none grants it now.
    pub(crate) expired: Option<usize>,
}

impl Index {
    /// Of exceptions in their order, each with the number that is found.
    pub(crate) fn new<'a>(exceptions: impl IntoIterator<Item = (usize, &'a Exception)>) -> Self {
        let (mut all, mut exact, mut beginnings) = (None, Vec::new(), Vec::new());
        for (order, (exception, written)) in exceptions.into_iter().enumerate() {
            let grant = Grant { order, exception, expires: written.expires };
            if written.procedures.is_empty() {
                all.get_or_insert_with(Grants::default).add(grant);
            }
            for pattern in &written.procedures {
                match pattern.strip_suffix('*') {
                    Some("") => all.get_or_insert_with(Grants::default).add(grant),
                    Some(beginning) => beginnings.push((beginning.to_owned(), grant)),
                    None => exact.push((pattern.clone(), grant)),
                }
            }
        }
        Self { all, exact: Sorted::new(gather(exact)), beginnings: Sorted::new(nest(gather(beginnings))) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_none() && self.exact.is_empty() && self.beginnings.is_empty()
    }

    pub(crate) fn find(&self, procedure: &str, now: Timestamp) -> Found {
        let mut best = Best { now, granting: None, expired: None };
        if let Some(all) = &self.all {
            best.see(all);
        }
        if let Some(named) = self.exact.last_up_to(procedure)
            && named.name == procedure
        {
            best.see(&named.grants);
        }
        // The last one that is not behind the procedure in order begins with every one that the
        // procedure begins with.
        let mut next = self.beginnings.last_up_to(procedure);
        while let Some(beginning) = next {
            if procedure.starts_with(&beginning.named.name) {
                best.see(&beginning.named.grants);
            }
            next = beginning.outer.and_then(|index| self.beginnings.entries.get(index));
        }
        let number = |grant: Option<Grant>| grant.map(|grant| grant.exception);
        Found { granting: number(best.granting), expired: number(best.expired) }
    }
}

/// What has a name.
trait HasName {
    fn name(&self) -> &str;
}

impl HasName for Named {
    fn name(&self) -> &str {
        &self.name
    }
}

impl HasName for Beginning {
    fn name(&self) -> &str {
        &self.named.name
    }
}

/// Entries sorted by name. Names of one policy mostly begin alike, and differ soon after that: what follows
/// is compared as a number, and names as such only where the numbers are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sorted<T> {
    /// What every name begins with.
    common: String,
    /// The eight bytes after it.
    keys: Box<[u64]>,
    entries: Box<[T]>,
}

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self { common: String::new(), keys: Box::default(), entries: Box::default() }
    }
}

impl<T: HasName> Sorted<T> {
    /// Of entries in the order of their names.
    fn new(entries: Vec<T>) -> Self {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Self::default() };
        let alike = first.name().chars().zip(last.name().chars()).take_while(|(one, other)| one == other);
        let common: String = alike.map(|(one, _)| one).collect();
        let after = |entry: &T| key(entry.name().as_bytes().get(common.len()..).unwrap_or_default());
        Self { keys: entries.iter().map(after).collect(), entries: entries.into(), common }
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The last entry whose name is not behind this one in order; it may be any other entry, or none, where
    /// no entry's name begins this one.
    fn last_up_to(&self, name: &str) -> Option<&T> {
        if self.is_empty() {
            return None;
        }
        let key = key(name.strip_prefix(self.common.as_str())?.as_bytes());
        let before = self.keys.partition_point(|one| *one < key);
        let same = self.keys.get(before..)?.partition_point(|one| *one == key);
        let same = self.entries.get(before..before + same)?;
        let up_to = before + same.partition_point(|one| one.name() <= name);
        self.entries.get(up_to.checked_sub(1)?)
    }
}

/// The first eight bytes as a number that is in the order of the text.
fn key(text: &[u8]) -> u64 {
    let bytes = text.first_chunk().copied().unwrap_or_else(|| {
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(text).for_each(|(into, byte)| *into = *byte);
        bytes
    });
    u64::from_be_bytes(bytes)
}

/// Grants by name, sorted by it; those of one name stay in order.
fn gather(mut named: Vec<(String, Grant)>) -> Vec<Named> {
    named.sort_by(|(one, first), (other, second)| (one, first.order).cmp(&(other, second.order)));
    let mut gathered: Vec<Named> = Vec::new();
    for (name, grant) in named {
        match gathered.last_mut().filter(|last| last.name == name) {
            Some(last) => last.grants.add(grant),
            None => {
                let mut grants = Grants::default();
                grants.add(grant);
                gathered.push(Named { name, grants });
            }
        }
    }
    gathered
}

/// Tells each of some sorted beginnings which other one it begins with.
fn nest(named: Vec<Named>) -> Vec<Beginning> {
    let mut nested: Vec<Beginning> = Vec::with_capacity(named.len());
    for named in named {
        let mut outer = nested.len().checked_sub(1);
        while let Some(around) = outer.and_then(|index| nested.get(index)) {
            if named.name.starts_with(&around.named.name) {
                break;
            }
            outer = around.outer;
        }
        nested.push(Beginning { named, outer });
    }
    nested
}

impl Grants {
    fn add(&mut self, grant: Grant) {
        self.last = Some(grant);
        if self.lasting.last().is_none_or(|longest| longest.expires < grant.expires) {
            self.lasting.push(grant);
        }
    }

    fn granting(&self, now: Timestamp) -> Option<Grant> {
        let expired = self.lasting.partition_point(|grant| grant.expires <= now);
        self.lasting.get(expired).copied()
    }
}

/// The best of what was found so far.
struct Best {
    now: Timestamp,
    granting: Option<Grant>,
    expired: Option<Grant>,
}

impl Best {
    fn see(&mut self, grants: &Grants) {
        match grants.granting(self.now) {
            Some(grant) if self.granting.is_none_or(|first| grant.order < first.order) => {
                self.granting = Some(grant);
            }
            Some(_) => {}
            None => {
                let last = grants
                    .last
                    .filter(|grant| self.expired.is_none_or(|expired| grant.order > expired.order));
                self.expired = last.or(self.expired);
            }
        }
    }
}
