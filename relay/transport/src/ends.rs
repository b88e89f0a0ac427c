//! Why a connection has to end before its peer ends it.

use std::sync::Arc;
use std::time::Duration;

use omnirelay_runtime::Drain;

use crate::seldom::Seldom;
use crate::serve::Conn;

/// What ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its peer has given up too many requests.
    Excess,
    /// The process ends.
    Drain,
    /// Its peer is believed no more; its calls in flight may go on for so long.
    Unwelcome(Duration),
}

/// Resolves once something ends the connection; `unwelcome` resolves where its peer is believed no more.
pub(crate) fn ends(
    conn: Arc<Conn>,
    drain: Drain,
    unwelcome: impl Future<Output = Duration> + Send + 'static,
) -> Seldom<End> {
    Seldom::new(async move {
        tokio::select! {
            biased;
            () = conn.excess.cancelled() => End::Excess,
            () = drain.started() => End::Drain,
            grace = unwelcome => End::Unwelcome(grace),
        }
    })
}
