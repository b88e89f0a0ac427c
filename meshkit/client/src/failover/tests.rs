#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use std::sync::Mutex;

use relay_core::Status;
use relay_transport::body;

use super::*;

/// Answers as it is told, and remembers who was called.
#[derive(Debug)]
struct Told {
    name: &'static str,
    says: Mutex<Says>,
    calls: Arc<Mutex<Vec<&'static str>>>,
}

#[derive(Clone, Copy, Debug)]
enum Says {
    Yes,
    CannotServe,
    Unsent,
    Broken,
    Refused,
}

impl Carrier for Told {
    fn send(&self, request: Request<Body>) -> Sending {
        self.calls.lock().unwrap().push(self.name);
        let says = *self.says.lock().unwrap();
        Box::pin(async move {
            let sent = body::collect_limited(request.into_body(), 64).await.unwrap();
            assert_eq!(sent, "question", "every try sends all of it");
            let status = Status::unavailable("away");
            match says {
                Says::Yes => Ok(Response::new(body::empty())),
                Says::CannotServe => {
                    let answer = Response::builder().header("grpc-status", "14");
                    Ok(answer.body(body::empty()).unwrap())
                }
                Says::Unsent => Err(Uncarried { status, is_unsent: true, is_refusal: false }),
                Says::Broken => Err(Uncarried { status, is_unsent: false, is_refusal: false }),
                Says::Refused => Err(Uncarried::refused(status)),
            }
        })
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async { self.calls.lock().unwrap().push("closed") })
    }
}

struct Trial {
    all: Vec<Arc<Told>>,
    failover: Failover,
    calls: Arc<Mutex<Vec<&'static str>>>,
}

impl Trial {
    fn new(says: [Says; 3]) -> Self {
        let calls = Arc::default();
        let told = |(name, says)| Arc::new(Told { name, says: Mutex::new(says), calls: Arc::clone(&calls) });
        let all: Vec<Arc<Told>> = ["a", "b", "c"].into_iter().zip(says).map(told).collect();
        let mut carriers = all.iter().map(|one| Arc::clone(one) as Arc<dyn Carrier>);
        let failover = Failover::new(carriers.next().unwrap(), carriers.collect());
        Self { all, failover, calls }
    }

    async fn send(&self) -> bool {
        self.failover.send(Request::new(body::full("question"))).await.is_ok()
    }

    fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }
}

#[tokio::test]
async fn what_was_not_sent_goes_on_at_once_and_calls_stay_where_it_worked() {
    let trial = Trial::new([Says::Unsent, Says::Unsent, Says::Yes]);
    assert!(trial.send().await && trial.send().await);
    assert_eq!(trial.calls(), ["a", "b", "c", "c"]);
    *trial.all[2].says.lock().unwrap() = Says::Unsent;
    assert!(!trial.send().await, "nobody is left after one round");
    assert_eq!(trial.calls(), ["c", "a", "b"]);
}

#[tokio::test]
async fn what_may_have_had_an_effect_is_not_repeated() {
    let trial = Trial::new([Says::Broken, Says::CannotServe, Says::Yes]);
    assert!(!trial.send().await);
    assert!(trial.send().await, "the answer is passed on as it is");
    assert!(trial.send().await);
    assert_eq!(trial.calls(), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_refusal_of_our_own_is_no_fault_of_the_other_end() {
    let trial = Trial::new([Says::Refused, Says::Yes, Says::Yes]);
    assert!(!trial.send().await && !trial.send().await);
    assert_eq!(trial.calls(), ["a", "a"]);
}

#[tokio::test]
async fn one_that_is_silent_is_left_by_closing() {
    let trial = Trial::new([Says::Yes; 3]);
    trial.failover.close().await;
    assert!(trial.send().await);
    assert_eq!(trial.calls(), ["closed", "b"]);
}
