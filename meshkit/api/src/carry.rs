//! Carrying a change out: in one transaction, once, under the version that the caller saw.

use data_encoding::HEXLOWER;
use meshkit_model::{IdempotentAnswer, Record};
use meshkit_store::{Expect, Mutation, StoreError, Viewed, Write};
use relay_core::{Code, Status};
use ring::digest;
use serde::Serialize;

use crate::change::{Ask, IDEMPOTENCY_KEY_REUSED, Seen};
use crate::confirm::{Confirmation, Subject};
use crate::error::store_status;
use crate::gate::Gate;
use crate::request::Caller;
use crate::time::now;

/// How often a change is decided anew when somebody else changed what it rests on first.
const TRIES: usize = 4;

/// What a module makes of a record.
#[derive(Clone, Debug)]
pub struct Decision<R> {
    /// The record as it is to be.
    pub record: R,
    /// What is written or must hold beside it, in the same transaction.
    pub beside: Vec<Write>,
    /// Whether the record goes; it is answered as it was.
    pub is_deletion: bool,
}

impl<R> From<R> for Decision<R> {
    fn from(record: R) -> Self {
        Self { record, beside: Vec::new(), is_deletion: false }
    }
}

/// How a change went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Nothing was written.
    pub dry_run: bool,
    /// The record was as asked for already.
    pub unchanged: bool,
    /// This is the answer of an earlier request with the same idempotency key.
    pub replayed: bool,
    /// Confirms the change that a dry run showed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<Confirmation>,
}

/// A record as a change left it.
#[derive(Clone, Debug)]
pub struct Changed<R> {
    /// The record.
    pub record: R,
    /// How that went.
    pub outcome: Outcome,
}

impl Gate {
    /// Carries out a change of the record under `key`. `what` is all that was asked for, such as a
    /// patch: the same request is told by it. `decide` says what becomes of the record, and is asked
    /// again where the mesh changed meanwhile; it touches nothing. Refusals are written down.
    ///
    /// # Errors
    /// What `decide` says, `failed-precondition` and `aborted` where the caller saw nothing or
    /// something else, and what the store says.
    pub async fn carry_out<R: Viewed + PartialEq>(
        &self,
        caller: &Caller,
        ask: &Ask,
        key: &str,
        what: &impl Serialize,
        decide: impl Fn(Option<&R>) -> Result<Decision<R>, Status> + Send + Sync,
    ) -> Result<Changed<R>, Status> {
        let change = Change {
            caller,
            ask,
            key,
            name: format!("{}/{key}", R::KIND),
            digest: of_request(ask, key, what)?,
        };
        match self.attempt(&change, &decide).await {
            Ok(changed) => Ok(changed),
            Err(status) => Err(self.refused(caller, ask, &change.name, status).await),
        }
    }

    async fn attempt<R: Viewed + PartialEq>(
        &self,
        change: &Change<'_>,
        decide: &(impl Fn(Option<&R>) -> Result<Decision<R>, Status> + Send + Sync),
    ) -> Result<Changed<R>, Status> {
        for _ in 0..TRIES {
            if let Some(answered) = self.answered(change)? {
                return Ok(answered);
            }
            let found: Option<R> = self.store.get(change.key);
            let version = found.as_ref().map_or(0, Record::version);
            if found.is_some() && change.ask.seen != Seen::Nothing {
                change.ask.seen.check(&change.name, version)?;
            }
            let decision = decide(found.as_ref())?;
            if let (None, Seen::Version(_)) = (&found, change.ask.seen) {
                change.ask.seen.check(&change.name, version)?;
            }
            let done = |record, outcome| Ok(Changed { record, outcome });
            if found.as_ref() == Some(&decision.record) && !decision.is_deletion {
                return done(decision.record, Outcome { unchanged: true, ..Outcome::default() });
            }
            if let Some(outcome) = self.rehearsed(change, version)? {
                return done(decision.record, outcome);
            }
            match self.write(change, found.as_ref(), decision).await {
                Ok(record) => return done(record, Outcome::default()),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(store_status(&error)),
            }
        }
        Err(Status::new(Code::Aborted, format!("{} keeps being changed by others", change.name))
            .with_hint("read it again and try again"))
    }

    /// The answer that an earlier request with the same idempotency key had.
    fn answered<R: Viewed>(&self, change: &Change<'_>) -> Result<Option<Changed<R>>, Status> {
        let known = change.answer_key().and_then(|key| self.store.get::<IdempotentAnswer>(&key));
        let Some(known) = known else { return Ok(None) };
        if known.request != change.digest {
            let message = "the idempotency key was used for another request before";
            return Err(Status::invalid_argument(message)
                .with_name(IDEMPOTENCY_KEY_REUSED)
                .with_hint("give every request a key of its own, such as a UUID"));
        }
        let record = serde_json::from_value(known.answer)
            .map_err(|error| Status::internal(format!("an earlier answer cannot be read: {error}")))?;
        Ok(Some(Changed { record, outcome: Outcome { replayed: true, ..Outcome::default() } }))
    }

    /// The end of a dry run; none where the change is to be carried out and may be.
    fn rehearsed(&self, change: &Change<'_>, version: u64) -> Result<Option<Outcome>, Status> {
        let ask = change.ask;
        let key = &self.store.identity().token_key;
        let subject = Subject {
            verb: ask.verb.name(),
            record: &change.name,
            version,
            actor: change.caller.id(),
            fingerprint: &change.digest,
        };
        if ask.dry_run {
            let confirmation = ask.verb.is_destructive().then(|| Confirmation::issue(key, subject, now()));
            return Ok(Some(Outcome { dry_run: true, confirmation, ..Outcome::default() }));
        }
        if ask.verb.is_destructive() {
            Confirmation::check(key, subject, &ask.confirmation, now())?;
        }
        Ok(None)
    }

    async fn write<R: Viewed>(
        &self,
        change: &Change<'_>,
        found: Option<&R>,
        decision: Decision<R>,
    ) -> Result<R, StoreError> {
        let mut record = decision.record;
        let expect = found.map_or(Expect::Absent, |found| Expect::Version(found.version()));
        let acting = found.and_then(Record::fence).map_or(0, |fence| fence.number);
        let write = match (decision.is_deletion, record.fence()) {
            (true, _) => Write::delete(&record),
            (false, Some(_)) => Write::put_fenced(&record, expect, acting)?,
            (false, None) => Write::put(&record, expect)?,
        };
        let ask = change.ask;
        let mut mutation = Mutation::new(change.caller.id(), ask.verb.name(), now())
            .reason(&ask.reason)
            .ticket(&ask.ticket)
            .write(write);
        if !decision.is_deletion {
            record.set_version(expect.next());
        }
        for write in decision.beside {
            mutation = mutation.write(write);
        }
        if let Some(key) = change.answer_key() {
            let answer = serde_json::to_value(&record)
                .map_err(|error| StoreError::Damaged(format!("an answer cannot be kept: {error}")))?;
            let answer = IdempotentAnswer {
                key,
                request: change.digest.clone(),
                answer,
                at: now(),
                record_version: 0,
            };
            mutation = mutation.write(Write::put(&answer, Expect::Absent)?);
        }
        self.store.commit(mutation).await?;
        Ok(record)
    }
}

/// A change on its way.
struct Change<'a> {
    caller: &'a Caller,
    ask: &'a Ask,
    key: &'a str,
    /// The record as audits name it.
    name: String,
    /// What tells this request from others.
    digest: String,
}

impl Change<'_> {
    /// Where the answer is remembered. Callers do not share keys.
    fn answer_key(&self) -> Option<String> {
        let key = &self.ask.idempotency_key;
        (!key.is_empty() && !self.ask.dry_run).then(|| hex(&[self.caller.id(), key]))
    }
}

fn of_request(ask: &Ask, key: &str, what: &impl Serialize) -> Result<String, Status> {
    let what = serde_json::to_string(what)
        .map_err(|error| Status::internal(format!("the request cannot be told from others: {error}")))?;
    Ok(hex(&[ask.verb.name(), key, &what]))
}

/// SHA-256 of some texts, each with its length before it.
fn hex(texts: &[&str]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for text in texts {
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    }
    HEXLOWER.encode(context.finish().as_ref())
}
