//! The moment at which a caller stops waiting.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use relay_core::Status;
use tokio::time::{Instant, Sleep};

/// What a caller is told who gave too little time.
pub(crate) fn exceeded(name: &str) -> Status {
    Status::deadline_exceeded(format!("`{name}` did not finish before its deadline"))
        .with_hint("give it more time, or ask for less")
}

/// Runs `work` until the deadline; what is not finished then is dropped.
pub(crate) async fn within<T>(
    deadline: Option<Instant>,
    name: &str,
    work: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let Some(deadline) = deadline else {
        return work.await;
    };
    // Pinned here: a call must not move with its handler's state.
    let mut work = pin!(work);
    // What is done at once needs no timer.
    if let Poll::Ready(done) = std::future::poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
        return done;
    }
    tokio::time::timeout_at(deadline, work).await.unwrap_or_else(|_elapsed| Err(exceeded(name)))
}

/// The deadline of a stream.
#[derive(Debug)]
pub(crate) struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    pub(crate) fn at(deadline: Option<Instant>) -> Self {
        Self(deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline))))
    }

    /// Whether it has passed; wakes the task when it does.
    pub(crate) fn poll_passed(&mut self, cx: &mut Context<'_>) -> bool {
        self.0.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx) == Poll::Ready(()))
    }
}
