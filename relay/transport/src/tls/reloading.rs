//! Something made of files that is made anew when they change, and swapped as a whole.

use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use omnirelay_runtime::file::Stamp;
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;
use tracing::{info, warn};

use super::{stats, x509};

/// Asks whoever watches files of this process to look at them at once.
static LOOK: LazyLock<watch::Sender<()>> = LazyLock::new(watch::Sender::default);

/// Lets every TLS configuration of this process look at its files now instead of at its next interval: for whoever just
/// wrote one of them. Those that never look do not look now either.
pub fn look_now() {
    LOOK.send_replace(());
}

/// What is made of files.
pub(super) trait Source: PartialEq + Send + Sync + 'static {
    /// What they make.
    type State: Send + Sync + 'static;
    /// All files that it is made of.
    fn files(&self) -> Vec<&Path>;
    /// Reads and checks all of them.
    fn load(&self) -> Result<Self::State>;
    /// The certificate that stands for us, where there is one, and its file.
    fn leaf<'a>(&'a self, state: &'a Self::State) -> Option<(&'a Path, &'a CertificateDer<'static>)>;
    /// How often to look; zero is never.
    fn interval(&self) -> Duration;
}

/// What the files make at present.
pub(super) struct Reloading<S: Source> {
    source: ArcSwap<S>,
    current: ArcSwap<S::State>,
    stamps: Mutex<Vec<Option<Stamp>>>,
    generation: watch::Sender<u64>,
}

impl<S: Source> Reloading<S> {
    pub(super) fn load(source: S) -> Result<Arc<Self>> {
        // Before reading: a file that changes meanwhile is read once more, never once too few.
        let stamps = stamps(&source);
        let state = source.load()?;
        let this = Self {
            current: ArcSwap::from_pointee(state),
            source: ArcSwap::from_pointee(source),
            stamps: Mutex::new(stamps),
            generation: watch::Sender::new(0),
        };
        this.tell_expiry();
        this.warn_expired();
        Ok(Arc::new(this))
    }

    pub(super) fn source(&self) -> Arc<S> {
        self.source.load_full()
    }

    pub(super) fn current(&self) -> Arc<S::State> {
        self.current.load_full()
    }

    /// Changes with each state that was swapped in.
    pub(super) fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Reads the files anew; on an error what was there stands.
    pub(super) fn reload(&self) -> Result<()> {
        let source = self.source();
        *self.stamps.lock().unwrap_or_else(PoisonError::into_inner) = stamps(&*source);
        let file = first_file(&*source);
        match source.load().and_then(|state| refuse_expired(&*source, state)) {
            Ok(state) => {
                self.swap(state);
                stats::reloaded(&file, true);
                info!(file, "certificates reloaded");
                Ok(())
            }
            Err(error) => {
                stats::reloaded(&file, false);
                warn!(file, error = %error, hint = error.hint_text(), "changed certificates refused; the old ones stand");
                Err(error)
            }
        }
    }

    /// Prepares to follow other files from now on, or the same ones as they look now; none where nothing is
    /// different. What is given changes it.
    pub(super) fn stage(self: &Arc<Self>, source: S) -> Result<Option<impl FnOnce() + Send + 'static>> {
        let looks = stamps(&source);
        let before = self.source();
        if *before == source && *self.stamps.lock().unwrap_or_else(PoisonError::into_inner) == looks {
            return Ok(None);
        }
        let state = source.load().and_then(|state| refuse_expired(&source, state))?;
        let this = Arc::clone(self);
        Ok(Some(move || {
            let (file, rested) = (first_file(&source), before.interval().is_zero());
            stats::forget(&first_file(&*before));
            *this.stamps.lock().unwrap_or_else(PoisonError::into_inner) = looks;
            this.source.store(Arc::new(source));
            this.swap(state);
            stats::reloaded(&file, true);
            info!(file, "certificates reloaded");
            if rested {
                this.watch();
            }
        }))
    }

    fn swap(&self, state: S::State) {
        self.current.store(Arc::new(state));
        self.generation.send_modify(|generation| *generation += 1);
        self.tell_expiry();
    }

    /// Reads the files anew where they look different from the last time.
    pub(super) fn reload_if_changed(&self) {
        self.tell_expiry();
        let seen = self.stamps.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if stamps(&*self.source()) != seen {
            // What is wrong has been logged and counted.
            let _refused = self.reload();
        }
    }

    /// Looks at the files at their interval, for as long as somebody uses what they make. Without
    /// a runtime nobody looks.
    pub(super) fn watch(self: &Arc<Self>) {
        if self.source().interval().is_zero() || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let watched: Weak<Self> = Arc::downgrade(self);
        let mut look = LOOK.subscribe();
        omnirelay_runtime::spawn("certificate-watch", async move {
            loop {
                let interval = watched.upgrade().map(|this| this.source().interval());
                let Some(interval) = interval.filter(|interval| !interval.is_zero()) else { break };
                tokio::select! {
                    () = tokio::time::sleep(interval) => {}
                    // The sender is never gone.
                    _ = look.changed() => {}
                }
                let Some(this) = watched.upgrade() else { break };
                let looked = tokio::task::spawn_blocking(move || this.reload_if_changed());
                if looked.await.is_err() {
                    break;
                }
            }
        });
    }

    fn tell_expiry(&self) {
        let (source, state) = (self.source(), self.current());
        if let Some((path, leaf)) = source.leaf(&state)
            && let Some(not_after) = x509::not_after(leaf)
        {
            stats::expires_in(&path.display().to_string(), not_after - unix_now());
        }
    }

    /// A process starts with an expired certificate, since its operator may need it to mend that.
    fn warn_expired(&self) {
        let (source, state) = (self.source(), self.current());
        if let Some((path, leaf)) = source.leaf(&state)
            && x509::not_after(leaf).is_some_and(|not_after| not_after <= unix_now())
        {
            let file = path.display().to_string();
            warn!(
                file,
                hint = "issue a new one: it is picked up while running",
                "the certificate has expired"
            );
        }
    }
}

fn first_file(source: &impl Source) -> String {
    source.files().first().map(|path| path.display().to_string()).unwrap_or_default()
}

fn refuse_expired<S: Source>(source: &S, state: S::State) -> Result<S::State> {
    let ended = source.leaf(&state).and_then(|(path, leaf)| {
        let seconds = x509::not_after(leaf)? - unix_now();
        (seconds <= 0).then(|| path.to_owned())
    });
    match ended {
        None => Ok(state),
        Some(path) => Err(OperatorError::new(
            ErrorKind::Config,
            format!("the certificate in {} has expired", path.display()),
        )
        .hint("issue a new one")),
    }
}

fn stamps(source: &impl Source) -> Vec<Option<Stamp>> {
    source.files().into_iter().map(Stamp::of).collect()
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
