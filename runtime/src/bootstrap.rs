//! The life of a daemon from `main` to its exit code.

use std::future::Future;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::drain::{Drain, DrainController, DrainMax};
use crate::environment::Environment;
use crate::error::{ErrorKind, OperatorError, Result};
use crate::metrics::Metrics;
use crate::notify;
use crate::startup::{Step, Steps};
use crate::telemetry::{LogControl, LogOptions};

/// What a daemon is given to start with.
#[derive(Debug)]
pub struct Startup {
    /// Tells the daemon's pieces to end.
    pub drain: Drain,
    /// Where the daemon's pieces put their metrics.
    pub metrics: Metrics,
    /// Ends the daemon where a piece of it cannot go on.
    pub failure: Failure,
    /// Changes what is logged.
    pub log: LogControl,
    /// How the start goes.
    pub steps: Steps,
    /// Changes how long the drain may take.
    pub drain_max: DrainMax,
    service: &'static str,
}

/// A started daemon: what `main` waits for.
#[derive(Debug, Clone, Copy)]
pub struct Running {
    /// How long in-flight work may take to finish once the end has begun.
    pub drain_max: Duration,
}

/// Ends the daemon, after a drain. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Failure(mpsc::Sender<End>);

/// Why a daemon ends.
#[derive(Debug)]
enum End {
    Failed(OperatorError),
    /// Somebody asked for it.
    Asked(String),
    /// This process goes on in our place.
    #[cfg(unix)]
    Succeeded(u32),
}

impl Failure {
    /// Says why the daemon cannot go on; the first to say so is believed.
    pub fn report(&self, error: OperatorError) {
        // One is enough, and a daemon that ends already needs none.
        let _not_the_first = self.0.try_send(End::Failed(error));
    }

    /// Ends the daemon because another process goes on in its place.
    #[cfg(unix)]
    pub(crate) fn succeeded(&self, by: u32) {
        let _not_the_first = self.0.try_send(End::Succeeded(by));
    }

    /// Ends the daemon as SIGTERM does, for somebody.
    pub fn drain(&self, by: &str) {
        let _not_the_first = self.0.try_send(End::Asked(by.to_owned()));
    }
}

impl Startup {
    /// The step before has ended, and this one begins. Where the start fails from here on, its error says
    /// what to do about this step.
    pub fn begin(&self, step: Step) {
        self.steps.begin(step, Instant::now());
    }

    /// The daemon's name.
    #[must_use]
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// Logs that the daemon answers at `address`: the event `ready` with `startup_ms`. systemd hears of it.
    pub fn ready(&self, address: &dyn std::fmt::Display) {
        let startup_ms = self.steps.ready(Instant::now()).as_secs_f64() * 1e3;
        info!(service = self.service, %address, startup_ms, "ready");
        notify::tell("READY=1");
    }
}

/// Runs a daemon: installs the logger, starts it, waits for SIGTERM or SIGINT (Ctrl-C), drains,
/// and turns the outcome into an exit code. A second signal ends the drain at once.
///
/// `start` validates its configuration before it binds a port, spawns what it serves with guards
/// from [`Startup::drain`], and returns.
pub fn run<F, Fut>(service: &'static str, log: &LogOptions, start: F) -> ExitCode
where
    F: FnOnce(Startup) -> Fut,
    Fut: Future<Output = Result<Running>>,
{
    match try_run(service, log, start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn try_run<F, Fut>(service: &'static str, log: &LogOptions, start: F) -> Result<()>
where
    F: FnOnce(Startup) -> Fut,
    Fut: Future<Output = Result<Running>>,
{
    let began = Instant::now();
    let log = log.install()?;
    log_panics();
    let environment = Environment::detect();
    tracing::debug!(service, ?environment, "environment");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        OperatorError::new(ErrorKind::Io, "the async runtime cannot start")
            .caused_by(&error)
            .hint("check the limits on threads and file descriptors (`ulimit -a`)")
    })?;
    runtime.block_on(async {
        let mut signals = Signals::install()?;
        let controller = DrainController::new();
        let (failure, mut ends) = mpsc::channel(1);
        let steps = Steps::new(service, environment, began);
        let drain_max = DrainMax::default();
        let startup = Startup {
            drain: controller.drain(),
            metrics: Metrics::default(),
            failure: Failure(failure),
            log,
            steps: steps.clone(),
            drain_max: drain_max.clone(),
            service,
        };
        let running = start(startup).await.map_err(|error| steps.failed(error))?;
        let failed = tokio::select! {
            signal = signals.next() => {
                info!(service, signal, "draining");
                None
            }
            Some(end) = ends.recv() => match end {
                End::Asked(by) => {
                    info!(service, by, "draining");
                    None
                }
                End::Failed(error) => {
                    error!(service, %error, "draining");
                    Some(error)
                }
                #[cfg(unix)]
                End::Succeeded(by) => {
                    info!(service, by, "draining: another process goes on");
                    controller.hand_over();
                    None
                }
            },
        };
        if !controller.drain().is_handed_over() {
            notify::tell("STOPPING=1");
            controller.start();
        }
        let left = tokio::select! {
            left = controller.finished(drain_max.get().unwrap_or(running.drain_max)) => left,
            signal = signals.next() => {
                warn!(service, signal, "second signal: ending without waiting");
                0
            }
        };
        if left > 0 {
            warn!(service, left, "drain reached its maximum with work in flight");
        }
        info!(service, "stopped");
        failed.map_or(Ok(()), Err)
    })
}

/// Prints an error as a person reads it and gives its exit code.
#[must_use]
pub fn fail(error: &OperatorError) -> ExitCode {
    let mut stderr = std::io::stderr();
    // Nobody is left to tell where standard error is closed.
    let _closed = writeln!(stderr, "{}", error.report(stderr.is_terminal()));
    ExitCode::from(error.kind().exit_code())
}

/// Panics are faults of ours and show up in the log like any other error.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("without a message");
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        error!(message, location, "panic");
    }));
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn install() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| {
            signal(kind).map_err(|error| {
                OperatorError::new(ErrorKind::Io, "signals cannot be received").caused_by(&error)
            })
        };
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn install() -> Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        let _ended = tokio::signal::ctrl_c().await;
        "Ctrl-C"
    }
}
