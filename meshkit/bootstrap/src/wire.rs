//! Tokens, identities and revocations as the contracts and the REST twin write them.

use meshkit_api::timestamp;
use meshkit_model::{HeldCertificate, Identity, JoinToken, JoinTokenSpec, Revocation, Timestamp};
use omnirelay_proto::meshkit::v1 as wire;
use serde::Serialize;

use crate::join::Issued;
use crate::trust::List;

/// A token as everybody who may sees it: without its digest.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "JoinToken")]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShownToken<'a> {
    id: &'a str,
    spec: &'a JoinTokenSpec,
    used: u32,
    joined: Vec<&'a str>,
    withdrawn: bool,
    issued_at: Timestamp,
    issued_by: &'a str,
    expires_at: Timestamp,
    #[serde(skip_serializing_if = "str::is_empty")]
    ticket: &'a str,
    record_version: u64,
}

impl<'a> From<&'a JoinToken> for ShownToken<'a> {
    fn from(token: &'a JoinToken) -> Self {
        Self {
            id: &token.id,
            spec: &token.spec,
            used: token.used(),
            joined: token.joined.iter().map(|joined| joined.name.as_str()).collect(),
            withdrawn: token.withdrawn,
            issued_at: token.issued_at,
            issued_by: &token.issued_by,
            expires_at: token.expires_at,
            ticket: &token.ticket,
            record_version: token.record_version,
        }
    }
}

/// A certificate that was issued, over REST.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "IssuedCertificate")]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShownCertificate<'a> {
    spiffe: &'a str,
    certificate_chain: &'a str,
    serial: &'a str,
    expires_at: Timestamp,
    #[serde(flatten)]
    trust: ShownTrust<'a>,
}

impl<'a> From<&'a Issued> for ShownCertificate<'a> {
    fn from(issued: &'a Issued) -> Self {
        Self {
            spiffe: &issued.spiffe,
            certificate_chain: &issued.chain,
            serial: &issued.serial,
            expires_at: issued.expires_at,
            trust: (&*issued.trust).into(),
        }
    }
}

/// What members believe, over REST.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Trust")]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShownTrust<'a> {
    trust_bundle: &'a str,
    revocation_list: &'a str,
}

impl<'a> From<&'a List> for ShownTrust<'a> {
    fn from(list: &'a List) -> Self {
        Self { trust_bundle: &list.bundle, revocation_list: &list.revocation_list }
    }
}

pub(crate) fn spec_of(spec: wire::JoinTokenSpec) -> JoinTokenSpec {
    JoinTokenSpec {
        role: spec.role,
        cluster: spec.cluster,
        name: spec.name,
        hosts: spec.hosts,
        uses: spec.uses,
        lifetime_seconds: spec.lifetime_seconds,
    }
}

pub(crate) fn token_to_wire(token: JoinToken) -> wire::JoinToken {
    let used = token.used();
    wire::JoinToken {
        id: token.id,
        spec: Some(wire::JoinTokenSpec {
            role: token.spec.role,
            cluster: token.spec.cluster,
            name: token.spec.name,
            hosts: token.spec.hosts,
            uses: token.spec.uses,
            lifetime_seconds: token.spec.lifetime_seconds,
        }),
        used,
        joined: token.joined.into_iter().map(|joined| joined.name).collect(),
        withdrawn: token.withdrawn,
        issued_at: Some(timestamp(token.issued_at)),
        issued_by: token.issued_by,
        expires_at: Some(timestamp(token.expires_at)),
        ticket: token.ticket,
        record_version: token.record_version,
    }
}

pub(crate) fn issued_to_wire(issued: Issued) -> wire::IssuedCertificate {
    wire::IssuedCertificate {
        spiffe: issued.spiffe,
        certificate_chain: issued.chain,
        serial: issued.serial,
        expires_at: Some(timestamp(issued.expires_at)),
        trust_bundle: issued.trust.bundle.clone(),
        revocation_list: issued.trust.revocation_list.clone(),
    }
}

pub(crate) fn identity_to_wire(identity: Identity) -> wire::Identity {
    let held = |held: HeldCertificate| wire::HeldCertificate {
        serial: held.serial,
        issued_at: Some(timestamp(held.issued_at)),
        expires_at: Some(timestamp(held.expires_at)),
    };
    wire::Identity {
        name: identity.name,
        role: identity.role,
        cluster: identity.cluster,
        spiffe: identity.spiffe,
        hosts: identity.hosts,
        certificates: identity.certificates.into_iter().map(held).collect(),
        joined_at: Some(timestamp(identity.joined_at)),
        revoked_at: identity.revoked_at.map(timestamp),
        record_version: identity.record_version,
    }
}

pub(crate) fn revocation_to_wire(revocation: Revocation) -> wire::Revocation {
    wire::Revocation {
        serial: revocation.serial,
        identity: revocation.identity,
        revoked_at: Some(timestamp(revocation.revoked_at)),
        revoked_by: revocation.revoked_by,
        reason: revocation.reason,
        ticket: revocation.ticket,
        expires_at: revocation.expires_at.map(timestamp),
        record_version: revocation.record_version,
    }
}
