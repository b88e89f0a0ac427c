//! Which exceptions a procedure may go by: found by the procedure, not by trying each.

use jiff::Timestamp;

use crate::config::Exception;

/// Exceptions by the procedures that they are for. A look-up is a binary search, and then a step for
/// each beginning of the name that has exceptions of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    /// Whole names, sorted.
    exact: Box<[Named]>,
    /// Beginnings, sorted; the empty one stands for every call.
    beginnings: Box<[Beginning]>,
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
        let (mut exact, mut beginnings) = (Vec::new(), Vec::new());
        for (order, (exception, written)) in exceptions.into_iter().enumerate() {
            let grant = Grant { order, exception, expires: written.expires };
            if written.procedures.is_empty() {
                beginnings.push((String::new(), grant));
            }
            for pattern in &written.procedures {
                match pattern.strip_suffix('*') {
                    Some(beginning) => beginnings.push((beginning.to_owned(), grant)),
                    None => exact.push((pattern.clone(), grant)),
                }
            }
        }
        Self { exact: gather(exact).into(), beginnings: nest(gather(beginnings)) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.beginnings.is_empty()
    }

    pub(crate) fn find(&self, procedure: &str, now: Timestamp) -> Found {
        let mut best = Best { now, granting: None, expired: None };
        if let Ok(index) = self.exact.binary_search_by(|one| one.name.as_str().cmp(procedure)) {
            best.see(self.exact.get(index));
        }
        // The last one that is not behind the procedure in order begins with every one that the
        // procedure begins with.
        let behind = self.beginnings.partition_point(|one| one.named.name.as_str() <= procedure);
        let mut next = behind.checked_sub(1);
        while let Some(beginning) = next.and_then(|index| self.beginnings.get(index)) {
            if procedure.starts_with(&beginning.named.name) {
                best.see(Some(&beginning.named));
            }
            next = beginning.outer;
        }
        let number = |grant: Option<Grant>| grant.map(|grant| grant.exception);
        Found { granting: number(best.granting), expired: number(best.expired) }
    }
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
fn nest(named: Vec<Named>) -> Box<[Beginning]> {
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
    nested.into()
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
    fn see(&mut self, named: Option<&Named>) {
        let Some(named) = named else { return };
        match named.grants.granting(self.now) {
            Some(grant) if self.granting.is_none_or(|first| grant.order < first.order) => {
                self.granting = Some(grant);
            }
            Some(_) => {}
            None => {
                let last = named
                    .grants
                    .last
                    .filter(|grant| self.expired.is_none_or(|expired| grant.order > expired.order));
                self.expired = last.or(self.expired);
            }
        }
    }
}
