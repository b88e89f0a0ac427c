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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn each_time_it_is_woken_it_asks_to_be_woken_again_before_it_runs() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut polled = 0;
        {
            let mut turns = pin!(in_turn(poll_fn(|_| {
                polled += 1;
                if polled == 3 { Poll::Ready("ended") } else { Poll::Pending }
            })));
            for turn in 1..=3 {
                assert_eq!(turns.as_mut().poll(&mut cx), Poll::Pending, "turn {turn}");
                assert_eq!(woken.0.load(Ordering::Relaxed), turn, "whoever waits is woken");
                let ended = turns.as_mut().poll(&mut cx);
                assert_eq!(ended, if turn == 3 { Poll::Ready("ended") } else { Poll::Pending });
                assert_eq!(woken.0.load(Ordering::Relaxed), turn, "nobody is woken for nothing");
            }
        }
        assert_eq!(polled, 3);
    }

    /// How often a connection runs until it has sent what `REQUESTS` requests that are ready at once have written.
    fn runs(takes_turns: bool) -> usize {
        const REQUESTS: usize = 10;
        #[derive(Default)]
        struct Queue {
            written: usize,
            connection: Option<Waker>,
        }
        let queue = Arc::new(Mutex::new(Queue::default()));
        let (connection, mut runs, mut sent) = (Arc::clone(&queue), 0, 0);
        let connection = poll_fn(move |cx| {
            let mut queue = connection.lock().unwrap();
            queue.connection = Some(cx.waker().clone());
            let written = std::mem::take(&mut queue.written);
            sent += written;
            runs += usize::from(written > 0);
            if sent == REQUESTS { Poll::Ready(runs) } else { Poll::Pending }
        });
        // One thread that everything takes its turn on, and that lets whoever was woken last go first.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async move {
            let connection =
                async move { if takes_turns { in_turn(connection).await } else { connection.await } };
            let connection = omnirelay_runtime::spawn("connection", connection);
            while queue.lock().unwrap().connection.is_none() {
                tokio::task::yield_now().await;
            }
            omnirelay_runtime::spawn("requests", async move {
                for _ in 0..REQUESTS {
                    let queue = Arc::clone(&queue);
                    omnirelay_runtime::spawn("request", async move {
                        let mut queue = queue.lock().unwrap();
                        queue.written += 1;
                        queue.connection.as_ref().unwrap().wake_by_ref();
                    });
                }
            });
            connection.await.unwrap()
        })
    }

    #[test]
    fn what_requests_write_that_are_ready_together_is_sent_together() {
        let (alone, in_turn) = (runs(false), runs(true));
        assert!(in_turn <= 2 && in_turn < alone, "{in_turn} in turn, {alone} otherwise");
    }
}
