//! Reading a request strictly: who sent it, its query and its body.

use std::ops::Deref;

use axum::extract::Query;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Extensions, HeaderMap, Uri};
use meshkit_model::Listed;
use relay_core::{Scope, Status};
use relay_transport::auth::{Authenticator, Principal};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::change::{Ask, ChangeQuery};
use crate::gate::Gate;
use crate::listing::Listing;
use crate::verb::Verb;

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
    pub async fn of(
        auth: &Authenticator,
        extensions: &Extensions,
        headers: &HeaderMap,
        scope: Scope,
    ) -> Result<Self, Status> {
        auth.authorize(extensions, headers, scope).await.map(Self)
    }

    /// What it is called in audits: a SPIFFE id, `token:NAME` or `jwt:ISSUER/SUBJECT`.
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

impl Caller {
    /// Whoever shows a certificate speaks for the peer that it names, unless it may operate the mesh.
    ///
    /// # Errors
    /// `permission-denied` for another peer.
    pub fn may_speak_for(&self, peer: &str) -> Result<(), Status> {
        match self.spiffe_name() {
            Some(name) if name != peer && self.scope() < Scope::Operate => {
                Err(Status::permission_denied(format!("`{}` may not speak for the peer `{peer}`", self.id()))
                    .with_hint(format!(
                        "register as `{name}`, the name in the certificate, or call with mesh.operate"
                    )))
            }
            _ => Ok(()),
        }
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

/// No parameters are taken.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoQuery {}

/// What a listing over REST is asked with.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListQuery {
    filter: String,
    sort: String,
    /// The fields of each record that are wanted; all where it is empty.
    pub fields: String,
    limit: u32,
    cursor: String,
}

impl ListQuery {
    /// The listing that is asked for.
    ///
    /// # Errors
    /// As [`Listing::parse`].
    pub fn listing<T: Listed>(self) -> Result<Listing, Status> {
        Listing::parse::<T>(&self.filter, &self.sort, self.limit, self.cursor)
    }
}

impl Gate {
    /// Admits a read over REST and reads its query; the head of the request is given back.
    ///
    /// # Errors
    /// As [`admit`](Self::admit) and [`query`].
    pub async fn rest_read<Q: DeserializeOwned>(
        &self,
        verb: Verb,
        request: axum::extract::Request,
        record: &str,
    ) -> Result<(Parts, Q), Status> {
        let (parts, _) = request.into_parts();
        self.admit(verb, &parts.extensions, &parts.headers, record).await?;
        let asked = query(&parts.uri)?;
        Ok((parts, asked))
    }

    /// Admits a report over REST and reads its body; no bytes at all stand for the default.
    ///
    /// # Errors
    /// As [`admit`](Self::admit); `invalid-argument` for anything but JSON that makes a `B`,
    /// `resource-exhausted` above 256 KiB.
    pub async fn rest_report<B: DeserializeOwned + Default>(
        &self,
        verb: Verb,
        request: axum::extract::Request,
        record: &str,
    ) -> Result<(Caller, B), Status> {
        let (parts, body) = request.into_parts();
        let caller = self.admit(verb, &parts.extensions, &parts.headers, record).await?;
        Ok((caller, rest_body(&parts, body).await?))
    }

    /// Admits a change over REST and reads how it is asked for. `reason` and `ticket` stand in the
    /// body beside what makes a `B`.
    ///
    /// # Errors
    /// As [`rest_report`](Self::rest_report).
    pub async fn rest_change<B: DeserializeOwned + Default>(
        &self,
        verb: Verb,
        request: axum::extract::Request,
        record: &str,
    ) -> Result<(Caller, Ask, B), Status> {
        let (caller, ask, body) = self.asked_change(verb, request, record).await?;
        Ok((caller, ask, shaped(body)?))
    }

    /// What every change over REST has in common, and what is left of its body.
    async fn asked_change(
        &self,
        verb: Verb,
        request: axum::extract::Request,
        record: &str,
    ) -> Result<(Caller, Ask, Value), Status> {
        let (parts, body) = request.into_parts();
        let caller = self.admit(verb, &parts.extensions, &parts.headers, record).await?;
        let asked: ChangeQuery = query(&parts.uri)?;
        let bytes = read(body).await?;
        let mut body = match bytes.is_empty() {
            true => Value::Object(serde_json::Map::new()),
            false => json(&parts.headers, &bytes)?,
        };
        let mut why = serde_json::Map::new();
        if let Value::Object(members) = &mut body {
            for name in ["reason", "ticket"] {
                why.extend(members.remove_entry(name));
            }
        }
        let ask = Ask::of_rest(verb, &parts.headers, &asked, shaped(Value::Object(why))?)?;
        Ok((caller, ask, body))
    }

    /// Admits a call over gRPC; `record` names what it is about.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub async fn grpc<T>(
        &self,
        verb: Verb,
        request: tonic::Request<T>,
        record: impl FnOnce(&T) -> String,
    ) -> Result<(Caller, T), Status> {
        let (metadata, extensions, message) = request.into_parts();
        let record = record(&message);
        let caller = self.admit(verb, &extensions, metadata.as_ref(), &record).await?;
        Ok((caller, message))
    }
}

/// The body of a report whose sender was admitted; no bytes at all stand for the default.
///
/// # Errors
/// As [`Gate::rest_report`].
pub async fn rest_body<B: DeserializeOwned + Default>(
    parts: &Parts,
    body: axum::body::Body,
) -> Result<B, Status> {
    let NoQuery {} = query(&parts.uri)?;
    let bytes = read(body).await?;
    if bytes.is_empty() { Ok(B::default()) } else { shaped(json(&parts.headers, &bytes)?) }
}

async fn read(body: axum::body::Body) -> Result<impl Deref<Target = [u8]>, Status> {
    relay_transport::body::collect_limited(relay_transport::body::boxed(body), MAX_BODY).await
}

fn json(headers: &HeaderMap, bytes: &[u8]) -> Result<Value, Status> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or("").trim();
    let is_json = ["application/json", "application/merge-patch+json"];
    if !is_json.iter().any(|kind| essence.eq_ignore_ascii_case(kind)) {
        return Err(Status::invalid_argument("the body is not declared as JSON")
            .with_hint("send `content-type: application/json`"));
    }
    serde_json::from_slice(bytes).map_err(|error| off(&error))
}

fn shaped<T: DeserializeOwned>(value: Value) -> Result<T, Status> {
    serde_json::from_value(value).map_err(|error| off(&error))
}

fn off(error: &serde_json::Error) -> Status {
    Status::invalid_argument(format!("the body is off: {error}"))
        .with_hint("docs/reference/meshkit.md shows the fields")
}
