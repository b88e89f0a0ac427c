//! Reading a request strictly: who sent it, its query and its body.

use std::ops::Deref;

use axum::extract::Query;
use http::header::CONTENT_TYPE;
use http::{Extensions, HeaderMap, Uri};
use relay_core::{Scope, Status};
use relay_transport::auth::{Authenticator, Principal};
use serde::de::DeserializeOwned;

/// The most bytes of a JSON body.
const MAX_BODY: usize = 256 << 10;

/// Who calls, known and permitted.
#[derive(Clone, Debug)]
pub struct Caller(Principal);

impl Caller {
    /// Who sent a request, and that it may do what needs `scope`.
    ///
    /// # Errors
    /// `unauthenticated` or `permission-denied`.
    pub fn of(
        auth: &Authenticator,
        extensions: &Extensions,
        headers: &HeaderMap,
        scope: Scope,
    ) -> Result<Self, Status> {
        auth.authorize(extensions, headers, scope).map(Self)
    }

    /// What it is called in audits: a SPIFFE id or `token:NAME`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// What it may do.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.0.scope
    }

    /// The last segment of its SPIFFE id; none where it showed a token.
    #[must_use]
    pub fn spiffe_name(&self) -> Option<&str> {
        let path = self.0.id.strip_prefix("spiffe://")?;
        path.rsplit_once('/').map(|(_, name)| name)
    }
}

impl From<Principal> for Caller {
    fn from(principal: Principal) -> Self {
        Self(principal)
    }
}

/// The query of a request as a `T`; with `deny_unknown_fields` unknown parameters are refused.
///
/// # Errors
/// `invalid-argument` that names the parameter.
pub fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Status> {
    Query::<T>::try_from_uri(uri).map(|Query(query)| query).map_err(|rejection| {
        let text = rejection.body_text();
        let cause = text.split_once(": ").map_or(text.as_str(), |(_, cause)| cause);
        Status::invalid_argument(format!("the query is off: {cause}"))
            .with_hint("docs/reference/meshkit.md lists the parameters and their values")
    })
}

/// The body of a request as a `T`.
///
/// # Errors
/// `invalid-argument` for anything but JSON that makes a `T`, `resource-exhausted` above 256 KiB.
pub async fn json_body<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: axum::body::Body,
) -> Result<T, Status> {
    parse(headers, &read(body).await?)
}

/// As [`json_body`]; no bytes at all stand for the default.
///
/// # Errors
/// As [`json_body`].
pub async fn json_body_or_default<T: DeserializeOwned + Default>(
    headers: &HeaderMap,
    body: axum::body::Body,
) -> Result<T, Status> {
    let bytes = read(body).await?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    parse(headers, &bytes)
}

async fn read(body: axum::body::Body) -> Result<impl Deref<Target = [u8]>, Status> {
    relay_transport::body::collect_limited(relay_transport::body::boxed(body), MAX_BODY).await
}

fn parse<T: DeserializeOwned>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, Status> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or("");
    if !essence.trim().eq_ignore_ascii_case("application/json") {
        return Err(Status::invalid_argument("the body is not declared as JSON")
            .with_hint("send `content-type: application/json`"));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        Status::invalid_argument(format!("the body is off: {error}"))
            .with_hint("docs/reference/meshkit.md shows the fields")
    })
}
