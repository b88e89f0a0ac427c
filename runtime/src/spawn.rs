//! The one way to start a task.

use std::future::Future;

use tokio::task::JoinHandle;
use tracing::Instrument as _;

/// Bytes of a future above which it is boxed: tokio moves what it is given half a dozen times before
/// it runs, which costs more than an allocation.
const BOXED_ABOVE: usize = 256;

/// Starts a task with a name that its log lines carry as the span `task{name=…}`.
///
/// Raw `tokio::spawn` is banned in `clippy.toml`: a task without a name cannot be found in a log.
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let span = tracing::debug_span!("task", name);
    #[allow(clippy::disallowed_methods, reason = "this is the wrapper that the ban points to")]
    if size_of::<F>() > BOXED_ABOVE {
        tokio::spawn(Box::pin(future).instrument(span))
    } else {
        tokio::spawn(future.instrument(span))
    }
}
