//! Mutations that one transaction cannot hold, carried out as a whole all the same.
//!
//! Their rows are written first, as parts that nobody reads. Then one transaction takes the place in
//! the log, names the parts and sets `pending`: from that instant on the mutation counts, and every
//! node applies it. The records are brought up to it after that, by its writer or by whoever meets
//! `pending` first; nobody takes the next place before. A writer that dies before the transaction
//! leaves parts that are forgotten with the log.

use std::time::Instant;

use meshkit_etcd::api::RequestOp;
use prost::Message as _;

use super::layout::{Logged, Part, Row, Stored, Tip};
use super::load::pending_seq;
use super::plan::{MAX_BYTES, MAX_OPS};
use super::requests::{delete, get, put, txn, unchanged};
use super::shared::{PATIENCE, Shared, decoded, part, unavailable};
use super::writer::Verdict;
use crate::error::StoreError;

/// Bytes of a part; one row may be a little more than half a megabyte by itself.
const PART: usize = 512 << 10;

impl Shared {
    pub(super) async fn carry_out_large(
        &self,
        logged: &Logged,
        tip: &Tip,
        deadline: Instant,
    ) -> Result<Verdict, StoreError> {
        let seq = logged.after.seq;
        let parts = cut(&logged.rows, PART, usize::MAX, Row::encoded_len);
        for (number, rows) in (0..).zip(&parts) {
            let value = Part { rows: rows.to_vec() }.encode_to_vec();
            let request =
                txn(Vec::new(), vec![put(self.keys.part(seq, &logged.id, number), value)], Vec::new());
            let patience = deadline.saturating_duration_since(Instant::now());
            // A part that is written or not counts for nothing yet.
            self.client.txn(request, patience).await.map_err(|error| unavailable(&error))?;
        }
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let entry = Logged { rows: Vec::new(), parts: count, ..logged.clone() };
        let writes = vec![
            put(self.keys.tip(), tip.encode_to_vec()),
            put(self.keys.log(seq), entry.encode_to_vec()),
            put(self.keys.pending(), seq.to_be_bytes().to_vec()),
        ];
        let verdict = self.take_place(logged, writes, deadline).await?;
        if matches!(verdict, Verdict::Done) {
            self.apply(vec![logged.clone()]).await?;
            // It counts already: who cannot finish here leaves that to the next writer.
            if let Err(error) = self.roll_forward().await {
                tracing::warn!(%error, "a large mutation's records are not written yet");
            }
        }
        Ok(verdict)
    }

    /// Writes the records of the large mutation that is pending, if one is.
    pub(super) async fn roll_forward(&self) -> Result<(), StoreError> {
        let pending = self
            .client
            .range(get(self.keys.pending()), PATIENCE)
            .await
            .map_err(|error| unavailable(&error))?;
        let Some(pending) = pending.kvs.first() else { return Ok(()) };
        let damaged = |what: &str| StoreError::Damaged(format!("a large mutation is pending, and {what}"));
        let seq = pending_seq(&pending.value).ok_or_else(|| damaged("names no log entry"))?;
        let found = self
            .client
            .range(get(self.keys.log(seq)), PATIENCE)
            .await
            .map_err(|error| unavailable(&error))?;
        let mut entries = decoded(&found.kvs)?;
        let Some(logged) = entries.pop() else {
            // Somebody has finished it, and the log went on since.
            return Ok(());
        };
        // Whoever finishes it removes `pending`, and late writes of others fail by that.
        let still = || vec![unchanged(self.keys.pending(), pending.mod_revision)];
        for number in 0..logged.parts {
            let found = self
                .client
                .range(get(self.keys.part(seq, &logged.id, number)), PATIENCE)
                .await
                .map_err(|error| unavailable(&error))?;
            let read = found.kvs.first().and_then(|kv| part(&kv.value).ok());
            let rows = read.ok_or_else(|| damaged("one of its parts is gone"))?.rows;
            let size = |row: &Row| row.after.as_ref().map_or(0, Stored::encoded_len) + row.key.len() + 64;
            for rows in cut(&rows, MAX_BYTES, MAX_OPS, size) {
                let writes: Vec<RequestOp> = rows.iter().map(|row| self.write(row)).collect();
                let answer = self.client.txn(txn(still(), writes, Vec::new()), PATIENCE).await;
                if !answer.map_err(|error| unavailable(&error))?.succeeded {
                    return Ok(());
                }
            }
        }
        let done = txn(still(), vec![delete(self.keys.pending())], Vec::new());
        self.client.txn(done, PATIENCE).await.map(drop).map_err(|error| unavailable(&error))
    }
}

/// Cuts rows into runs of at most `bytes` and `count`; a row above `bytes` stands alone.
fn cut(rows: &[Row], bytes: usize, count: usize, size: impl Fn(&Row) -> usize) -> Vec<&[Row]> {
    let (mut runs, mut begin, mut sum) = (Vec::new(), 0, 0);
    for (at, row) in rows.iter().enumerate() {
        let more = size(row);
        if at > begin && (sum + more > bytes || at - begin == count) {
            runs.push(&rows[begin..at]);
            (begin, sum) = (at, 0);
        }
        sum += more;
    }
    if begin < rows.len() {
        runs.push(&rows[begin..]);
    }
    runs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_hold_every_row_once_and_keep_their_bounds(
            sizes in proptest::collection::vec(0_usize..50, 0..100), bytes in 10_usize..100, count in 1_usize..10,
        ) {
            let row = |size: &usize| Row { key: "k".repeat(*size), ..Row::default() };
            let rows: Vec<Row> = sizes.iter().map(row).collect();
            let runs = cut(&rows, bytes, count, |row| row.key.len());
            prop_assert_eq!(&runs.concat(), &rows);
            for run in runs {
                let sum: usize = run.iter().map(|row| row.key.len()).sum();
                prop_assert!(run.len() <= count && (sum <= bytes || run.len() == 1) && !run.is_empty());
            }
        }
    }
}
