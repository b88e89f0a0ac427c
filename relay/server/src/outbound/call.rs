//! One call: which peers are asked, in turn or beside each other, until the deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{Request, Response};
use relay_balance::Ask;
use relay_client::{Idempotent, Outgoing};
use relay_core::{Code, Encoding, Negotiated, RpcStyle, Status};
use relay_transport::{Body, body};

use crate::access::Via;
use crate::channels::Going;
use crate::outbound::Outbound;
use crate::outbound::peer::Peer;
use crate::outbound::stats::Denied;
use crate::outbound::times::{Times, Whose, write_deadline};
use crate::outbound::tried::Tried;
use crate::outbound::tries::{Outcome, Tries, Why};

/// What an outbound has to know of a call beside its request.
#[derive(Clone, Copy)]
pub(crate) struct Outward<'a> {
    pub(crate) style: RpcStyle,
    pub(crate) encoding: Encoding,
    pub(crate) procedure: &'a str,
    /// How long the caller waits.
    pub(crate) timeout: Option<Duration>,
    /// How long its route lets it wait.
    pub(crate) max_timeout: Option<Duration>,
    /// The hash of what the call is placed by.
    pub(crate) key: Option<u64>,
    pub(crate) tries: &'a Tries,
    /// Whether the answer is to say who gave it.
    pub(crate) told: bool,
}

/// A call on its way.
pub(super) struct Calling<'a> {
    call: Outward<'a>,
    times: Times,
    going: Option<Going<'a>>,
    tried: Tried,
}

impl<'a> Calling<'a> {
    pub(super) const fn deadline(&self) -> Instant {
        self.times.deadline
    }

    pub(super) const fn tries(&self) -> &'a Tries {
        self.call.tries
    }
}

/// A place among a peer's calls in flight, for as long as it is held.
pub(super) struct Pending(Arc<Peer>);

impl Pending {
    /// A place among at most `most`; none where all are taken.
    pub(super) fn enter(peer: &Arc<Peer>, most: u32) -> Option<Self> {
        peer.load.enter(most).then(|| Self(Arc::clone(peer)))
    }
}

/// A place among the retries in flight, for as long as it is held.
pub(super) struct Retrying<'a>(&'a AtomicU32);

impl Drop for Retrying<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.load.leave();
    }
}

impl Outbound {
    /// Calls a peer, and another one where that is safe or asked for, until the deadline.
    ///
    /// # Errors
    /// No peer, or none that answers in time.
    pub(crate) async fn call(
        &self,
        call: Outward<'_>,
        mut outgoing: Outgoing,
    ) -> Result<Response<Body>, Status> {
        let asked = call.timeout.unwrap_or(self.timeout);
        let timeout = call.max_timeout.map_or(asked, |max| max.min(asked));
        let deadline = Instant::now() + timeout;
        let late = || {
            let late = format!("no answer from the outbound `{}` within {timeout:?}", self.name);
            Status::new(Code::DeadlineExceeded, late).with_hint(
                "give the call more time, or look at the outbound's peers with `omnirelay introspect`",
            )
        };
        let own_deadline = call.timeout.is_none_or(|asked| timeout < asked);
        let times = Times { deadline, own_deadline, try_timeout: call.tries.try_timeout };
        self.budget.call(self.now());
        let mut calling = Calling { call, times, going: None, tried: Tried::default() };
        let calling = async {
            match (&self.owners, call.key) {
                (Some(owners), Some(hash)) => self.try_owner(owners, hash, &mut calling, &mut outgoing).await,
                _ => self.try_peers(&mut calling, &mut outgoing).await,
            }
        };
        match tokio::time::timeout_at(deadline.into(), calling).await {
            // A try that lasts until the deadline and the deadline itself are the same to a caller.
            Ok(Err(status)) if status.code == Code::DeadlineExceeded && Instant::now() >= deadline => {
                Err(late())
            }
            Ok(result) => result,
            Err(_elapsed) => Err(late()),
        }
    }

    async fn try_peers<'a>(
        &'a self,
        calling: &mut Calling<'a>,
        outgoing: &mut Outgoing,
    ) -> Result<Response<Body>, Status> {
        let tries = calling.call.tries;
        let mut retries = 0;
        let mut last: Option<Outcome> = None;
        // Whether the next try is paid for: a move of what was not sent costs nothing while there
        // are other peers.
        let mut paid = false;
        let mut _retrying;
        loop {
            let Some(peer) = self.pick(calling) else {
                let Some(outcome) = last.take() else {
                    // Whoever calls before the first look-up has ended waits for it.
                    let mut told = self.told.subscribe();
                    if !*told.borrow() && told.wait_for(|told| *told).await.is_ok() {
                        continue;
                    }
                    return Err(self.nobody());
                };
                if calling.tried.ids().is_empty() {
                    return outcome.into_result();
                }
                if !paid {
                    let Some(place) = self.pay(tries, &mut retries).await else {
                        return outcome.into_result();
                    };
                    _retrying = place;
                }
                // Everybody was asked: from the beginning.
                paid = true;
                calling.tried = Tried::default();
                last = Some(outcome);
                continue;
            };
            paid = false;
            calling.tried.add(peer.0.id);
            let outcome = self.ask(peer, calling, outgoing).await?;
            let why = match (&outcome, outcome.is_unsent()) {
                (Outcome::Answer(_), _) => return outcome.into_result(),
                (Outcome::StaleOwner(_), _) => Some(Why::StaleOwner),
                (_, true) => Some(Why::Unsent),
                (_, false) => outcome.retry_reason(tries),
            };
            let Some(why) = why.filter(|_| !calling.tried.is_full()) else { return outcome.into_result() };
            if !matches!(why, Why::Unsent | Why::StaleOwner) {
                let Some(place) = self.pay(tries, &mut retries).await else { return outcome.into_result() };
                _retrying = place;
                paid = true;
            }
            if !outgoing.rewind() {
                return outcome.into_result();
            }
            self.stats.retried(why);
            last = Some(outcome);
        }
    }

    /// One try, or several beside each other where the route hedges.
    async fn ask<'a>(
        &'a self,
        first: Pending,
        calling: &mut Calling<'a>,
        outgoing: &Outgoing,
    ) -> Result<Outcome, Status> {
        let going = self.going(&first, calling)?;
        match calling.call.tries.hedge {
            // A body that still comes in can be read by one try alone.
            Some((after, most)) if outgoing.whole().is_some() => {
                Ok(self.hedge(first, going, calling, outgoing, after, most).await)
            }
            _ => Ok(self.send(first, going, calling.call, calling.times, outgoing.request()).await),
        }
    }

    /// One try at one peer.
    pub(super) async fn ask_one<'a>(
        &'a self,
        peer: Pending,
        calling: &mut Calling<'a>,
        outgoing: &Outgoing,
    ) -> Result<Outcome, Status> {
        let going = self.going(&peer, calling)?;
        Ok(self.send(peer, going, calling.call, calling.times, outgoing.request()).await)
    }

    fn going<'a>(&'a self, first: &Pending, calling: &mut Calling<'a>) -> Result<Going<'a>, Status> {
        let Outward { style, encoding, procedure, .. } = calling.call;
        let going = match calling.going {
            Some(going) => going,
            None => Going::open(&self.checkpoint, style, encoding, procedure, first.0.url())?,
        };
        calling.going = Some(going);
        Ok(going)
    }

    async fn hedge<'a>(
        &'a self,
        first: Pending,
        going: Going<'a>,
        calling: &mut Calling<'a>,
        outgoing: &Outgoing,
        after: Duration,
        mut most: u32,
    ) -> Outcome {
        let (call, times) = (calling.call, calling.times);
        let began = Instant::now();
        let send = |pending: Pending| {
            let (id, request) = (pending.0.id, outgoing.request());
            async move { (id, self.send(pending, going, call, times, request).await) }
        };
        let mut asked = vec![Arc::clone(&first.0)];
        let mut places = Vec::new();
        let mut running = FuturesUnordered::from_iter([send(first)]);
        loop {
            tokio::select! {
                biased;
                Some((id, outcome)) = running.next() => {
                    let is_answer = matches!(outcome, Outcome::Answer(_));
                    if !is_answer && !running.is_empty() {
                        continue;
                    }
                    // Who was asked before and is still silent is slow, and should look it.
                    let slower = asked.iter().take_while(|other| other.id != id);
                    slower.for_each(|other| other.load.outpaced(began.elapsed(), self.now()));
                    return outcome;
                }
                () = tokio::time::sleep(after), if most > 0 => {
                    most -= 1;
                    let place = if calling.tried.is_full() { None } else { self.may_retry() };
                    let other = if place.is_some() { self.pick(calling) } else { None };
                    let Some(other) = other else { most = 0; continue };
                    places.extend(place);
                    calling.tried.add(other.0.id);
                    asked.push(Arc::clone(&other.0));
                    self.stats.retried(Why::Hedge);
                    running.push(send(other));
                }
            }
        }
    }

    async fn send(
        &self,
        pending: Pending,
        going: Going<'_>,
        call: Outward<'_>,
        times: Times,
        mut request: Request<Body>,
    ) -> Outcome {
        let peer = Arc::clone(&pending.0);
        peer.calls.fetch_add(1, Relaxed);
        let began = Instant::now();
        write_deadline(going.style, times.deadline.saturating_duration_since(began), request.headers_mut());
        if call.tries.idempotent {
            request.extensions_mut().insert(Idempotent);
        }
        let (until, whose) = times.end(began);
        let sent = tokio::time::timeout_at(until.into(), going.send(&peer.channels, request)).await;
        let took = began.elapsed();
        let outcome = match sent {
            Ok(Ok(mut response)) => {
                if call.told {
                    let (outbound, peer) = (self.name.clone(), peer.url().to_owned());
                    response.extensions_mut().insert(Via { outbound, peer });
                }
                if let Some(negotiated) = response.extensions().get::<Negotiated>() {
                    peer.answered_over(negotiated.protocol);
                }
                Outcome::of(going.style, response)
            }
            Ok(Err(error)) => Outcome::NoAnswer(error),
            Err(_elapsed) => Outcome::TookTooLong(took),
        };
        let hasty = matches!(outcome, Outcome::TookTooLong(_)) && whose == Whose::Caller;
        self.note(&peer, &outcome, took, hasty);
        outcome.map_body(|body| body::holding(body, pending))
    }

    /// Remembers of a peer how a try went.
    fn note(&self, peer: &Peer, outcome: &Outcome, took: Duration, hasty: bool) {
        if outcome.is_callers_fault() {
            return;
        }
        let now = self.now();
        if matches!(outcome, Outcome::NoAnswer(_) | Outcome::TookTooLong(_)) {
            peer.failures.fetch_add(1, Relaxed);
        } else {
            peer.latency.observe(took);
        }
        if hasty {
            // Whoever asks for an answer in no time must not get a peer ejected.
            peer.load.outpaced(took, now);
        } else if outcome.speaks_against_peer() {
            let in_a_row = peer.load.failed(took, now);
            if in_a_row >= self.eject_after
                && let Some(ejection) = self.fleet.failed(peer, in_a_row, now)
            {
                self.tell_ejection(peer.url(), ejection);
            }
        } else {
            peer.load.succeeded(took, now);
        }
    }

    /// A peer with room that was not tried; its place is taken.
    fn pick(&self, calling: &Calling<'_>) -> Option<Pending> {
        let peers = self.fleet.peers();
        let mut tried = calling.tried;
        while !tried.is_full() {
            let ask =
                Ask { random: self.dice.roll(), now: self.now(), key: calling.call.key, tried: tried.ids() };
            let peer = peers.all.get(peers.balancer.pick(&ask)?)?;
            if let Some(place) = Pending::enter(peer, self.max_pending) {
                return Some(place);
            }
            // Another call took its last place between the look and the step.
            tried.add(peer.id);
        }
        None
    }

    fn nobody(&self) -> Status {
        if self.fleet.peers().all.is_empty() {
            self.stats.denied(Denied::NoPeers);
            return Status::unavailable(format!("the outbound `{}` has no peers", self.name))
                .with_hint("name some in its `peers`, or look whether its `dns` name has addresses and its service peers in the mesh");
        }
        self.stats.denied(Denied::Full);
        let full =
            format!("every peer of the outbound `{}` has {} calls in flight", self.name, self.max_pending);
        Status::unavailable(full).with_hint("try again later, or raise `breaker.max_pending`")
    }

    /// Pays for one more retry and waits until it may begin; none where nothing is left to pay with.
    pub(super) async fn pay(&self, tries: &Tries, retries: &mut u32) -> Option<Retrying<'_>> {
        let place = if *retries < tries.max { self.may_retry() } else { None }?;
        *retries += 1;
        tokio::time::sleep(tries.backoff.wait(*retries, self.dice.roll())).await;
        Some(place)
    }

    /// A place for one more retry; none where the budget or the breaker leaves none.
    fn may_retry(&self) -> Option<Retrying<'_>> {
        let place = Retrying(&self.retrying);
        if self.retrying.fetch_add(1, Relaxed) >= self.max_retries {
            self.stats.denied(Denied::Breaker);
            return None;
        }
        if !self.budget.retry(self.now()) {
            self.stats.denied(Denied::Budget);
            return None;
        }
        Some(place)
    }
}
