//! What members believe: the authorities, and the list of certificates that count no more, as it is now.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshkit_api::now;
use meshkit_model::{Kind, Revocation, Timestamp};
use meshkit_store::{Filter, Start, StoreError, Told, View};
use omnirelay_runtime::file::{self, Access};
use omnirelay_runtime::{Drain, ErrorKind, OperatorError, Result};
use relay_transport::tls;
use tracing::{info, warn};

use crate::authority::{Authority, Settings};
use crate::elders::elders;

/// How old a list may become before it is signed anew.
const FRESH: Duration = Duration::from_secs(12 * 3_600);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(600);
/// How long to wait where the store cannot be watched.
const PAUSE: Duration = Duration::from_secs(1);

/// Makes and keeps the list.
pub(crate) struct Trust {
    pub(crate) settings: Settings,
    view: View,
    current: Mutex<Option<Arc<List>>>,
}

/// What members believe.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) bundle: String,
    pub(crate) revocation_list: String,
    revoked: Vec<Revocation>,
    signed_at: Timestamp,
}

impl Trust {
    pub(crate) fn new(view: View, settings: Settings) -> Self {
        Self { settings, view, current: Mutex::new(None) }
    }

    /// The list as the store is now.
    ///
    /// # Errors
    /// The authority's files cannot be used.
    pub(crate) fn current(&self) -> Result<Arc<List>> {
        let revoked: Vec<Revocation> = self.view.read().revocations().after(None).cloned().collect();
        let at = now();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = &*current {
            let age = Duration::try_from(at.duration_since(list.signed_at)).unwrap_or_default();
            if list.revoked == revoked && age < FRESH {
                return Ok(Arc::clone(list));
            }
        }
        let authority = Authority::load(&self.settings)?;
        let signed = authority.revocation_list(&revoked, at).map_err(|error| {
            OperatorError::new(ErrorKind::Config, "the list of revoked certificates cannot be signed")
                .caused_by(&error)
                .hint("the authority's certificate must allow cRLSign")
        })?;
        let held = std::fs::read_to_string(&self.settings.revocation_list).unwrap_or_default();
        let elders = elders(&held, &authority.subject, at.as_second());
        let list = Arc::new(List {
            bundle: authority.bundle,
            revocation_list: format!("{signed}{elders}"),
            revoked,
            signed_at: at,
        });
        *current = Some(Arc::clone(&list));
        Ok(list)
    }

    /// Writes the list to its file where that holds another one, and lets this process's listeners look at it.
    pub(crate) fn write(&self) -> Result<()> {
        let list = self.current()?;
        let path = &self.settings.revocation_list;
        if std::fs::read(path).is_ok_and(|held| held == list.revocation_list.as_bytes()) {
            return Ok(());
        }
        file::replace(path, list.revocation_list.as_bytes(), Access::Public).map_err(|error| {
            OperatorError::new(ErrorKind::Io, format!("{} cannot be written", path.display()))
                .caused_by(&error)
                .hint("name a file in a directory that meshkitd may write to in `bootstrap.revocation_list`")
        })?;
        info!(file = %path.display(), revoked = list.revoked.len(), "list of revoked certificates written");
        tls::look_now();
        Ok(())
    }

    /// Keeps the file as the store is, until the drain begins.
    pub(crate) fn keep(self: Arc<Self>, drain: Drain) {
        omnirelay_runtime::spawn("revocation-list", async move {
            loop {
                tokio::select! {
                    () = drain.started() => return,
                    outcome = Arc::clone(&self).follow() => if let Err(error) = outcome {
                        warn!(%error, "revocations cannot be watched; they are in a second");
                    },
                }
                tokio::select! {
                    () = drain.started() => return,
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        });
    }

    /// Writes the list with every revocation, and at times of quiet; returns where changes were missed,
    /// or the list cannot be written.
    async fn follow(self: Arc<Self>) -> Result<(), StoreError> {
        let mut watch = self.view.watch(Filter::of([Kind::Revocation]), &Start::Now, LOOK)?;
        // The first bookmark comes at once.
        while let Some(told) = watch.next().await? {
            if matches!(told, Told::ResyncRequired { .. }) {
                break;
            }
            let this = Arc::clone(&self);
            let written = tokio::task::spawn_blocking(move || this.write()).await;
            if let Ok(Err(error)) = written {
                warn!(%error, hint = error.hint_text(), "revocations do not reach the listeners; tried again in a second");
                break;
            }
        }
        Ok(())
    }
}
