//! One task for each issuer.

use std::sync::{Arc, Weak};
use std::time::Instant;

use omnirelay_runtime::{Drain, Metrics, Result};
use relay_transport::auth::{Authenticator, Issuer, KeysRead};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::source::Source;
use crate::stats::Stats;

/// Keeps the keys of issuers. Cloning shares its metrics.
#[derive(Clone, Debug)]
pub struct Keeper {
    stats: Stats,
    drain: Drain,
}

/// What is about to keep the keys of issuers that nobody kept so far.
#[must_use = "nobody keeps the keys until `keep`"]
pub struct Prepared {
    keeper: Keeper,
    issuers: Vec<(Arc<Issuer>, Source, Option<KeysRead>)>,
}

impl Keeper {
    /// A keeper until the drain.
    #[must_use]
    pub fn new(metrics: &Metrics, drain: Drain) -> Self {
        Self { stats: Stats::new(metrics), drain }
    }

    /// Prepares to keep the keys of all issuers that an authenticator believes and nobody keeps yet. Files are read here,
    /// so that one that is wrong is refused; an URL is not waited for.
    ///
    /// # Errors
    /// Key files that cannot be read or hold no keys, TLS files that cannot be used.
    pub fn prepare(&self, authenticator: &Authenticator) -> Result<Prepared> {
        let new = authenticator.issuers().into_iter().filter(|issuer| !issuer.is_kept());
        let one = |issuer: Arc<Issuer>| {
            let mut source = Source::new(issuer.config())?;
            let read = source.read_at_once()?;
            Ok((issuer, source, read))
        };
        Ok(Prepared { keeper: self.clone(), issuers: new.map(one).collect::<Result<_>>()? })
    }
}

impl Prepared {
    /// Keeps them until the drain, or until nobody believes their issuer any more.
    pub fn keep(self) {
        for (issuer, source, read) in self.issuers {
            let Some(wanted) = issuer.keeper() else { continue };
            let name = issuer.config().name.clone();
            let due = match read {
                Some(read) => self.keeper.stats.told(&issuer, &name, Ok(read)),
                None => Instant::now(),
            };
            let (stats, drain) = (self.keeper.stats.clone(), self.keeper.drain.clone());
            let kept = Kept { name, issuer: Arc::downgrade(&issuer), source, stats };
            omnirelay_runtime::spawn("issuer-keys", kept.run(wanted, due, drain));
        }
    }
}

/// One issuer whose keys are kept; it is dropped by whoever believes it.
struct Kept {
    name: String,
    issuer: Weak<Issuer>,
    source: Source,
    stats: Stats,
}

impl Kept {
    async fn run(mut self, mut wanted: mpsc::Receiver<()>, mut due: Instant, drain: Drain) {
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {}
                asked = wanted.recv() => if asked.is_none() { break },
                () = drain.started() => break,
            }
            let Some(issuer) = self.issuer.upgrade() else { break };
            issuer.reading();
            let read = self.source.read().await;
            due = self.stats.told(&issuer, &self.name, read);
        }
        self.source.close().await;
        self.stats.forget(&self.name);
    }
}

impl Stats {
    /// Tells the issuer, the log and the metrics what came of a read; gives when the next one is due.
    fn told(&self, issuer: &Issuer, name: &str, read: Result<KeysRead, String>) -> Instant {
        let read = match read {
            Ok(KeysRead::New(keys)) => {
                info!(issuer = name, keys = keys.len(), "the keys of an issuer are new");
                self.succeeded(name, Some(keys.len()));
                KeysRead::New(keys)
            }
            Ok(other) => {
                self.succeeded(name, None);
                other
            }
            Err(cause) => {
                self.failed(name);
                let hint = "look whether the issuer's `jwks_url` or `jwks_file` can be read from here";
                warn!(
                    issuer = name,
                    cause, hint, "the keys of an issuer cannot be read; those that are here stand"
                );
                KeysRead::Failed
            }
        };
        issuer.read(read)
    }
}
