//! Who may do what, and the account of everybody who was refused.

use std::sync::{Arc, Mutex, PoisonError};

use http::{Extensions, HeaderMap};
use meshkit_model::Timestamp;
use meshkit_store::{Mutation, View};
use omnirelay_runtime::Drain;
use relay_core::{Code, Status};
use relay_transport::auth::{Authenticator, Principal};
use tracing::warn;

use crate::change::Ask;
use crate::request::Caller;
use crate::time::now;
use crate::verb::Verb;

/// Refusals that are written down at once, and how many more each second: an account of refusals
/// must not be a way to fill a disk.
const BURST: u32 = 100;
const PER_SECOND: u32 = 10;
/// The longest name of a record that a stranger can put into the audit, in characters.
const MAX_NAME: usize = 160;

/// The way into every module. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Gate {
    auth: Arc<Authenticator>,
    pub(crate) store: View,
    pub(crate) drain: Drain,
    /// Strangers' refusals do not crowd out those of callers who are known.
    strangers: Arc<Mutex<Allowance>>,
    known: Arc<Mutex<Allowance>>,
    joining: Arc<Mutex<Allowance>>,
}

impl Gate {
    /// A gate before a store; watches end when the drain begins.
    #[must_use]
    pub fn new(auth: Arc<Authenticator>, store: View, drain: Drain) -> Self {
        let allowance = || Arc::new(Mutex::new(Allowance::full(now())));
        Self { auth, store, drain, strangers: allowance(), known: allowance(), joining: allowance() }
    }

    /// Who sent a request, and that it may do what the verb is; `record` is what it is about, such
    /// as `peer/greeter-1`. A refusal is written down.
    ///
    /// # Errors
    /// `unauthenticated` or `permission-denied`.
    pub async fn admit(
        &self,
        verb: Verb,
        extensions: &Extensions,
        headers: &HeaderMap,
        record: &str,
    ) -> Result<Caller, Status> {
        match self.auth.authenticate(extensions, headers).await {
            Ok(principal) => match permit(&principal, verb) {
                Ok(()) => Ok(principal.into()),
                Err(status) => {
                    self.account(&self.known, &principal.id, verb, record, None, &status).await;
                    Err(status)
                }
            },
            Err(status) => {
                self.account(&self.strangers, "stranger", verb, record, None, &status).await;
                Err(status)
            }
        }
    }

    /// Writes down that somebody was refused who wants to join, and hands the refusal on. Where too many were of late,
    /// they hear that instead. `actor` is the token that they showed, or `stranger`.
    pub async fn refuse_joiner(&self, actor: &str, verb: Verb, record: &str, status: Status) -> Status {
        if self.account(&self.joining, actor, verb, record, None, &status).await {
            return status;
        }
        Status::resource_exhausted("too many who wanted to join were refused of late")
            .with_hint("try again in a few seconds")
    }

    /// Writes down that a caller was refused what it reported, and hands the refusal on.
    pub async fn refuse_report(&self, caller: &Caller, verb: Verb, record: &str, status: Status) -> Status {
        self.account(&self.known, caller.id(), verb, record, None, &status).await;
        status
    }

    /// Writes down that a caller who is known was refused, and hands the refusal on.
    pub(crate) async fn refused(&self, caller: &Caller, ask: &Ask, record: &str, status: Status) -> Status {
        // What could not be done for want of means was not refused.
        let is_refusal = matches!(
            status.code,
            Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::PermissionDenied
                | Code::FailedPrecondition
                | Code::Aborted
        );
        if is_refusal {
            self.account(&self.known, caller.id(), ask.verb, record, Some(ask), &status).await;
        }
        status
    }

    /// Writes a refusal down, within what may be; says whether it was within.
    async fn account(
        &self,
        allowance: &Mutex<Allowance>,
        actor: &str,
        verb: Verb,
        record: &str,
        ask: Option<&Ask>,
        status: &Status,
    ) -> bool {
        let at = now();
        let taken = allowance.lock().unwrap_or_else(PoisonError::into_inner).take(at);
        let Some(unwritten) = taken else { return false };
        let mut reason = ask.map(|ask| ask.reason.clone()).unwrap_or_default();
        if unwritten > 0 {
            reason.push_str(&format!(" [{unwritten} refusals before this one were not written down]"));
        }
        let ticket = ask.map(|ask| ask.ticket.clone()).unwrap_or_default();
        let account = Mutation::new(actor, verb.name(), at)
            .reason(reason.trim_start())
            .ticket(ticket)
            .refused(plain(record), status.to_string());
        if let Err(error) = self.store.commit(account).await {
            warn!(%error, actor, verb = verb.name(), "a refusal cannot be written down");
        }
        true
    }
}

/// Whether somebody may ask for this by the scope that it has.
fn permit(principal: &Principal, verb: Verb) -> Result<(), Status> {
    match verb.scope() {
        Some(scope) => principal.permit(scope),
        None => Err(Status::unauthenticated("this takes a join token")),
    }
}

/// What a caller sent, short and without what could steer a terminal.
fn plain(text: &str) -> String {
    text.chars().take(MAX_NAME).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// How many refusals may still be written down.
#[derive(Debug)]
struct Allowance {
    left: u32,
    since: Timestamp,
    unwritten: u64,
}

impl Allowance {
    fn full(now: Timestamp) -> Self {
        Self { left: BURST, since: now, unwritten: 0 }
    }

    /// Takes one; gives how many were passed over since the last one, or none where there is none left.
    fn take(&mut self, now: Timestamp) -> Option<u64> {
        let seconds = now.as_second().saturating_sub(self.since.as_second()).max(0);
        if seconds > 0 {
            let more = u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(PER_SECOND);
            self.left = self.left.saturating_add(more).min(BURST);
            self.since = now;
        }
        if self.left == 0 {
            self.unwritten += 1;
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.unwritten))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    #[test]
    fn refusals_are_written_down_within_bounds_and_none_is_forgotten() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut allowance = Allowance::full(at(0));
        let written = (0..1_000).filter(|_| allowance.take(at(0)).is_some()).count();
        assert_eq!(written, 100);
        assert_eq!(allowance.take(at(1)), Some(900));
        assert_eq!((0..100).filter(|_| allowance.take(at(1)).is_some()).count(), 9);
        let mut much_later = (0..1_000).filter(|_| allowance.take(at(1_000_000)).is_some());
        assert_eq!(much_later.by_ref().count(), 100);
        assert!(Allowance::full(at(9)).take(at(3)).is_some(), "a clock that was set back");
    }

    #[test]
    fn names_of_strangers_are_short_and_plain() {
        assert_eq!(plain("peer/\u{1b}[2J"), "peer/\u{fffd}[2J");
        assert_eq!(plain(&"x".repeat(1_000)).len(), MAX_NAME);
    }
}
