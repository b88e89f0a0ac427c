//! Looks after a connection in use: notices when its packets vanish, and gives it up once another
//! way to the peer is known to work.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use relay_core::DowngradeReason;
use tokio::time::MissedTickBehavior;
use tracing::debug;

use super::live::Live;
use super::path::Path;
use crate::stall::{Progress, StallDetector, TICK, patience};
use crate::tcp::Tcp;

/// How long a connection without calls is looked at before its watcher goes to rest.
const REST_AFTER: Duration = Duration::from_secs(1);
/// The pause after TCP failed as well.
const PROOF_PAUSE: Duration = Duration::from_millis(500);

type Proof = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Watches until the connection has ended. Holds on to nothing: a channel that is dropped closes
/// its connections.
pub(super) async fn watch(path: Weak<Path>, live: Weak<Live>, tcp: Arc<Tcp>, hedge_after: Duration) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut detector = StallDetector::new(Instant::now(), Progress::default());
    let mut busy = Instant::now();
    let mut proof: Option<Proof> = None;
    loop {
        let proven = tokio::select! {
            () = async { if let Some(proof) = &mut proof { proof.await } }, if proof.is_some() => true,
            _ = ticks.tick() => false,
        };
        let Some(strong) = live.upgrade().filter(|live| live.is_usable()) else { return };
        let silence = detector.look(Instant::now(), strong.progress());
        if silence < patience(hedge_after, strong.connection.rtt()) {
            strong.set_silent(false);
            proof = None;
        } else if proven {
            debug!(?silence, "UDP is blocked: TCP works and QUIC is silent");
            if let Some(path) = path.upgrade() {
                path.give_up(&strong, DowngradeReason::NoQuicReply);
            }
            return;
        } else if proof.is_none() {
            strong.set_silent(true);
            proof = Some(prove(Arc::clone(&tcp)));
        }
        if strong.load().in_flight > 0 || !silence.is_zero() {
            busy = Instant::now();
        }
        if busy.elapsed() < REST_AFTER {
            continue;
        }
        if let Some(call) = strong.rest() {
            drop(strong);
            call.notified().await;
            let Some(strong) = live.upgrade() else { return };
            strong.resume();
            detector = StallDetector::new(Instant::now(), strong.progress());
        }
        busy = Instant::now();
    }
}

/// Ends once a connection over TCP has come about, so that the peer lives and can be reached.
fn prove(tcp: Arc<Tcp>) -> Proof {
    Box::pin(async move {
        while tcp.reach().await.is_err() {
            tokio::time::sleep(PROOF_PAUSE).await;
        }
    })
}
