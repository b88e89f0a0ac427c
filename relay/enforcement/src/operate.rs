//! What an operator may read and do of a daemon as a whole: its configuration, what it logs, how it
//! started, and its end. Reading needs `mesh.observe`, doing `mesh.operate`.

use http::header::{CONTENT_TYPE, ORIGIN};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use omnirelay_runtime::bootstrap::Failure;
use omnirelay_runtime::reload::{CONFIG, RELOAD, Reloads};
use omnirelay_runtime::{ErrorKind, LogControl, OperatorError, STARTUP, Steps};
use relay_core::{Code, Scope, Status};
use relay_transport::auth::{Authenticator, Principal};
use relay_transport::{Body, body};
use serde::{Deserialize, Serialize};

/// Where what is logged is read with GET and said with PUT.
pub const LOG: &str = "/omnirelay/control/log";
/// Where the end is asked for with POST.
pub const DRAIN: &str = "/omnirelay/control/drain";
/// Everything that is answered here.
pub const PATHS: [&str; 5] = [CONFIG, RELOAD, LOG, DRAIN, STARTUP];

/// Bytes of a request.
const MAX_REQUEST: usize = 8 << 10;

/// What an operator's requests come to.
#[derive(Clone, Debug)]
pub struct Operations {
    /// Reloads of the configuration.
    pub reloads: Reloads,
    /// What is logged.
    pub log: LogControl,
    /// How the start went.
    pub steps: Steps,
    /// Ends the daemon.
    pub end: Failure,
}

/// What PUT takes at [`LOG`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetLog {
    filter: String,
}

/// What POST answers at [`DRAIN`].
#[derive(Debug, Serialize)]
struct Draining {
    draining: bool,
}

impl Operations {
    /// Answers a request to one of [`PATHS`]; any other one is given back.
    ///
    /// # Errors
    /// Who may not, and what cannot be done.
    pub async fn answer(
        &self,
        authenticator: &Authenticator,
        request: Request<Body>,
    ) -> Result<Result<Response<Body>, Status>, Request<Body>> {
        if !PATHS.contains(&request.uri().path()) {
            return Err(request);
        }
        Ok(self.carry_out(authenticator, request).await)
    }

    async fn carry_out(
        &self,
        authenticator: &Authenticator,
        request: Request<Body>,
    ) -> Result<Response<Body>, Status> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let (method, principal) = authorize(authenticator, &head).await?;
        match (&method, path) {
            (&Method::GET, CONFIG) => json(StatusCode::OK, &self.reloads.status()),
            (&Method::GET, LOG) => json(StatusCode::OK, &self.log.state()),
            (&Method::GET, STARTUP) => json(StatusCode::OK, &self.steps.report()),
            (&Method::POST, RELOAD) => {
                let reload = self.reloads.reload(&principal.id).await.map_err(|error| status(&error))?;
                let taken = reload.outcome.is_success();
                json(if taken { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }, &reload)
            }
            (&Method::PUT, LOG) => {
                let SetLog { filter } = read(body, "{\"filter\": \"info,relay_transport=debug\"}").await?;
                self.log.operate(&filter).map_err(|error| status(&error))?;
                tracing::info!(by = principal.id, filter, "what is logged has changed");
                json(StatusCode::OK, &self.log.state())
            }
            (&Method::POST, DRAIN) => {
                self.end.drain(&principal.id);
                json(StatusCode::ACCEPTED, &Draining { draining: true })
            }
            _ => {
                let status = Status::unimplemented(format!("{} is not served at {path}", head.method));
                Err(status.with_hint(match path {
                    LOG => "read it with GET, and say it with PUT as `{\"filter\": \"info\"}`",
                    RELOAD | DRAIN => "ask for it with POST",
                    _ => "it is read with GET",
                }))
            }
        }
    }
}

/// Who asks for a request to be carried out, and by which method: reading needs `mesh.observe`, doing
/// `mesh.operate`.
///
/// # Errors
/// Who may not.
pub async fn authorize(authenticator: &Authenticator, head: &Parts) -> Result<(Method, Principal), Status> {
    let method = if head.method == Method::HEAD { Method::GET } else { head.method.clone() };
    let scope = if method == Method::GET { Scope::Observe } else { Scope::Operate };
    let principal = authenticator.authorize(&head.extensions, &head.headers, scope).await?;
    if scope == Scope::Operate && head.headers.contains_key(ORIGIN) {
        // A page in a browser could ask with its reader's certificate.
        return Err(Status::permission_denied("a page in a browser may not ask for this")
            .with_hint("ask with `omnirelay`, or without the header `origin`"));
    }
    Ok((method, principal))
}

/// What a request says, in up to 8 KiB of JSON.
///
/// # Errors
/// `invalid-argument` with an example of what to write.
pub async fn read<T: serde::de::DeserializeOwned>(body: Body, example: &str) -> Result<T, Status> {
    let bytes = body::collect_limited(body, MAX_REQUEST).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Status::invalid_argument(format!("the request cannot be read: {error}"))
            .with_hint(format!("write it as `{example}`"))
    })
}

fn status(error: &OperatorError) -> Status {
    let code = match error.kind() {
        ErrorKind::Usage | ErrorKind::Config => Code::InvalidArgument,
        ErrorKind::Unavailable => Code::Unavailable,
        _ => Code::Internal,
    };
    let cause = error.causes().next().map(|cause| format!(": {cause}")).unwrap_or_default();
    let status = Status::new(code, format!("{error}{cause}"));
    match error.hint_text() {
        Some(hint) => status.with_hint(hint),
        None => status,
    }
}

/// An answer with a document.
///
/// # Errors
/// What cannot be written as JSON.
pub fn json(status: StatusCode, document: &impl Serialize) -> Result<Response<Body>, Status> {
    let document = serde_json::to_vec(document).map_err(|error| Status::internal(error.to_string()))?;
    let mut response = Response::new(body::full(document));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
