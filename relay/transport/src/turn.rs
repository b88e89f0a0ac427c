//! Connections that wait for their turn, and so write at once what many requests leave.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Runs what drives a connection, which whenever it is woken lets those go first that are ready already.
///
/// Whatever a request writes wakes its connection, and tokio runs the task that was woken last before all
/// others: each piece would be sent by a system call of its own. Behind the others, a connection
/// finds what all of them left.
pub async fn in_turn<F: Future>(connection: F) -> F::Output {
    let mut connection = pin!(connection);
    let mut waited = false;
    let turns = poll_fn(|cx| {
        waited = !waited;
        if waited {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        connection.as_mut().poll(cx)
    });
    turns.await
}
