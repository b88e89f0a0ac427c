//! The one thread that writes: it takes whatever queued up and commits it as one group, so that
//! many mutations share one flush to disk.

use std::thread::JoinHandle;

use meshkit_model::{PeerId, Timestamp};
use omnirelay_runtime::{ErrorKind, OperatorError};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot, watch};

use super::{SqliteOptions, apply, backend};
use crate::error::StoreError;
use crate::mutation::{Committed, Mutation};

/// Mutations that may wait; more make their writers wait.
const QUEUE: usize = 1024;
/// The most mutations of one group.
const GROUP: usize = 256;

#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Job>>,
    revisions: watch::Receiver<u64>,
    thread: Option<JoinHandle<()>>,
}

enum Job {
    Commit(Box<Mutation>, oneshot::Sender<Result<Committed, StoreError>>),
    Touch(Vec<(PeerId, Timestamp)>, oneshot::Sender<Result<(), StoreError>>),
}

/// A job that was applied and waits for the group's commit to be acknowledged.
enum Applied {
    Commit(Committed, oneshot::Sender<Result<Committed, StoreError>>),
    Touch(oneshot::Sender<Result<(), StoreError>>),
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        revision: u64,
        options: &SqliteOptions,
    ) -> Result<Self, OperatorError> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let (publish, revisions) = watch::channel(revision);
        let kept = apply::Kept { audit: options.audit_kept, changes: options.changes_kept };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || work(connection, jobs, &publish, kept))
            .map_err(|error| {
                OperatorError::new(ErrorKind::Io, "the store's writer thread cannot start")
                    .caused_by(&error)
                    .hint("check the limit on threads (`ulimit -u`)")
            })?;
        Ok(Self { queue: Some(queue), revisions, thread: Some(thread) })
    }

    pub(super) fn revisions(&self) -> watch::Receiver<u64> {
        self.revisions.clone()
    }

    pub(super) async fn commit(&self, mutation: Mutation) -> Result<Committed, StoreError> {
        self.send(|reply| Job::Commit(Box::new(mutation), reply)).await
    }

    pub(super) async fn touch(&self, heard: Vec<(PeerId, Timestamp)>) -> Result<(), StoreError> {
        self.send(|reply| Job::Touch(heard, reply)).await
    }

    async fn send<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Job,
    ) -> Result<T, StoreError> {
        let ended = || StoreError::Unavailable("its writer has ended".to_owned());
        let queue = self.queue.as_ref().ok_or_else(ended)?;
        let (reply, outcome) = oneshot::channel();
        queue.send(job(reply)).await.map_err(|_| ended())?;
        outcome.await.map_err(|_| ended())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Without a sender the thread finishes what is queued, closes the file and ends.
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // It panicked: its log line says so already.
            let _panicked = thread.join();
        }
    }
}

fn work(
    mut connection: Connection,
    mut jobs: mpsc::Receiver<Job>,
    publish: &watch::Sender<u64>,
    kept: apply::Kept,
) {
    let mut group = Vec::with_capacity(GROUP);
    while jobs.blocking_recv_many(&mut group, GROUP) > 0 {
        let mut applied = Vec::with_capacity(group.len());
        match commit_group(&mut connection, group.drain(..), &mut applied, kept) {
            Ok(()) => {
                let last = applied.iter().rev().find_map(|applied| match applied {
                    Applied::Commit(committed, _) => Some(committed.revision),
                    Applied::Touch(_) => None,
                });
                // Published first: who has the acknowledgement must not be told an older revision.
                if let Some(revision) = last {
                    publish.send_replace(revision);
                }
                for applied in applied {
                    applied.acknowledge();
                }
            }
            Err(error) => {
                tracing::error!(%error, "the store cannot write");
                for applied in applied {
                    applied.fail(&error);
                }
            }
        }
    }
    if let Err((_, error)) = connection.close() {
        tracing::warn!(%error, "the store's file did not close");
    }
}

/// Applies the jobs of a group, each wholly or not at all, and commits. A job that does not hold
/// is answered at once; the others move to `applied` and share the outcome.
fn commit_group(
    connection: &mut Connection,
    group: impl Iterator<Item = Job>,
    applied: &mut Vec<Applied>,
    kept: apply::Kept,
) -> Result<(), StoreError> {
    let begin = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let mut transaction = match begin {
        Ok(transaction) => transaction,
        Err(error) => {
            let error = backend(&error);
            for job in group {
                job.fail(&error);
            }
            return Err(error);
        }
    };
    for job in group {
        match job {
            Job::Commit(mutation, reply) => {
                match apart(&mut transaction, |t| apply::mutation(t, &mutation)) {
                    Ok(committed) => applied.push(Applied::Commit(committed, reply)),
                    Err(error) => answer(reply, Err(error)),
                }
            }
            Job::Touch(heard, reply) => match apart(&mut transaction, |t| apply::touch(t, &heard)) {
                Ok(()) => applied.push(Applied::Touch(reply)),
                Err(error) => answer(reply, Err(error)),
            },
        }
    }
    apply::forget(&transaction, kept).map_err(|error| backend(&error))?;
    transaction.commit().map_err(|error| backend(&error))
}

/// Runs one job in a savepoint, so that its failure leaves the others of the group alone.
fn apart<T>(
    transaction: &mut Transaction<'_>,
    job: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let savepoint = transaction.savepoint().map_err(|error| backend(&error))?;
    // Dropping the savepoint on an early return rolls it back.
    let outcome = job(&savepoint)?;
    savepoint.commit().map_err(|error| backend(&error))?;
    Ok(outcome)
}

impl Job {
    fn fail(self, error: &StoreError) {
        match self {
            Self::Commit(_, reply) => answer(reply, Err(error.clone())),
            Self::Touch(_, reply) => answer(reply, Err(error.clone())),
        }
    }
}

impl Applied {
    fn acknowledge(self) {
        match self {
            Self::Commit(committed, reply) => answer(reply, Ok(committed)),
            Self::Touch(reply) => answer(reply, Ok(())),
        }
    }

    fn fail(self, error: &StoreError) {
        match self {
            Self::Commit(_, reply) => answer(reply, Err(error.clone())),
            Self::Touch(reply) => answer(reply, Err(error.clone())),
        }
    }
}

fn answer<T>(reply: oneshot::Sender<T>, outcome: T) {
    // Who asked may have gone; the write stands all the same.
    let _gone = reply.send(outcome);
}
