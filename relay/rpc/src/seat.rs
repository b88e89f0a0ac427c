//! Where the futures of a procedure run. A place is kept from one call to the next, so that a call which is
//! answered at once allocates nothing for its future.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use relay_core::Status;
use thread_local::ThreadLocal;

use crate::BoxFuture;
use crate::procedure::RpcResponse;

type Outcome = Result<RpcResponse, Status>;

/// The places of one procedure's futures that are free: at most one a thread, since a call that has to
/// wait is rare where none would be left.
pub(crate) struct Seats<F: Send>(ThreadLocal<Cell<Option<Box<Seat<F>>>>>);

/// A place: two boxes that stay as they are while futures come and go.
struct Seat<F: Send> {
    future: Pin<Box<Option<F>>>,
    /// Nothing while it is free.
    seats: Option<Arc<Seats<F>>>,
}

impl<F: Future<Output = Outcome> + Send + 'static> Seats<F> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(ThreadLocal::new()))
    }

    /// Gives a future its place.
    pub(crate) fn run(self: &Arc<Self>, future: F) -> Running {
        let free = self.0.get().and_then(Cell::take);
        let mut seat = free.unwrap_or_else(|| Box::new(Seat { future: Box::pin(None), seats: None }));
        seat.future.set(Some(future));
        seat.seats = Some(Arc::clone(self));
        Running(Kind::Seated(Some(seat)))
    }
}

/// A procedure at work.
#[must_use = "a procedure works while it is polled"]
pub struct Running(Kind);

enum Kind {
    /// Nothing once it has ended.
    Seated(Option<Box<dyn Seated>>),
    Boxed(BoxFuture<Outcome>),
}

/// A place with its type erased.
trait Seated: Send {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome>;
    /// Drops the future and frees the place.
    fn leave(self: Box<Self>);
}

impl<F: Future<Output = Outcome> + Send + 'static> Seated for Seat<F> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        self.future.as_mut().as_pin_mut().map_or(Poll::Pending, |future| future.poll(cx))
    }

    fn leave(mut self: Box<Self>) {
        self.future.set(None);
        if let Some(seats) = self.seats.take() {
            seats.0.get_or_default().set(Some(self));
        }
    }
}

impl Running {
    pub(crate) fn boxed(future: BoxFuture<Outcome>) -> Self {
        Self(Kind::Boxed(future))
    }

    fn leave(&mut self) {
        if let Kind::Seated(seat) = &mut self.0
            && let Some(seat) = seat.take()
        {
            seat.leave();
        }
    }
}

impl Future for Running {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let outcome = match &mut self.0 {
            Kind::Seated(Some(seat)) => seat.poll(cx),
            Kind::Seated(None) => Poll::Pending,
            Kind::Boxed(future) => future.as_mut().poll(cx),
        };
        if outcome.is_ready() {
            self.leave();
        }
        outcome
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Running")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use std::task::Waker;

    use super::*;

    async fn answer(held: Arc<()>, waits: bool) -> Outcome {
        if waits {
            std::future::pending::<()>().await;
        }
        drop(held);
        Err(Status::internal("done"))
    }

    fn is_free<F: Future<Output = Outcome> + Send + 'static>(seats: &Seats<F>) -> bool {
        let seat = seats.0.get().and_then(Cell::take);
        seat.is_some_and(|seat| seat.future.is_none() && seat.seats.is_none())
    }

    #[test]
    fn a_future_leaves_its_place_when_it_ends_and_when_it_is_dropped() {
        let mut context = Context::from_waker(Waker::noop());
        for waits in [false, true] {
            let (seats, held) = (Seats::new(), Arc::new(()));
            let mut running = seats.run(answer(Arc::clone(&held), waits));
            // One that runs beside it has a place of its own.
            let beside = seats.run(answer(Arc::clone(&held), waits));
            assert_eq!(Pin::new(&mut running).poll(&mut context).is_pending(), waits);
            assert_eq!(is_free(&seats), !waits);
            drop((running, beside));
            assert_eq!(Arc::strong_count(&held), 1);
            assert!(is_free(&seats) && Arc::strong_count(&seats) == 1);
        }
    }
}
