//! The one task that writes: it takes whatever queued up and carries it out as one transaction.
//!
//! A transaction takes the next place in the log and fails where that is taken. So a transaction
//! can be sent again and again until etcd answers: it is carried out once at most, and the entry
//! in its place says whether it was ours.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use meshkit_etcd::api::{RequestOp, TxnRequest};
use meshkit_etcd::{EtcdError, prefix_end};
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};

use super::layout::{Logged, Row};
use super::plan::{Added, Plan};
use super::requests::{absent, delete, equal, found, get, put, range, read, txn};
use super::shared::{PAGE, Shared, decoded, restored, unavailable};
use crate::error::StoreError;
use crate::mutation::{Committed, Mutation};

/// Mutations that may wait; more make their writers wait.
pub(super) const QUEUE: usize = 1024;
/// The most mutations that are looked at for one group.
const GROUP: usize = 128;

pub(super) struct Job {
    pub(super) mutation: Box<Mutation>,
    /// When it has to be answered.
    pub(super) deadline: Instant,
    pub(super) reply: oneshot::Sender<Result<Committed, StoreError>>,
}

/// What became of a plan.
pub(super) enum Verdict {
    /// It holds, and is carried out.
    Done,
    /// The log has gone on: everything has to be decided anew.
    Stale,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    /// Tells our mutations from those of all others, with the number of each.
    instance: [u8; 16],
    number: u64,
    forgotten_at: u64,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, instance: [u8; 16]) -> Self {
        let forgotten_at = shared.replica().tip().seq;
        Self { shared, instance, number: 0, forgotten_at }
    }

    /// Works until there is no store and nothing in the queue.
    pub(super) async fn work(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut waiting = VecDeque::with_capacity(GROUP);
        let mut taken = Vec::with_capacity(GROUP);
        loop {
            if waiting.is_empty() {
                if jobs.recv_many(&mut taken, GROUP).await == 0 {
                    return;
                }
            } else if waiting.len() < GROUP {
                // Those that are there already join in.
                while taken.len() + waiting.len() < GROUP
                    && let Ok(job) = jobs.try_recv()
                {
                    taken.push(job);
                }
            }
            waiting.extend(taken.drain(..));
            self.group(&mut waiting).await;
            self.forget_sometimes().await;
        }
    }

    /// Carries out as many of the first jobs as one transaction holds, and answers them.
    async fn group(&mut self, waiting: &mut VecDeque<Job>) {
        // Those behind the first one came later, so there is time for them too.
        let Some(deadline) = waiting.front().map(|job| job.deadline) else { return };
        loop {
            let plan = match self.plan(waiting) {
                Ok(plan) => plan,
                Err(error) => return answer(waiting.drain(..1), std::iter::repeat(Err(error))),
            };
            let count = plan.outcomes.len();
            let verdict = self.shared.carry_out(&plan, deadline).await;
            match self.shared.noted(verdict) {
                Ok(Verdict::Done) => return answer(waiting.drain(..count), plan.outcomes.into_iter()),
                Ok(Verdict::Stale) if Instant::now() < deadline => {}
                Ok(Verdict::Stale) => {
                    let error = StoreError::Unavailable("other nodes write all the time".to_owned());
                    return answer(waiting.drain(..count), std::iter::repeat(Err(error)));
                }
                Err(error) => {
                    tracing::error!(%error, "the store cannot write");
                    return answer(waiting.drain(..count), std::iter::repeat(Err(error)));
                }
            }
        }
    }

    fn plan(&mut self, waiting: &VecDeque<Job>) -> Result<Plan, StoreError> {
        let replica = self.shared.replica();
        let mut plan = Plan::new(&replica)?;
        for job in waiting {
            self.number += 1;
            let id = [self.instance.as_slice(), &self.number.to_be_bytes()].concat();
            if plan.add(&replica, &job.mutation, id) == Added::Full || plan.is_large() {
                break;
            }
        }
        Ok(plan)
    }

    async fn forget_sometimes(&mut self) {
        let seq = self.shared.replica().tip().seq;
        if seq.saturating_sub(self.forgotten_at) < self.shared.forget_every() {
            return;
        }
        self.forgotten_at = seq;
        if let Err(error) = self.shared.forget().await {
            tracing::warn!(%error, "old history is not forgotten; trying again later");
        }
    }
}

fn answer(jobs: impl Iterator<Item = Job>, outcomes: impl Iterator<Item = Result<Committed, StoreError>>) {
    for (job, outcome) in jobs.zip(outcomes) {
        // Who asked may have gone; the write stands all the same.
        let _gone = job.reply.send(outcome);
    }
}

impl Shared {
    pub(super) async fn carry_out(&self, plan: &Plan, deadline: Instant) -> Result<Verdict, StoreError> {
        let Some(first) = plan.entries.first() else {
            // Refusals and guards: they hold where the replica was as new as etcd.
            return Ok(if self.catch_up().await? { Verdict::Stale } else { Verdict::Done });
        };
        if plan.is_large() {
            return self.carry_out_large(first, &plan.tip, deadline).await;
        }
        let mut writes = Vec::with_capacity(plan.entries.len() * 2 + 1);
        writes.push(put(self.keys.tip(), plan.tip.encode_to_vec()));
        for logged in &plan.entries {
            writes.push(put(self.keys.log(logged.after.seq), logged.encode_to_vec()));
        }
        // Where a record is written twice in a group, the last one counts: etcd takes a key once.
        let mut records: std::collections::BTreeMap<(&str, &str), &Row> = std::collections::BTreeMap::new();
        for row in plan.entries.iter().flat_map(|logged| &logged.rows) {
            records.insert((&row.kind, &row.key), row);
        }
        writes.extend(records.into_values().map(|row| self.write(row)));
        let verdict = self.take_place(first, writes, deadline).await?;
        if matches!(verdict, Verdict::Done) {
            self.apply(plan.entries.clone()).await?;
        }
        Ok(verdict)
    }

    /// The write of a row's record.
    pub(super) fn write(&self, row: &Row) -> RequestOp {
        let key = self.keys.record(&row.kind, &row.key);
        match &row.after {
            Some(stored) => put(key, stored.encode_to_vec()),
            None => delete(key),
        }
    }

    /// Carries out `writes` where the log goes on with `first`.
    pub(super) async fn take_place(
        &self,
        first: &Logged,
        writes: Vec<RequestOp>,
        deadline: Instant,
    ) -> Result<Verdict, StoreError> {
        let place = self.keys.log(first.after.seq);
        let request: TxnRequest = txn(
            vec![
                absent(place.clone()),
                absent(self.keys.pending()),
                equal(self.keys.tip(), first.before.encode_to_vec()),
            ],
            writes,
            vec![read(range(place, prefix_end(&self.keys.logs()), PAGE)), read(get(self.keys.pending()))],
        );
        let patience = deadline.saturating_duration_since(Instant::now());
        let answer = match self.client.txn(request, patience).await {
            Ok(answer) => answer,
            Err(EtcdError::Unavailable { maybe_done: true, cause }) => {
                return Err(StoreError::Unknown(cause));
            }
            Err(error) => return Err(unavailable(&error)),
        };
        self.same_cluster(answer.header.as_ref())?;
        if answer.succeeded {
            return Ok(Verdict::Done);
        }
        let mut found = found(answer).into_iter();
        let entries = decoded(&found.next().unwrap_or_default())?;
        let pending = found.next().unwrap_or_default();
        match entries.first() {
            // An earlier try was carried out and its answer lost.
            Some(taken) if taken.id == first.id => return Ok(Verdict::Done),
            // The place is free, and the log does not end before it.
            None if pending.is_empty() => return Err(restored()),
            // Forgotten already, after more mutations than are kept: nobody can tell what became of ours.
            Some(taken) if taken.after.seq != first.after.seq => {
                self.catch_up().await?;
                return Err(StoreError::Unknown("the log was forgotten meanwhile".to_owned()));
            }
            _ => {}
        }
        self.apply(entries).await?;
        if !pending.is_empty() {
            self.roll_forward().await?;
        }
        self.catch_up().await?;
        Ok(Verdict::Stale)
    }
}
