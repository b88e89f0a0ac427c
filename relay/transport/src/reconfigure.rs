//! What of a listener can change while it serves: its bounds, its compression, and its certificates with the files
//! that they come from.

use std::fmt;
use std::sync::Arc;

use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_core::Protocol;
use tokio::sync::watch;

use crate::endpoint;
use crate::limits::Limits;
use crate::listener::ListenerConfig;
use crate::serve::Shared;
use crate::tls::ServerTls;

/// Changes a listener while it serves. Cloning is cheap.
#[derive(Clone)]
pub struct ListenerControl {
    shared: Shared,
    tls: Option<ServerTls>,
    /// What QUIC agrees on with connections that come.
    quic: Option<Arc<watch::Sender<quinn::ServerConfig>>>,
}

/// A change that is prepared. Dropped, it leaves the listener as it was.
#[derive(Default)]
pub struct StagedListener {
    commits: Vec<Box<dyn FnOnce() + Send>>,
    certificates: bool,
}

impl ListenerControl {
    pub(crate) fn new(
        shared: Shared,
        tls: Option<ServerTls>,
        quic: Option<watch::Sender<quinn::ServerConfig>>,
    ) -> Self {
        Self { shared, tls, quic: quic.map(Arc::new) }
    }

    /// Prepares the bounds, the compression and the certificates of `config`, whose other keys are not looked at. Certificate
    /// files are read where they look different. No connection ends, but those whose peers are believed no more.
    ///
    /// # Errors
    /// Files that cannot be used, and a `tls` section that comes or goes.
    pub fn stage(&self, config: &ListenerConfig) -> Result<StagedListener> {
        let mut staged = StagedListener::default();
        match (&self.tls, &config.tls) {
            (Some(tls), Some(config)) => {
                if let Some(commit) = tls.stage(config).map_err(|error| error.under("tls"))? {
                    staged.certificates = true;
                    staged.commits.push(Box::new(commit));
                }
            }
            (None, None) => {}
            _ => {
                return Err(OperatorError::new(ErrorKind::Conflict, "TLS cannot come or go while running")
                    .under("tls")
                    .hint("restart the daemon to have it"));
            }
        }
        if !self.shared.compresses(config.compression.as_ref()) {
            let (shared, compression) = (self.shared.clone(), config.compression.clone());
            staged.commits.push(Box::new(move || shared.set_compression(compression)));
        }
        if **self.shared.limits() != config.limits {
            self.stage_limits(&config.limits, &mut staged)?;
        }
        Ok(staged)
    }

    fn stage_limits(&self, limits: &Limits, staged: &mut StagedListener) -> Result<()> {
        if let Some((key, remedy)) = limits.problems().first() {
            return Err(OperatorError::new(ErrorKind::Config, format!("`limits.{key}` is out of bounds"))
                .hint(*remedy));
        }
        if let (Some(quic), Some(tls)) = (&self.quic, &self.tls) {
            let config = endpoint::server_config(tls.rustls(&[Protocol::Http3])?, limits)?;
            let quic = Arc::clone(quic);
            staged.commits.push(Box::new(move || {
                quic.send_replace(config);
            }));
        }
        let (shared, limits) = (self.shared.clone(), limits.clone());
        staged.commits.push(Box::new(move || shared.set_limits(&limits)));
        Ok(())
    }
}

impl fmt::Debug for ListenerControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerControl").field("tls", &self.tls).finish_non_exhaustive()
    }
}

impl StagedListener {
    /// Whether anything is different.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.commits.is_empty()
    }

    /// Whether certificates are.
    #[must_use]
    pub fn changes_certificates(&self) -> bool {
        self.certificates
    }

    /// Makes the change.
    pub fn commit(self) {
        self.commits.into_iter().for_each(|commit| commit());
    }
}

impl fmt::Debug for StagedListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StagedListener").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}
