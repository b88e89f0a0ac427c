//! One scope of a node: the decisions of its [`Candidate`] carried out on the store.

use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshkit_model::{Kind, LeaderChange, LeaderScope, Lease, PeerId, Timestamp};
use meshkit_store::{Expect, Holds, Mutation, Rows as _, StoreError, View, Write};
use omnirelay_runtime::Drain;
use tokio::sync::broadcast;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use crate::candidate::{Asks, Attempt, Candidate, Outcome, Step};
use crate::leadership::Told;
use crate::metrics::LeadershipMetrics;
use crate::timing::{Mono, Timing};

/// How long a leaving node tries to give back what it led; beyond that time does it.
const GOODBYE: Duration = Duration::from_secs(1);

/// An attempt on its way, by its number.
type Flight = Pin<Box<dyn Future<Output = (u64, Outcome)> + Send>>;

#[derive(Debug)]
pub(crate) struct Seat {
    scope: LeaderScope,
    began: Instant,
    timing: Timing,
    candidate: Mutex<Candidate>,
    metrics: LeadershipMetrics,
    told: broadcast::Sender<Told>,
}

impl Seat {
    pub(crate) fn new(
        scope: &LeaderScope,
        node: &PeerId,
        session: &str,
        timing: Timing,
        metrics: LeadershipMetrics,
        told: broadcast::Sender<Told>,
    ) -> Self {
        let candidate = Candidate::new(scope.clone(), node.clone(), session.to_owned(), timing);
        let began = Instant::now();
        Self { scope: scope.clone(), began, timing, candidate: Mutex::new(candidate), metrics, told }
    }

    pub(crate) fn leads(&self) -> Option<u64> {
        // The time is taken behind the lock: whoever waited for it must not use an old one.
        let candidate = self.candidate();
        candidate.leads(self.now())
    }

    pub(crate) fn is_expired(&self) -> bool {
        let candidate = self.candidate();
        candidate.is_expired(self.now())
    }

    /// Campaigns until the drain begins, and holds it back until the lease is given up.
    pub(crate) fn keep(self: Arc<Self>, view: View, drain: Drain) {
        let guard = drain.guard();
        omnirelay_runtime::spawn("leadership", async move {
            self.campaign(&view, &drain).await;
            let leave = self.leave(&view);
            if timeout(GOODBYE, leave).await.is_err() {
                warn!(scope = %self.scope, "the lease could not be given up; it ends by time");
            }
            drop(guard);
        });
    }

    async fn campaign(&self, view: &View, drain: &Drain) {
        let mut flight = None;
        let work = self.work(view, &mut flight, || false);
        tokio::select! {
            () = drain.started() => {}
            () = work => {}
        }
        // What is on its way may still be carried out; its answer tells.
        if let Some(flight) = flight
            && let Ok((number, outcome)) = timeout(GOODBYE, flight).await
        {
            self.candidate().answered(self.now(), number, outcome);
        }
    }

    async fn leave(&self, view: &View) {
        let now = self.now();
        self.candidate().leave(now);
        self.work(view, &mut None, || self.candidate().is_released()).await;
    }

    /// Does what the candidate decides until `is_done` says so after a step.
    async fn work(&self, view: &View, flight: &mut Option<Flight>, is_done: impl Fn() -> bool) {
        let mut revisions = view.revisions();
        loop {
            revisions.mark_unchanged();
            let wait = self.step(view, flight);
            if is_done() {
                return;
            }
            let answer = async {
                match flight.as_mut() {
                    Some(flight) => flight.await,
                    None => pending().await,
                }
            };
            let due = async {
                match wait {
                    Some(at) => sleep_until(self.began + at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                (number, outcome) = answer => {
                    *flight = None;
                    let mut candidate = self.candidate();
                    candidate.answered(self.now(), number, outcome);
                }
                // The sender lives as long as this view.
                _ = revisions.changed() => {}
                () = due => {}
            }
        }
    }

    /// One look at the store and one decision; when the next one is due where nothing happens.
    fn step(&self, view: &View, flight: &mut Option<Flight>) -> Option<Mono> {
        let found = view.read().leases().get(&self.scope.to_string()).cloned();
        let mut candidate = self.candidate();
        let now = self.now();
        candidate.observe(now, found.as_ref());
        let wait = loop {
            match candidate.tick(now, at()) {
                Step::Wait(until) => break until,
                Step::Ask(attempt) => *flight = Some(self.send(view, *attempt)),
            }
        };
        let events: Vec<_> = candidate.take_events().collect();
        let (leads, fence) = (candidate.leads(now), candidate.lease().map_or(0, |lease| lease.fence));
        drop(candidate);
        self.metrics.show(&self.scope, leads.is_some(), fence);
        for event in events {
            self.metrics.count(&self.scope, event.change);
            let (scope, holder, fence) = (&self.scope, &event.holder, event.fence);
            match event.change {
                LeaderChange::Renewed => debug!(%scope, fence, "leads on"),
                LeaderChange::Lost => warn!(%scope, fence, "somebody else leads"),
                change => info!(%scope, %holder, fence, event = change.as_str(), "leadership changed"),
            }
            // Without listeners nobody has to know.
            let _unheard = self.told.send(Told { scope: self.scope.clone(), event });
        }
        wait
    }

    fn send(&self, view: &View, attempt: Attempt) -> Flight {
        let (view, is_alone) = (view.clone(), self.timing.is_alone);
        Box::pin(async move {
            let number = attempt.number;
            let outcome = match mutation(&attempt, is_alone) {
                Ok(mutation) => view
                    .commit(mutation)
                    .await
                    .map(|committed| committed.versions.first().copied().unwrap_or_default()),
                Err(error) => Err(error),
            };
            let outcome = match outcome {
                Ok(version) => Outcome::Written(version),
                Err(StoreError::Conflict { .. } | StoreError::StaleFence { .. }) => Outcome::Refused,
                Err(error) => {
                    debug!(%error, scope = %attempt.lease.scope, "the store did not take a lease");
                    Outcome::Unknown
                }
            };
            (number, outcome)
        })
    }

    fn candidate(&self) -> MutexGuard<'_, Candidate> {
        self.candidate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Mono {
        self.began.elapsed()
    }
}

/// The time that people read, as precise as records are.
fn at() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

fn mutation(attempt: &Attempt, is_alone: bool) -> Result<Mutation, StoreError> {
    let Attempt { asks, lease, version, acting, .. } = attempt;
    let (action, reason) = match asks {
        Asks::Election => ("leader.elect", "the lease was free"),
        Asks::Renewal => ("leader.renew", "leads on"),
        Asks::Release => ("leader.step-down", "gave the lease up"),
    };
    let mutation = Mutation::new("meshkitd", action, lease.changed_at);
    let mutation = match lease.holder.as_ref().or(lease.previous.as_ref().map(|term| &term.holder)) {
        Some(holder) => mutation.reason(format!("{holder}: {reason}")),
        None => mutation.reason(reason),
    };
    // Nobody else could see it: it is enough that the store still answers under this fence.
    if *asks == Asks::Renewal && is_alone {
        return Ok(mutation.write(Write::guard(Kind::Lease, lease.scope.to_string(), Holds::Fence(*acting))));
    }
    let expect = if *version == 0 { Expect::Absent } else { Expect::Version(*version) };
    let write = Write::put_fenced::<Lease>(lease, expect, *acting)?;
    let mutation = mutation.write(write);
    Ok(if *asks == Asks::Renewal { mutation.routine() } else { mutation })
}
