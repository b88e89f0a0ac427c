//! Steady load through a relay, of which no call may fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use relay_client::Channel;
use relay_core::Protocol;
use relay_testkit::TestCa;

use super::{Relay, call, channel, text};

/// Calls without a pause, and what they saw.
pub(crate) struct Load {
    answered: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    callers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    /// One caller for each of these.
    pub(crate) fn start(ca: &TestCa, relay: &Relay, protocols: &[Protocol]) -> Self {
        let (answered, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let callers = protocols.iter().map(|protocol| {
            let channel = channel(ca, &relay.data, *protocol);
            let (answered, over) = (Arc::clone(&answered), Arc::clone(&over));
            omnirelay_runtime::spawn("caller", async move {
                while !over.load(Relaxed) {
                    one(&channel).await;
                    answered.fetch_add(1, Relaxed);
                }
            })
        });
        Self { callers: callers.collect(), answered, over }
    }

    /// Until so many more calls were answered.
    pub(crate) async fn more(&self, calls: u64) {
        let before = self.answered.load(Relaxed);
        while self.answered.load(Relaxed) < before + calls {
            assert!(!self.callers.iter().any(tokio::task::JoinHandle::is_finished), "a caller has failed");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn end(self) {
        self.over.store(true, Relaxed);
        for caller in self.callers {
            caller.await.unwrap();
        }
    }
}

/// One call, which has to be answered well.
pub(crate) async fn one(channel: &Channel) {
    let response = channel.send(call("s", "p", "{}")).await.unwrap();
    let status = response.status();
    let said = text(response).await;
    assert_eq!((status.as_u16(), said.as_str()), (200, "fine"));
}
