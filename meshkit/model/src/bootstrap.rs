//! Who may join the mesh, who did, and which certificates count no more.

mod identity;
mod record;
mod token;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::invalid::{Invalid, check_name, check_text};

pub use identity::{HeldCertificate, Identity};
pub use token::{JoinToken, JoinTokenSpec, Joined};

/// A certificate that counts no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    /// Its serial number: lower-case hexadecimal digits, two a byte.
    pub serial: String,
    /// Whose it is; empty where the mesh did not issue it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub identity: String,
    /// Since when.
    pub revoked_at: Timestamp,
    /// Who decided it.
    pub revoked_by: String,
    /// Why; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The ticket; empty where none was named.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ticket: String,
    /// When the certificate ends anyway; none where the mesh does not know, and then it is kept for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Grows by one with every change of this record; 1 at first.
    pub record_version: u64,
}

impl Revocation {
    /// The most bytes of a serial number (RFC 5280, section 4.1.2.2).
    const MAX_SERIAL: usize = 20;

    /// A serial number as it is kept, of one as people write it: digits of either case, with colons or without.
    ///
    /// # Errors
    /// [`Invalid`] for what is no serial number of at most 20 bytes.
    pub fn serial_of(text: &str) -> Result<String, Invalid> {
        let mut digits: String = text.chars().filter(|c| *c != ':').collect();
        digits.make_ascii_lowercase();
        let off = |problem: &str| Err(Invalid::new("serial", problem));
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return off("is not a number in hexadecimal digits");
        }
        // Some tools leave out the first nought, others write noughts that are no part of the number.
        let significant = digits.trim_start_matches('0');
        let digits = if significant.len().is_multiple_of(2) {
            significant.to_owned()
        } else {
            format!("0{significant}")
        };
        match digits.len() {
            0 => off("is nought, which no certificate has"),
            len if len > 2 * Self::MAX_SERIAL => off("has more than 20 bytes"),
            _ => Ok(digits),
        }
    }

    /// Checks every field against its bounds.
    ///
    /// # Errors
    /// The first field that is off.
    pub fn validate(&self) -> Result<(), Invalid> {
        if Self::serial_of(&self.serial)? != self.serial {
            return Err(Invalid::new("serial", "is not written in its one form"));
        }
        check_text("reason", &self.reason, 1024)
    }
}

/// A part of a SPIFFE id's path (SPIFFE-ID, section 2.2).
fn check_segment(field: &str, value: &str, max: usize) -> Result<(), Invalid> {
    check_name(field, value, 1, max)?;
    if value.bytes().all(|byte| byte == b'.') {
        return Err(Invalid::new(field, "is dots alone, which no part of a SPIFFE id may be"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
