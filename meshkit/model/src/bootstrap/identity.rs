//! Who joined, and the certificates that they hold.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::check_segment;
use crate::invalid::{Invalid, at_most};
use crate::unmet::Unmet;

/// Someone who joined, whom the mesh gives certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Unique in the mesh: a peer's id.
    pub name: String,
    /// The role.
    pub role: String,
    /// The cluster.
    pub cluster: String,
    /// What certificates call it: `spiffe://TRUST-DOMAIN/ROLE/CLUSTER/NAME`.
    pub spiffe: String,
    /// What certificates hold for beside that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Those that neither ended nor were revoked with it, oldest first.
    pub certificates: Vec<HeldCertificate>,
    /// When it joined, the last time that it did.
    pub joined_at: Timestamp,
    /// Since when its certificates count no more; none where they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Grows by one with every change of this record; 1 at first.
    pub record_version: u64,
}

/// A certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldCertificate {
    /// Its serial number: lower-case hexadecimal digits.
    pub serial: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Identity {
    /// The most certificates that count at once: who renews in time has two.
    pub const MAX_CERTIFICATES: usize = 8;

    /// What certificates call somebody.
    #[must_use]
    pub fn spiffe(trust_domain: &str, role: &str, cluster: &str, name: &str) -> String {
        format!("spiffe://{trust_domain}/{role}/{cluster}/{name}")
    }

    /// Whether somebody holds its certificates.
    #[must_use]
    pub fn is_held(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.certificates.iter().any(|one| now < one.expires_at)
    }

    /// Whether its holder may have another certificate.
    ///
    /// # Errors
    /// It was revoked, or has no certificate that could be renewed.
    pub fn renews(&self, now: Timestamp) -> Result<(), Unmet> {
        let hint = "join again with a new token (`omnirelay mesh bootstrap join`)";
        match self.revoked_at {
            Some(at) => Err(Unmet::new(format!("`{}` was revoked at {at}", self.name), hint)),
            None if !self.is_held(now) => {
                Err(Unmet::new(format!("`{}` has no certificate that is still valid", self.name), hint))
            }
            None => Ok(()),
        }
    }

    /// The identity with one more certificate, without those that have ended.
    ///
    /// # Errors
    /// It has as many as it may have.
    pub fn with(mut self, certificate: HeldCertificate, now: Timestamp) -> Result<Self, Unmet> {
        self.certificates.retain(|one| now < one.expires_at);
        if self.certificates.len() >= Self::MAX_CERTIFICATES {
            let problem =
                format!("`{}` has {} certificates that are still valid", self.name, self.certificates.len());
            return Err(Unmet::new(problem, "wait until the oldest one ends, or revoke the identity"));
        }
        self.certificates.push(certificate);
        Ok(self)
    }

    /// Checks every field against its bounds.
    ///
    /// # Errors
    /// The first field that is off.
    pub fn validate(&self) -> Result<(), Invalid> {
        check_segment("name", &self.name, 128)?;
        check_segment("role", &self.role, 64)?;
        check_segment("cluster", &self.cluster, 64)?;
        at_most("certificates", self.certificates.len(), Self::MAX_CERTIFICATES)
    }
}
