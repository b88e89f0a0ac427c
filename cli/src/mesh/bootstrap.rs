//! Join tokens, and who joined.

mod join;

use std::path::Path;

use meshkit_client::v1::{HeldCertificate, Identity, JoinToken, JoinTokenSpec, Revocation};
use meshkit_client::{Answer, Changed};
use omnirelay_runtime::file::{self, Access};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use serde_json::{Value, json};

use super::changing;
use super::reading::{self, at, time};
use crate::args::{IdentitiesList, IssueToken, Listing, Revoke, WithdrawToken};
use crate::context::Context;
use crate::output::{self, Look};
use crate::table::Table;

pub(crate) use join::{join, rotate};

/// Makes a token.
pub(crate) fn issue(context: Option<&Path>, args: &IssueToken) -> Result<()> {
    if let Some(path) = args.out.as_ref().filter(|path| path.exists()) {
        return Err(OperatorError::new(ErrorKind::Usage, format!("`{}` is there already", path.display()))
            .hint("name a new file"));
    }
    let spec = JoinTokenSpec {
        role: args.role.clone(),
        cluster: args.cluster.clone(),
        name: args.name.clone(),
        hosts: args.hosts.clone(),
        uses: args.uses,
        lifetime_seconds: u32::try_from(args.lifetime.as_secs()).unwrap_or(u32::MAX),
    };
    let mut secret = (String::new(), String::new());
    let changed = changing::carry_out(context, &args.changing, async |client, change| {
        let answer = client.issue_join_token(spec, change).await?;
        secret = (answer.value.token, answer.value.trust_bundle);
        Ok(Answer { value: answer.value.changed, negotiated: answer.negotiated })
    })?;
    let (token, bundle) = secret;
    let invitation = json!({ "mesh": Context::read(context)?.mesh, "token": token, "trustBundle": bundle });
    if let (Some(path), false) = (&args.out, token.is_empty()) {
        let text = output::to_json(&invitation)?;
        file::replace(path, text.as_bytes(), Access::Private).map_err(|error| {
            OperatorError::new(ErrorKind::Io, format!("`{}` cannot be written", path.display()))
                .caused_by(&error)
                .hint("the token is lost: withdraw it, and issue another one into a directory of yours")
        })?;
        return changing::print(&args.changing, &changed, "joinToken", token_record, token_table);
    }
    match args.changing.shown.output.notation() {
        Some(notation) => {
            let mut document = changing::document(&changed, "joinToken", token_record);
            if let (Value::Object(document), Value::Object(invitation)) = (&mut document, invitation) {
                document.extend(invitation);
            }
            output::print_document(notation, &document)
        }
        None => {
            changing::print(&args.changing, &changed, "joinToken", token_record, token_table)?;
            if token.is_empty() {
                return Ok(());
            }
            output::note(
                "the token is shown this once; hand it over in a file, with the mesh's authorities (`--out`)",
            );
            output::print(&format!("{token}\n"))
        }
    }
}

/// Lists tokens.
pub(crate) fn tokens(context: Option<&Path>, args: &Listing) -> Result<()> {
    let listed = reading::list(context, args.limit, async |client, size, token| {
        let Answer { value, negotiated } = client.list_join_tokens(size, token).await?;
        Ok(Answer { value: (value.join_tokens, value.next_page_token, value.revision), negotiated })
    })?;
    listed.print(args.output, "joinTokens", token_record, tokens_table)
}

/// Takes a token back.
pub(crate) fn withdraw(context: Option<&Path>, args: &WithdrawToken) -> Result<()> {
    let changed = changing::carry_out(context, &args.changing, async |client, change| {
        client.withdraw_join_token(&args.id, change).await
    })?;
    changing::print(&args.changing, &changed, "joinToken", token_record, token_table)
}

/// Lists who joined.
pub(crate) fn identities(context: Option<&Path>, args: &IdentitiesList) -> Result<()> {
    let listed = reading::list(context, args.listing.limit, async |client, size, token| {
        let Answer { value, negotiated } = client.list_identities(&args.filter, size, token).await?;
        Ok(Answer { value: (value.identities, value.next_page_token, value.revision), negotiated })
    })?;
    listed.print(args.listing.output, "identities", identity_record, identities_table)
}

/// Lets certificates count no more.
pub(crate) fn revoke(context: Option<&Path>, args: &Revoke) -> Result<()> {
    if let Some(serial) = &args.serial {
        let describe = |revocation: &Revocation| match revocation.identity.as_str() {
            "" => format!("The certificate {} counts no more.", revocation.serial),
            identity => format!("The certificate {} of `{identity}` counts no more.", revocation.serial),
        };
        let changed = changing::confirm(context, &args.changing, describe, &async |client, change| {
            client.revoke_certificate(serial, change).await
        })?;
        return changing::print(
            &args.changing,
            &changed,
            "revocation",
            revocation_record,
            |revocation, _look| format!("{}\n", revocation.serial),
        );
    }
    let name = args.name.as_deref().unwrap_or_default();
    let describe = |identity: &Identity| {
        format!("No certificate of `{}` counts any more; it can join again with a new token.", identity.name)
    };
    let changed: Changed<Identity> =
        changing::confirm(context, &args.changing, describe, &async |client, change| {
            client.revoke_identity(name, change).await
        })?;
    changing::print(&args.changing, &changed, "identity", identity_record, |identity, look| {
        identities_table(std::slice::from_ref(identity)).render(0, look)
    })
}

fn token_table(token: &JoinToken, look: Look) -> String {
    tokens_table(std::slice::from_ref(token)).render(0, look)
}

fn tokens_table(tokens: &[JoinToken]) -> Table {
    let mut table = Table::new(&[
        "ID",
        "ROLE",
        "CLUSTER",
        "NAME",
        ">USED",
        ">USES",
        "EXPIRES AT",
        "ISSUED BY",
        "STATE",
        "+HOSTS",
        "+JOINED",
        "+ISSUED AT",
        "+TICKET",
        "+>RECORD",
    ]);
    for token in tokens {
        let spec = token.spec.clone().unwrap_or_default();
        table.row([
            token.id.clone(),
            spec.role,
            spec.cluster,
            spec.name,
            token.used.to_string(),
            spec.uses.to_string(),
            at(token.expires_at.as_ref()).map(|at| at.to_string()).unwrap_or_default(),
            token.issued_by.clone(),
            if token.withdrawn { "withdrawn" } else { "open" }.to_owned(),
            spec.hosts.join(", "),
            token.joined.join(", "),
            time(token.issued_at.as_ref()),
            token.ticket.clone(),
            token.record_version.to_string(),
        ]);
    }
    table
}

fn identities_table(identities: &[Identity]) -> Table {
    let mut table = Table::new(&[
        "NAME",
        "ROLE",
        "CLUSTER",
        ">CERTIFICATES",
        "VALID UNTIL",
        "JOINED AT",
        "REVOKED AT",
        "+SPIFFE",
        "+HOSTS",
        "+SERIALS",
        "+>RECORD",
    ]);
    for identity in identities {
        let serials: Vec<&str> = identity.certificates.iter().map(|held| held.serial.as_str()).collect();
        table.row([
            identity.name.clone(),
            identity.role.clone(),
            identity.cluster.clone(),
            identity.certificates.len().to_string(),
            time(identity.certificates.last().and_then(|held| held.expires_at.as_ref())),
            time(identity.joined_at.as_ref()),
            time(identity.revoked_at.as_ref()),
            identity.spiffe.clone(),
            identity.hosts.join(", "),
            serials.join(", "),
            identity.record_version.to_string(),
        ]);
    }
    table
}

/// A token with the names of the REST twin.
fn token_record(token: &JoinToken) -> Value {
    let spec = token.spec.clone().unwrap_or_default();
    json!({
        "id": token.id,
        "spec": {
            "role": spec.role,
            "cluster": spec.cluster,
            "name": spec.name,
            "hosts": spec.hosts,
            "uses": spec.uses,
            "lifetimeSeconds": spec.lifetime_seconds,
        },
        "used": token.used,
        "joined": token.joined,
        "withdrawn": token.withdrawn,
        "issuedAt": at(token.issued_at.as_ref()),
        "issuedBy": token.issued_by,
        "expiresAt": at(token.expires_at.as_ref()),
        "ticket": token.ticket,
        "recordVersion": token.record_version,
    })
}

/// An identity with the names of the REST twin.
fn identity_record(identity: &Identity) -> Value {
    let held = |held: &HeldCertificate| {
        json!({
            "serial": held.serial,
            "issuedAt": at(held.issued_at.as_ref()),
            "expiresAt": at(held.expires_at.as_ref()),
        })
    };
    json!({
        "name": identity.name,
        "role": identity.role,
        "cluster": identity.cluster,
        "spiffe": identity.spiffe,
        "hosts": identity.hosts,
        "certificates": identity.certificates.iter().map(held).collect::<Vec<_>>(),
        "joinedAt": at(identity.joined_at.as_ref()),
        "revokedAt": at(identity.revoked_at.as_ref()),
        "recordVersion": identity.record_version,
    })
}

fn revocation_record(revocation: &Revocation) -> Value {
    json!({
        "serial": revocation.serial,
        "identity": revocation.identity,
        "revokedAt": at(revocation.revoked_at.as_ref()),
        "revokedBy": revocation.revoked_by,
        "reason": revocation.reason,
        "ticket": revocation.ticket,
        "expiresAt": at(revocation.expires_at.as_ref()),
        "recordVersion": revocation.record_version,
    })
}
