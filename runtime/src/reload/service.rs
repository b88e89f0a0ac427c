//! Reloads of a running daemon, one after the other.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use super::debounce::Debounce;
use super::engine::{self, Attempt, Engine, Read, Section};
use super::history::{ConfigStatus, Ended, History, Outcome, Reload, Trigger};
use crate::bootstrap::Startup;
use crate::config::{Layers, Loaded, secrets};
use crate::drain::Drain;
use crate::error::{ErrorKind, OperatorError, Result};
use crate::file::Stamp;
use crate::metrics::Metrics;

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Reloads that may wait for the one that is carried out.
const WAITING: usize = 16;

/// What a daemon follows its configuration with, before it does.
pub struct Reloader<T> {
    node: String,
    layers: Layers,
    engine: Engine<T>,
}

impl<T: Serialize + Send + 'static> Reloader<T> {
    /// Follows what `layers` say; `loaded` is in force, and `read` reads and checks them anew.
    ///
    /// # Errors
    /// A configuration that cannot be written down, which is a fault of ours.
    pub fn new(
        node: &str,
        layers: Layers,
        loaded: &Loaded<T>,
        mut read: impl FnMut(&Layers) -> Result<Loaded<T>, Vec<OperatorError>> + Send + 'static,
    ) -> Result<Self> {
        let own = layers.clone();
        let read: Read<T> = Box::new(move || {
            again(&own).map_err(|error| vec![error])?;
            read(&own)
        });
        let current = engine::value(&loaded.value)?;
        Ok(Self { node: node.to_owned(), layers, engine: Engine { read, sections: Vec::new(), current } })
    }

    /// Adds a section; they are asked in this order.
    pub fn section(&mut self, section: Section<T>) {
        self.engine.sections.push(section);
    }

    /// Follows from here on, until the drain begins. SIGHUP no longer ends the process.
    ///
    /// # Errors
    /// Signals that cannot be received.
    pub fn start(self, startup: &Startup) -> Result<Reloads> {
        let hangups = Hangups::install()?;
        let (requests, waiting) = mpsc::channel(WAITING);
        let now = Timestamp::now();
        let mut reloadable: Vec<String> =
            self.engine.sections.iter().flat_map(Section::keys).map(ToString::to_string).collect();
        reloadable.sort();
        let told = Arc::new(Told {
            node: self.node,
            sources: sources(&self.layers),
            reloadable,
            history: Mutex::new(History::started(now)),
            stats: Stats::new(&startup.metrics, now),
        });
        let task = Task {
            engine: Arc::new(Mutex::new(self.engine)),
            debounce: Debounce::new(look(&self.layers)),
            layers: Arc::new(self.layers),
            told: Arc::clone(&told),
        };
        crate::spawn("reload", task.run(waiting, hangups, startup.drain.clone()));
        Ok(Reloads { requests, told })
    }
}

impl<T> fmt::Debug for Reloader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").field("layers", &self.layers).finish_non_exhaustive()
    }
}

/// Standard input is read once.
fn again(layers: &Layers) -> Result<()> {
    if !layers.files.iter().any(|file| file.as_os_str() == "-") {
        return Ok(());
    }
    Err(OperatorError::new(ErrorKind::Config, "standard input cannot be read again")
        .rule("config/unreadable")
        .hint("start the daemon with files for a configuration that reloads"))
}

fn sources(layers: &Layers) -> Vec<String> {
    let files = layers.files.iter().map(|file| format!("file {}", file.display()));
    let secrets = layers.secrets.iter().map(|folder| format!("secrets {}", folder.display()));
    let env = layers.env.iter().map(|(name, _)| format!("environment variable {name}"));
    let sets = layers.sets.iter().map(|set| format!("--set {}", set.split('=').next().unwrap_or_default()));
    files.chain(secrets).chain(env).chain(sets).collect()
}

/// What the files look like.
type Look = Vec<(PathBuf, Option<Stamp>)>;

fn look(layers: &Layers) -> Look {
    let secrets = layers.secrets.iter().flat_map(|folder| secrets::files(folder).unwrap_or_default());
    let files = layers.files.iter().filter(|file| file.as_os_str() != "-").cloned().chain(secrets);
    files.map(|file| (file.clone(), Stamp::of(&file))).collect()
}

/// Asks for reloads and tells of them. Cloning is cheap.
#[derive(Clone)]
pub struct Reloads {
    requests: mpsc::Sender<Request>,
    told: Arc<Told>,
}

struct Request {
    by: String,
    answer: oneshot::Sender<Reload>,
}

impl Reloads {
    /// Reads all sources anew, for somebody; what became of it.
    ///
    /// # Errors
    /// Too many reloads that wait, and a daemon that is ending.
    pub async fn reload(&self, by: &str) -> Result<Reload> {
        let ending = || {
            OperatorError::new(ErrorKind::Unavailable, "the daemon is ending")
                .hint("ask the one that follows it")
        };
        let (answer, answered) = oneshot::channel();
        self.requests.try_send(Request { by: by.to_owned(), answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                OperatorError::new(ErrorKind::Unavailable, "too many reloads are waiting")
                    .hint("wait for the one that is carried out")
            }
            mpsc::error::TrySendError::Closed(_) => ending(),
        })?;
        answered.await.map_err(|_gone| ending())
    }

    /// What is in force, and how it came to be.
    #[must_use]
    pub fn status(&self) -> ConfigStatus {
        let history = self.told.history();
        ConfigStatus {
            node: self.told.node.clone(),
            generation: history.generation,
            last_success: history.last_success,
            sources: self.told.sources.clone(),
            reloadable: self.told.reloadable.clone(),
            history: history.latest(),
        }
    }
}

impl fmt::Debug for Reloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloads").field("node", &self.told.node).finish_non_exhaustive()
    }
}

struct Told {
    node: String,
    sources: Vec<String>,
    reloadable: Vec<String>,
    history: Mutex<History>,
    stats: Stats,
}

impl Told {
    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

struct Stats {
    reloads: Family<ByOutcome, Counter>,
    generation: Gauge,
    last_success: Gauge,
}

impl Stats {
    fn new(metrics: &Metrics, now: Timestamp) -> Self {
        let stats =
            Self { reloads: Family::default(), generation: Gauge::default(), last_success: Gauge::default() };
        for outcome in [Outcome::Applied, Outcome::Unchanged, Outcome::Refused, Outcome::RolledBack] {
            // Shown from the start, so that the first refusal is a change.
            let _zero = stats.reloads.get_or_create(&ByOutcome { outcome: outcome.name() });
        }
        stats.generation.set(1);
        stats.last_success.set(now.as_second());
        metrics.register(|registry| {
            let registry = registry.sub_registry_with_prefix("omnirelay_config");
            registry.register("reloads", "Reloads by outcome", stats.reloads.clone());
            registry.register("generation", "Configurations in force so far", stats.generation.clone());
            let help = "When what the sources say was last in force, in seconds since 1970";
            registry.register("last_success_timestamp_seconds", help, stats.last_success.clone());
        });
        stats
    }

    fn count(&self, outcome: Outcome, history: &History) {
        self.reloads.get_or_create(&ByOutcome { outcome: outcome.name() }).inc();
        self.generation.set(i64::try_from(history.generation).unwrap_or(i64::MAX));
        self.last_success.set(history.last_success.as_second());
    }
}

struct Task<T> {
    engine: Arc<Mutex<Engine<T>>>,
    debounce: Debounce<Look>,
    layers: Arc<Layers>,
    told: Arc<Told>,
}

impl<T: Serialize + Send + 'static> Task<T> {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>, mut hangups: Hangups, drain: Drain) {
        loop {
            tokio::select! {
                () = drain.started() => return,
                () = hangups.next() => {
                    self.reload(Trigger::Signal, None).await;
                }
                Some(Request { by, answer }) = requests.recv() => {
                    let reload = self.reload(Trigger::Operator, Some(by)).await;
                    // Who asked may have gone; the history has it.
                    let _gone = answer.send(reload);
                }
                () = tokio::time::sleep(LOOK) => {
                    let now = self.look().await;
                    if self.debounce.look(now) {
                        self.reload(Trigger::File, None).await;
                    }
                }
            }
        }
    }

    async fn look(&self) -> Look {
        let layers = Arc::clone(&self.layers);
        tokio::task::spawn_blocking(move || look(&layers)).await.unwrap_or_default()
    }

    async fn reload(&mut self, trigger: Trigger, by: Option<String>) -> Reload {
        let (at, began) = (Timestamp::now(), Instant::now());
        // Before reading: a file that changes meanwhile is read once more, never once too few.
        let seen = self.look().await;
        self.debounce.read(seen);
        let engine = Arc::clone(&self.engine);
        let attempting = tokio::task::spawn_blocking(move || {
            engine.lock().unwrap_or_else(PoisonError::into_inner).attempt()
        });
        let attempt = attempting.await.unwrap_or_else(|_panicked| Attempt {
            outcome: Outcome::RolledBack,
            changed: Vec::new(),
            problems: vec![
                OperatorError::new(ErrorKind::Internal, "the reload failed by a fault of the daemon")
                    .hint("restart the daemon; its log has what happened"),
            ],
        });
        let took = began.elapsed();
        tell(trigger, by.as_deref(), &attempt);
        let Attempt { outcome, changed, problems } = attempt;
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mut history = self.told.history();
        let reload = history.push(Ended { at, trigger, by, outcome, changed, problems, took_us });
        self.told.stats.count(outcome, &history);
        reload
    }
}

fn tell(trigger: Trigger, by: Option<&str>, attempt: &Attempt) {
    let (trigger, outcome) = (trigger.name(), attempt.outcome.name());
    if attempt.outcome.is_success() {
        info!(trigger, by, outcome, changed = ?attempt.changed, "configuration read");
    }
    for problem in &attempt.problems {
        warn!(
            trigger,
            by,
            outcome,
            location = problem.location(),
            error = %problem,
            causes = ?problem.causes().collect::<Vec<_>>(),
            hint = problem.hint_text(),
            "the changed configuration is not taken; the old one goes on"
        );
    }
}

#[cfg(unix)]
struct Hangups(tokio::signal::unix::Signal);

#[cfg(unix)]
impl Hangups {
    fn install() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::hangup()).map(Self).map_err(|error| {
            OperatorError::new(ErrorKind::Io, "signals cannot be received").caused_by(&error)
        })
    }

    async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(unix))]
struct Hangups;

#[cfg(not(unix))]
impl Hangups {
    fn install() -> Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        std::future::pending().await
    }
}
