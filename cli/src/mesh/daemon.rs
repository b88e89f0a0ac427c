//! A daemon whose diagnostics are read.

use std::path::Path;
use std::time::Duration;

use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_client::Channel;
use relay_core::Protocol;
use serde::de::DeserializeOwned;

use crate::args;
use crate::context::{Context, Side};
use crate::remote;

/// How long an answer may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// A daemon and how to reach it.
pub(super) struct Daemon {
    pub(super) context: Context,
    pub(super) url: String,
}

impl Daemon {
    /// The one that the arguments mean.
    pub(super) fn find(context: Option<&Path>, args: &args::Daemon) -> Result<Self> {
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
    pub(super) async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let channel = self.channel()?;
        let fetched = tokio::time::timeout(TIMEOUT, remote::get(&self.context, &channel, path));
        let json = fetched.await.unwrap_or_else(|_elapsed| Err(self.silent()))?;
        serde_json::from_slice(&json).map_err(|error| {
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
