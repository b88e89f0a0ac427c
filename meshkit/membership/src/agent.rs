//! One member's decisions carried out over datagrams.

use std::future::pending;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use meshkit_model::PeerId;
use omnirelay_runtime::Drain;
use relay_transport::datagram::{Datagrams, Received};
use tokio::net::lookup_host;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tracing::{debug, info, warn};

use crate::known::{Change, Refusal};
use crate::member::Member;
use crate::membership::{Membership, Report};
use crate::swim::Swim;
use crate::tuning::Tuning;

/// Seeds that were found and not asked yet.
pub(crate) const PLACES: usize = 64;
/// Addresses of one seed's name.
const ADDRESSES: usize = 16;
/// How often seeds are asked: while nobody is there, and beside others, which heals what parted for so long
/// that both sides forgot each other.
const ALONE: Duration = Duration::from_secs(1);
const AMONG_OTHERS: Duration = Duration::from_secs(30);
/// How long a name's addresses may take.
const LOOKUP: Duration = Duration::from_secs(2);
/// How often what is known is shown, where it may have changed.
const SHOW: Duration = Duration::from_millis(100);
/// How often this node looks at what there is to say about itself.
const LOOK: Duration = Duration::from_secs(1);
/// Messages taken before anything else is done.
const BATCH: usize = 64;

/// Somebody who may be asked for everybody.
pub(crate) type Place = (PeerId, SocketAddr);

pub(crate) struct Agent {
    swim: Swim,
    began: Instant,
    datagrams: Datagrams,
    report: Report,
    membership: Membership,
    is_stale: bool,
}

impl Agent {
    pub(crate) fn new(
        me: Member,
        tuning: Tuning,
        datagrams: Datagrams,
        report: Report,
        membership: Membership,
    ) -> Self {
        let seed = RandomState::new().build_hasher().finish();
        let swim = Swim::new(me, tuning, seed);
        Self { swim, began: Instant::now(), datagrams, report, membership, is_stale: false }
    }

    pub(crate) fn me(&self) -> Arc<Member> {
        self.swim.me()
    }

    /// Gossips until the drain begins, and holds it back for the goodbye.
    pub(crate) fn run(
        mut self,
        mut inbox: mpsc::Receiver<Received>,
        mut places: mpsc::Receiver<Place>,
        drain: Drain,
    ) {
        let guard = drain.guard();
        omnirelay_runtime::spawn("membership", async move {
            let mut show = interval(SHOW);
            let mut look = interval(LOOK);
            show.set_missed_tick_behavior(MissedTickBehavior::Delay);
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let due = self.swim.next_at().map(|at| self.began + at);
                let due = async {
                    match due {
                        Some(at) => sleep_until(at).await,
                        None => pending().await,
                    }
                };
                tokio::select! {
                    () = drain.started() => break,
                    Some(received) = inbox.recv() => {
                        self.take(&received);
                        for _ in 0..BATCH {
                            let Ok(received) = inbox.try_recv() else { break };
                            self.take(&received);
                        }
                    }
                    Some((id, address)) = places.recv() => self.swim.announce(self.began.elapsed(), id, address),
                    _ = show.tick(), if self.is_stale => self.show(),
                    _ = look.tick() => {
                        let (health, map_version) = (self.report)();
                        self.swim.say(self.began.elapsed(), health, map_version);
                    }
                    () = due => self.is_stale = true,
                }
                self.swim.tick(self.began.elapsed());
                self.flush();
            }
            self.leave().await;
            drop(guard);
        });
    }

    fn take(&mut self, received: &Received) {
        self.is_stale = true;
        let metrics = self.membership.metrics();
        let Ok(sender) = PeerId::new(received.from.name()) else {
            return metrics.refused("nameless");
        };
        match self.swim.receive(self.began.elapsed(), &sender, &received.message) {
            // Word that comes late is refused now and then.
            Ok(()) | Err(Refusal::Odd(_)) => {}
            Err(refusal) => {
                metrics.refused(refusal.name());
                debug!(%sender, address = %received.address, %refusal, "a message is not taken");
            }
        }
    }

    fn flush(&mut self) {
        for outgoing in self.swim.take_outgoing() {
            self.datagrams.send(outgoing.to.address, outgoing.message);
        }
        for change in self.swim.take_changes() {
            if let Change::Rejoined(me) = change {
                let edition = me.edition;
                warn!(edition, "the others took this node for dead; it is back");
            }
        }
    }

    fn show(&mut self) {
        self.is_stale = false;
        self.membership.show(self.me(), self.swim.known());
    }

    /// What is said last has to arrive, or the others would have to find out.
    async fn leave(mut self) {
        self.swim.leave(self.began.elapsed());
        let goodbyes: Vec<_> = self.swim.take_outgoing().collect();
        let told = goodbyes.into_iter().map(|goodbye| {
            let datagrams = self.datagrams.clone();
            async move { datagrams.deliver(goodbye.to.address, goodbye.message).await.is_ok() }
        });
        let told = join_all(told).await.into_iter().filter(|told| *told).count();
        info!(told, "said goodbye to the members");
        self.datagrams.close().await;
    }
}

/// Looks for the seeds until the drain begins.
pub(crate) fn seek(
    seeds: Vec<String>,
    datagrams: Datagrams,
    membership: Membership,
    found: mpsc::Sender<Place>,
    drain: Drain,
) {
    omnirelay_runtime::spawn("membership-seeds", async move {
        let mut is_told = false;
        while !seeds.is_empty() && !drain.is_draining() {
            let mut reached = 0;
            for seed in &seeds {
                for address in addresses(seed).await {
                    match datagrams.reach(address).await {
                        Ok(peer) => {
                            let Ok(id) = PeerId::new(peer.name()) else { continue };
                            reached += usize::from(id != *membership.me());
                            if found.send((id, address)).await.is_err() {
                                return;
                            }
                        }
                        Err(error) => debug!(seed, %address, %error, "a seed does not answer"),
                    }
                }
            }
            if reached == 0 && membership.present() == 0 && !is_told {
                info!(?seeds, "no seed answers; they are asked again and again");
            }
            is_told = reached == 0;
            let pause = if membership.present() == 0 { ALONE } else { AMONG_OTHERS };
            tokio::select! {
                () = drain.started() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    });
}

async fn addresses(seed: &str) -> Vec<SocketAddr> {
    match timeout(LOOKUP, lookup_host(seed)).await {
        Ok(Ok(found)) => found.take(ADDRESSES).collect(),
        Ok(Err(error)) => {
            debug!(seed, %error, "a seed has no address");
            Vec::new()
        }
        Err(_late) => Vec::new(),
    }
}
