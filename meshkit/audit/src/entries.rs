//! Reading the audit: pages of a search, all of it, and whether it is as it was written.

use futures_util::stream::{self, BoxStream, StreamExt as _};
use meshkit_api::{Context, Gate, page_size, start_of_page, store_status};
use meshkit_store::audit::{AuditEntry, AuditQuery, Head};
use meshkit_store::{Cursor, View};
use relay_core::Status;
use serde::Serialize;

/// Entries read at once where all are read.
const CHUNK: u32 = 500;

pub(crate) struct Audit {
    pub(crate) gate: Gate,
    view: View,
}

/// One page of a search.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) entries: Vec<AuditEntry>,
    pub(crate) next_cursor: String,
}

/// What a check of the chain found.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[schemars(rename = "AuditVerdict")]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verdict {
    pub(crate) intact: bool,
    /// Entries that were checked.
    pub(crate) entries: u64,
    pub(crate) head_number: u64,
    pub(crate) head_hash: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) problem: String,
}

impl Audit {
    pub(crate) fn new(context: &Context) -> Self {
        Self { gate: context.gate.clone(), view: context.view.clone() }
    }

    /// Searches, newest first.
    pub(crate) async fn search(&self, query: AuditQuery, limit: u32, cursor: &str) -> Result<Found, Status> {
        let described = format!("audit {query:?}");
        let after = start_of_page(cursor, &described)?.and_then(|number| number.parse().ok());
        let limit = page_size(limit)?;
        // One more than asked for tells whether more follow.
        let wanted = AuditQuery { after, limit: limit + 1, oldest_first: false, ..query };
        let mut entries = self.view.audit(wanted).await.map_err(|error| store_status(&error))?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = entries.len() > limit;
        entries.truncate(limit);
        let last = entries.last().filter(|_| more);
        let next_cursor = last.map(|entry| Cursor::new(&described, entry.number.to_string()).token());
        Ok(Found { entries, next_cursor: next_cursor.unwrap_or_default() })
    }

    /// All entries after a number, oldest first. A reader who is slow is waited for.
    pub(crate) fn all(&self, after: u64) -> BoxStream<'static, Result<AuditEntry, Status>> {
        let chunks = stream::try_unfold((self.view.clone(), after), |(view, after)| async move {
            let query =
                AuditQuery { after: Some(after), oldest_first: true, limit: CHUNK, ..AuditQuery::default() };
            let entries = view.audit(query).await.map_err(|error| store_status(&error))?;
            let last = entries.last().map(|entry| entry.number);
            Ok::<_, Status>(last.map(|last| (entries, (view, last))))
        });
        chunks
            .flat_map(|chunk| match chunk {
                Ok(entries) => stream::iter(entries.into_iter().map(Ok).collect::<Vec<_>>()),
                Err(status) => stream::iter(vec![Err(status)]),
            })
            .boxed()
    }

    /// Checks the chain from the oldest entry that is kept.
    pub(crate) async fn verify(&self) -> Result<Verdict, Status> {
        let mut all = self.all(0);
        let (mut head, mut entries, mut problem) = (None::<Head>, 0, String::new());
        while let Some(entry) = all.next().await {
            let entry = entry?;
            let before = Head { number: entry.number.saturating_sub(1), hash: entry.previous };
            if let Err(broken) = head.get_or_insert(before).verify(&entry) {
                problem = broken.to_string();
                break;
            }
            entries += 1;
        }
        let head = head.unwrap_or(Head::START);
        Ok(Verdict {
            intact: problem.is_empty(),
            entries,
            head_number: head.number,
            head_hash: head.hash.to_string(),
            problem,
        })
    }
}
