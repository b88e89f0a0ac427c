//! What the module does for operators, whatever protocol asked for it.

use std::sync::Arc;

use meshkit_api::{
    Ask, Caller, Changed, Decision, Gate, Listing, Paged, now, page_size, start_of_page, valid,
};
use meshkit_model::{Identity, JoinToken, JoinTokenSpec, Revocation};
use meshkit_store::{Cursor, Expect, Rows as _, View, Write};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use relay_core::{Code, Status};

use crate::metrics::ByReason;
use crate::secret::Secret;
use crate::trust::{List, Trust};

/// The most tokens that are kept at once.
const MAX_TOKENS: usize = 10_000;
/// What tokens are listed under in cursors.
const TOKENS: &str = "join-tokens";

pub(crate) struct Bootstrap {
    pub(crate) gate: Gate,
    pub(crate) view: View,
    /// None where this meshkitd has no authority.
    pub(crate) trust: Option<Arc<Trust>>,
    pub(crate) issued: Family<ByReason, Counter>,
}

/// A token as it was issued.
#[derive(Debug)]
pub(crate) struct IssuedToken {
    pub(crate) changed: Changed<JoinToken>,
    /// The token itself; empty where nothing was made.
    pub(crate) token: String,
    pub(crate) bundle: String,
}

impl Bootstrap {
    pub(crate) fn trust(&self) -> Result<&Arc<Trust>, Status> {
        self.trust.as_ref().ok_or_else(|| {
            Status::new(Code::FailedPrecondition, "this meshkitd has no authority to issue certificates by")
                .with_hint(
                    "name one in `[bootstrap]` of its configuration, or ask another meshkitd of the mesh",
                )
        })
    }

    /// What members believe now.
    pub(crate) async fn list(&self) -> Result<Arc<List>, Status> {
        let trust = Arc::clone(self.trust()?);
        blocking(move || trust.current()).await
    }

    pub(crate) async fn issue(
        &self,
        caller: &Caller,
        ask: &Ask,
        spec: JoinTokenSpec,
    ) -> Result<IssuedToken, Status> {
        let bundle = self.list().await?.bundle.clone();
        let key = &self.view.identity().token_key;
        let secret = Secret::new(Secret::id_for(key, caller.id(), &ask.idempotency_key)?)?;
        let digest = secret.digest(key);
        let changed = self
            .gate
            .carry_out(caller, ask, &secret.id, &spec, |found: Option<&JoinToken>| {
                valid(spec.validate())?;
                if found.is_some() {
                    return Err(Status::new(
                        Code::AlreadyExists,
                        format!("there is a join token `{}`", secret.id),
                    )
                    .with_hint("send another idempotency key"));
                }
                if self.view.read().join_tokens().count() >= MAX_TOKENS {
                    return Err(Status::resource_exhausted(format!(
                        "a mesh has at most {MAX_TOKENS} join tokens"
                    ))
                    .with_hint("those that have ended are forgotten after a day"));
                }
                let at = now();
                Ok(Decision::from(JoinToken {
                    id: secret.id.clone(),
                    digest: digest.clone(),
                    expires_at: JoinToken::end(&spec, at),
                    spec: spec.clone(),
                    joined: Vec::new(),
                    withdrawn: false,
                    issued_at: at,
                    issued_by: caller.id().to_owned(),
                    ticket: ask.ticket.clone(),
                    record_version: 0,
                }))
            })
            .await?;
        let is_new = !changed.outcome.dry_run && !changed.outcome.replayed;
        let token = if is_new { secret.text() } else { String::new() };
        Ok(IssuedToken { changed, token, bundle })
    }

    pub(crate) fn tokens(&self, limit: u32, cursor: &str) -> Result<(Paged<JoinToken>, u64), Status> {
        let size = page_size(limit)?;
        let start = start_of_page(cursor, TOKENS)?;
        let page = self.view.list::<JoinToken>(start.as_deref(), size);
        let last = page.items.last().filter(|_| page.more);
        let next_cursor = last.map(|token| Cursor::new(TOKENS, &token.id).token()).unwrap_or_default();
        Ok((Paged { records: page.items, next_cursor }, page.revision))
    }

    pub(crate) async fn withdraw(
        &self,
        caller: &Caller,
        ask: &Ask,
        id: &str,
    ) -> Result<Changed<JoinToken>, Status> {
        self.gate
            .carry_out(caller, ask, id, &(), |found: Option<&JoinToken>| {
                let found = found.ok_or_else(|| {
                    Status::not_found(format!("there is no join token `{id}`"))
                        .with_hint("`omnirelay mesh bootstrap tokens` shows which there are")
                })?;
                if found.withdrawn {
                    return Ok(Decision::from(found.clone()));
                }
                Ok(Decision::from(JoinToken { withdrawn: true, ticket: ask.ticket.clone(), ..found.clone() }))
            })
            .await
    }

    pub(crate) fn identities(&self, listing: &Listing) -> Result<(Paged<Identity>, u64), Status> {
        let tables = self.view.read();
        let page = listing.page::<Identity, _>("identities", tables.identities().after(None))?;
        let records = page.records.into_iter().cloned().collect();
        Ok((Paged { records, next_cursor: page.next_cursor }, tables.revision()))
    }

    pub(crate) fn identity(&self, name: &str) -> Result<Identity, Status> {
        self.view.get(name).ok_or_else(|| unknown(name))
    }

    /// Lets all certificates of somebody count no more.
    pub(crate) async fn revoke(
        &self,
        caller: &Caller,
        ask: &Ask,
        name: &str,
    ) -> Result<Changed<Identity>, Status> {
        self.gate
            .carry_out(caller, ask, name, &(), |found: Option<&Identity>| {
                let found = found.ok_or_else(|| unknown(name))?;
                let at = now();
                if found.revoked_at.is_some() {
                    return Ok(Decision::from(found.clone()));
                }
                let mut beside = Vec::new();
                for held in &found.certificates {
                    // One that was revoked by its number is so already.
                    if self.view.get::<Revocation>(&held.serial).is_none() {
                        let revocation = Revocation {
                            identity: found.name.clone(),
                            expires_at: Some(held.expires_at),
                            ..revoked(caller, ask, &held.serial)
                        };
                        beside.push(valid(Write::put(&revocation, Expect::Absent))?);
                    }
                }
                let record = Identity { certificates: Vec::new(), revoked_at: Some(at), ..found.clone() };
                Ok(Decision { beside, ..record.into() })
            })
            .await
    }

    /// Lets one certificate count no more, whoever issued it.
    pub(crate) async fn revoke_certificate(
        &self,
        caller: &Caller,
        ask: &Ask,
        serial: &str,
    ) -> Result<Changed<Revocation>, Status> {
        let serial = valid(Revocation::serial_of(serial))?;
        self.gate
            .carry_out(caller, ask, &serial, &(), |found: Option<&Revocation>| {
                if let Some(found) = found {
                    return Ok(Decision::from(found.clone()));
                }
                let tables = self.view.read();
                let holder = tables.identities().after(None).find_map(|identity| {
                    let held = identity.certificates.iter().find(|held| held.serial == serial)?;
                    Some((identity.name.clone(), held.expires_at))
                });
                let (identity, expires_at) = holder.unzip();
                Ok(Decision::from(Revocation {
                    identity: identity.unwrap_or_default(),
                    expires_at,
                    ..revoked(caller, ask, &serial)
                }))
            })
            .await
    }
}

fn revoked(caller: &Caller, ask: &Ask, serial: &str) -> Revocation {
    Revocation {
        serial: serial.to_owned(),
        identity: String::new(),
        revoked_at: now(),
        revoked_by: caller.id().to_owned(),
        reason: ask.reason.clone(),
        ticket: ask.ticket.clone(),
        expires_at: None,
        record_version: 0,
    }
}

fn unknown(name: &str) -> Status {
    Status::not_found(format!("nobody joined as `{name}`"))
        .with_hint("`omnirelay mesh bootstrap identities` shows who did")
}

/// What needs the authority's files, off the threads that serve. Callers are told nothing of those files.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> omnirelay_runtime::Result<T> + Send + 'static,
) -> Result<T, Status> {
    let outcome = tokio::task::spawn_blocking(work).await;
    match outcome {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            tracing::warn!(%error, hint = error.hint_text(), "the authority cannot be used");
            Err(Status::unavailable("the authority cannot be used now").with_hint("meshkitd's log tells why"))
        }
        Err(error) => Err(Status::internal(format!("the authority's task ended: {error}"))),
    }
}
