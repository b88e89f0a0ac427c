//! First certificates by a join token, and later ones by the present certificate.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use http::HeaderMap;
use meshkit_api::{Caller, Verb, now, store_status, valid};
use meshkit_model::{HeldCertificate, Identity, Invalid, JoinToken, PeerStatus, Record, Timestamp, Unmet};
use meshkit_store::{Expect, Mutation, Rows as _, StoreError, Write};
use rcgen::{CertificateSigningRequestParams, PublicKey, PublicKeyData as _};
use relay_core::{Code, Status};
use ring::digest::{SHA256, digest};
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;

use crate::authority::{Authority, Signed, Subject};
use crate::bootstrap::{Bootstrap, blocking};
use crate::metrics::ByReason;
use crate::secret::{Secret, random};
use crate::trust::{List, Trust};

/// The longest request; one for an RSA key of 8192 bits has 3 KiB.
const MAX_REQUEST: usize = 16 << 10;
/// How often somebody is let in anew when others changed what that rests on first.
const TRIES: usize = 4;
const SERIAL_BYTES: usize = 16;

/// What somebody who wants to join says.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) csr: String,
    pub(crate) name: String,
    pub(crate) hosts: Vec<String>,
}

/// A certificate that was issued.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) spiffe: String,
    pub(crate) chain: String,
    pub(crate) serial: String,
    pub(crate) expires_at: Timestamp,
    pub(crate) trust: Arc<List>,
}

/// A request whose sender has the key of it.
struct Request {
    key: PublicKey,
    digest: String,
}

/// Somebody who showed a join token with its secret.
pub(crate) struct Joiner {
    id: String,
}

impl Joiner {
    /// What audits call it.
    fn actor(&self) -> String {
        format!("join-token:{}", self.id)
    }
}

impl Bootstrap {
    /// Looks at the join token that a request shows. What the token lets its holder do is looked at later.
    pub(crate) async fn joiner(&self, headers: &HeaderMap) -> Result<Joiner, Status> {
        let shown = Secret::shown(headers).filter(|secret| {
            let known = self.view.get::<JoinToken>(&secret.id);
            let digest = known.map(|token| token.digest).unwrap_or_default();
            secret.matches(&self.view.identity().token_key, &digest)
        });
        match shown {
            Some(secret) => Ok(Joiner { id: secret.id }),
            None => {
                let status = Status::unauthenticated("no join token of this mesh was shown")
                    .with_hint("send `authorization: Bearer TOKEN` with a token of `omnirelay mesh bootstrap issue-token`");
                Err(self.gate.refuse_joiner("stranger", Verb::BootstrapJoin, "join-token", status).await)
            }
        }
    }

    /// Issues the first certificate of somebody who showed a token.
    pub(crate) async fn join(&self, joiner: &Joiner, asked: &Asked) -> Result<Issued, Status> {
        let outcome = self.let_in(joiner, asked).await;
        match outcome {
            Err(status) if is_refusal(&status) => {
                let record = format!("join-token/{}", joiner.id);
                Err(self.gate.refuse_joiner(&joiner.actor(), Verb::BootstrapJoin, &record, status).await)
            }
            outcome => outcome,
        }
    }

    async fn let_in(&self, joiner: &Joiner, asked: &Asked) -> Result<Issued, Status> {
        let request = Request::read(&asked.csr)?;
        let trust = self.trust()?;
        for _ in 0..TRIES {
            let at = now();
            let token: JoinToken = self.view.get(&joiner.id).ok_or_else(|| {
                Status::unauthenticated("the join token is gone").with_hint("ask for a new one")
            })?;
            token.admits(&request.digest, at).map_err(|error| unauthenticated(&error))?;
            let name = valid(token.spec.name_for(&asked.name))?;
            let hosts = valid(token.spec.hosts_for(&asked.hosts))?;
            let found: Option<Identity> = self.view.get(&name);
            let spec = &token.spec;
            let spiffe = Identity::spiffe(&trust.settings.trust_domain, &spec.role, &spec.cluster, &name);
            self.may_have(&token, &request.digest, &name, &spiffe, found.as_ref(), at)?;
            let version = found.as_ref().map_or(0, |found| found.record_version);
            let identity = Identity {
                role: spec.role.clone(),
                cluster: spec.cluster.clone(),
                spiffe,
                hosts,
                certificates: found.map(|found| found.certificates).unwrap_or_default(),
                joined_at: at,
                revoked_at: None,
                record_version: version,
                name,
            };
            let (identity, issued) = self.sign(&request, identity, at).await?;
            let joined = token.clone().used_by(&identity.name, &request.digest);
            let mut mutation =
                Mutation::new(joiner.actor(), Verb::BootstrapJoin.name(), at).write(put(&identity)?);
            if joined != token {
                mutation = mutation.write(put(&joined)?);
            }
            if self.commit(mutation, "join").await? {
                return Ok(issued);
            }
        }
        Err(contended())
    }

    /// Whether a name is free, or the token gives it to whoever holds the token.
    fn may_have(
        &self,
        token: &JoinToken,
        request: &str,
        name: &str,
        spiffe: &str,
        found: Option<&Identity>,
        at: Timestamp,
    ) -> Result<(), Status> {
        let taken = |problem: String| {
            Err(Status::new(Code::AlreadyExists, problem)
                .with_hint("choose another name, or ask for a token that is issued for this one (`--name`)"))
        };
        let repeated = token.joined.iter().any(|joined| joined.request == request && joined.name == name);
        if token.knows(request) && !repeated {
            return Err(Status::invalid_argument("this key has joined by this token under another name")
                .with_hint("make a new key and a new request"));
        }
        match found.filter(|found| found.is_held(at)) {
            Some(found) if found.spiffe != spiffe => taken(format!("`{name}` is `{}`", found.spiffe)),
            Some(_) if token.spec.name != name && !repeated => {
                taken(format!("somebody has joined as `{name}`"))
            }
            Some(_) => Ok(()),
            // Who registered may have a certificate that the mesh knows nothing of.
            None if token.spec.name != name && self.is_registered(name) => {
                taken(format!("there is a peer `{name}`"))
            }
            None => Ok(()),
        }
    }

    fn is_registered(&self, name: &str) -> bool {
        self.view.read().peers().get(name).is_some_and(|peer| peer.status != PeerStatus::Left)
    }

    /// Issues the next certificate of a caller who shows its present one.
    pub(crate) async fn renew(&self, caller: &Caller, csr: &str) -> Result<Issued, Status> {
        let name = caller.spiffe_name().unwrap_or_default();
        match self.renewed(caller, name, csr).await {
            Err(status) if is_refusal(&status) => {
                let record = format!("identity/{name}");
                Err(self.gate.refuse_report(caller, Verb::BootstrapRenew, &record, status).await)
            }
            outcome => outcome,
        }
    }

    async fn renewed(&self, caller: &Caller, name: &str, csr: &str) -> Result<Issued, Status> {
        let request = Request::read(csr)?;
        for _ in 0..TRIES {
            let at = now();
            let found: Option<Identity> =
                self.view.get(name).filter(|found: &Identity| found.spiffe == caller.id());
            let found = found.ok_or_else(|| {
                Status::new(Code::FailedPrecondition, format!("`{}` did not join by a token", caller.id()))
                    .with_hint("join first (`omnirelay mesh bootstrap join`); others' certificates are renewed by whoever issued them")
            })?;
            found.renews(at).map_err(|error| permission_denied(&error))?;
            let (identity, issued) = self.sign(&request, found, at).await?;
            let mutation = Mutation::new(caller.id(), Verb::BootstrapRenew.name(), at).write(put(&identity)?);
            if self.commit(mutation, "renewal").await? {
                return Ok(issued);
            }
        }
        Err(contended())
    }

    /// Signs a certificate, and gives the identity that holds it.
    async fn sign(
        &self,
        request: &Request,
        identity: Identity,
        at: Timestamp,
    ) -> Result<(Identity, Issued), Status> {
        let mut serial = [0; SERIAL_BYTES];
        random(&mut serial)?;
        // A positive number of always the same length.
        serial[0] = serial[0] & 0x3f | 0x40;
        let trust = Arc::clone(self.trust()?);
        let list = self.list().await?;
        let (key, holder) = (request.key.clone(), identity.clone());
        let signed = blocking(move || signed(&trust, &key, &holder, &serial, at)).await?;
        let serial = HEXLOWER.encode(&serial);
        let held = HeldCertificate { serial: serial.clone(), issued_at: at, expires_at: signed.expires_at };
        let identity = identity
            .with(held, at)
            .map_err(|error| Status::resource_exhausted(&error.problem).with_hint(&error.hint))?;
        let issued = Issued {
            spiffe: identity.spiffe.clone(),
            chain: signed.chain,
            serial,
            expires_at: signed.expires_at,
            trust: list,
        };
        Ok((identity, issued))
    }

    /// Writes it down; says whether it was, or somebody else changed something first.
    async fn commit(&self, mutation: Mutation, reason: &'static str) -> Result<bool, Status> {
        match self.view.commit(mutation).await {
            Ok(_) => {
                self.issued.get_or_create(&ByReason { reason }).inc();
                Ok(true)
            }
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(store_status(&error)),
        }
    }
}

impl Request {
    /// Reads a request and checks that its sender has the key. Nothing else that it says counts.
    fn read(text: &str) -> Result<Self, Status> {
        let off = |problem: &str| meshkit_api::invalid(&Invalid::new("csr", problem));
        if text.is_empty() {
            return Err(off("is missing"));
        }
        if text.len() > MAX_REQUEST {
            return Err(off("has more than 16 KiB"));
        }
        let der = CertificateSigningRequestDer::from_pem_slice(text.as_bytes())
            .map_err(|_| off("is not PEM with a `BEGIN CERTIFICATE REQUEST` block"))?;
        let read = CertificateSigningRequestParams::from_der(&der).map_err(|_| {
            off("cannot be taken: it must be signed by its own ECDSA (P-256, P-384), Ed25519 or RSA (2048 bits or more) key")
        })?;
        let digest = HEXLOWER.encode(digest(&SHA256, &der).as_ref());
        let bytes = read.public_key.der_bytes().len();
        let algorithm = read.public_key.algorithm();
        // The request names the signature's algorithm and the key's apart; for ECDSA a point's length tells the curve.
        let fits = if algorithm == &rcgen::PKCS_ECDSA_P256_SHA256 {
            bytes == 65
        } else if algorithm == &rcgen::PKCS_ECDSA_P384_SHA384 {
            bytes == 97
        } else {
            true
        };
        if !fits {
            return Err(off(
                "is signed by SHA-256 with a key that is not of P-256, or by SHA-384 with one that is not of P-384",
            ));
        }
        Ok(Self { key: read.public_key, digest })
    }
}

fn signed(
    trust: &Trust,
    key: &PublicKey,
    identity: &Identity,
    serial: &[u8],
    at: Timestamp,
) -> omnirelay_runtime::Result<Signed> {
    let subject = Subject { name: &identity.name, spiffe: &identity.spiffe, hosts: &identity.hosts, serial };
    let authority = Authority::load(&trust.settings)?;
    authority.issue(key, &subject, at, trust.settings.lifetime).map_err(|error| {
        omnirelay_runtime::OperatorError::new(
            omnirelay_runtime::ErrorKind::Internal,
            "a certificate cannot be signed",
        )
        .caused_by(&error)
    })
}

fn put<R: Record>(record: &R) -> Result<Write, Status> {
    let expect = match record.version() {
        0 => Expect::Absent,
        version => Expect::Version(version),
    };
    valid(Write::put(record, expect))
}

fn unauthenticated(unmet: &Unmet) -> Status {
    Status::unauthenticated(&unmet.problem).with_hint(&unmet.hint)
}

fn permission_denied(unmet: &Unmet) -> Status {
    Status::permission_denied(&unmet.problem).with_hint(&unmet.hint)
}

/// What could not be done for want of means was not refused.
fn is_refusal(status: &Status) -> bool {
    !matches!(
        status.code,
        Code::Unavailable | Code::Internal | Code::Unknown | Code::DataLoss | Code::Aborted
    )
}

fn contended() -> Status {
    Status::new(Code::Aborted, "others keep changing the same token or name").with_hint("try again")
}
