//! Tokens, identities and revocations as the store keeps them.

use super::{Identity, JoinToken, Revocation};
use crate::invalid::Invalid;
use crate::record::{Kind, Record, versioned};

impl Record for JoinToken {
    const KIND: Kind = Kind::JoinToken;

    fn key(&self) -> String {
        self.id.clone()
    }

    versioned!();

    fn validate(&self) -> Result<(), Invalid> {
        self.spec.validate()
    }
}

impl Record for Identity {
    const KIND: Kind = Kind::Identity;

    fn key(&self) -> String {
        self.name.clone()
    }

    versioned!();

    fn validate(&self) -> Result<(), Invalid> {
        Self::validate(self)
    }
}

impl Record for Revocation {
    const KIND: Kind = Kind::Revocation;

    fn key(&self) -> String {
        self.serial.clone()
    }

    versioned!();

    fn validate(&self) -> Result<(), Invalid> {
        Self::validate(self)
    }
}
