//! A lease that is kept alive, and granted anew where it was lost.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::client::Client;
use crate::lease::{Lease, Next};

/// A lease that lives for as long as this does. It is revoked when this is dropped, and runs out where that fails.
#[derive(Debug)]
pub struct Leased {
    id: watch::Receiver<Option<i64>>,
    _end: tokio::sync::oneshot::Sender<()>,
}

impl Leased {
    /// Keeps a lease of `ttl`, in whole seconds.
    #[must_use]
    pub fn keep(client: Client, ttl: Duration) -> Self {
        let (publish, id) = watch::channel(None);
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        omnirelay_runtime::spawn("etcd-lease", async move {
            let mut lease = Lease::new(ttl);
            tokio::select! {
                _ = ended => {}
                () = keep(&client, ttl, &mut lease, &publish) => {}
            }
            if let Some(id) = lease.id(Instant::now())
                && let Err(error) = client.lease_revoke(id, Duration::from_secs(1)).await
            {
                tracing::debug!(%error, "the lease was not revoked and will run out");
            }
        });
        Self { id, _end: end }
    }

    /// The lease that lives now; it changes where it was lost. The sender lives as long as this.
    #[must_use]
    pub fn id(&self) -> watch::Receiver<Option<i64>> {
        self.id.clone()
    }
}

async fn keep(client: &Client, ttl: Duration, lease: &mut Lease, publish: &watch::Sender<Option<i64>>) {
    let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
    let patience = ttl / 3;
    loop {
        let asked_at = Instant::now();
        let outcome = match lease.next(asked_at) {
            Next::At(at) => {
                tokio::time::sleep_until(at.into()).await;
                None
            }
            Next::Grant => {
                Some(client.lease_grant(seconds, patience).await.map(|lease| (lease.id, lease.ttl)))
            }
            Next::Renew(id) => Some(client.lease_renew(id, patience).await.map(|ttl| (id, ttl))),
        };
        match outcome {
            None => {}
            Some(Ok((id, seconds))) => {
                let lifetime = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
                lease.lives(id, lifetime, asked_at);
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "the lease cannot be kept alive");
                lease.failed(Instant::now());
            }
        }
        let id = lease.id(Instant::now());
        publish.send_if_modified(|told| std::mem::replace(told, id) != id);
    }
}
