//! A daemon whose diagnostics are read.

use std::path::Path;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_client::Channel;
use relay_core::Protocol;
use relay_transport::body;
use serde::de::DeserializeOwned;

use crate::args;
use crate::context::{Context, Side};
use crate::remote;

/// How long an answer may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// How long it may take until something is done.
const PATIENCE: Duration = Duration::from_secs(30);

/// A daemon and how to reach it.
pub(crate) struct Daemon {
    pub(super) context: Context,
    pub(crate) url: String,
}

impl Daemon {
    /// The one that the arguments mean.
    pub(crate) fn find(context: Option<&Path>, args: &args::Daemon) -> Result<Self> {
        let context = Context::read(context)?;
        let url = match &args.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => context.relay(args.relay.as_deref(), Side::Admin)?,
        };
        Ok(Self { context, url })
    }

    pub(super) fn channel(&self) -> Result<Channel> {
        let protocols = vec![Protocol::Http3, Protocol::Http2];
        remote::channel(&self.url, remote::context_tls(&self.context), protocols, TIMEOUT)
    }

    /// Reads a document and says what it means.
    pub(crate) async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let channel = self.channel()?;
        let fetched = tokio::time::timeout(TIMEOUT, remote::get(&self.context, &channel, path));
        let json = fetched.await.unwrap_or_else(|_elapsed| Err(self.silent()))?;
        self.understand(&json)
    }

    /// Asks for something to be done and says what became of it; `expected` is a status beside success that
    /// is an answer too.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        content: Option<&serde_json::Value>,
        expected: Option<StatusCode>,
    ) -> Result<T> {
        let mut request = remote::get_request(&self.context, path)?;
        *request.method_mut() = method.clone();
        if let Some(content) = content {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = body::full(content.to_string());
        }
        let channel = self.channel()?;
        let asking = async {
            let response = channel.send(request).await.map_err(OperatorError::from)?;
            let status = response.status();
            let answer = body::collect_limited(response.into_body(), remote::MAX_ANSWER_BYTES).await;
            Ok((status, answer.map_err(|status| remote::status_error(&status))?))
        };
        let asked =
            tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_elapsed| Err(self.silent()));
        let (status, answer) = asked?;
        channel.close().await;
        if status.is_success() || Some(status) == expected {
            return self.understand(&answer);
        }
        Err(remote::status_error(&remote::http_status(status, &answer)))
    }

    fn understand<T: DeserializeOwned>(&self, json: &[u8]) -> Result<T> {
        serde_json::from_slice(json).map_err(|error| {
            OperatorError::new(ErrorKind::Unavailable, format!("{} answers something else", self.url))
                .caused_by(&error)
                .hint("check that this is a daemon's diagnostics address, and that both are of the same version")
        })
    }

    pub(super) fn silent(&self) -> OperatorError {
        let message = format!("{} does not answer within {} s", self.url, TIMEOUT.as_secs());
        OperatorError::new(ErrorKind::Deadline, message)
            .hint("check that this is a daemon's diagnostics address (`[admin]` of a relay)")
    }
}
