//! Becoming a member, and renewing that.

use std::io::Read as _;
use std::path::Path;

use meshkit_client::v1::{IssuedCertificate, JoinRequest};
use meshkit_client::{Credentials, Identity, NewKey};
use omnirelay_runtime::{ErrorKind, OperatorError, Result, file};
use relay_transport::tls::ClientTlsConfig;
use serde::Deserialize;
use serde_json::json;

use crate::args::{Join, Rotate, Shown};
use crate::context::Context;
use crate::mesh::reading::{self, at};
use crate::output;
use crate::{paths, remote};

/// A token's file: a token, the mesh's address, and a bundle of authorities.
const MAX_FILE: u64 = 1 << 20;

/// What `issue-token --out` writes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invitation {
    #[serde(default)]
    mesh: String,
    token: String,
    #[serde(default)]
    trust_bundle: String,
}

/// Makes a key here, and gets a certificate for it.
pub(crate) fn join(args: &Join) -> Result<()> {
    let invitation = Invitation::read(&args.token_file)?;
    let mesh =
        args.mesh.clone().or(Some(invitation.mesh).filter(|mesh| !mesh.is_empty())).ok_or_else(|| {
            OperatorError::new(ErrorKind::Usage, "nothing says where the mesh is")
                .hint("name it with `--mesh URL`, or take the file that `issue-token --out` wrote")
        })?;
    let identity = Identity::at(paths::absolute(&args.dir)?);
    if identity.exists() && !args.replace {
        return Err(OperatorError::new(ErrorKind::Conflict, "somebody has joined there already")
            .at(identity.identity_file().display().to_string())
            .hint("renew that with `rotate`, name another directory, or say `--replace`"));
    }
    let ca = match (&args.ca, invitation.trust_bundle.as_str()) {
        (Some(path), _) => Some(path.clone()),
        (None, "") => None,
        (None, bundle) => {
            identity.write_trust(bundle, "")?;
            Some(identity.ca_file())
        }
    };
    let key = NewKey::generate()?;
    let request =
        JoinRequest { csr: key.request().to_owned(), name: args.name.clone(), hosts: args.hosts.clone() };
    let credentials = Credentials::token(&invitation.token);
    let tls = remote::client_tls(ca.as_deref(), None);
    let issued = reading::call_as(&mesh, tls, credentials, async |client| client.join(request).await)?.value;
    identity.write(&key, &issued)?;
    show(&identity, &issued, &args.shown)
}

/// Renews what is there by itself.
pub(crate) fn rotate(context: Option<&Path>, args: &Rotate) -> Result<()> {
    let identity = Identity::at(paths::absolute(&args.dir)?);
    identity.validity()?;
    let mesh = match &args.mesh {
        Some(mesh) => mesh.clone(),
        None => Context::read(context)?.mesh,
    };
    let tls = ClientTlsConfig {
        ca: Some(identity.ca_file()),
        certificate: Some(identity.identity_file()),
        private_key: Some(identity.identity_file()),
        ..ClientTlsConfig::default()
    };
    let key = NewKey::generate()?;
    let issued = reading::call_as(&mesh, tls, Credentials::none(), async |client| {
        client.renew_certificate(key.request()).await
    })?
    .value;
    identity.write(&key, &issued)?;
    show(&identity, &issued, &args.shown)
}

impl Invitation {
    fn read(path: &Path) -> Result<Self> {
        let failed = |cause: &str| {
            OperatorError::new(ErrorKind::Usage, format!("`{}` holds no join token", path.display()))
                .because(cause)
                .hint("name the file that `omnirelay mesh bootstrap issue-token --out FILE` wrote")
        };
        let bytes = if path == Path::new("-") {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().take(MAX_FILE).read_to_end(&mut bytes);
            read.map(|_| bytes)
        } else {
            file::read_at_most(path, MAX_FILE)
        };
        let bytes = bytes.map_err(|error| failed(&error.to_string()))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| failed("it is no text"))?.trim();
        if text.starts_with('{') {
            // The parser's own words could quote the token.
            return serde_json::from_str(text).map_err(|_| failed("it is no document with a `token`"));
        }
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(failed("it is not one line with a token"));
        }
        Ok(Self { mesh: String::new(), token: text.to_owned(), trust_bundle: String::new() })
    }
}

fn show(identity: &Identity, issued: &IssuedCertificate, shown: &Shown) -> Result<()> {
    let expires_at = at(issued.expires_at.as_ref());
    let files = [identity.identity_file(), identity.ca_file(), identity.crl_file()];
    let [own, ca, crl] = files.map(|path| path.display().to_string());
    match shown.output.notation() {
        Some(notation) => output::print_document(
            notation,
            &json!({
                "spiffe": issued.spiffe,
                "serial": issued.serial,
                "expiresAt": expires_at,
                "identity": own,
                "ca": ca,
                "crl": crl,
            }),
        ),
        None => {
            let until = expires_at.map(|at| at.to_string()).unwrap_or_default();
            output::print(&format!(
                "{}\n  serial       {}\n  valid until  {until}\n  key and certificate  {own}\n  authorities  {ca}\n  revoked      {crl}\n",
                issued.spiffe, issued.serial
            ))
        }
    }
}
