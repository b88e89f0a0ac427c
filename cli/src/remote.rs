//! Calls to the mesh: the runtime that carries them, channels from a context, and what a refusal
//! means for the exit code.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_client::{Channel, ChannelConfig};
use relay_core::{Code, Protocol, Status};
use relay_transport::tls::ClientTlsConfig;
use relay_transport::{Body, body};

use crate::context::{Bearer, Context};
use crate::output::printable;

/// The longest answer that is read whole.
pub(crate) const MAX_ANSWER_BYTES: usize = 64 << 20;

/// A runtime on this thread alone: enough for one command, and quick to make.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        OperatorError::new(ErrorKind::Io, "the async runtime cannot start")
            .caused_by(&error)
            .hint("check the limits on threads and file descriptors (`ulimit -a`)")
    })
}

/// Whom to believe, and who we are.
pub(crate) fn client_tls(ca: Option<&Path>, identity: Option<(&PathBuf, &PathBuf)>) -> ClientTlsConfig {
    ClientTlsConfig {
        ca: ca.map(Path::to_owned),
        certificate: identity.map(|(certificate, _)| certificate.clone()),
        private_key: identity.map(|(_, key)| key.clone()),
        ..ClientTlsConfig::default()
    }
}

/// The credentials of a context.
pub(crate) fn context_tls(context: &Context) -> ClientTlsConfig {
    client_tls(context.ca.as_deref(), context.certificate.as_ref().zip(context.private_key.as_ref()))
}

/// A channel that tries `protocols` in their order.
pub(crate) fn channel(
    endpoint: &str,
    tls: ClientTlsConfig,
    protocols: Vec<Protocol>,
    connect_timeout: Duration,
) -> Result<Channel> {
    let mut config = ChannelConfig::new(endpoint, tls);
    config.protocols = protocols;
    config.connect_timeout = connect_timeout;
    Channel::new(&config)
}

/// The header that carries a token, marked so that no log shows it.
pub(crate) fn authorization(bearer: &Bearer) -> Result<(http::HeaderName, HeaderValue)> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", bearer.secret()))
        .map_err(|_| OperatorError::new(ErrorKind::Config, "the token cannot stand in a header"))?;
    value.set_sensitive(true);
    Ok((AUTHORIZATION, value))
}

/// A GET request with the context's credentials.
pub(crate) fn get_request(context: &Context, path: &str) -> Result<Request<Body>> {
    let mut request = Request::get(path).body(body::empty()).map_err(|error| {
        OperatorError::new(ErrorKind::Internal, "the request cannot be written").caused_by(&error)
    })?;
    if let Some(bearer) = context.bearer()? {
        let (name, value) = authorization(&bearer)?;
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

/// Reads a document of a daemon and closes the channel.
pub(crate) async fn get(context: &Context, channel: &Channel, path: &str) -> Result<Vec<u8>> {
    let response = channel.send(get_request(context, path)?).await.map_err(OperatorError::from)?;
    let status = response.status();
    let bytes = body::collect_limited(response.into_body(), MAX_ANSWER_BYTES)
        .await
        .map_err(|status| status_error(&status))?;
    channel.close().await;
    if status.is_success() {
        return Ok(bytes.to_vec());
    }
    Err(status_error(&http_status(status, &bytes)))
}

/// What a status means to a person and to a script.
pub(crate) fn status_error(status: &Status) -> OperatorError {
    let kind = match status.code {
        Code::Unauthenticated | Code::PermissionDenied => ErrorKind::Auth,
        Code::NotFound | Code::Unimplemented => ErrorKind::NotFound,
        Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => ErrorKind::Conflict,
        Code::InvalidArgument | Code::OutOfRange => ErrorKind::Usage,
        Code::DeadlineExceeded | Code::Cancelled => ErrorKind::Deadline,
        Code::Unavailable | Code::ResourceExhausted => ErrorKind::Unavailable,
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => ErrorKind::Internal,
    };
    // On the wire a hint stands behind the message.
    let (message, hint) = match (&status.hint, status.message.split_once("; ")) {
        (None, Some((message, hint))) => (message, Some(hint)),
        (hint, _) => (status.message.as_str(), hint.as_deref()),
    };
    let error = match message {
        "" => OperatorError::new(kind, status.code.to_string()),
        message => OperatorError::new(kind, format!("{}: {}", status.code, printable(message))),
    };
    match hint {
        Some(hint) => error.hint(printable(hint)),
        None => error,
    }
}

/// The status of an HTTP answer that is neither YARPC nor gRPC: problem details where it holds them.
pub(crate) fn http_status(status: http::StatusCode, body: &[u8]) -> Status {
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let field = |name: &str| problem.get(name).and_then(serde_json::Value::as_str);
    let code = field("code")
        .and_then(|code| code.parse().ok())
        .unwrap_or_else(|| Code::from_http_status(status.as_u16()));
    let message = match (field("detail"), std::str::from_utf8(body)) {
        (Some(detail), _) => detail.to_owned(),
        (None, Ok(text)) if !text.trim().is_empty() && text.len() <= 1024 => text.trim().to_owned(),
        _ => format!("HTTP status {status}"),
    };
    let status = Status::new(code, message);
    match field("hint") {
        Some(hint) => status.with_hint(hint),
        None => status,
    }
}
