//! Waiting for what rarely comes beside what comes all the time.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// A future that is polled only once it has been woken, however often whoever waits for it is: of a
/// connection that is polled for every packet, those that wait for its end take locks each time.
pub struct Seldom<T> {
    future: Pin<Box<dyn Future<Output = T> + Send>>,
    alarm: Arc<Alarm>,
    /// Rings the alarm.
    waker: Waker,
}

struct Alarm {
    rung: AtomicBool,
    waits: AtomicWaker,
}

impl<T> Seldom<T> {
    /// Waits for `future`.
    pub fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        let alarm = Arc::new(Alarm { rung: AtomicBool::new(true), waits: AtomicWaker::new() });
        Self { future: Box::pin(future), waker: Waker::from(Arc::clone(&alarm)), alarm }
    }
}

impl<T> Future for Seldom<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Registered before the look, so that an alarm between the two wakes whoever waits.
        self.alarm.waits.register(cx.waker());
        if !self.alarm.rung.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let this = &mut *self;
        this.future.as_mut().poll(&mut Context::from_waker(&this.waker))
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.waits.wake();
    }
}

impl<T> fmt::Debug for Seldom<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seldom").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use std::sync::atomic::AtomicUsize;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn it_is_polled_when_it_is_woken_and_not_with_its_neighbours() {
        let (tell, told) = oneshot::channel::<&str>();
        let polls = Arc::new(AtomicUsize::new(0));
        let mut told = Box::pin(told);
        let counted = Arc::clone(&polls);
        let mut seldom = Seldom::new(std::future::poll_fn(move |cx| {
            counted.fetch_add(1, Ordering::Relaxed);
            told.as_mut().poll(cx)
        }));
        for _ in 0..100 {
            tokio::select! {
                biased;
                _ = &mut seldom => unreachable!("nothing was told"),
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        tell.send("now").unwrap();
        assert_eq!(seldom.await.unwrap(), "now");
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn it_wakes_whoever_waits_for_it() {
        let (tell, told) = oneshot::channel();
        let waiting = omnirelay_runtime::spawn("waits", Seldom::new(told));
        tokio::task::yield_now().await;
        tell.send(7).unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), 7);
    }
}
