//! What a group of mutations comes to, decided by the replica. Sans-IO.
//!
//! Nothing that is said here is told to anybody before etcd has agreed that the log had not gone on.

use std::collections::HashMap;

use meshkit_model::Kind;
use prost::Message as _;

use super::layout::{Logged, Refusal, Row, Stored, Tip};
use super::replica::{Kept, Replica};
use crate::audit::{Hash, Head};
use crate::error::StoreError;
use crate::mutation::{Committed, Mutation};
use crate::write::Write;

/// Operations of one transaction, below etcd's `--max-txn-ops` of 128.
pub(super) const MAX_OPS: usize = 112;
/// Bytes of one transaction, well below etcd's `--max-request-bytes` of 1.5 MiB.
pub(super) const MAX_BYTES: usize = 768 << 10;

/// A group that is about to be written.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) entries: Vec<Logged>,
    /// What each mutation comes to, in order.
    pub(super) outcomes: Vec<Result<Committed, StoreError>>,
    pub(super) tip: Tip,
    head: Head,
    ops: usize,
    bytes: usize,
    written: HashMap<(Kind, String), Option<Kept>>,
}

/// Whether a mutation is in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    Yes,
    /// It does not fit beside the others: it belongs to the next group.
    Full,
}

impl Plan {
    pub(super) fn new(replica: &Replica) -> Result<Self, StoreError> {
        let tip = replica.tip().clone();
        Ok(Self {
            entries: Vec::new(),
            outcomes: Vec::new(),
            head: Head { number: tip.audit, hash: hash(&tip.hash)? },
            tip,
            // The tip itself.
            ops: 1,
            bytes: 0,
            written: HashMap::new(),
        })
    }

    /// Whether the plan is one mutation that one transaction cannot hold.
    pub(super) fn is_large(&self) -> bool {
        self.ops > MAX_OPS || self.bytes > MAX_BYTES
    }

    /// Decides on a mutation as if all those before it were carried out.
    pub(super) fn add(&mut self, replica: &Replica, mutation: &Mutation, id: Vec<u8>) -> Added {
        let head = self.head;
        match self.decide(replica, mutation, id) {
            Err(error) => {
                self.head = head;
                self.outcomes.push(Err(error));
            }
            Ok((committed, None)) => self.outcomes.push(Ok(committed)),
            Ok((committed, Some(logged))) => {
                let ops = 1 + logged.rows.len();
                // Each value is written as a record, too.
                let value =
                    |row: &Row| row.key.len() + row.after.as_ref().map_or(0, Stored::encoded_len) + 64;
                let bytes = logged.encoded_len() + logged.rows.iter().map(value).sum::<usize>();
                let full = self.ops + ops > MAX_OPS || self.bytes + bytes > MAX_BYTES;
                if full && !self.entries.is_empty() {
                    self.head = head;
                    return Added::Full;
                }
                self.ops += ops;
                self.bytes += bytes;
                self.keep(logged);
                self.outcomes.push(Ok(committed));
            }
        }
        Added::Yes
    }

    fn keep(&mut self, logged: Logged) {
        for row in &logged.rows {
            if let Ok(kind) = row.kind.parse() {
                self.written.insert((kind, row.key.clone()), row.after.clone().map(Kept::new));
            }
        }
        self.tip = logged.after.clone();
        self.entries.push(logged);
    }

    fn found<'a>(&'a self, replica: &'a Replica, kind: Kind, key: &str) -> Option<&'a Kept> {
        if self.written.is_empty() {
            return replica.get(kind, key);
        }
        match self.written.get(&(kind, key.to_owned())) {
            Some(written) => written.as_ref(),
            None => replica.get(kind, key),
        }
    }

    /// What a mutation comes to, and its entry of the log; none where it leaves no trace.
    fn decide(
        &mut self,
        replica: &Replica,
        mutation: &Mutation,
        id: Vec<u8>,
    ) -> Result<(Committed, Option<Logged>), StoreError> {
        mutation.check()?;
        let before = self.tip.clone();
        let mut after = Tip { seq: before.seq + 1, ..before.clone() };
        if mutation.changes_records() {
            after.revision += 1;
        }
        let refused = self.head.refuse(mutation, after.revision).map(|entry| Refusal {
            record: entry.record,
            why: entry.refused.unwrap_or_default(),
            hash: entry.hash.0.to_vec(),
        });
        let mut versions = Vec::with_capacity(mutation.writes.len());
        let mut rows = Vec::with_capacity(mutation.writes.len());
        for write in &mutation.writes {
            let found = self.found(replica, write.kind(), write.key()).cloned();
            let version = write.admit(found.as_ref().map(Kept::standing))?;
            versions.push(version);
            if !matches!(write, Write::Guard(_)) {
                rows.push(self.row(mutation, write, version, found, &after));
            }
        }
        let committed = Committed { revision: after.revision, versions };
        if rows.is_empty() && refused.is_none() {
            return Ok((committed, None));
        }
        after.changes += rows.len() as u64;
        (after.audit, after.hash) = (self.head.number, self.head.hash.0.to_vec());
        let logged = Logged {
            id,
            before,
            after,
            at: mutation.at.as_millisecond(),
            actor: mutation.actor.clone(),
            action: mutation.action.clone(),
            ticket: mutation.ticket.clone(),
            reason: mutation.reason.clone(),
            refused,
            rows,
            parts: 0,
        };
        Ok((committed, Some(logged)))
    }

    fn row(
        &mut self,
        mutation: &Mutation,
        write: &Write,
        version: u64,
        found: Option<Kept>,
        after: &Tip,
    ) -> Row {
        let made = found.as_ref().map_or(after.seq, |found| found.made);
        let before = found.map(|found| found.value.to_string());
        let stored = match write {
            Write::Put(put) => {
                let next = put.fence.as_ref().map(|fencing| &fencing.next);
                Some(Stored {
                    version,
                    fence: next.map(|fence| fence.number),
                    owner: next.map(|fence| fence.owner.clone()).unwrap_or_default(),
                    made,
                    value: put.value.to_string(),
                })
            }
            Write::Delete(_) | Write::Guard(_) => None,
        };
        let mut hash = None;
        if mutation.audits(write.kind()) {
            let value = stored.as_ref().map(|stored| stored.value.clone());
            let entry = self.head.record(mutation, after.revision, write, before.clone(), value);
            hash = Some(entry.hash.0.to_vec());
        }
        let kind = write.kind().as_str().to_owned();
        Row { kind, key: write.key().to_owned(), version, before, after: stored, hash }
    }
}

/// The hash in a message; empty where the chain begins.
pub(super) fn hash(bytes: &[u8]) -> Result<Hash, StoreError> {
    if bytes.is_empty() {
        return Ok(Hash::START);
    }
    let fixed = bytes.try_into().map_err(|_| StoreError::Damaged("a hash has not 32 bytes".to_owned()))?;
    Ok(Hash(fixed))
}
