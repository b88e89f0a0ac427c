//! Who did what, in a chain of hashes: an entry that was changed, left out or put in later breaks it.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use meshkit_model::{Invalid, Kind, Timestamp};
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::mutation::Mutation;
use crate::write::Write;

/// One entry of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Its number; without gaps from the oldest that is kept.
    pub number: u64,
    /// The revision it belongs to.
    pub revision: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// The verb, such as `peer.cordon`.
    pub action: String,
    /// The ticket; empty where none was named.
    pub ticket: String,
    /// Why.
    pub reason: String,
    /// The record, such as `peer/greeter-1`.
    pub record: String,
    /// Why it was not done; none where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The record before as JSON; none where it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The record after as JSON; none where it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The hash of the entry before.
    pub previous: Hash,
    /// SHA-256 of `previous` and all of the above.
    pub hash: Hash,
}

/// SHA-256, in text as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Hash(pub [u8; 32]);

/// Where a chain stands: what the next entry is chained to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the newest entry; 0 where there is none.
    pub number: u64,
    /// Its hash; [`Hash::START`] where there is none.
    pub hash: Hash,
}

/// Which entries to read; `None` and empty mean any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Exactly this actor.
    pub actor: Option<String>,
    /// Exactly this action.
    pub action: Option<String>,
    /// Exactly this ticket.
    pub ticket: Option<String>,
    /// Exactly this record, such as `peer/greeter-1`.
    pub record: Option<String>,
    /// Records of this kind.
    pub kind: Option<Kind>,
    /// Refusals alone, or none of them.
    pub refused: Option<bool>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Numbers beyond this one, in the order of reading.
    pub after: Option<u64>,
    /// Oldest first, as an export wants it; newest first otherwise.
    pub oldest_first: bool,
    /// The most entries.
    pub limit: u32,
}

/// An audit that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("audit entry {number} {problem}")]
pub struct Broken {
    /// The entry where the chain breaks.
    pub number: u64,
    /// How.
    pub problem: &'static str,
}

impl AuditQuery {
    /// Whether an entry is one that the query asks for, its place and the limit aside.
    #[must_use]
    pub fn matches(&self, entry: &AuditEntry) -> bool {
        let equal = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|w| w == found);
        equal(&self.actor, &entry.actor)
            && equal(&self.action, &entry.action)
            && equal(&self.ticket, &entry.ticket)
            && equal(&self.record, &entry.record)
            && self.kind.is_none_or(|kind| entry.record.split('/').next() == Some(kind.as_str()))
            && self.refused.is_none_or(|refused| entry.refused.is_some() == refused)
            && self.from.is_none_or(|from| entry.at >= from)
            && self.until.is_none_or(|until| entry.at < until)
    }
}

impl Head {
    /// The head of an empty chain.
    pub const START: Self = Self { number: 0, hash: Hash::START };

    /// The entry of one write that follows, and the chain moved on to it.
    pub fn record(
        &mut self,
        mutation: &Mutation,
        revision: u64,
        write: &Write,
        before: Option<String>,
        after: Option<String>,
    ) -> AuditEntry {
        self.append(AuditEntry { before, after, ..self.entry(mutation, revision, write.record()) })
    }

    /// The entry of a refusal that follows, and the chain moved on to it; none where nothing was
    /// refused.
    pub fn refuse(&mut self, mutation: &Mutation, revision: u64) -> Option<AuditEntry> {
        let refused = mutation.refused.as_ref()?;
        let entry = self.entry(mutation, revision, refused.record.clone());
        Some(self.append(AuditEntry { refused: Some(refused.why.clone()), ..entry }))
    }

    fn entry(&self, mutation: &Mutation, revision: u64, record: String) -> AuditEntry {
        AuditEntry {
            number: self.number + 1,
            revision,
            at: mutation.at,
            actor: mutation.actor.clone(),
            action: mutation.action.clone(),
            ticket: mutation.ticket.clone(),
            reason: mutation.reason.clone(),
            record,
            refused: None,
            before: None,
            after: None,
            previous: self.hash,
            hash: Hash::START,
        }
    }

    /// Chains an entry whose other fields are set.
    pub(crate) fn append(&mut self, mut entry: AuditEntry) -> AuditEntry {
        (entry.number, entry.previous) = (self.number + 1, self.hash);
        entry.hash = entry.computed();
        *self = Self { number: entry.number, hash: entry.hash };
        entry
    }

    /// Checks the next entry of a chain, oldest first, and moves on to it.
    ///
    /// # Errors
    /// The entry does not follow, or is not what was hashed.
    pub fn verify(&mut self, entry: &AuditEntry) -> Result<(), Broken> {
        let broken = |problem| Broken { number: entry.number, problem };
        if entry.number != self.number + 1 {
            return Err(broken("does not follow the one before: entries are missing"));
        }
        if entry.previous != self.hash {
            return Err(broken("is not chained to the one before"));
        }
        if entry.hash != entry.computed() {
            return Err(broken("is not what was written"));
        }
        *self = Self { number: entry.number, hash: entry.hash };
        Ok(())
    }
}

/// Verifies entries oldest first, from whichever the first is, and says where the chain stands then.
/// Whoever keeps that head elsewhere can tell later that nothing before it was rewritten.
///
/// # Errors
/// The first entry that breaks the chain.
pub fn verify<'a>(entries: impl IntoIterator<Item = &'a AuditEntry>) -> Result<Head, Broken> {
    let mut head: Option<Head> = None;
    for entry in entries {
        let before = Head { number: entry.number.saturating_sub(1), hash: entry.previous };
        head.get_or_insert(before).verify(entry)?;
    }
    Ok(head.unwrap_or(Head::START))
}

impl AuditEntry {
    /// SHA-256 of the previous hash and the content. Every text has its length before it, so that
    /// no two contents look alike.
    fn computed(&self) -> Hash {
        let mut context = Context::new(&SHA256);
        context.update(b"omnirelay audit 1");
        context.update(&self.previous.0);
        context.update(&self.number.to_be_bytes());
        context.update(&self.revision.to_be_bytes());
        context.update(&self.at.as_millisecond().to_be_bytes());
        let mut text = |text: &str| {
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text.as_bytes());
        };
        for field in [&self.actor, &self.action, &self.ticket, &self.reason, &self.record] {
            text(field);
        }
        for field in [&self.refused, &self.before, &self.after] {
            text(if field.is_some() { "1" } else { "0" });
            text(field.as_deref().unwrap_or_default());
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Hash(hash)
    }
}

impl Hash {
    /// What the first entry of a chain is chained to.
    pub const START: Self = Self([0; 32]);
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for Hash {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl FromStr for Hash {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let byte = |pair: &[u8]| match *pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| Invalid::new("hash", "is not 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests;
