//! Keeping a peer registered for as long as its process lives.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use omnirelay_proto::meshkit::v1;
use omnirelay_runtime::Drain;
use relay_core::Code;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::client::MeshClient;
use crate::error::MeshError;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long one attempt may take: a control plane that died without a word answers nothing.
const ATTEMPT: Duration = Duration::from_secs(2);
/// How long saying goodbye may hold up the end of the process.
const GOODBYE: Duration = Duration::from_secs(1);

/// A peer to keep registered.
pub struct Registration {
    client: MeshClient,
    peer: v1::Peer,
    /// Behind a lock so that tasks share the rest.
    before_goodbye: Mutex<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Where a registration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistrationState {
    /// The control plane has not taken it yet.
    Pending,
    /// The control plane knows the peer and hears from it.
    Registered,
    /// The last attempt failed; it goes on trying.
    Failing(MeshError),
    /// The peer said goodbye, or tried to.
    Ended,
}

/// Tells where a registration stands.
#[derive(Clone, Debug)]
pub struct RegistrationHandle(watch::Receiver<RegistrationState>);

impl RegistrationHandle {
    /// Where it stands right now.
    #[must_use]
    pub fn state(&self) -> RegistrationState {
        self.0.borrow().clone()
    }

    /// Waits until the peer is registered. Says `false` where it ended before.
    pub async fn registered(&mut self) -> bool {
        let found = self
            .0
            .wait_for(|state| matches!(state, RegistrationState::Registered | RegistrationState::Ended));
        found.await.is_ok_and(|state| *state == RegistrationState::Registered)
    }
}

impl Registration {
    /// A peer to register with `client`, whose channel is connected anew where the control plane
    /// does not answer in 2 s. The peer's status, times and version are the registry's to set.
    #[must_use]
    pub fn new(client: MeshClient, peer: v1::Peer) -> Self {
        let client = client.with_timeout(ATTEMPT);
        Self { client, peer, before_goodbye: Mutex::new(Box::pin(async {})) }
    }

    /// Says goodbye only after this has ended too, such as
    /// [`ShardHost::ended`](crate::ShardHost::ended): who said goodbye owns nothing.
    #[must_use]
    pub fn goodbye_after(mut self, ended: impl Future<Output = ()> + Send + 'static) -> Self {
        self.before_goodbye = Mutex::new(Box::pin(ended));
        self
    }

    /// Registers and sends heartbeats until the drain begins, then says goodbye, unless another process goes on in our place. While the control
    /// plane is away or refuses it tries again, from 100 ms up to every 5 s, with jitter; when the
    /// control plane has forgotten the peer it registers again.
    #[must_use]
    pub fn spawn(mut self, drain: Drain) -> RegistrationHandle {
        let (state, handle) = watch::channel(RegistrationState::Pending);
        let guard = drain.guard();
        omnirelay_runtime::spawn("mesh-registration", async move {
            let nothing = Mutex::new(Box::pin(async {}) as Pin<Box<dyn Future<Output = ()> + Send>>);
            let before_goodbye = std::mem::replace(&mut self.before_goodbye, nothing);
            let before_goodbye = before_goodbye.into_inner().unwrap_or_else(PoisonError::into_inner);
            let is_time = async {
                drain.started().await;
                before_goodbye.await;
            };
            let was_known = tokio::select! {
                () = is_time => *state.borrow() != RegistrationState::Pending,
                () = self.keep(&state) => false,
            };
            if was_known && !drain.is_handed_over() {
                self.say_goodbye().await;
            }
            state.send_replace(RegistrationState::Ended);
            drop(guard);
        });
        RegistrationHandle(handle)
    }

    async fn keep(&self, state: &watch::Sender<RegistrationState>) {
        let mut pause = FIRST_PAUSE;
        let mut is_known = false;
        loop {
            let outcome = if is_known {
                let beat = self.client.heartbeat(&self.peer.id, false).await;
                beat.map(|answer| answer.value.heartbeat_interval_ms)
            } else {
                let registered = self.client.register(self.peer.clone()).await;
                registered.map(|answer| {
                    info!(
                        peer = self.peer.id,
                        endpoint = self.client.channel().endpoint(),
                        protocol = %answer.negotiated.protocol,
                        "registered"
                    );
                    answer.value.heartbeat_interval_ms
                })
            };
            match outcome {
                Ok(interval_ms) => {
                    is_known = true;
                    pause = FIRST_PAUSE;
                    state.send_replace(RegistrationState::Registered);
                    let interval = Duration::from_millis(u64::from(interval_ms.max(10)));
                    // A little early and never in step with the others.
                    tokio::time::sleep(jittered(interval)).await;
                }
                Err(error) if is_known && error.code == Code::NotFound => {
                    info!(peer = self.peer.id, "the control plane does not know us: registering again");
                    is_known = false;
                }
                Err(error) => {
                    let news = RegistrationState::Failing(error.clone());
                    if state.send_replace(news.clone()) != news {
                        warn!(
                            peer = self.peer.id,
                            endpoint = error.endpoint,
                            code = %error.code,
                            hint = error.hint,
                            "registration fails and is tried again: {error}"
                        );
                    }
                    if error.code == Code::DeadlineExceeded {
                        // Whoever was at the other end is gone; waiting for the connection's idle
                        // time would keep us out of a control plane that is back long since.
                        self.client.close().await;
                    }
                    tokio::time::sleep(jittered(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn say_goodbye(&self) {
        let client = self.client.clone().with_timeout(GOODBYE);
        match client.heartbeat(&self.peer.id, true).await {
            Ok(_) => info!(peer = self.peer.id, "said goodbye"),
            Err(error) => {
                // The control plane finds out by itself, only later.
                warn!(peer = self.peer.id, code = %error.code, "could not say goodbye: {error}");
            }
        }
    }
}

/// Three quarters to all of a time, at random.
pub(crate) fn jittered(time: Duration) -> Duration {
    let dice = RandomState::new().build_hasher().finish();
    let permille = u32::try_from(750 + dice % 251).unwrap_or(1_000);
    time * permille / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_a_quarter() {
        for _ in 0..1_000 {
            let time = jittered(Duration::from_secs(1));
            assert!((Duration::from_millis(750)..=Duration::from_secs(1)).contains(&time));
        }
    }
}
