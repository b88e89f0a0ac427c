//! Reading the log as changes and as audit entries, and forgetting its oldest part.

use meshkit_etcd::prefix_end;
use meshkit_model::{Kind, Timestamp};

use super::layout::Logged;
use super::plan::hash;
use super::requests::{delete_range, range, txn};
use super::shared::{PATIENCE, Shared, decoded, unavailable};
use crate::api::Change;
use crate::audit::{AuditEntry, AuditQuery, Hash};
use crate::error::StoreError;

/// Entries of the log that are looked at together.
const WINDOW: u64 = 32;
/// Entries of the log that one transaction forgets.
const FORGOTTEN_AT_ONCE: u64 = 1_024;

impl Shared {
    pub(super) async fn changes(&self, after: u64, limit: u32) -> Result<Option<Vec<Change>>, StoreError> {
        if after > self.replica().tip().revision {
            // Another node may have told of a revision that this one has not heard of yet.
            self.catch_up().await?;
        }
        let newest = {
            let replica = self.replica();
            let tip = replica.tip();
            if after >= tip.revision {
                return Ok((after == tip.revision).then(Vec::new));
            }
            if let Some(changes) = replica.changes(after, limit) {
                return Ok(Some(changes));
            }
            tip.seq
        };
        let Some(oldest) = self.oldest().await?.filter(|oldest| oldest.before.revision <= after) else {
            return Ok(None);
        };
        let from = self.first(oldest.after.seq, newest, |logged| logged.after.revision > after).await?;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
        let (mut changes, mut next) = (Vec::new(), from);
        while changes.len() < wanted && next <= newest {
            let entries = self.log(next, (next + WINDOW).min(newest + 1)).await?;
            if entries.first().is_none_or(|first| first.after.seq != next) {
                // It was forgotten meanwhile.
                return Ok(None);
            }
            for mut logged in entries {
                next = logged.after.seq + 1;
                if changes.len() < wanted {
                    self.with_rows(&mut logged).await?;
                    changes_of(logged, &mut changes)?;
                }
            }
        }
        Ok(Some(changes))
    }

    pub(super) async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        self.catch_up().await?;
        let newest = self.replica().tip().seq;
        let Some(oldest) = self.oldest().await? else { return Ok(Vec::new()) };
        let wanted = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let (mut low, mut high) = (oldest.after.seq, newest);
        if let Some(after) = query.after {
            // The entry of the log that holds the number, or comes next.
            let place = self.first(low, high, |logged| logged.after.audit >= after).await?;
            if query.oldest_first { low = place } else { high = place.min(high) }
        }
        let mut found = Vec::new();
        while found.len() < wanted && low <= high {
            let (from, to) = match query.oldest_first {
                true => (low, (low + WINDOW - 1).min(high)),
                false => (high.saturating_sub(WINDOW - 1).max(low), high),
            };
            let mut window = Vec::new();
            for mut logged in self.log(from, to + 1).await? {
                self.with_rows(&mut logged).await?;
                audit_of(logged, &mut window)?;
            }
            if !query.oldest_first {
                window.reverse();
            }
            let beyond = |entry: &AuditEntry| match (query.after, query.oldest_first) {
                (None, _) => true,
                (Some(after), true) => entry.number > after,
                (Some(after), false) => entry.number < after,
            };
            found.extend(window.into_iter().filter(|entry| beyond(entry) && query.matches(entry)));
            if query.oldest_first {
                low = to + 1;
            } else if from == 0 {
                break;
            } else {
                high = from - 1;
            }
        }
        found.truncate(wanted);
        Ok(found)
    }

    async fn with_rows(&self, logged: &mut Logged) -> Result<(), StoreError> {
        if logged.parts > 0 && logged.rows.is_empty() {
            logged.rows = self.rows(logged).await?;
        }
        Ok(())
    }

    /// The oldest entry that is kept.
    async fn oldest(&self) -> Result<Option<Logged>, StoreError> {
        let request = range(self.keys.logs(), prefix_end(&self.keys.logs()), 1);
        let answer = self.client.range(request, PATIENCE).await.map_err(|error| unavailable(&error))?;
        Ok(self.noted(decoded(&answer.kvs))?.pop())
    }

    /// The first place of the log from `low` to `high` for which `is_late` holds, which it does for all
    /// behind it; `high + 1` where there is none.
    async fn first(
        &self,
        mut low: u64,
        high: u64,
        is_late: impl Fn(&Logged) -> bool,
    ) -> Result<u64, StoreError> {
        let mut end = high + 1;
        while low < end {
            let middle = low + (end - low) / 2;
            // What was forgotten meanwhile is early.
            let late = self.log(middle, middle + 1).await?.first().is_some_and(&is_late);
            if late { end = middle } else { low = middle + 1 }
        }
        Ok(low)
    }

    /// After how many mutations old ones are looked for.
    pub(super) fn forget_every(&self) -> u64 {
        (self.kept.audit.min(self.kept.changes) / 16).max(8)
    }

    /// Forgets entries of the log of which neither audit nor changes are to be kept. The newest stays.
    pub(super) async fn forget(&self) -> Result<(), StoreError> {
        let tip = self.replica().tip().clone();
        let (audit, changes) =
            (tip.audit.saturating_sub(self.kept.audit), tip.changes.saturating_sub(self.kept.changes));
        let Some(oldest) = self.oldest().await? else { return Ok(()) };
        let keeps = |logged: &Logged| logged.after.audit > audit || logged.after.changes > changes;
        let mut next = oldest.after.seq;
        let keep = self.first(next, tip.seq.saturating_sub(1), keeps).await?;
        while next < keep {
            next = (next + FORGOTTEN_AT_ONCE).min(keep);
            let old = vec![
                delete_range(self.keys.logs(), self.keys.log(next)),
                delete_range(self.keys.parts(0), self.keys.parts(next)),
            ];
            let request = txn(Vec::new(), old, Vec::new());
            self.client.txn(request, PATIENCE).await.map_err(|error| unavailable(&error))?;
        }
        Ok(())
    }
}

fn changes_of(logged: Logged, changes: &mut Vec<Change>) -> Result<(), StoreError> {
    for row in logged.rows {
        changes.push(Change {
            revision: logged.after.revision,
            kind: kind(&row.kind)?,
            key: row.key,
            version: row.version,
            value: row.after.map(|stored| stored.value.into()),
        });
    }
    Ok(())
}

fn audit_of(logged: Logged, entries: &mut Vec<AuditEntry>) -> Result<(), StoreError> {
    let at = Timestamp::from_millisecond(logged.at)
        .map_err(|error| StoreError::Damaged(format!("a time of the audit: {error}")))?;
    let mut previous: Hash = hash(&logged.before.hash)?;
    let mut number = logged.before.audit;
    let blank = AuditEntry {
        number,
        revision: logged.after.revision,
        at,
        actor: logged.actor,
        action: logged.action,
        ticket: logged.ticket,
        reason: logged.reason,
        record: String::new(),
        refused: None,
        before: None,
        after: None,
        previous,
        hash: previous,
    };
    let mut push = |entry: AuditEntry, own: &[u8]| -> Result<(), StoreError> {
        number += 1;
        let own = hash(own)?;
        entries.push(AuditEntry { number, previous, hash: own, ..entry });
        previous = own;
        Ok(())
    };
    if let Some(refused) = logged.refused {
        let entry = AuditEntry { record: refused.record, refused: Some(refused.why), ..blank.clone() };
        push(entry, &refused.hash)?;
    }
    for row in logged.rows {
        if let Some(own) = row.hash {
            let entry = AuditEntry {
                record: format!("{}/{}", row.kind, row.key),
                before: row.before,
                after: row.after.map(|stored| stored.value),
                ..blank.clone()
            };
            push(entry, &own)?;
        }
    }
    Ok(())
}

fn kind(name: &str) -> Result<Kind, StoreError> {
    name.parse().map_err(|error| StoreError::Damaged(format!("a row of the log: {error}")))
}
