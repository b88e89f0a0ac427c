//! The signals that end the mesh.

use omnirelay_runtime::Result;
#[cfg(unix)]
use {
    omnirelay_runtime::{ErrorKind, OperatorError},
    tokio::signal::unix::{Signal, SignalKind, signal},
};

#[cfg(unix)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

#[cfg(unix)]
impl Signals {
    pub(super) fn install() -> Result<Self> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                OperatorError::new(ErrorKind::Io, "signals cannot be received").caused_by(&error)
            })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one and names it.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}

#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(super) fn install() -> Result<Self> {
        Ok(Self)
    }

    pub(super) async fn next(&mut self) -> &'static str {
        let _ended = tokio::signal::ctrl_c().await;
        "Ctrl-C"
    }
}
