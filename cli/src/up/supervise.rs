//! The life of the mesh: control plane first, then the rest; whoever dies takes the mesh down;
//! the end goes the other way round.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use omnirelay_runtime::{ErrorKind, OperatorError, Result};

use super::binaries::Binaries;
use super::events::{self, Event, Receiver, Sender};
use super::process::{Process, describe};
use super::signals::Signals;
use super::{leftovers, ready, summary};
use crate::dev::{DevMesh, Kind};
use crate::output::{self, Look};
use crate::progress::{Progress, TICK};

/// How long a process may take to answer.
const READY_MAX: Duration = Duration::from_secs(30);
/// How long a process may take to drain.
const DRAIN_MAX: Duration = Duration::from_secs(15);
/// How much of a log is shown for a process that died.
const LOG_LINES: usize = 12;

struct Supervisor<'a> {
    mesh: &'a DevMesh,
    binaries: &'a Binaries,
    processes: Vec<Process>,
    progress: Progress,
    signals: Signals,
    sender: Sender,
    events: Receiver,
}

/// Why the mesh ends.
enum End {
    Signal(&'static str),
    Failure(OperatorError),
}

/// Starts the mesh, watches it, and stops it.
pub(super) async fn run(mesh: &DevMesh, binaries: &Binaries) -> Result<ExitCode> {
    let (sender, events) = events::channel();
    let mut supervisor = Supervisor {
        mesh,
        binaries,
        processes: Vec::new(),
        progress: Progress::new(),
        signals: Signals::install()?,
        sender,
        events,
    };
    let end = match supervisor.start().await {
        Ok(()) => supervisor.watch().await,
        Err(end) => end,
    };
    let stopped = supervisor.stop(&end).await;
    match end {
        End::Failure(error) => Err(error),
        End::Signal(_) => stopped.map(|()| ExitCode::SUCCESS),
    }
}

impl Supervisor<'_> {
    async fn start(&mut self) -> Result<(), End> {
        self.progress.line(&format!("development mesh in {}", self.mesh.directory.display()));
        self.launch(|kind| kind == Kind::Meshkit)?;
        self.all_ready().await?;
        self.launch(|kind| kind != Kind::Meshkit)?;
        self.all_ready().await?;
        let running = summary::running(&self.processes, Look::usual());
        let text = format!("\n{running}{}", summary::next_steps(self.mesh));
        output::print(&text).map_err(End::Failure)
    }

    fn launch(&mut self, which: impl Fn(Kind) -> bool) -> Result<(), End> {
        for component in self.mesh.components.iter().filter(|component| which(component.kind)) {
            let index = self.processes.len();
            let binary = self.binaries.of(component.kind);
            let probe = ready::Probe::new(self.mesh, component).map_err(End::Failure)?;
            let (logs, sender) = (&self.mesh.logs, self.sender.clone());
            let process = Process::start(binary, component, logs, index, probe.reason(), sender)
                .map_err(End::Failure)?;
            self.progress.line(&format!("{} starts as process {}", component.name, process.pid));
            let (sender, began) = (self.sender.clone(), process.began);
            self.processes.push(process);
            leftovers::note(&self.mesh.directory, &self.processes);
            omnirelay_runtime::spawn("ready", async move {
                probe.wait().await;
                // Nobody listens once the mesh is down.
                let _gone = sender.send(Event::Ready(index, began.elapsed())).await;
            });
        }
        Ok(())
    }

    async fn all_ready(&mut self) -> Result<(), End> {
        let deadline = Instant::now() + READY_MAX;
        let mut tick = tokio::time::interval(TICK);
        loop {
            let waiting: Vec<&str> = self
                .processes
                .iter()
                .filter(|process| process.ready.is_none())
                .map(|process| process.component.name.as_str())
                .collect();
            let Some(first) = waiting.first() else {
                return Ok(());
            };
            if Instant::now() >= deadline {
                return Err(End::Failure(self.too_slow(first)));
            }
            let text = format!("waiting for {}", waiting.join(", "));
            tokio::select! {
                _ = tick.tick() => self.progress.waiting(&text),
                signal = self.signals.next() => return Err(End::Signal(signal)),
                Some(event) = self.events.recv() => self.take(event)?,
            }
        }
    }

    async fn watch(&mut self) -> End {
        loop {
            tokio::select! {
                signal = self.signals.next() => return End::Signal(signal),
                Some(event) = self.events.recv() => if let Err(end) = self.take(event) {
                    return end;
                },
            }
        }
    }

    /// Takes an event in; an end that nobody asked for is the end of the mesh.
    fn take(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Ready(index, took) => {
                if let Some(process) = self.processes.get_mut(index) {
                    process.ready = Some(took);
                    let text = format!(
                        "{} is ready after {:.0} ms",
                        process.component.name,
                        took.as_secs_f64() * 1e3
                    );
                    self.progress.line(&text);
                }
                Ok(())
            }
            Event::Exited(index, ended) => {
                let Some(process) = self.processes.get_mut(index) else {
                    return Ok(());
                };
                let how = describe(&ended);
                process.ended = Some(ended);
                Err(End::Failure(died(process, &how)))
            }
        }
    }

    fn too_slow(&self, name: &str) -> OperatorError {
        let message = format!("{name} is not ready {} s after its start", READY_MAX.as_secs());
        let error = OperatorError::new(ErrorKind::Deadline, message);
        let Some(process) = self.processes.iter().find(|process| process.component.name == name) else {
            return error;
        };
        let reason = process.reason.borrow().clone();
        let reason = if reason.is_empty() { "it does not answer".to_owned() } else { reason };
        with_log(error.because(reason), process)
    }

    /// Stops relays, then samples, then the control plane; a second signal ends them at once.
    async fn stop(&mut self, end: &End) -> Result<()> {
        match end {
            End::Signal(signal) => self.progress.line(&format!("{signal}: draining")),
            End::Failure(error) => self.progress.line(&format!("{error}; stopping the rest")),
        }
        let mut killed = Vec::new();
        for kind in [Kind::Relay, Kind::Sample, Kind::Meshkit] {
            self.stop_kind(kind, &mut killed).await;
        }
        leftovers::forget(&self.mesh.directory);
        if killed.is_empty() {
            return Ok(());
        }
        Err(OperatorError::new(ErrorKind::Deadline, format!("{} had to be killed", killed.join(", ")))
            .hint(format!("see their logs in `{}`", self.mesh.logs.display())))
    }

    async fn stop_kind(&mut self, kind: Kind, killed: &mut Vec<String>) {
        let began = Instant::now();
        for process in self.processes.iter_mut().filter(|process| process.component.kind == kind) {
            process.terminate();
        }
        let mut deadline = began + DRAIN_MAX;
        while self.processes.iter().any(|process| process.component.kind == kind && process.ended.is_none()) {
            let kill = tokio::select! {
                () = tokio::time::sleep_until(deadline.into()) => true,
                _ = self.signals.next() => true,
                event = self.events.recv() => {
                    if let Some(Event::Exited(index, ended)) = event
                        && let Some(process) = self.processes.get_mut(index)
                    {
                        let took = began.elapsed().as_secs_f64() * 1e3;
                        let text = format!("{} {} after {took:.0} ms", process.component.name, describe(&ended));
                        process.ended = Some(ended);
                        self.progress.line(&text);
                    }
                    false
                }
            };
            if kill {
                // The kernel needs no time for this; the next turn is for its answer.
                deadline = Instant::now() + DRAIN_MAX;
                for process in &mut self.processes {
                    if process.component.kind == kind && process.ended.is_none() {
                        process.kill();
                        killed.push(process.component.name.clone());
                    }
                }
            }
        }
    }
}

fn died(process: &Process, how: &str) -> OperatorError {
    let when = if process.ready.is_some() { "" } else { " before it was ready" };
    with_log(
        OperatorError::new(ErrorKind::Unavailable, format!("{} {how}{when}", process.component.name)),
        process,
    )
}

fn with_log(error: OperatorError, process: &Process) -> OperatorError {
    let lines = process.last_lines(LOG_LINES);
    let error = if lines.is_empty() { error.because("it left no word in its log") } else { error };
    lines
        .into_iter()
        .fold(error, |error, line| error.because(format!("log: {line}")))
        .hint(format!("the whole log is `{}`", process.log.display()))
}
