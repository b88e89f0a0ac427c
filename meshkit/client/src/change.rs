//! How a change is asked for.

use omnirelay_proto::meshkit::v1;

/// Which version of a record the caller saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// This one: where there is another by now, nothing is changed.
    Version(u64),
    /// Whichever there is.
    Any,
}

/// How a change is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    seen: Seen,
    dry_run: bool,
    idempotency_key: String,
    confirmation_token: String,
    reason: String,
    ticket: String,
}

impl Change {
    /// A change of the version that the caller saw.
    #[must_use]
    pub fn of(seen: Seen) -> Self {
        Self {
            seen,
            dry_run: false,
            idempotency_key: String::new(),
            confirmation_token: String::new(),
            reason: String::new(),
            ticket: String::new(),
        }
    }

    /// Writes nothing: the answer shows what would be, and how to confirm a destructive verb.
    #[must_use]
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Names the request, so that sending it again within a day is answered alike.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = key.into();
        self
    }

    /// The same change, confirmed by what its dry run answered.
    #[must_use]
    pub fn confirmed_by(mut self, outcome: &v1::ChangeOutcome) -> Self {
        self.dry_run = false;
        self.confirmation_token.clone_from(&outcome.confirmation_token);
        self
    }

    /// Says why, for the audit.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Names the ticket, for the audit.
    #[must_use]
    pub fn ticket(mut self, ticket: impl Into<String>) -> Self {
        self.ticket = ticket.into();
        self
    }

    pub(crate) fn options(&self) -> v1::ChangeOptions {
        let (record_version, any_version) = match self.seen {
            Seen::Version(version) => (version, false),
            Seen::Any => (0, true),
        };
        v1::ChangeOptions {
            record_version,
            any_version,
            dry_run: self.dry_run,
            idempotency_key: self.idempotency_key.clone(),
            confirmation_token: self.confirmation_token.clone(),
            reason: self.reason.clone(),
            ticket: self.ticket.clone(),
        }
    }
}

/// A record as a change left it, and how that went.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed<T> {
    /// The record.
    pub record: T,
    /// How that went.
    pub outcome: v1::ChangeOutcome,
}

/// The parts of an answer to a change; none where it is empty.
pub(crate) fn changed<T>(record: Option<T>, outcome: Option<v1::ChangeOutcome>) -> Option<Changed<T>> {
    Some(Changed { record: record?, outcome: outcome? })
}
