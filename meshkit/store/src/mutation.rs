//! Changes of records, with who made them and why.

use meshkit_model::{Invalid, Kind, Timestamp};

use crate::write::Write;

/// A change of records, with who made it and why.
#[derive(Clone, Debug)]
pub struct Mutation {
    /// Who: a principal's name, or `meshkitd` for its own decisions.
    pub actor: String,
    /// The verb, such as `peer.cordon`.
    pub action: String,
    /// The ticket that the actor names; empty where there is none.
    pub ticket: String,
    /// Why; may be empty.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// What; at most [`Mutation::MAX_WRITES`]. They are checked and applied in order, and none may
    /// write what another one writes.
    pub writes: Vec<Write>,
    /// Set where the actor was refused: then there are no writes, and all that happens is an audit
    /// entry that says so. Who refuses strangers has to bound how many of them are written down.
    pub refused: Option<Refused>,
    /// Whether it only says that what is goes on, as the renewal of a lease does: nobody did anything
    /// then, so leases that it writes do not stand in the audit. Other records always do.
    pub is_routine: bool,
}

/// Something that was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What it would have changed, such as `peer/greeter-1`.
    pub record: String,
    /// Why not.
    pub why: String,
}

impl Mutation {
    /// The most writes of one mutation: a bound on how long one holds up the others.
    pub const MAX_WRITES: usize = 1024;
    /// The most bytes of a record's JSON.
    pub const MAX_VALUE: usize = 256 << 10;
    /// The most bytes of a key.
    pub const MAX_KEY: usize = 256;
    /// The most bytes of each of actor, action, ticket and reason.
    pub const MAX_TEXT: usize = 4 << 10;

    /// A mutation without writes yet.
    pub fn new(actor: impl Into<String>, action: impl Into<String>, at: Timestamp) -> Self {
        Self {
            actor: actor.into(),
            action: action.into(),
            ticket: String::new(),
            reason: String::new(),
            at,
            writes: Vec::new(),
            refused: None,
            is_routine: false,
        }
    }

    /// Says that it is routine.
    #[must_use]
    pub fn routine(mut self) -> Self {
        self.is_routine = true;
        self
    }

    /// Says why.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Names the ticket.
    #[must_use]
    pub fn ticket(mut self, ticket: impl Into<String>) -> Self {
        self.ticket = ticket.into();
        self
    }

    /// Adds a write.
    #[must_use]
    pub fn write(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }

    /// Makes it the account of a refusal.
    #[must_use]
    pub fn refused(mut self, record: impl Into<String>, why: impl Into<String>) -> Self {
        self.refused = Some(Refused { record: record.into(), why: why.into() });
        self
    }

    /// Whether it changes any record: only then it makes a revision.
    #[must_use]
    pub fn changes_records(&self) -> bool {
        self.writes.iter().any(|write| !matches!(write, Write::Guard(_)))
    }

    /// Whether its writes of a kind stand in the audit.
    #[must_use]
    pub fn audits(&self, kind: Kind) -> bool {
        kind.is_audited() && !(self.is_routine && kind == Kind::Lease)
    }

    /// Checks everything that needs no look at the store. Every store calls it first.
    ///
    /// # Errors
    /// The first bound that is broken.
    pub fn check(&self) -> Result<(), Invalid> {
        for (field, text) in [
            ("actor", &self.actor),
            ("action", &self.action),
            ("ticket", &self.ticket),
            ("reason", &self.reason),
        ] {
            at_most(field, text.len(), Self::MAX_TEXT, "bytes")?;
        }
        at_most("writes", self.writes.len(), Self::MAX_WRITES, "entries")?;
        match &self.refused {
            Some(refused) => {
                at_most("refused.record", refused.record.len(), Self::MAX_TEXT, "bytes")?;
                at_most("refused.why", refused.why.len(), Self::MAX_TEXT, "bytes")?;
                if !self.writes.is_empty() {
                    return Err(Invalid::new("writes", "has entries, but what was refused writes nothing"));
                }
            }
            None if self.writes.is_empty() => return Err(Invalid::new("writes", "is empty")),
            None => {}
        }
        let mut written = std::collections::HashSet::new();
        for write in &self.writes {
            write.check()?;
            if !matches!(write, Write::Guard(_)) && !written.insert((write.kind(), write.key())) {
                return Err(Invalid::new("writes", format!("has {} twice", write.record())));
            }
        }
        Ok(())
    }
}

pub(crate) fn at_most(field: &str, count: usize, max: usize, unit: &str) -> Result<(), Invalid> {
    if count > max {
        return Err(Invalid::new(field, format!("has {count} {unit}; at most {max} are allowed")));
    }
    Ok(())
}

/// An acknowledged mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The revision that the mutation made, or the present one where it changed no record.
    pub revision: u64,
    /// For each write in order, the version that it left the record in.
    pub versions: Vec<u64>,
}
