//! Pages of a listing: filtered, sorted, and where the next one begins.

use std::cmp::Ordering;
use std::ops::Deref;

use meshkit_model::{Invalid, Listed};
use meshkit_store::Cursor;
use relay_core::Status;

use crate::error::invalid;
use crate::filter::{Filter, known};

/// The most records of a page.
pub const MAX_PAGE: u32 = 1_000;
const DEFAULT_PAGE: u32 = 100;

/// The size of a page that a caller asked for; 0 means 100.
///
/// # Errors
/// `invalid-argument` above [`MAX_PAGE`].
pub fn page_size(asked: u32) -> Result<u32, Status> {
    match asked {
        0 => Ok(DEFAULT_PAGE),
        1..=MAX_PAGE => Ok(asked),
        _ => Err(invalid(&Invalid::new("limit", format!("is {asked}; a page has 1 to {MAX_PAGE}")))),
    }
}

/// The position that a token stands for; none where there is no token.
///
/// # Errors
/// `invalid-argument` for a token of another listing.
pub fn start_of_page(token: &str, filter: &str) -> Result<Option<String>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    Cursor::position(token, filter).map(Some).map_err(|error| invalid(&error))
}

/// The order of a listing: fields, each upwards or (`-field`) downwards, and at last the id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sort(Vec<(String, bool)>);

impl Sort {
    /// The most fields of an order.
    pub const MAX_FIELDS: usize = 3;

    /// Reads an order such as `-lastSeenAt,id`; an empty one is by id.
    ///
    /// # Errors
    /// [`Invalid`] for a field that there is not, and for more than three.
    pub fn parse<T: Listed>(text: &str) -> Result<Self, Invalid> {
        let mut fields = Vec::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let (name, down) = name.strip_prefix('-').map_or((name, false), |name| (name, true));
            known::<T>("sort", name)?;
            fields.push((name.to_owned(), down));
        }
        if fields.len() > Self::MAX_FIELDS {
            let problem = format!("names {} fields; at most {} are allowed", fields.len(), Self::MAX_FIELDS);
            return Err(Invalid::new("sort", problem));
        }
        Ok(Self(fields))
    }

    fn compare<T: Listed>(&self, a: &T, b: &T) -> Ordering {
        for (name, down) in &self.0 {
            let order = a.field(name).cmp(&b.field(name));
            if order != Ordering::Equal {
                return if *down { order.reverse() } else { order };
            }
        }
        a.id().cmp(b.id())
    }
}

/// A listing as it is asked for.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// What it leaves out.
    pub filter: Filter,
    /// Its order.
    pub sort: Sort,
    /// Records of a page; 0 means 100.
    pub limit: u32,
    /// Where the page begins; empty for the first.
    pub cursor: String,
}

/// One page of a listing.
#[derive(Clone, Debug)]
pub struct Paged<A> {
    /// The records.
    pub records: Vec<A>,
    /// Where the next page begins; empty on the last one.
    pub next_cursor: String,
}

impl Listing {
    /// A listing of `T` as REST and gRPC ask for it.
    ///
    /// # Errors
    /// `invalid-argument` for a filter or an order that is none of `T`.
    pub fn parse<T: Listed>(filter: &str, sort: &str, limit: u32, cursor: String) -> Result<Self, Status> {
        let filter = Filter::parse::<T>(filter).map_err(|error| invalid(&error))?;
        let sort = Sort::parse::<T>(sort).map_err(|error| invalid(&error))?;
        Ok(Self { filter, sort, limit, cursor })
    }

    /// One page of records, which come in the order of their ids.
    ///
    /// A listing by id is read no further than its page. Any other order has to be made: it costs
    /// what sorting all that pass the filter costs. A record that changes its place between two
    /// pages may be on both or on neither, as in every listing that is not a snapshot.
    ///
    /// # Errors
    /// `invalid-argument` for a size or a cursor that does not fit.
    pub fn page<T, A>(&self, kind: &str, records: impl Iterator<Item = A>) -> Result<Paged<A>, Status>
    where
        T: Listed,
        A: Deref<Target = T>,
    {
        let wanted = usize::try_from(page_size(self.limit)?).unwrap_or(usize::MAX);
        let described = format!("{kind} {} {:?}", self.filter, self.sort.0);
        let start = start_of_page(&self.cursor, &described)?;
        let passing = records.filter(|record| self.filter.admits::<T>(record));
        let mut page: Vec<A> = match &*self.sort.0 {
            [] => {
                let after = |record: &A| start.as_deref().is_none_or(|start| record.id() > start);
                passing.filter(after).take(wanted + 1).collect()
            }
            _ => {
                let mut all: Vec<A> = passing.collect();
                all.sort_unstable_by(|a, b| self.sort.compare::<T>(a, b));
                let skipped = match &start {
                    Some(start) => all.iter().position(|a| a.id() == start).ok_or_else(gone)? + 1,
                    None => 0,
                };
                all.into_iter().skip(skipped).take(wanted + 1).collect()
            }
        };
        let more = page.len() > wanted;
        page.truncate(wanted);
        let last = page.last().filter(|_| more);
        let next_cursor = last.map(|record| Cursor::new(&described, record.id()).token()).unwrap_or_default();
        Ok(Paged { records: page, next_cursor })
    }
}

fn gone() -> Status {
    invalid(&Invalid::new(
        "cursor",
        "stands on a record that is gone or no longer listed; begin again without it",
    ))
}
